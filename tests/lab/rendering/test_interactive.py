import json
import math
from dataclasses import replace

import plotly.graph_objects
import pytest

from sharpkit.lab.outcome import Axis, Chart, Series
from sharpkit.lab.rendering.curves import COLOURS, GREY
from sharpkit.lab.rendering.interactive import _OUTLINES, figure
from sharpkit.lab.rendering.pictures import _MARKERS


@pytest.fixture(scope="session")
def charts(outcomes):
    return [chart for outcome in outcomes for chart in outcome.charts]


def test_plotly_knows_every_attribute(charts):
    for chart in charts:
        made, _ = figure(chart)
        json.dumps(made, allow_nan=False)
        plotly.graph_objects.Figure(made)  # refuses what it does not know


def test_traces_and_legend(charts):
    made, entries = figure(charts[0])
    names = [trace.get("name", "band") for trace in made["data"]]
    assert names == [
        "loss, train, paper",
        "accuracy, test, paper",
        "band",
        "loss, train",
        "loss, test",
        "accuracy, test",
    ]
    assert [(entry.curve.label, entry.traces, entry.right) for entry in entries] == [
        ("loss, train", [2, 3], False),
        ("loss, test", [4], False),
        ("accuracy, test", [5], True),
        ("loss, train, paper", [0], False),
        ("accuracy, test, paper", [1], True),
    ]
    lines = [trace["line"] for trace in made["data"] if "name" in trace]
    assert [line["color"] for line in lines] == [GREY, GREY, *COLOURS[:3]]
    assert [line["dash"] == "dash" for line in lines] == [0, 1, 0, 1, 1]
    assert [trace["yaxis"] for trace in made["data"]] == [
        "y",
        "y2",
        "y",
        "y",
        "y",
        "y2",
    ]


def test_a_plane_lies_as_plotly_has_it(charts):
    plane = charts[4]
    made, entries = figure(plane)
    contours, marks = made["data"]
    assert entries == []
    assert (len(contours["z"]), len(contours["z"][0])) == (3, 4)  # rows are along y
    assert contours["z"][2][3] == pytest.approx(
        math.log10(plane.values[plane.shown][3][2])
    )
    assert [row.count(None) for row in contours["z"]] == [2, 1, 0]
    assert contours["text"][2][3].startswith("x: 1.25, y: 1.5<br>&lt;/script&gt;")
    assert contours["text"][2][3].endswith(": 316.2<br>accuracy, test: 0.5")
    assert contours["colorbar"]["ticktext"] == ["0.01", "0.1", "1", "10", "100"]
    assert (marks["x"], marks["y"]) == ([0, 1, 0.5], [0, 0, 1.25])
    assert [each["text"] for each in made["layout"]["annotations"][1:]] == [
        *("LB", "start")
    ]
    flat = replace(plane, values={"loss": ((2.0,) * 3,) * 4}, log=False)
    one = figure(flat)[0]["data"][0]["contours"]
    assert one["end"] > one["start"] == 2


def test_gaps_are_null_and_bands_go_there_and_back(charts):
    band, line = figure(charts[0])[0]["data"][2:4]
    assert [i for i, value in enumerate(line["y"]) if value is None] == [5]
    assert band["x"].count(None) == 1
    gap = band["x"].index(None)
    assert band["x"][:gap] == [-1, -0.75, -0.5, -0.25, 0, 0, -0.25, -0.5, -0.75, -1]
    assert band["y"][0] == pytest.approx(1.2 * 4)
    assert band["y"][gap - 1] == pytest.approx(0.8 * 4)
    assert line["customdata"][0] == " [3.2, 4.8]"


def test_axes(charts):
    layout = figure(charts[1])[0]["layout"]
    assert (layout["xaxis"]["type"], layout["yaxis"]["type"]) == ("log", "log")
    assert layout["xaxis"]["autorange"] == "reversed"
    assert layout["yaxis"]["autorange"] is True
    assert "yaxis2" not in layout
    assert figure(charts[0])[0]["layout"]["yaxis2"]["side"] == "right"


def test_an_axis_over_all_orders_of_both_signs():
    """Plotly has none: the points are moved, and ticks and hints name the values."""
    places = (-0.5, 0.0, 0.05, 20.0)
    series = Series("s", places, (1.0, 2.0, 3.0, 4.0), (0.5,) * 4, (5.0,) * 4)
    axis = Axis("λ", linear_within=0.05)
    made, _ = figure(Chart("t", axis, Axis("y"), (series,)))
    plotly.graph_objects.Figure(made)
    band, line = made["data"]
    moved = [math.asinh(x / 0.05) for x in places]
    assert line["x"] == pytest.approx(moved)
    assert band["x"] == pytest.approx([*moved, *reversed(moved)])
    assert line["text"] == ["-0.5", "0", "0.05", "20"]
    assert "<br>λ: %{text}<br>" in line["hovertemplate"]
    ticks = (-0.1, 0.0, 0.1, 1.0, 10.0)
    assert made["layout"]["xaxis"]["ticktext"] == [f"{tick:g}" for tick in ticks]
    assert made["layout"]["xaxis"]["tickvals"] == pytest.approx(
        [math.asinh(tick / 0.05) for tick in ticks]
    )


def test_an_empty_chart_says_so():
    for series in ((), (Series("s", (1.0,), (-1.0,)),)):
        made, _ = figure(Chart("t", Axis("x"), Axis("y", log=True), series))
        (note,) = made["layout"]["annotations"]
        assert note["text"] == "Nothing to draw"


def test_text_is_no_markup_no_formula_and_no_template():
    name = "<b>$x$</b> %{x}"
    made, _ = figure(Chart("t", Axis(name), Axis("y"), (Series(name, (1.0,), (1.0,)),)))
    safe = "&lt;b&gt;&#36;x&#36;&lt;/b&gt; %"
    (trace,) = made["data"]
    assert trace["name"] == safe + "{x}"
    assert made["layout"]["xaxis"]["title"]["text"] == safe + "{x}"
    assert trace["hovertemplate"].startswith(f"<b>{safe}&#123;x}}</b><br>{safe}&#123;x")


def test_every_symbol_has_an_outline_and_a_marker():
    assert set(_OUTLINES) == set(_MARKERS)
