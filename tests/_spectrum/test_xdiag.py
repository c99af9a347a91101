"""XDiag against leave-one-out and leave-two-out estimates with explicit projectors."""

import numpy as np
import pytest
from dense_operator import Dense, low_rank, probes, projector, quiet
from spectra import matrix
from thread_comm import run_ranks

from sharpkit._spectrum import xdiag
from sharpkit._spectrum.estimate import SpectrumStatus

N = 90


def estimate(operator, products, *, seed=3):
    return xdiag.estimate(operator, products, seed=seed, report=quiet)


def one(A, Y, W, i, without):
    """The i-th probe's estimate in a basis that does not know ``without``."""
    others = [j for j in range(W.shape[1]) if j not in without]
    P = projector(Y[:, others])
    return np.diag(P @ A) + W[:, i] * (Y[:, i] - P @ Y[:, i])


def naive(A, p, seed):
    """Values and standard errors, as the docstring has them."""
    W = probes(len(A), range(p), seed, "sign")
    Y = A @ W
    d = np.array([one(A, Y, W, i, {i}) for i in range(p)])
    shared = np.zeros(len(A))
    for i in range(p):
        for j in range(i):
            change = d[i] - one(A, Y, W, i, {i, j})
            shared += change * (d[j] - one(A, Y, W, j, {i, j}))
    variance = d.var(axis=0, ddof=1) / p
    shared = np.maximum(shared * 2 / (p * (p - 1)), 0)
    # What each probe alone has found: directions, and the diagonal's part along them.
    whole = projector(Y)
    alone = [whole - projector(np.delete(Y, i, axis=1)) for i in range(p)]
    s = np.array([np.linalg.svd(each)[0][:, 0] for each in alone]).T
    part = s * (A @ s)
    least = np.einsum("ti,ij,tj->t", part, (s.T @ s) ** 4, part) / (2 * p**2)
    return d.mean(axis=0), np.sqrt(np.maximum(variance + shared, least))


def test_as_many_probes_as_large_eigenvalues():
    """Some runs lose one direction in all leave-one-out estimates, which then agree."""
    values = np.concatenate([np.full(10, 10.0), np.full(N - 10, 1e-6)])
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((N, N)))[0]
    A = (q * values) @ q.T
    away = []
    for seed in range(200):
        found = estimate(Dense(A), 20, seed=seed)
        away.append(np.abs(found.values - A.diagonal()) / found.stderr)
    assert np.max(away) < 15  # 41 where nothing is done about it
    assert (np.array(away) < 2.26).mean() > 0.95  # t, 9 degrees


@pytest.mark.parametrize("kind", ["wishart", "hessian", "decaying", "wigner"])
@pytest.mark.parametrize("products", [4, 7, 16, 30])
def test_the_textbook(kind, products):
    A = matrix(kind, 1, N)
    operator = Dense(A)
    found = estimate(operator, products)
    values, stderr = naive(A, products // 2, 3)
    size = np.abs(values).max()
    np.testing.assert_allclose(found.values, values, rtol=1e-10, atol=1e-10 * size)
    np.testing.assert_allclose(found.stderr, stderr, rtol=1e-6, atol=1e-9 * size)
    assert (found.degrees, found.status) == (products // 2 - 1, SpectrumStatus.COMPLETE)
    assert operator.products == products // 2 * 2


def test_slabs_do_not_show(monkeypatch):
    A = np.random.default_rng(0).standard_normal((1100, 1100))
    A += A.T
    whole = estimate(Dense(A), 20)
    monkeypatch.setattr(xdiag, "SLAB_BYTES", 1)
    pieces = estimate(Dense(A), 20)
    np.testing.assert_allclose(pieces.values, whole.values, rtol=1e-12)
    np.testing.assert_allclose(pieces.stderr, whole.stderr, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rank", [0, 1, 7, 19])
def test_exact_where_the_range_is_spanned(dtype, rank):
    A = low_rank(N, rank)
    found = estimate(Dense(A, dtype=dtype), 60)
    assert found.values.dtype == found.stderr.dtype == dtype
    eps, size = np.finfo(dtype).eps, np.linalg.norm(A)
    assert np.abs(found.values - A.diagonal()).max() <= 4 * eps * size
    assert found.stderr.max() <= 40 * eps * size
    if dtype == np.float64:
        assert found.status is SpectrumStatus.EXACT


@pytest.mark.parametrize("seed", range(20))
def test_sign_probes_that_agree_where_it_matters_are_not_taken_for_a_whole_range(seed):
    """Where A sees three coordinates every fourth pair of sign vectors is parallel."""
    A = np.zeros((N, N))
    A[:3, :3] = [[2.0, 1, 0], [1, 3, 1], [0, 1, 4]]
    found = estimate(Dense(A), 20, seed=seed)
    assert found.status is SpectrumStatus.EXACT
    np.testing.assert_allclose(found.values, A.diagonal(), atol=1e-13)


def test_too_few_independent_probes_have_an_infinite_error():
    A = np.zeros((N, N))
    A[0, 0], A[1, 1] = 1.0, 2.0
    seen = {}
    for seed in range(12):
        operator = Dense(A)
        found = estimate(operator, 4, seed=seed)
        assert operator.products <= 4
        error = np.abs(found.values - A.diagonal())
        assert (error <= 13 * found.stderr + 1e-14).all()
        seen[found.status, bool(np.isinf(found.stderr).any())] = True
    assert (SpectrumStatus.COMPLETE, True) in seen


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_a_space_no_larger_than_the_products_is_taken_whole(n):
    A = matrix("wigner", 0, n)
    operator = Dense(A)
    found = estimate(operator, max(n, 4))
    np.testing.assert_allclose(found.values, A.diagonal(), atol=1e-12)
    assert (found.status, operator.products) == (SpectrumStatus.EXACT, n)


def test_two_probes_that_agree_may_both_be_wrong():
    """With a diagonal operator both give the same, which says nothing of the error."""
    diagonal = np.random.default_rng(0).standard_normal(N)
    found = estimate(Dense(np.diag(diagonal)), 4)
    error = np.abs(found.values - diagonal)
    assert error.max() > 0.01
    assert (found.stderr >= error * (1 - 1e-9)).all()
    assert np.median(found.stderr / error) == pytest.approx(1)


def test_an_asymmetric_operator_is_told():
    A = matrix("wishart", 0, N)
    rough = A + 0.1 * np.random.default_rng(0).standard_normal((N, N))
    assert estimate(Dense(rough), 20).status is SpectrumStatus.ASYMMETRIC


def test_the_error_of_the_products_counts():
    A = matrix("wishart", 0, N)
    exact, rough = estimate(Dense(A), 20), estimate(Dense(A, error=0.3), 20)
    np.testing.assert_array_equal(rough.values, exact.values)
    np.testing.assert_allclose(rough.stderr, np.hypot(exact.stderr, 0.3))


@pytest.mark.parametrize("rank", [5, N])
def test_pieces_give_what_the_whole_gives(rank):
    A = low_rank(N, rank)
    whole = estimate(Dense(A), 24)

    def piece(comm, mine):
        found = estimate(Dense(A, comm=comm, mine=mine), 24)
        np.testing.assert_allclose(found.values, whole.values[mine], atol=1e-11)
        np.testing.assert_allclose(
            found.stderr, whole.stderr[mine], rtol=1e-6, atol=1e-11
        )
        return found.status

    assert run_ranks([20, 1, N - 21], piece) == [whole.status] * 3
