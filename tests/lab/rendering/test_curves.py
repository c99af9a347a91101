import math
from dataclasses import replace

import numpy as np
import pytest

from sharpkit.lab.outcome import Axis, Chart, Series
from sharpkit.lab.rendering.curves import COLOURS, GREY, SYMBOLS, curves, left_out_note

NAN = math.nan
PLAIN, LOG = Axis("a"), Axis("b", log=True)


def chart(*series, x=PLAIN, y=PLAIN, right=None):
    return Chart("title", x, y, series, right)


def one(series, **axes):
    (found,) = curves(chart(series, **axes))
    return found


def test_what_is_no_number_is_not_drawn():
    found = one(Series("s", (1, 2, NAN, 4, 5), (1, NAN, 3, math.inf, 0)))
    np.testing.assert_array_equal(found.x, [1, NAN, NAN, NAN, 5])
    np.testing.assert_array_equal(found.y, [1, NAN, NAN, NAN, 0])
    assert (found.drawn, found.left_out, found.isolated) == (2, 0, True)


@pytest.mark.parametrize(
    ("x", "y", "drawn"), [(LOG, PLAIN, [2, 3]), (PLAIN, LOG, [0, 3]), (LOG, LOG, [3])]
)
def test_logarithmic_axes_leave_out_what_is_not_positive(x, y, drawn):
    series = Series("s", (-1, 0, 2, 3, 4), (1, -2, 0, 5, NAN))
    found = one(series, x=x, y=y)
    assert list(np.flatnonzero(np.isfinite(found.y))) == drawn
    assert found.left_out == 4 - len(drawn)


def test_the_right_axis_has_its_own_scale():
    series = Series("s", (1, 2), (0, 1), right=True)
    assert one(series, y=LOG, right=PLAIN).left_out == 0
    assert one(series, y=PLAIN, right=LOG).left_out == 1


def test_bands_are_stretches_of_two_or_more():
    low = (1, 1, NAN, 1, NAN, 1, 0, 1, 1)
    found = one(Series("s", range(9), (2,) * 9, low, (3,) * 9), y=LOG)
    assert [list(x) for x, _, _ in found.bands] == [[0, 1], [7, 8]]
    assert [list(low) for _, low, _ in found.bands] == [[1, 1], [1, 1]]
    assert found.drawn == 9
    assert found.left_out == 1


def test_notes_of_what_is_left_out():
    none, few = Series("s", (1,), (1,)), Series("s", (1, 2), (0, -1))
    assert left_out_note([one(none, y=LOG)]) == ""
    found = curves(chart(few, y=LOG))
    assert left_out_note(found).startswith("2 points not positive")
    single = replace(few, y=(0, 1))
    assert left_out_note(curves(chart(single, y=LOG))).startswith("One point not")


def test_names_share_a_colour_and_a_symbol_and_the_papers_are_behind():
    found = curves(
        chart(
            Series("SB", (1,), (1,)),
            Series("LB", (1,), (1,)),
            Series("SB", (1,), (1,), dashed=True),
            Series("LB", (1,), (1,), paper=True),
        )
    )
    assert [(c.label, c.colour, c.symbol) for c in found] == [
        ("LB, paper", GREY, SYMBOLS[1]),
        ("SB", COLOURS[0], SYMBOLS[0]),
        ("LB", COLOURS[1], SYMBOLS[1]),
        ("SB, dashed", COLOURS[0], SYMBOLS[0]),
    ]


@pytest.mark.parametrize("name", ["LB", "paper: LB", "LB, paper"])
def test_the_papers_curve_has_the_symbol_of_ours(name):
    behind = Series(name, (1,), (1,), paper=True)
    found = curves(chart(behind, Series("SB", (), ()), Series("LB", (), ())))
    assert [curve.symbol for curve in found] == [SYMBOLS[1], SYMBOLS[0], SYMBOLS[1]]


def test_labels_are_told_apart():
    same = Series("s", (1,), (1,))
    paper = Series("t (paper)", (), (), paper=True)
    found = curves(chart(same, same, replace(same, right=True), paper, right=PLAIN))
    labels = ["t (paper)", "s, 1", "s, 2", "s, right"]
    assert [curve.label for curve in found] == labels


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (Series("s", (1, 2), (1,)), r"lengths \{'x': 2, 'y': 1\}"),
        (Series("s", (1,), (1,), (1, 2), (1,)), r"'low': 2, 'high': 1"),
        (Series("s", (1,), (1,), low=(1,)), "only one end of the band"),
        (Series("s", (1,), (1,), right=True), "no right axis; give y_right"),
    ],
)
def test_malformed_series(series, message):
    with pytest.raises(ValueError, match=message) as error:
        one(series)
    assert "chart 'title', series 's'" in str(error.value)


def luminance(colour):
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("colour", [*COLOURS, GREY])
def test_colours_stand_out_on_white_and_on_the_dark_ground(colour):
    for ground in ("#ffffff", "#14171b"):
        pair = sorted([luminance(colour), luminance(ground)])
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3
