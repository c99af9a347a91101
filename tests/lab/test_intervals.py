import math

import numpy as np
import pytest
from scipy import stats

from sharpkit.lab.intervals import TINY, Interval, log10, paired, points, power, spread


def test_the_interval_is_students():
    differences = np.array([0.3, 1.2, -0.4, 0.9, 0.1])
    found = paired(differences)
    judge = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert found.mean == pytest.approx(differences.mean())
    assert (found.low, found.high) == pytest.approx((judge.low, judge.high))


def test_it_covers_as_often_as_it_says():
    random = np.random.default_rng(1)
    found = [paired(random.normal(0.7, 2.0, 5)) for _ in range(4000)]
    share = np.mean([each.low < 0.7 < each.high for each in found])
    assert abs(share - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)


def test_one_trial_decides_nothing():
    assert paired(np.array([3.0])) == Interval(3.0, -math.inf, math.inf)
    assert paired(np.array([3.0])).sign == 0


def test_a_zero_has_a_logarithm():
    assert log10(np.array([0.0, 100.0])).tolist() == [math.log10(TINY), 2.0]
    assert power(-math.inf) == "0"
    assert power(math.inf) == "inf"
    assert power(2) == "100"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([141.0, 91.0, 191.0], "141 ± 50"),
        ([0.0612, 0.0634], "0.0623 ± 0.0016"),
        ([2.0, 2.0], "2 ± 0"),
        ([7.25], "7.25"),  # the spread of one is not known
    ],
)
def test_spread(values, shown):
    assert spread(values) == shown


def test_accuracies_have_two_decimals():
    assert points([99.807, 99.81]) == "99.81 ± 0.00"
    assert points([57.0, 58.0]) == "57.50 ± 0.71"
    assert points([100.0]) == "100.00"
