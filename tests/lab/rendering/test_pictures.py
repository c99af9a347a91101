import math
from dataclasses import replace

import matplotlib.figure
import numpy as np
import pytest
from matplotlib.image import imread

from sharpkit.lab.outcome import Axis, Chart, Series
from sharpkit.lab.rendering.curves import COLOURS, GREY
from sharpkit.lab.rendering.pictures import draw


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """``drawn(outcome)``: the figure as it was saved."""
    figures = []
    save = matplotlib.figure.Figure.savefig

    def saving(figure, *arguments, **options):
        figures.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", saving)

    def call(outcome):
        draw(outcome, tmp_path / "a.png")
        return figures.pop()

    return call


def test_an_axis_over_all_orders_of_both_signs(outcomes, drawn):
    series = Series("s", (-0.5, 0.0, 20.0), (1.0, 2.0, 3.0))
    chart = Chart("t", Axis("λ", linear_within=0.05), Axis("y"), (series,))
    (axis,) = drawn(replace(outcomes[0], charts=(chart,))).axes
    assert axis.get_xscale() == "asinh"
    assert {-0.1, 0.0, 0.1, 1.0, 10.0} <= set(axis.get_xticks())
    low, high = axis.get_xlim()
    assert low < -0.5
    assert 20 < high < 50


def lines(axis):
    return [(line.get_color(), line.get_linestyle()) for line in axis.get_lines()]


def test_curves_bands_axes_and_legend(outcomes, drawn):
    figure = drawn(outcomes[0])
    left, logs, right = figure.axes
    assert lines(left) == [(GREY, "-"), (COLOURS[0], "-"), (COLOURS[1], "--")]
    assert lines(right) == [(GREY, "--"), (COLOURS[2], "--")]
    behind, ours = left.get_lines()[:2]
    assert behind.get_zorder() < ours.get_zorder()
    assert np.isnan(ours.get_ydata()).sum() == 1
    assert len(left.collections) == 2  # the gap parts the band
    np.testing.assert_allclose(ours.get_ydata()[0], 4)
    assert (left.get_ylabel(), right.get_ylabel()) == ("cross-entropy", "accuracy, %")
    assert [text.get_text() for text in left.get_legend().get_texts()] == [
        "loss, train",
        "loss, test",
        "accuracy, test (right)",
        "loss, train, paper",
        "accuracy, test, paper (right)",
    ]
    assert (logs.get_xscale(), logs.get_yscale()) == ("log", "log")
    assert logs.xaxis_inverted()
    assert not left.xaxis_inverted()
    assert [text.get_text() for text in logs.texts] == [
        "2 points not positive, left out of the logarithmic axes."
    ]


def test_a_plane(outcomes, drawn):
    plane = outcomes[2].charts[2]
    axis, bar = drawn(replace(outcomes[2], charts=(plane,))).axes
    assert axis.get_aspect() == 1
    (filled,) = [each for each in axis.collections if hasattr(each, "levels")]
    known = np.array(plane.values[plane.shown])
    known = np.log10(known[known > 0])
    assert filled.levels[0] == known.min()
    assert filled.levels[-1] == known.max()
    ticks = [text.get_text() for text in bar.get_yticklabels()]
    assert ticks == ["0.01", "0.1", "1", "10", "100"]
    np.testing.assert_allclose(bar.get_yticks(), [-2, -1, 0, 1, 2])
    places = [tuple(line.get_xydata()[0]) for line in axis.get_lines()]
    assert places == list(plane.marks.values())
    said = [text.get_text() for text in axis.texts]
    assert said[1:] == ["LB", "start", "3 of 12 points have no value to draw."]
    empty = replace(plane, values={"loss": ((math.nan,) * 3,) * 4}, log=False)
    (axis,) = drawn(replace(outcomes[2], charts=(empty,))).axes
    assert axis.texts[-1].get_text() == "12 of 12 points have no value to draw."


def test_nothing_overlaps(outcomes, drawn):
    for outcome in (outcomes[0], outcomes[2]):
        figure = drawn(outcome)
        renderer = figure.canvas.get_renderer()
        whole = figure.bbox
        for axis in figure.axes:
            if axis.get_legend() is None:
                continue
            legend = axis.get_legend().get_window_extent(renderer)
            assert legend.y1 <= axis.xaxis.label.get_window_extent(renderer).y0
            assert legend.y0 >= whole.y0
            assert legend.x0 >= whole.x0
            assert legend.x1 <= whole.x1
        boxes = [axis.get_tightbbox(renderer) for axis in figure.axes[:2]]
        assert boxes[0].x1 <= boxes[1].x0


def test_dollars_and_underscores_stay_as_they_are(outcomes, drawn):
    axis = drawn(outcomes[2]).axes[0]
    assert "Nothing to draw." in [text.get_text() for text in axis.texts]
    assert r"\$z_1\$" in axis.get_title()
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert len(labels) == 2
    assert labels[1].endswith("_hidden")


@pytest.mark.parametrize("number", [1, 3, 4, 5])
def test_a_panel_for_each_chart(outcomes, tmp_path, number):
    chart = outcomes[2].charts[1]
    outcome = replace(outcomes[0], charts=(chart,) * number)
    draw(outcome, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").std() > 0
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_refused(outcomes, tmp_path):
    with pytest.raises(ValueError, match=r"table3-C1-quick has charts=\(\); give"):
        draw(outcomes[1], tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.bmp'; give a name that ends in .*png"):
        draw(outcomes[0], tmp_path / "a.bmp")
    assert not list(tmp_path.iterdir())
