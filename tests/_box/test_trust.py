import numpy as np
import pytest

from sharpkit._box.trust import maximum


def value(h, g, u):
    return g @ u + 0.5 * u @ h @ u


def symmetric(seed, values):
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values),) * 2))
    return (q * values) @ q.T, q


@pytest.mark.parametrize("values", [[1, 2, 5], [-3, 1, 4], [-3, -2, -1], [0, 0, 0]])
@pytest.mark.parametrize("size", [0.0, 1e-9, 0.1, 100.0])
def test_the_conditions_of_a_maximum(values, size):
    h, _ = symmetric(0, np.array(values, float))
    g = size * np.random.default_rng(1).standard_normal(3)
    u = maximum(h, g, 0.7)
    slope = g + h @ u
    assert np.linalg.norm(u) <= 0.7 * (1 + 1e-12)
    # slope = mu u, with mu at least 0 and any eigenvalue, and 0 inside.
    mu = slope @ u / max(u @ u, 1e-300)
    scale = np.abs(h).max() + size
    np.testing.assert_allclose(slope, mu * u, atol=1e-9 * scale)
    assert mu >= max(0, max(values)) - 1e-9 * scale or not u.any()
    if np.linalg.norm(u) < 0.7 * (1 - 1e-9):
        assert abs(mu) <= 1e-9 * scale


def test_the_hard_case():
    h, q = symmetric(0, np.array([-1.0, 1.0, 3.0]))
    g = 0.1 * q[:, 1]  # says nothing of the top eigenvector
    u = maximum(h, g, 1.0)
    along = q.T @ u
    assert np.linalg.norm(u) == pytest.approx(1)
    np.testing.assert_allclose(along[:2], [0, 0.05], atol=1e-9)


def test_nothing_to_go_along():
    assert maximum(np.empty((0, 0)), np.empty(0), 1.0).shape == (0,)
