"""Hutch++ against its definition with an explicit projector."""

import math

import numpy as np
import pytest
from dense_operator import Dense, low_rank, probes, projector, quiet
from spectra import matrix
from thread_comm import run_ranks

from sharpkit._spectrum import hutchpp
from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit._spectrum.sampling import quantile

N = 90


def estimate(operator, products, *, seed=3):
    return hutchpp.estimate(operator, products, seed=seed, rtol=None, report=quiet)


@pytest.mark.parametrize("kind", ["wishart", "hessian", "decaying", "wigner"])
@pytest.mark.parametrize("products", [4, 5, 20, 60])
def test_the_textbook(kind, products):
    A = matrix(kind, 1, N)
    operator = Dense(A)
    found = estimate(operator, products)
    third = products // 3
    P = projector(A @ probes(N, range(third), 3, "normal"))
    signs = probes(N, range(third, products - third), 3, "sign")
    W = signs - P @ signs
    entries = signs * (A @ W - P @ A @ W)
    samples = entries.sum(axis=0)
    value = np.trace(P @ A) + samples.mean()
    size = np.abs(np.linalg.eigvalsh(A)).sum()
    assert found.value == pytest.approx(value, abs=1e-11 * size)
    variance = samples.var(ddof=1)
    if len(samples) < 10:  # so few tell more by their entries
        variance = max(variance, 2 * entries.var(axis=1, ddof=1).sum())
    stderr = math.sqrt(variance / len(samples))
    assert found.stderr == pytest.approx(stderr, rel=1e-7)
    assert found.degrees == len(samples) - 1
    assert operator.products == products
    assert found.history[-1] == (products, found.value, found.stderr)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rank", [0, 1, 7, 15])
def test_exact_where_the_range_is_spanned(dtype, rank):
    A = low_rank(N, rank)
    found = estimate(Dense(A, dtype=dtype), 60)
    eps, size = np.finfo(dtype).eps, np.linalg.norm(A)
    assert abs(found.value - np.trace(A)) <= 20 * eps * size
    assert found.stderr <= 20 * eps * size
    if dtype == np.float64:
        assert found.status is SpectrumStatus.EXACT


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_space_that_the_sketch_fills(n):
    A = matrix("wigner", 0, n)
    found = estimate(Dense(A), 3 * n + 3)
    assert found.value == pytest.approx(np.trace(A), abs=1e-13)
    assert found.status is SpectrumStatus.EXACT


def test_probes_inside_the_sketch_take_no_product():
    """One in 2^5 sign vectors of six dimensions lies in the range of ones."""
    spent = []
    for seed in range(60):
        operator = Dense(np.ones((6, 6)))
        found = estimate(operator, 5, seed=seed)
        spent.append(operator.products)
        assert found.value == pytest.approx(6)
    assert set(spent) == {4, 5}


@pytest.mark.parametrize(("n", "products"), [(5, 4), (8, 6), (30, 12)])
def test_few_samples_in_few_dimensions(n, products):
    for kind in ("wishart", "decaying"):
        A = matrix(kind, 0, n)
        away = []
        for seed in range(200):
            found = estimate(Dense(A), products, seed=seed)
            width = quantile(found.degrees) * found.stderr
            away.append(abs(found.value - np.trace(A)) / width)
        assert (np.array(away) < 1).mean() >= 0.95


def test_few_products_that_suffice_for_a_basis():
    operator = Dense(matrix("wigner", 0, 7))
    assert estimate(operator, 9).status is SpectrumStatus.EXACT
    assert operator.products == 7


def test_an_asymmetric_operator_is_told():
    A = matrix("wishart", 0, N)
    rough = A + 0.1 * np.random.default_rng(0).standard_normal((N, N))
    assert estimate(Dense(rough), 20).status is SpectrumStatus.ASYMMETRIC


def test_pieces_give_what_the_whole_gives():
    A = matrix("hessian", 0, N)
    whole = estimate(Dense(A), 24)

    def piece(comm, mine):
        return estimate(Dense(A, comm=comm, mine=mine), 24)

    for found in run_ranks([20, 1, N - 21], piece):
        assert found.value == pytest.approx(whole.value, rel=1e-11)
        assert found.stderr == pytest.approx(whole.stderr, rel=1e-6)
