"""Shares of eigenvalues against the law that their band inverts, and bounds."""

import numpy as np
import pytest
from scipy.stats import beta

from sharpkit._spectrum.distribution import distribution


def one_place(share, probes=3):
    """Nodes at 0 and 1; ``share`` of the weight at 0."""
    return np.tile([0.0, 1.0], (probes, 1)), np.tile([share, 1 - share], (probes, 1))


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("n", [50, 10**6])
def test_the_band_of_the_distribution_inverts_the_beta_law(share, n):
    nodes, weights = one_place(share)
    whole = np.ones(len(nodes), bool)
    found = distribution(nodes, weights, n, np.array([0.5]), whole)
    assert found.value[0] == pytest.approx(share)
    for end, tail in ((found.low[0], 0.975), (found.high[0], 0.025)):
        law = beta(3 * n * end / 2, 3 * n * (1 - end) / 2)
        assert law.cdf(found.value[0]) == pytest.approx(tail, rel=1e-6)
    assert found.low[0] < found.value[0] < found.high[0]
    assert found.resolution[0] == 0


def test_two_nodes_leave_all_open_between_them():
    nodes, weights = one_place(0.01)
    found = distribution(nodes, weights, 50, np.array([0.5]))
    # halfway between the nodes, each of which counts half at its own place
    assert found.value[0] == pytest.approx((0.01 / 2 + (0.01 + 1) / 2) / 2)
    assert found.resolution[0] == pytest.approx(max(found.value[0], 1 - found.value[0]))
    assert found.low[0] < 0.02
    assert found.high[0] > 0.98


def test_nodes_on_a_smooth_density_leave_less_open():
    t, places = (np.arange(100) + 0.5)[None] / 100, np.array([0.5, 0.3])
    weights = np.array([[0.01] * 100, [0.019, 0.001] * 50])
    smooth, rough = (distribution(t, a[None], 10**8, places) for a in weights)
    np.testing.assert_allclose([smooth.low, smooth.high], [places] * 2, atol=3e-4)
    assert (rough.high - rough.low > 0.015).all()
    assert (rough.low >= rough.value - rough.resolution - 3e-4).all()


@pytest.mark.parametrize("whole", [True, False])
def test_a_node_within_its_error_may_be_on_either_side(whole):
    nodes, weights = np.array([[1e-15, 1.0]]), np.array([[0.9, 0.1]])
    closed = np.array([whole])
    found = distribution(nodes, weights, 10**6, np.zeros(1), closed, 1e-14)
    assert found.value[0] < 0.5
    assert found.low[0] == 0
    assert found.high[0] > 0.9


def test_chebyshev_markov_stieltjes():
    """Gauss quadratures of a measure that is known: uniform on [-1, 1]."""
    t, a = np.polynomial.legendre.leggauss(12)
    x = np.linspace(-1.2, 1.2, 97)
    found = distribution(t[None], a[None] / 2, 100, x)
    truth = np.clip((x + 1) / 2, 0, 1)
    assert (np.abs(found.value - truth) <= found.resolution).all()
    assert found.resolution.max() < 0.25
    assert np.abs(found.value - truth).max() < 0.03  # far better where it is smooth


def test_a_closed_space_knows_its_measure():
    nodes, weights = np.array([[0.0, 1.0, 1.0]]), np.array([[0.4, 0.6, 0.0]])
    found = distribution(
        nodes, weights, 10, np.array([-1, 0, 0.5, 1, 2.0]), np.array([True])
    )
    np.testing.assert_allclose(found.value, [0, 0.4, 0.4, 1, 1])
    assert (found.resolution == 0).all()
