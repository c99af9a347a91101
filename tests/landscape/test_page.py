"""What the page of a landscape holds; a browser opens it in a file of its own."""

import json
import re
import sys
import types

import numpy as np
import pytest
from landscapes import coarse, eigenplane, line, plane

from sharpkit.landscape import page as module
from sharpkit.landscape.page import page


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Leave Plotly out: it is long, and what it does is seen in a browser."""
    monkeypatch.setattr(module, "_plotly", lambda: "/* plotly */")


def record(result):
    text = page(result)
    (found,) = re.findall(r'id="record">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def test_a_plane_has_rows_along_y_and_says_what_is_not_finite():
    result = plane()
    found = record(result)
    assert found["kind"] == "plane"
    assert found["x"] == result.x.tolist()
    assert found["labels"][0] == "principal component 1 (83.0% of the variance)"
    for name, values in result.values.items():
        back = np.array(found["values"][name], dtype=np.float64)  # words, too
        np.testing.assert_array_equal(back.T, values)
    assert found["values"]["train loss"][0][-1] == "inf"
    assert found["values"]["train loss"][-4][0] == "nan"
    assert found["log"] == {"train loss": True, "train accuracy": True}
    np.testing.assert_array_equal(found["marks"]["SGD"], result.marks["SGD"])
    assert found["quadratic"] is None
    known = eigenplane()
    np.testing.assert_array_equal(record(known)["quadratic"], known.quadratic().T)


def test_a_plane_on_its_way():
    taken = coarse(2)
    result = plane(taken=taken)
    found = record(result)
    assert found["kind"] == "plane"
    first, second = result.whole()
    assert found["y"] == result.y[second].tolist()
    shown = np.array(found["values"]["train loss"], dtype=np.float64)
    np.testing.assert_array_equal(shown.T, result.value()[np.ix_(first, second)])
    assert shown.shape == (9, 9)
    taken[0] = False
    found = record(plane(taken=taken))
    assert found["kind"] == "cells"
    missing = [each is None for row in found["values"]["train loss"] for each in row]
    np.testing.assert_array_equal(missing, ~taken.T.ravel())


def test_a_line_with_bands_and_the_parabola_cut_off():
    result = line()
    found = record(result)
    assert found["kind"] == "line"
    test, error = result.values["test loss"], result.errors["test loss"]
    np.testing.assert_array_equal(
        found["bands"]["test loss"], [test - error, test + error]
    )
    assert found["marks"] == {"minimum": 0.0, "other": 0.6}
    assert not found["log"][""]
    steep = record(line(axes=(result.axes[0].__class__("e", 1.0, curvature=600.0),)))
    (dashed,) = steep["dashed"]
    heights = [each for each in dashed["y"] if each != "nan"]
    assert 0 < len(heights) < 20
    assert max(heights) < 4


def test_a_curve_is_beside_the_straight_line():
    t = np.linspace(0, 1, 5)
    curve = types.SimpleNamespace(
        t=t,
        values={"loss": t**2, "accuracy": 1 - t},
        straight={"loss": t, "accuracy": t},
        names=("A", "B"),
    )
    found = record(curve)
    assert found["marks"] == {"A": 0.0, "B": 1.0}
    assert [each["name"] for each in found["dashed"]] == [
        "loss, straight line",
        "accuracy, straight line",
    ]
    assert found["dashed"][0]["y"] == t.tolist()


def test_texts_are_words_and_nothing_else():
    hostile = '</script><b onclick="alert(1)">x</b> & $z$ loss'
    result = plane(values={hostile: plane().value()}, marks={hostile: np.zeros((1, 2))})
    text = page(result)
    assert text.count("</script>") == 3
    assert "<b onclick" not in text
    assert list(record(result)["values"]) == [hostile]


def test_only_its_own_scripts_run():
    text = page(line())
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.count("'sha256-") == 2
    assert "http:" not in text.replace("http://www.w3.org", "")


def test_without_plotly(monkeypatch):
    monkeypatch.undo()
    for name in [name for name in sys.modules if name.split(".")[0] == "plotly"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(
        ModuleNotFoundError,
        match=r"a page to look at needs plotly: pip install 'sharpkit\[lab\]'",
    ):
        page(line())
