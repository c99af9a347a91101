import math

import numpy as np
import pytest

from sharpkit.lab.intervals import Interval
from sharpkit.lab.outcome import (
    FAILS,
    HOLDS,
    OPEN,
    band,
    below_claim,
    decide,
    decide_within,
    difference_claim,
    equal_claim,
    equivalence_claim,
    ratio_claim,
)

UP = np.array([2.0, 2.1, 1.9, 2.05])  # 2.01, surely
VAGUE = np.array([2.0, -2.0, 1.0, -1.0])


@pytest.mark.parametrize(
    ("low", "high", "least", "decision"),
    [
        (0.1, 3.0, 0.0, HOLDS),
        (-3.0, -0.1, 0.0, FAILS),
        (-1.0, 1.0, 0.0, OPEN),
        (0.1, 3.0, 1.0, OPEN),
        (-math.inf, math.inf, 0.0, OPEN),
    ],
)
def test_an_interval_decides_where_it_leaves_the_bound_out(low, high, least, decision):
    assert decide(low, high, least) == decision


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [(4, 9, HOLDS), (1, 2, FAILS), (11, 12, FAILS), (2, 9, OPEN), (9, 11, OPEN)],
)
def test_a_range_is_met_by_the_whole_interval(low, high, decision):
    assert decide_within(Interval(5, low, high), 3, 10) == decision


@pytest.mark.parametrize(
    ("claim", "decision"),
    [
        (difference_claim("", UP), HOLDS),
        (difference_claim("", -UP), FAILS),
        (difference_claim("", VAGUE), OPEN),
        (difference_claim("", UP, least=3.0), FAILS),
        (below_claim("", UP, most=3.0), HOLDS),
        (below_claim("", UP, most=1.0), FAILS),
        (below_claim("", VAGUE, most=1.0), OPEN),
        (equal_claim("", UP, within=3.0), HOLDS),
        (equal_claim("", UP, within=1.0), FAILS),
        (equal_claim("", -UP, within=1.0), FAILS),
        (equal_claim("", VAGUE, within=1.0), OPEN),
        (ratio_claim("", 10 * UP, UP), HOLDS),
        (ratio_claim("", UP, 10 * UP), FAILS),
        (ratio_claim("", 10 * UP, UP[::-1], least=50.0), FAILS),
        (ratio_claim("", np.exp(VAGUE), np.ones(4)), OPEN),
    ],
)
def test_claims(claim, decision):
    assert claim.decision == decision
    assert "95 %" in claim.criterion


def test_a_claim_shows_its_figures():
    found = ratio_claim("sharper", np.array([100.0, 400.0]), np.array([10.0, 10.0]))
    assert found.detail.startswith("ratio 20 [")
    assert "against 1" in found.criterion
    assert difference_claim("x", UP).detail.startswith("+2.01 [+1.8")
    assert difference_claim("x", UP, unit="decades").detail.endswith("decades")


def test_a_band_is_the_range_of_the_trials():
    found = band("curve", np.array([1, 2]), np.array([[1, 100], [3, 10000]]))
    assert found.y == (2.0, 5050.0)
    assert (found.low, found.high) == ((1.0, 100.0), (3.0, 10000.0))
    logarithmic = band("", [1, 2], np.array([[1, 100], [4, 10000]]), logarithmic=True)
    assert logarithmic.y == pytest.approx((2.0, 1000.0))


@pytest.mark.parametrize(
    ("ratios", "decision"),
    [
        ([1.01, 0.98, 1.02, 1.0, 0.97], HOLDS),
        ([2.0, 2.1, 1.9, 2.05, 1.98], FAILS),
        ([0.5, 0.52, 0.49, 0.51, 0.5], FAILS),
        ([1.6, 0.7, 1.3, 0.8, 1.0], OPEN),
        ([1.0, 1.01], HOLDS),
        ([1.0, 1.3], OPEN),  # two trials that differ decide nothing
        ([1.0], OPEN),
    ],
)
def test_equal_to_within_a_factor(ratios, decision):
    claim = equivalence_claim("equal", np.array(ratios), np.ones(len(ratios)))
    assert claim.decision == decision
    assert "within a factor of 1.25" in claim.criterion
    assert claim.detail.endswith("at 90 %")


@pytest.mark.parametrize("ratio", [1.25, 0.8])
def test_ratios_at_the_margin_are_called_equal_in_one_of_twenty_at_most(ratio):
    random = np.random.default_rng(5)
    draws = ratio * 10 ** (0.02 * random.standard_normal((4000, 4)))
    found = [equivalence_claim("", each, np.ones(4)).decision for each in draws]
    for wrong in (HOLDS, FAILS):
        assert abs(found.count(wrong) / 4000 - 0.05) < 4 * (0.05 * 0.95 / 4000) ** 0.5
