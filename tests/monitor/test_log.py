"""What a file holds when it is read back, whatever became of its writer."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import sharpkit
from sharpkit.monitor.sinks import JsonLines

H = np.array([1.0, 4.0, 9.0])


def recorded(path, steps=6, *, close=True, **options):
    problem = sharpkit.Problem(np.ones(3), lambda w: (0.5 * float(H @ w**2), H * w))
    options = {"budget": None, "rate": 0.1} | options
    monitor = sharpkit.monitor.loop(problem, path=path, **options)
    w, rows = np.ones(3), []
    for _ in range(steps):
        rows += monitor.step(w)
        w = w - 0.1 * H * w
    if close:
        rows += monitor.close(w)
    return rows


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


def test_what_is_written_is_read(path):
    rows = recorded(path, settings={"seed": 3})
    log = sharpkit.read_monitor(path)
    assert log.rows == tuple(rows)
    assert (log.torn, log.closed) == (0, True)
    (head,) = log.heads
    assert head["sharpkit"] == sharpkit.__version__
    assert head["settings"] == {"seed": 3}
    assert head["n"] == 3
    curve = log.curve("lambda_max")
    assert curve.steps.tolist() == [0, 1, 2, 3, 4, 5]
    assert curve.thresholds.tolist() == pytest.approx([20] * 6)
    assert 0 < log.share <= 1
    text = repr(log)
    assert "ended" in text
    assert "0.45 of its threshold (6)" in text


def test_a_run_that_goes_on_is_appended(path):
    recorded(path, 2, close=False, measures=["loss"])
    recorded(path, 2, first_step=2, measures=["loss"])
    log = sharpkit.read_monitor(path)
    assert [row.step for row in log.rows] == [0, 1, 2, 3]
    assert len(log.heads) == 2


def test_a_run_that_has_not_ended_is_read(path):
    recorded(path, 2, close=False)
    assert not sharpkit.read_monitor(path).closed


@pytest.mark.parametrize("cut", [1, 7, 60])
def test_a_torn_line_is_left_out_and_said(path, cut):
    rows = recorded(path, 3, close=False, measures=["loss"])
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    if cut == 1:  # the line is whole, but for its end
        assert sharpkit.read_monitor(path).rows == tuple(rows)
    else:
        with pytest.warns(sharpkit.SharpkitWarning, match="1 lines cannot be read"):
            log = sharpkit.read_monitor(path)
        assert (log.rows, log.torn) == (tuple(rows[:-1]), 1)
    recorded(path, 1, first_step=9, measures=["loss"])
    if cut == 1:
        assert [row.step for row in sharpkit.read_monitor(path).rows] == [0, 1, 2, 9]
    else:
        with pytest.warns(sharpkit.SharpkitWarning, match="1 lines cannot be read"):
            log = sharpkit.read_monitor(path)
        assert [row.step for row in log.rows] == [0, 1, 9]


def test_every_line_is_the_systems_at_once(path):
    sink = JsonLines(path)
    sink.begin({"n": 1})
    assert path.read_bytes() == b'{"n":1}\n'  # nothing waits in a buffer
    sink.end({})


KILLED = """
import sys, numpy as np, sharpkit
w = np.ones(50)
monitor = sharpkit.monitor.loop(
    w, lambda w: (float(w @ w) / 2, w), path=sys.argv[1], budget=None,
    measures=["loss", "distance"],
)
while True:
    monitor.step(w)
    w = 0.999 * w
"""


@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
def test_a_killed_process_leaves_every_line(path):
    root = str(Path(sharpkit.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        env=os.environ | {"PYTHONPATH": root},
        stderr=subprocess.DEVNULL,
    )
    try:
        while not path.exists() or path.stat().st_size < 50_000:
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    lines = path.read_bytes().splitlines()
    log = sharpkit.read_monitor(path)  # no warning: a line is written at once
    assert len(log.rows) == len(lines) - 1
    steps = [row.step for row in log.rows if row.name == "loss"]
    assert steps == list(range(len(steps)))
    assert not log.closed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has no head"),
        ('{"sharpkit": "9.9", "format": 99}\n', "written by sharpkit 9.9"),
    ],
)
def test_files_that_are_no_record(path, text, message):
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        sharpkit.read_monitor(path)


def test_lines_of_other_programs_are_left_out(path):
    recorded(path, 1, measures=["loss"])
    with path.open("a") as file:
        file.write('[1, 2]\n{"epoch": 3}\n')
    with pytest.warns(sharpkit.SharpkitWarning, match="2 lines cannot be read"):
        assert len(sharpkit.read_monitor(path).rows) == 1


def test_a_row_of_a_later_kind_is_read(path):
    recorded(path, 1, measures=["loss"])
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {"later": 1})
    path.write_text("\n".join(lines))
    assert sharpkit.read_monitor(path).rows[0].value == 7.0


def test_unknown_curves_are_refused(path):
    recorded(path, 1, measures=["loss"])
    with pytest.raises(KeyError, match="there is no 'los'; give one of loss"):
        sharpkit.read_monitor(path).curve("los")


def test_a_frame_of_pandas(path):
    pytest.importorskip("pandas")
    recorded(path, 3, measures=["lambda_max"])
    frame = sharpkit.read_monitor(path).frame()
    assert frame["ratio"].tolist() == pytest.approx([0.45] * 3)
    assert frame["step"].tolist() == [0, 1, 2]


def test_the_picture_has_the_curves_and_their_thresholds(path, tmp_path):
    recorded(path)
    log = sharpkit.read_monitor(path)
    figure = log.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    axes = {ax.get_title(): ax for ax in figure.axes}
    assert set(axes) == {name.replace("_", " ") for name in log.names}
    curve, threshold = axes["lambda max"].get_lines()
    np.testing.assert_array_equal(curve.get_xdata(), range(6))
    np.testing.assert_allclose(curve.get_ydata(), 9)
    np.testing.assert_allclose(threshold.get_ydata(), 20)
    assert axes["loss"].get_yscale() == "log"
    (single,) = log.plot(tmp_path / "one.png", names=["distance"]).axes
    assert single.get_title() == "distance"


def test_a_picture_of_nothing_is_refused(path):
    recorded(path, 0)
    with pytest.raises(ValueError, match="nothing to draw"):
        sharpkit.read_monitor(path).plot()


def test_the_page_stands_alone(path, tmp_path):
    recorded(path, settings={"name": "</script><b onclick='alert(1)'>x</b>"})
    log = sharpkit.read_monitor(path)
    log.to_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b onclick" not in text
    assert "src=" not in text
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == 0
    assert text.count("</script>") == 2


def test_the_page_in_a_browser(path, tmp_path, browser):
    recorded(path, 30)
    sharpkit.read_monitor(path).to_html(tmp_path / "page.html")
    errors, asked = [], []
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "page.html").as_uri())
    figures = page.locator("figure")
    assert figures.count() == 7
    chart = figures.filter(has_text="lambda max")
    assert chart.locator("path.threshold").count() == 1
    assert chart.locator("circle").count() == 30
    page.get_by_role("button", name="Zoom in").click()
    assert chart.locator("circle").count() == 14  # 8 to 21
    assert (
        figures.filter(has_text="distance").locator("circle").count() == 14
    )  # steps 8 to 21
    page.get_by_role("button", name="All steps").click()
    box = chart.locator("svg").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, middle)
    page.mouse.up()
    assert 0 < chart.locator("circle").count() < 20
    assert "step" in chart.locator("output").inner_text()
    chart.locator("svg").dblclick()
    assert chart.locator("circle").count() == 30
    page.mouse.wheel(0, -100)
    page.wait_for_function(
        "document.querySelectorAll('figure')[0].querySelectorAll('circle').length < 30"
    )
    page.emulate_media(color_scheme="dark")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(20, 23, 27)"
    assert errors == []
    assert asked == [(tmp_path / "page.html").as_uri()]
    page.close()


def test_a_curve_goes_on_from_where_a_training_was_resumed(path):
    """From a checkpoint that is older than the last record."""
    monitor_of = functools.partial(
        sharpkit.monitor.loop, measures=["loss"], budget=None, path=path
    )
    for first, last in ((0, 5), (3, 7)):
        w = np.full(2, 10.0 * first + 1)
        with monitor_of(w, lambda w: (w @ w / 2, w), first_step=first) as monitor:
            for _ in range(first, last):
                monitor.step(w)
    log = sharpkit.read_monitor(path)
    curve = log.curve("loss")
    assert curve.steps.tolist() == list(range(7))
    assert curve.values.tolist() == [1.0] * 3 + [31.0**2] * 4
    assert len(log.rows) == 9
