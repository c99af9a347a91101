"""Bands against the laws that they invert, and against the textbook's formulas."""

import numpy as np
import pytest
from scipy.stats import beta, chi2

from sharpkit._spectrum import quadrature


def one_place(share, probes=3):
    """Nodes at 0 and 1; ``share`` of the weight at 0."""
    return np.tile([0.0, 1.0], (probes, 1)), np.tile([share, 1 - share], (probes, 1))


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("n", [50, 10**6])
def test_the_band_of_the_distribution_inverts_the_beta_law(share, n):
    nodes, weights = one_place(share)
    found = quadrature.distribution(nodes, weights, n, np.array([0.5]))
    # halfway between the nodes, each of which counts half at its own place
    assert found.value[0] == pytest.approx((share / 2 + (share + 1) / 2) / 2)
    for end, tail in ((found.low[0], 0.975), (found.high[0], 0.025)):
        law = beta(3 * n * end / 2, 3 * n * (1 - end) / 2)
        assert law.cdf(found.value[0]) == pytest.approx(tail, rel=1e-6)
    assert found.low[0] < found.value[0] < found.high[0]
    # one node to each side: nothing is known but that it lies between 0 and 1
    assert found.resolution[0] == pytest.approx(max(found.value[0], 1 - found.value[0]))


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
    assert found.stderr == pytest.approx(np.sqrt(2 / 100 * (3 - 1.5**2) / 4))
    share = quadrature.ratio(nodes, weights, 98, lambda x: x, lambda x: 1 + x)
    assert share.value == pytest.approx(0.75 / 1.75)
    both = quadrature.ratio(nodes, weights, 98, np.cos, np.cos)
    assert both.value == 1
    assert both.stderr < 1e-15


def test_outliers_stand_apart_in_every_probe():
    bulk = np.linspace(0, 1, 20)
    nodes = np.array([[*bulk, 4.0, 7.0], [*bulk, 4.01, 9.0]])
    heavy = np.full(20, (1 - 0.03) / 20)
    weights = np.array([[*heavy, 0.01, 0.02]] * 2)
    found = quadrature.outliers(nodes, weights, 100, 0.1)
    # 7 and 9 are of one probe each; the bulk weighs as much as many eigenvalues
    np.testing.assert_allclose(found, [4.005])
    assert len(quadrature.outliers(nodes, weights, 10**4, 0.1)) == 0


def test_chebyshev_markov_stieltjes():
    """Gauss quadratures of a measure that is known: uniform on [-1, 1]."""
    t, a = np.polynomial.legendre.leggauss(12)
    x = np.linspace(-1.2, 1.2, 97)
    found = quadrature.distribution(t[None], a[None] / 2, 100, x)
    truth = np.clip((x + 1) / 2, 0, 1)
    assert (np.abs(found.value - truth) <= found.resolution).all()
    assert found.resolution.max() < 0.25
    assert np.abs(found.value - truth).max() < 0.03  # far better where it is smooth


def test_a_closed_space_knows_its_measure():
    nodes, weights = np.array([[0.0, 1.0, 1.0]]), np.array([[0.4, 0.6, 0.0]])
    found = quadrature.distribution(
        nodes, weights, 10, np.array([-1, 0, 0.5, 1, 2.0]), np.array([True])
    )
    np.testing.assert_allclose(found.value, [0, 0.4, 0.4, 1, 1])
    assert (found.resolution == 0).all()
