"""XTrace against leave-one-out and leave-two-out estimates with explicit projectors."""

import math

import numpy as np
import pytest
from dense_operator import Dense, low_rank, probes, projector, quiet
from spectra import matrix
from thread_comm import run_ranks

from sharpkit._spectrum import xtrace
from sharpkit._spectrum.estimate import SpectrumStatus

N = 90


def estimate(operator, products, *, seed=3, rtol=None, report=quiet):
    return xtrace.estimate(operator, products, seed=seed, rtol=rtol, report=report)


def one(A, Y, W, i, without):
    """The i-th probe's estimate in a basis that does not know ``without``."""
    n = len(A)
    others = [j for j in range(W.shape[1]) if j not in without]
    P = projector(Y[:, others])
    w = W[:, i] - P @ W[:, i]
    scale = (n - len(others)) / (w @ w)
    return np.trace(P @ A @ P) + scale * (w @ A @ w)


def directions(A, Y):
    """What each probe alone has found: directions, and the trace along them."""
    whole = projector(Y)
    alone = [whole - projector(np.delete(Y, i, axis=1)) for i in range(Y.shape[1])]
    s = np.array([np.linalg.svd(each)[0][:, 0] for each in alone]).T
    return s, np.diag(s.T @ A @ s)


def naive(A, p, seed):
    """Value and standard error, as the docstring has them."""
    W = probes(len(A), range(p), seed, "normal")
    Y = A @ W
    s, h = directions(A, Y)
    t = np.array([one(A, Y, W, i, {i}) for i in range(p)])
    products = [
        (t[i] - one(A, Y, W, i, {i, j})) * (t[j] - one(A, Y, W, j, {i, j}))
        for i in range(p)
        for j in range(i)
    ]
    pairs, variance = p * (p - 1) / 2, t.var(ddof=1)
    noise = math.sqrt(np.sum(np.square(products))) / pairs
    shared = max(np.sum(products) / pairs, min(variance / p, noise))
    known = np.array([np.trace(projector(np.delete(Y, i, 1)) @ A) for i in range(p)])
    excess = h - (t - known) / (len(A) - p + 1)
    least = np.mean((s.T @ s) ** 4 * np.outer(excess, excess)) / 2
    rounding = 4 * np.finfo(float).eps * np.sqrt((Y**2).sum() / p)
    return t.mean(), math.sqrt(max(variance / p + shared, least) + rounding**2)


@pytest.mark.parametrize("top", [np.full(10, 10.0), np.geomspace(0.1, 100, 10)])
def test_as_many_probes_as_large_eigenvalues(top):
    """Some runs lose one direction in all leave-one-out estimates, which then agree."""
    values = np.concatenate([top, np.full(N - 10, 1e-6)])
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((N, N)))[0]
    operator, truth = Dense((q * values) @ q.T), values.sum()
    found = [estimate(operator, 20, seed=seed) for seed in range(200)]
    away = np.array([abs(each.value - truth) / each.stderr for each in found])
    assert away.max() < 8  # 1400 for the first where nothing is done
    assert (away < 2.26).mean() > 0.95  # t, 9 degrees


@pytest.mark.parametrize("kind", ["wishart", "hessian", "decaying", "wigner"])
@pytest.mark.parametrize("products", [4, 7, 16, 30])
def test_the_textbook(kind, products):
    A = matrix(kind, 1, N)
    found = estimate(Dense(A), products)
    value, stderr = naive(A, products // 2, 3)
    size = np.abs(np.linalg.eigvalsh(A)).sum()
    assert found.value == pytest.approx(value, rel=1e-10, abs=1e-10 * size)
    assert found.stderr == pytest.approx(stderr, rel=1e-8)
    assert found.degrees == products // 2 - 1
    assert found.status is SpectrumStatus.COMPLETE


def test_looks_on_the_way_are_the_estimates_of_fewer_products():
    A = matrix("hessian", 2, N)
    operator = Dense(A)
    long = estimate(operator, 61)
    assert operator.products == 60
    assert [products for products, _, _ in long.history] == [20, 28, 40, 56, 60]
    assert long.history[-1][1:] == (long.value, long.stderr)
    for products, value, stderr in long.history:
        short = estimate(Dense(A), products)
        assert value == pytest.approx(short.value, rel=1e-10)
        assert stderr == pytest.approx(short.stderr, rel=1e-6)


def test_stops_within_the_tolerance():
    A = matrix("wishart", 0, N)
    history = estimate(Dense(A), 80).history
    rtol = history[2][2] / history[2][1] * 1.0001
    found = estimate(Dense(A), 80, rtol=rtol)
    assert found.status is SpectrumStatus.CONVERGED
    assert found.history == history[:3]
    missed = estimate(Dense(A), 80, rtol=1e-9)
    assert (missed.status, missed.history) == (SpectrumStatus.BUDGET, history)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rank", [0, 1, 7, 19])
def test_exact_where_the_range_is_spanned(dtype, rank):
    A = low_rank(N, rank)
    operator = Dense(A, dtype=dtype)
    found = estimate(operator, 60)
    size = np.linalg.norm(A)
    assert abs(found.value - np.trace(A)) <= 4 * np.finfo(dtype).eps * size
    assert found.stderr <= 10 * np.finfo(dtype).eps * size
    if dtype == np.float64:
        assert found.status is SpectrumStatus.EXACT
        assert operator.products in range(2 * rank + 1, 2 * rank + 8)


def test_a_rank_of_all_probes_is_found_out_without_more_products():
    A = low_rank(N, 9)
    found = estimate(Dense(A), 20)
    assert found.value == pytest.approx(np.trace(A), abs=1e-12)
    assert found.stderr < 1e-12


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_a_space_no_larger_than_the_products_is_taken_whole(n):
    A = matrix("wigner", 0, n)
    operator = Dense(A)
    found = estimate(operator, max(n, 4))
    assert found.value == pytest.approx(np.trace(A), abs=1e-12 * n)
    assert found.stderr <= 1e-14 * n * np.abs(A).max()
    assert (found.status, operator.products) == (SpectrumStatus.EXACT, n)


def test_multiples_of_the_identity_have_no_error():
    found = estimate(Dense(3 * np.eye(N)), 12)
    assert found.value == pytest.approx(3 * N, rel=1e-13)
    assert found.stderr < 1e-12


def test_an_asymmetric_operator_is_told():
    A = matrix("wishart", 0, N)
    rough = A + 0.1 * np.random.default_rng(0).standard_normal((N, N))
    assert estimate(Dense(rough), 20).status is SpectrumStatus.ASYMMETRIC
    assert estimate(Dense(rough), N).status is SpectrumStatus.ASYMMETRIC
    # Products that are known to be so wrong prove nothing.
    assert estimate(Dense(rough, error=1.0), 20).status is SpectrumStatus.COMPLETE


def test_the_error_of_the_products_counts():
    A = matrix("wishart", 0, N)
    exact, rough = estimate(Dense(A), 20), estimate(Dense(A, error=0.3), 20)
    assert rough.value == exact.value
    assert rough.stderr == pytest.approx(math.hypot(exact.stderr, 0.3 * N**0.5))


@pytest.mark.parametrize("rank", [5, N])
def test_pieces_give_what_the_whole_gives(rank):
    A = low_rank(N, rank)

    def piece(comm, mine):
        return estimate(Dense(A, comm=comm, mine=mine), 44)

    whole = estimate(Dense(A), 44)
    for found in run_ranks([20, 1, N - 21], piece):
        assert found.value == pytest.approx(whole.value, rel=1e-10)
        assert found.stderr == pytest.approx(whole.stderr, rel=1e-6, abs=1e-12)
        assert found.status is whole.status
    assert (rank == N) == (whole.status is SpectrumStatus.COMPLETE)


def test_progress_goes_to_every_product():
    seen = []
    estimate(Dense(matrix("wishart", 0, N)), 30, report=lambda *args: seen.append(args))
    assert [done for done, _ in seen if done] == sorted(
        done for done, _ in seen if done
    )
    assert {done for done, _ in seen} == set(range(1, 31))
    assert all(np.isfinite(value) for done, value in seen if done > 1)
