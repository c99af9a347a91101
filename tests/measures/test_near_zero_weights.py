"""Where measures relative to the weights part from what they are said to be."""

import numpy as np
import pytest

from sharpkit import average_sharpness, ball_sharpness, flatness_radius, sharpness

CURVATURE = np.array([1.0, 100.0])


def at(w, curvature=CURVATURE):
    """A quadratic whose minimum is at w."""

    def loss(v):
        return 0.5 * float(curvature @ (v - w) ** 2), curvature * (v - w)

    return w, loss


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_weight_of_zero_hides_its_curvature_from_adaptive_balls(norm):
    problem = at(np.array([1.0, 0.0]))
    adaptive = ball_sharpness(*problem, radius=0.1, norm=norm, adaptive=True)
    standard = ball_sharpness(*problem, radius=0.1, norm=norm)
    assert float(adaptive) == pytest.approx(0.005, rel=1e-6)
    assert float(standard) >= 0.5 * (1 - 1e-6)


def test_a_weight_of_zero_hides_its_curvature_from_adaptive_noise():
    w, loss = at(np.array([1.0, 0.0]))
    found = average_sharpness(w, loss, radius=0.1, adaptive=True)
    other = average_sharpness(*at(w, np.array([1.0, 1e6])), radius=0.1, adaptive=True)
    assert float(found) == float(other)


def test_the_floor_of_magnitude_noise_ends_its_invariance_at_small_weights():
    # The same function of ten weights, scaled: w -> a w, H -> H / a^2.
    radii = []
    for a in (1.0, 0.1, 1e-3):
        w, loss = at(a * np.ones(10), np.full(10, 2.0 / a**2))
        radii.append(float(flatness_radius(w, loss, of="loss", magnitude=True)))
    # Sum of (sigma'^2 w^2 + 1e-6) h / 2 = 0.1, so sigma'^2 = 0.01 - 1e-6 / a^2.
    assert radii[:2] == pytest.approx([0.1, 0.1], rel=0.1)
    assert radii[2] < 0.01


@pytest.mark.parametrize(("size", "expected"), [(1e4, 1.0), (1e-4, 0.01)])
def test_the_box_is_invariant_for_weights_far_above_one_only(size, expected):
    values = []
    for a in (1.0, 10.0):
        w, loss = at(a * size * np.ones(4), np.full(4, 1e-8 / a**2))
        values.append(float(sharpness(w, loss, epsilon=0.1)))
    assert values[1] / values[0] == pytest.approx(expected, rel=2e-3)
