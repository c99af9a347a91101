"""Hutchinson's estimators against their definitions."""

import math

import numpy as np
import pytest
from dense_operator import Dense, probes, quiet
from spectra import matrix
from thread_comm import run_ranks

from sharpkit._spectrum import hutchinson
from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit._spectrum.sampling import quantile

N = 90


def trace(operator, products, *, rtol=None):
    return hutchinson.trace(operator, products, seed=3, rtol=rtol, report=quiet)


def diagonal(operator, products):
    return hutchinson.diagonal(operator, products, seed=3, report=quiet)


@pytest.mark.parametrize("kind", ["wishart", "hessian", "wigner"])
@pytest.mark.parametrize("products", [2, 3, 50])
def test_the_textbook(kind, products):
    A = matrix(kind, 1, N)
    W = probes(N, range(products), 3, "sign")
    parts = W * (A @ W)
    found = trace(Dense(A), products)
    assert found.value == pytest.approx(parts.sum(axis=0).mean(), rel=1e-11)
    variance = parts.sum(axis=0).var(ddof=1)
    if products < 10:  # so few tell more by their entries
        variance = max(variance, 2 * parts.var(axis=1, ddof=1).sum())
    stderr = math.sqrt(variance / products)
    assert found.stderr == pytest.approx(stderr, rel=1e-9)
    entries = diagonal(Dense(A), products)
    np.testing.assert_allclose(entries.values, parts.mean(axis=1), atol=1e-11)
    stderr = parts.std(axis=1, ddof=1) / math.sqrt(products)
    np.testing.assert_allclose(entries.stderr, stderr, rtol=1e-8, atol=1e-12)
    assert found.degrees == entries.degrees == products - 1


@pytest.mark.parametrize(("n", "products"), [(3, 2), (5, 3), (8, 4), (90, 2)])
def test_few_samples_in_few_dimensions(n, products):
    """Where many pairs of samples are the same, as if there was no error."""
    for kind in ("wishart", "wigner"):
        A = matrix(kind, 0, n)
        width = quantile(products - 1.0)
        away = []
        for seed in range(200):
            found = hutchinson.trace(
                Dense(A), products, seed=seed, rtol=None, report=quiet
            )
            away.append(abs(found.value - np.trace(A)) / found.stderr)
        assert (np.array(away) < width).mean() >= 0.95


@pytest.mark.parametrize("n", range(1, 9))
def test_more_samples_than_there_are_signs(n):
    """In n dimensions ``2^(n - 1)`` sign vectors differ by more than the sign."""
    missed = 0
    for seed in range(100):
        A = matrix("wigner", seed, n)
        found = hutchinson.trace(Dense(A), 40, seed=seed, rtol=None, report=quiet)
        width = quantile(39) * found.stderr
        missed += abs(found.value - np.trace(A)) > width + 1e-12
    assert missed <= 12  # 5 are to be expected, at most 12 in 999 of 1000 trials


@pytest.mark.parametrize("estimate", [trace, diagonal])
def test_a_product_whose_square_overflows_is_refused(estimate):
    class Once(Dense):
        def apply(self, v, out):
            super().apply(v, out)
            if self.products == 3:
                out[-1] = 1e200

    with pytest.raises(ValueError, match=r"has the norm 1e\+200, and others are far"):
        estimate(Once(np.eye(30)), 25)


def test_few_products_that_suffice_for_a_basis():
    A = matrix("wigner", 0, 7)
    operator = Dense(A)
    found = trace(operator, 9)
    assert (found.status, operator.products) == (SpectrumStatus.EXACT, 7)
    assert found.value == pytest.approx(np.trace(A))


def test_diagonal_operators_are_seen_without_error():
    A = np.diag(np.linspace(-1, 5, N))
    found = trace(Dense(A), 5)
    assert found.value == pytest.approx(np.trace(A), rel=1e-14)
    assert found.stderr < 1e-13
    entries = diagonal(Dense(A), 5)
    np.testing.assert_allclose(entries.values, A.diagonal(), rtol=1e-14)
    assert entries.stderr.max() < 1e-13


def test_stops_within_the_tolerance():
    A = matrix("wishart", 0, N)
    history = trace(Dense(A), 80).history
    assert [products for products, _, _ in history] == [20, 28, 40, 57, 80]
    rtol = history[1][2] / history[1][1] * 1.0001
    found = trace(Dense(A), 80, rtol=rtol)
    assert (found.status, found.history) == (SpectrumStatus.CONVERGED, history[:2])
    assert trace(Dense(A), 80, rtol=1e-9).status is SpectrumStatus.BUDGET


def test_the_error_of_the_products_counts():
    A = matrix("wishart", 0, N)
    exact, rough = trace(Dense(A), 20), trace(Dense(A, error=0.3), 20)
    assert rough.stderr == pytest.approx(math.hypot(exact.stderr, 0.3 * N**0.5))
    exact, rough = diagonal(Dense(A), 20), diagonal(Dense(A, error=0.3), 20)
    np.testing.assert_allclose(rough.stderr, np.hypot(exact.stderr, 0.3))


def test_float32_keeps_a_small_spread():
    """Entries of a million that spread by a hundredth: float32 sums would lose it."""
    A = np.diag(np.full(N, 1e6)) + 1e-2 * matrix("wigner", 0, N)
    entries = diagonal(Dense(A, dtype=np.float64), 40)
    assert entries.stderr.max() < 0.1
    narrow = diagonal(Dense(A, dtype=np.float32), 40)
    assert narrow.values.dtype == narrow.stderr.dtype == np.float32
    assert narrow.stderr.max() < 1  # four roundings of a million are 0.5


def test_pieces_give_what_the_whole_gives():
    A = matrix("hessian", 0, N)
    whole, entries = trace(Dense(A), 24), diagonal(Dense(A), 24)

    def piece(comm, mine):
        found = diagonal(Dense(A, comm=comm, mine=mine), 24)
        np.testing.assert_allclose(found.values, entries.values[mine], rtol=1e-9)
        np.testing.assert_allclose(found.stderr, entries.stderr[mine], rtol=1e-9)
        return trace(Dense(A, comm=comm, mine=mine), 24)

    for found in run_ranks([20, 1, N - 21], piece):
        assert found.value == pytest.approx(whole.value, rel=1e-11)
        assert found.stderr == pytest.approx(whole.stderr, rel=1e-11)
