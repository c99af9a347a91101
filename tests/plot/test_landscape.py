import dataclasses
import sys
import types

import matplotlib as mpl
import numpy as np
import pytest
from landscapes import coarse, eigenplane, line, plane, valley

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.contour import QuadContourSet

from sharpkit._inputs.warn import SharpkitWarning
from sharpkit.landscape import Axis
from sharpkit.plot import figure_of
from sharpkit.plot.landscape import curve_panel


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def contours(ax):
    return [each for each in ax.collections if isinstance(each, QuadContourSet)]


def labels(ax):
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def lines(ax):
    return {str(each.get_label()): each for each in ax.get_lines()}


def test_losses_left_accuracies_right_with_bands_and_the_parabola():
    result = line()
    figure = result.plot()
    left, right = figure.axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("loss", "accuracy, %")
    assert left.get_xlabel() == "eigenvector 1"
    drawn = lines(left) | lines(right)
    for name, unit in (("train loss", 1), ("test loss", 1), ("train accuracy", 100)):
        values = result.values[name]
        shown = np.where(np.isfinite(values), unit * values, np.nan)
        np.testing.assert_array_equal(drawn[name].get_ydata(), shown)
    np.testing.assert_array_equal(drawn["not finite"].get_xdata(), result.x[-4:])
    parabola = drawn["parabola of the eigenvalue 6"]
    np.testing.assert_allclose(parabola.get_ydata(), 0.2 + 3 * result.x**2)
    assert left.get_ylim()[1] < 4  # cut off at the curve, not below it
    (band,) = left.collections
    corners = band.get_paths()[0].vertices
    test, error = result.values["test loss"], result.errors["test loss"]
    assert corners[:, 1].max() == pytest.approx((test + error).max())
    assert corners[:, 1].min() == pytest.approx((test - error).min())
    assert {each.get_text() for each in left.texts} == {"minimum", "other"}
    dots = [each for each in left.get_lines() if each.get_marker() == "."]
    heights = [float(each.get_ydata()[0]) for each in dots if len(each.get_ydata())]
    assert heights == pytest.approx([0.2, 0.2 + 3 * 0.36 + 2 * 0.216], rel=1e-2)
    assert set(labels(left)) == set(result.values) | {
        "not finite",
        "parabola of the eigenvalue 6",
    }
    figure.canvas.draw()


def test_one_value_of_a_line():
    (ax,) = line().plot(value="test loss").axes
    assert "parabola of the eigenvalue 6" not in lines(ax)
    left, right = line().plot(value="train accuracy").axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("", "accuracy, %")
    with pytest.raises(KeyError, match="'loss' is not among the values: train loss"):
        line().plot(value="loss")


def test_several_directions_are_a_band_on_a_scale_that_fits():
    x = np.linspace(-1, 1, 51)
    every = 0.01 + x**2 * np.array([[10.0], [20.0], [40.0]])
    every[1, -1] = np.nan
    result = line(
        values={"loss": every.mean(axis=0)},
        repeats={"loss": every},
        errors={},
        axes=(Axis("random", 3.0, "filter", 0),),
    )
    (ax,) = result.plot().axes
    assert ax.get_yscale() == "log"
    assert ax.get_xlabel() == "random, seed 0"
    corners = ax.collections[0].get_paths()[0].vertices
    assert corners[:, 1].max() == pytest.approx(0.01 + 40)
    assert corners[:, 0].max() == pytest.approx(x[-2])
    assert result.plot(log=False).axes[0].get_yscale() == "linear"
    several = tuple(Axis("random", 3.0, "filter", seed) for seed in (0, 1, 2))
    ax = dataclasses.replace(result, axes=several).plot().axes[0]
    assert ax.get_xlabel() == "random, seeds 0 to 2"


def test_points_that_were_not_taken_yet_are_not_drawn():
    taken = np.zeros(51, bool)
    taken[::10] = True
    left, _ = line(taken=taken).plot().axes
    drawn = lines(left)["test loss"]
    np.testing.assert_allclose(drawn.get_xdata(), np.linspace(-1, 1, 6))


def test_a_curve_beside_the_straight_line():
    t = np.linspace(0, 1, 11)
    curve = types.SimpleNamespace(
        t=t,
        values={"loss": 0.1 + 0 * t, "accuracy": 0.9 + 0 * t},
        straight={"loss": 0.1 + 4 * t * (1 - t), "accuracy": 0.9 - t * (1 - t)},
        kind="bezier",
        names=("A", "B"),
        barrier=0.0,
        straight_barrier=1.0,
    )
    left, right = figure_of([curve_panel(curve)]).axes
    assert left.get_xlabel() == "t (Bézier curve, barrier 0, straight 1)"
    dashed = lines(left)["loss, straight line"]
    assert dashed.get_linestyle() == "--"
    np.testing.assert_array_equal(dashed.get_ydata(), curve.straight["loss"])
    dashed = lines(right)["accuracy, straight line"]
    np.testing.assert_array_equal(dashed.get_ydata(), 100 * curve.straight["accuracy"])
    assert [each.get_text() for each in left.texts] == ["A", "B"]


def test_filled_contours_leave_blank_what_is_not_finite():
    result = plane()
    figure = result.plot()
    ax, bar = figure.axes
    filled = contours(ax)[0]
    assert isinstance(filled.norm, LogNorm)
    assert filled.levels[0] <= 0.01
    assert filled.levels[-1] >= 649
    assert 10 <= len(filled.levels) <= 21
    assert labels(ax) == ["not finite, or not on the scale"]
    assert ax.get_xlabel() == "principal component 1 (83.0% of the variance)"
    assert ax.get_title() == "train loss"
    figure.canvas.draw()

    def covered(x, y):
        paths = filled.get_paths()
        return any(path.contains_point((x, y)) for path in paths)

    bad = ~np.isfinite(result.value())
    for i, j in zip(*np.nonzero(bad), strict=True):
        x, y = result.x[i] * 0.999, result.y[j] + 1e-3 * (result.y[j] < 0)
        assert not covered(x, y)
    assert covered(0.01, 1.51)
    assert bar.get_yscale() == "log"


def test_marks_of_a_plane():
    result = plane()
    ax = result.plot().axes[0]
    (way,) = (each for each in ax.get_lines() if len(each.get_xdata()) > 1)
    np.testing.assert_array_equal(way.get_xydata(), result.marks["SGD"])
    ends = {each.get_marker(): each for each in ax.get_lines() if each is not way}
    np.testing.assert_array_equal(ends["s"].get_xydata()[0], result.marks["SGD"][-1])
    assert {each.get_text() for each in ax.texts} == set(result.marks)


@pytest.mark.parametrize("kind", ["filled", "contour"])
def test_the_quadratic_of_the_eigenvalues(kind):
    figure = eigenplane().plot(kind=kind)
    ax = figure.axes[0]
    drawn, dashed = contours(ax)
    assert set(dashed.levels) <= set(drawn.levels)
    assert 6 < len(dashed.levels) <= 13
    assert labels(ax) == ["quadratic of the eigenvalues"]
    level = int(np.searchsorted(dashed.levels, 1.0))
    x, y = dashed.get_paths()[level].vertices.T
    at = 0.1 + 20 * x**2 + 4 * y**2
    np.testing.assert_allclose(at, dashed.levels[level], rtol=0.05)
    figure.canvas.draw()


def test_a_surface():
    figure = plane().plot(kind="surface")
    (ax,) = figure.axes
    assert ax.name == "3d"
    figure.canvas.draw()
    result = plane(bad=False)
    (ax,) = result.plot(kind="surface", log=False).axes
    (way,) = (each for each in ax.get_lines() if len(each.get_data_3d()[0]) > 1)
    x, y, z = way.get_data_3d()
    np.testing.assert_allclose(z, valley(x, y), atol=3.0)  # between points far apart
    assert ax.zaxis.get_major_formatter()(2.0) != "100"
    with pytest.raises(ValueError, match="needs axes of projection='3d'"):
        result.plot(kind="surface", ax=plt.subplots()[1])


def test_a_plane_on_its_way_shows_its_finest_grid_or_its_points():
    taken = coarse(2)
    result = plane(taken=taken)
    ax = result.plot().axes[0]
    took = f"{taken.sum()} of 961 points taken"
    assert ax.get_title() == f"train loss ({took}, 9 x 9 drawn)"
    assert contours(ax)
    first, second = result.whole()
    assert (len(first), len(second)) == (9, 9)
    assert taken[np.ix_(first, second)].all()
    known = eigenplane()
    missing = known.taken.copy()
    missing[1, 1] = False
    part = dataclasses.replace(known, taken=missing)
    assert len(contours(part.plot().axes[0])) == 2
    taken = np.zeros((31, 31), bool)
    taken[:9] = True
    result = plane(taken=taken)
    ax = result.plot().axes[0]
    assert not contours(ax)
    (points,) = ax.collections
    assert len(points.get_offsets()) == np.isfinite(result.value()[:9]).sum()
    assert ax.get_title() == "train loss (279 of 961 points taken)"


def test_scales_of_values_that_are_not_positive():
    loss = plane(bad=False).value() - 1.0
    result = plane(values={"loss": loss})
    assert not isinstance(contours(result.plot().axes[0])[0].norm, LogNorm)
    with pytest.warns(
        SharpkitWarning, match="not positive and are left out of the log"
    ):
        figure = result.plot(log=True)
    assert labels(figure.axes[0]) == ["not finite, or not on the scale"]


@pytest.mark.parametrize("value", [np.nan, np.inf, 3.0])
@pytest.mark.parametrize("kind", ["filled", "contour", "surface"])
def test_planes_of_one_value(value, kind):
    result = plane(values={"loss": np.full((31, 31), value)})
    figure = result.plot(kind=kind)
    figure.canvas.draw()
    nothing = ": no value to draw" * (not np.isfinite(value))
    assert figure.axes[0].get_title() == f"loss{nothing}"


def test_what_is_refused():
    with pytest.raises(ValueError, match="kind='heat'; give 'filled', 'contour' or 's"):
        plane().plot(kind="heat")
    with pytest.raises(ValueError, match="levels=0; give the number of contours"):
        plane().plot(levels=0)
    with pytest.raises(KeyError, match="'x' is not among the values: train loss"):
        plane().plot(value="x")


def test_without_matplotlib(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ModuleNotFoundError, match="a plot needs matplotlib: pip install"
    ):
        plane().plot()
