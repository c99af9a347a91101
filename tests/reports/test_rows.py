import json
import math

import pytest

from sharpkit.results.comparison import Row
from sharpkit.results.report import Quantity


@pytest.mark.parametrize(
    ("a", "b", "error", "errors", "shown"),
    [
        (
            (1.0, 0.3),
            (2.5, 0.4),
            0.5,
            3.0,
            ("1.00 ± 0.30", "2.50 ± 0.40", "+1.5", "+3.0"),
        ),
        ((1.0, 0.0), (2.0, 0.0), 0.0, None, ("1", "2", "+1", "exact")),
        ((1.0, None), (2.0, 0.1), None, None, ("1", "2.00 ± 0.10", "+1", "unknown")),
        (
            (1.0, math.inf),
            (2.0, 0.1),
            None,
            None,
            ("1 ± inf", "2.00 ± 0.10", "+1", "un"),
        ),
        ((math.nan, 0.1), (2.0, 0.0), 0.1, None, ("nan ± 0.1", "2", "+nan", "unkno")),
        ((2.0, 1e-9), (1.0, 0.0), 1e-9, -1e9, ("2 ± 1e-09", "1", "-1", "< -10")),
    ],
)
def test_a_row(a, b, error, errors, shown):
    row = Row(Quantity("trace", "", *a), Quantity("trace", "", *b))
    assert row.error == error
    assert row.errors == (None if errors is None else pytest.approx(errors))
    for cell, expected in zip(row.cells()[1:], shown, strict=True):
        assert cell.startswith(expected)
    json.dumps(row.to_dict(), allow_nan=False)


def test_a_row_of_one_side():
    row = Row(None, Quantity("accuracy", "%", 90.0, 1.5))
    assert row.cells() == ("accuracy, %", "", "90.0 ± 1.5", "", "")
    assert (row.difference, row.error, row.errors) == (None, None, None)
    assert row.to_dict()["a"] is None


def test_searches_that_ended_differently_say_so():
    one, other = (Quantity("trace", "", 1.0, 0.1, word) for word in ("exact", "budget"))
    assert Row(one, other).statuses() == ["exact", "budget"]
    assert Row(one, one).statuses() == ["exact"]


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (17.3463, 1.83, "17.3 ± 1.8"),
        (97.6161, 0.54, "97.62 ± 0.54"),
        (128.779, 12.9, "129 ± 13"),
        (123456.0, 4321.0, "123500 ± 4300"),
        (0.0195749, 0.00203, "0.0196 ± 0.0020"),
        (-0.5, 0.04, "-0.500 ± 0.040"),
        (0.0466784, 6e-9, "0.0466784 ± 6e-09"),  # at most six figures
        (2e-7, 3e-8, "2e-07 ± 3e-08"),
        (5.53121e-4, 4.6e-5, "0.000553 ± 5e-05"),  # none beyond the error's
        (3e9, 2.0, "3e+09 ± 2"),
        (0.0, 0.1, "0 ± 0.1"),
        (2 / 3, 0.0, "0.666667"),
        (2 / 3, None, "0.666667"),
        (math.nan, 0.1, "nan ± 0.1"),
    ],
)
def test_a_value_with_its_error(value, error, shown):
    assert str(Quantity("", "", value, error)) == shown
