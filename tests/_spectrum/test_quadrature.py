"""Bands against the laws that they invert, and against the textbook's formulas."""

import numpy as np
import pytest
from scipy.stats import chi2

from sharpkit._spectrum import quadrature


def one_place(share, probes=3):
    """Nodes at 0 and 1; ``share`` of the weight at 0."""
    return np.tile([0.0, 1.0], (probes, 1)), np.tile([share, 1 - share], (probes, 1))


def test_the_band_of_the_density_inverts_chi_square():
    n, probes, width = 10**4, 2, 0.1
    nodes, weights = one_place(0.02, probes)
    found = quadrature.density(nodes, weights, n, np.array([0.0]), width)
    peak = 1 / (width * np.sqrt(2 * np.pi))
    assert found.value[0] == pytest.approx(0.02 * peak)
    # 2 % of 10^4 eigenvalues, two probes, and what the rest takes away
    degrees = probes * n * 0.02 / (1 - 0.02)
    assert chi2(degrees * found.low[0] / found.value[0]).cdf(degrees) == pytest.approx(
        0.975, rel=1e-6
    )
    assert chi2(degrees * found.high[0] / found.value[0]).cdf(degrees) == pytest.approx(
        0.025, rel=1e-6
    )


def test_means_and_their_errors():
    nodes, weights = one_place(0.25, probes=4)
    found = quadrature.mean(nodes, weights, 98, lambda x: 2 * x)
    assert found.value == pytest.approx(1.5)
    assert found.total.stderr == pytest.approx(np.sqrt(2 / 100 * (3 - 1.5**2) / 4))
    share = quadrature.ratio(nodes, weights, 98, lambda x: x, lambda x: 1 + x)
    assert share.value == pytest.approx(0.75 / 1.75)
    both = quadrature.ratio(nodes, weights, 98, np.cos, np.cos)
    assert both.value == 1
    assert both.total.stderr < 1e-15


def test_an_eigenvalue_that_a_probe_all_but_misses_is_in_the_error():
    nodes, weights = np.array([[-1.0, 0.0, 1e4]]), np.array([[0.5, 0.5, 1e-9]])
    found = quadrature.mean(nodes, weights, 40, lambda x: x).total
    assert found.stderr == pytest.approx(1e4 * np.sqrt(2 / 40 / 42), rel=1e-2)


def test_outliers_stand_apart_in_every_probe():
    bulk = np.linspace(0, 1, 20)
    nodes = np.array([[*bulk, 4.0, 7.0], [*bulk, 4.01, 9.0]])
    heavy = np.full(20, (1 - 0.03) / 20)
    weights = np.array([[*heavy, 0.01, 0.02]] * 2)
    found = quadrature.outliers(nodes, weights, 100, 0.1)
    # 7 and 9 are of one probe each; the bulk weighs as much as many eigenvalues
    np.testing.assert_allclose(found, [4.005])
    assert len(quadrature.outliers(nodes, weights, 10**4, 0.1)) == 0
