import sys

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

import sharpkit
from sharpkit import eigenvalues, spectral_density
from sharpkit.problem import Problem
from sharpkit.reports.compare import compare


@pytest.fixture
def result():
    w = np.linspace(0.5, 1, 9)
    return sharpkit.sharpness(w, lambda w: (float(w @ w), 2 * w), epsilon=5e-4)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_the_curve_and_its_labels(result):
    (ax,) = result.plot().axes
    assert ax.get_xlabel() == "evaluations of loss and gradient"
    assert ax.get_ylabel() == "sharpness, % (ε = 0.0005)"
    assert ax.get_title() == f"{result.value:.4g} %, converged"
    curve, noise = ax.get_lines()
    np.testing.assert_array_equal(curve.get_xdata(), np.arange(1, 26))
    np.testing.assert_array_equal(curve.get_ydata(), result.history)
    np.testing.assert_array_equal(noise.get_ydata(), [result.noise, result.noise])
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert shown == ["auto", "noise of the loss"]
    assert ax.get_ylim()[0] == 0
    ax.figure.canvas.draw()  # all glyphs exist, nothing warns


def test_on_given_axes(result):
    figure, axes = plt.subplots(1, 2)
    assert result.plot(ax=axes[1]) is figure
    assert not axes[0].lines
    assert len(plt.get_fignums()) == 1


def test_a_flat_result_without_noise():
    result = sharpkit.sharpness(np.zeros(3), lambda w: (0.0, 0 * w))
    (ax,) = result.plot().axes
    assert len(ax.lines) == 1
    assert ax.get_title() == "0 %, flat"
    ax.figure.canvas.draw()


def curved(n=60):
    values = np.concatenate([[30.0, 20.0], np.linspace(-1, 1, n - 2)])
    return np.zeros(n), lambda w, v: values * v


def test_eigenvalues_with_error_bars():
    w, hvp = curved()
    found = eigenvalues(w, hvp=hvp, k=4, max_products=9, tol=1e-9)
    assert 0 < found.converged.sum() < 4
    (ax,) = found.plot().axes
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["converged", "not yet"]
    assert ax.get_title() == "4 eigenvalues (LA), 9 products"


def test_the_density_with_outliers():
    w, hvp = curved(200)
    found = spectral_density(w, hvp=hvp, max_products=160)
    (ax,) = found.plot().axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("asinh", "log")
    labels = {text.get_text() for text in ax.get_legend().get_texts()}
    assert labels == {"density, 95 % band", "outliers"}
    ends, marks = (line for line in ax.get_lines() if line.get_marker() == "v")
    np.testing.assert_allclose(ends.get_xdata(), [-1, 30], atol=1e-3)
    np.testing.assert_allclose(sorted(marks.get_xdata()), [20, 30], atol=1e-6)
    ax.figure.canvas.draw()


def test_the_density_of_one_value():
    found = spectral_density(np.zeros(9), hvp=lambda w, v: 0 * v, max_products=20)
    (ax,) = found.plot().axes
    low, high = ax.get_xlim()
    assert low < 0 < high


def compared(**options):
    """Two ends of a problem with outliers, the train losses far apart."""
    rng = np.random.default_rng(0)
    h = np.append(rng.uniform(-0.1, 2, 60), [20.0, 50.0])

    def problem(offset, h):
        return Problem(
            np.zeros(62),
            lambda w: (0.5 * float(h @ w**2) + offset, h * w),
            hvp=lambda w, v: h * v,
            accuracy=lambda w: 1 / (1 + float(w @ w)),
            samples=100,
        )

    sets = {"train": problem(1e-3, h), "test": problem(0.1, np.abs(h))}
    a, b = np.zeros(62), np.full(62, 0.1)
    return compare(a, b, sets, names=("one", "two"), repeats=1, **options)


def test_a_comparison():
    found = compared()
    figure = found.plot()
    path, densities, ratios, accuracy = figure.axes
    assert path.get_yscale() == "log"
    assert path.get_ylabel() == "loss"
    assert accuracy.get_ylabel() == "accuracy, %"
    for name, line, right in zip(
        found.paths, path.get_lines()[:2], accuracy.get_lines(), strict=True
    ):
        np.testing.assert_array_equal(line.get_xdata(), np.linspace(-1, 2, 25))
        np.testing.assert_array_equal(line.get_ydata(), found.paths[name].loss)
        shares = 100 * found.paths[name].accuracy
        np.testing.assert_array_equal(right.get_ydata(), shares)
    assert [text.get_text() for text in path.get_legend().get_texts()] == [
        "loss, train",
        "loss, test",
        "accuracy, train",
        "accuracy, test",
    ]
    assert {text.get_text() for text in path.texts} == {"one", "two"}
    curves = [line for line in densities.get_lines() if line.get_marker() != "v"]
    assert [line.get_label() for line in curves] == ["one", "two"]
    x, y = curves[0].get_data()
    shown = np.trapezoid(np.where(x > 5, y, 0), np.log10(np.maximum(x, 1)))
    density = found.a.spectral_density
    above = 62 * np.sum(density.weights * (density.nodes > 10), axis=1).mean()
    assert shown == pytest.approx(above, rel=1e-4)  # of eigenvalues per decade
    assert ratios.get_xlabel() == "two / one, where both are positive"
    figure.canvas.draw()


def test_the_ratios_of_a_comparison():
    found = compared()
    axes = found.plot().axes[2]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert "norm" not in names  # that of one is 0
    rows = {row.known.name: row for row in found.rows}
    expected = [rows[name].b.value / rows[name].a.value for name in names]
    (points,) = (line for line in axes.get_lines() if line.get_marker() == "o")
    np.testing.assert_allclose(points.get_xdata(), expected)
    row = rows["accuracy (test)"]
    (bars,) = axes.collections
    low, high = bars.get_segments()[names.index("accuracy (test)")][:, 0]
    relative = np.hypot(row.a.error / row.a.value, row.b.error / row.b.value)
    ratio = row.b.value / row.a.value
    assert [low, high] == pytest.approx(
        [ratio * np.exp(-relative), ratio * np.exp(relative)]
    )


def test_a_comparison_that_is_not_complete():
    seen = []
    compared(measures=("spectral_density",), on_result=seen.append)
    panels = []
    for found in seen:
        figure = found.plot()
        figure.canvas.draw()
        panels.append(len([ax for ax in figure.axes if ax.get_subplotspec()]))
        plt.close(figure)
    # the ratios; with the path, its right axis; with both densities
    assert panels == [1] + [3] * (len(seen) - 2) + [4]


def test_a_path_saves_the_picture_and_opens_no_window(result, tmp_path):
    found = compared(measures=("trace",))
    drawn = {"curve.png": result, "two.pdf": found, "report.svg": found.a}
    for name, each in drawn.items():
        figure = each.plot(tmp_path / name)
        assert isinstance(figure, mpl.figure.Figure)
        assert (tmp_path / name).stat().st_size > 1000
    assert plt.get_fignums() == []


def test_axes_are_no_path_and_take_one_panel(result):
    ax = plt.subplots()[1]
    with pytest.raises(TypeError, match=r"path is of type Axes; .*or axes as ax="):
        result.plot(ax)
    with pytest.raises(ValueError, match="ax= takes one panel and there are 2"):
        compared(measures=()).plot(ax=ax)


def test_the_sizes_of_a_diagonal():
    found = sharpkit.diagonal(np.zeros(9), hvp=lambda w, v: np.arange(9.0) * v)
    (ax,) = found.plot().axes
    assert sum(bar.get_height() for bar in ax.patches) == 9
    assert ax.get_title().startswith("mean 4 ±")


def test_a_path_that_is_not_finite_and_a_table_without_ratios():
    problem = Problem(np.zeros(3), lambda w: (0.0 if w[0] < 0.5 else np.inf, 0 * w))
    ends = [np.array([0.0, 0, at]) for at in (0.0, 1.0)]
    ends[1][0] = 0.4
    found = compare(*ends, problem, measures=("sharpness", "spectral_density"))
    figure = found.plot()
    assert len(figure.axes) == 3
    assert figure.axes[0].get_yscale() == "linear"
    assert not figure.axes[2].get_yticklabels()
    figure.canvas.draw()


def test_a_trace_on_its_way():
    w, hvp = curved(200)
    found = sharpkit.trace(w, hvp=hvp, method="hutchinson", max_products=20)
    (ax,) = found.plot().axes
    assert ax.get_title() == f"{found.value:.4g} ± {found.stderr:.1g}"
    (line,) = (line for line in ax.get_lines() if line.get_marker() == "o")
    products, values, _ = zip(*found.history, strict=True)
    np.testing.assert_array_equal(line.get_data(), [products, values])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["95 % interval", "hutchinson"]
    ax.figure.canvas.draw()


def test_without_matplotlib(result, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ModuleNotFoundError,
        match=r"a plot needs matplotlib: pip install 'sharpkit\[plot\]'",
    ):
        result.plot()


def test_estimates_over_samples():
    x = np.arange(20.0)

    def over(chosen):
        own = x[chosen]
        return lambda w: (float(np.mean((w - own) ** 2)) / 2, w - own.mean())

    problem = Problem(np.ones(1), over(slice(None)), samples=20, subset=over)
    found = sharpkit.batch_sharpness(problem, batch_size=2, max_batches=20, rtol=None)
    (ax,) = found.plot().axes
    assert ax.get_xlabel() == "batches"
    assert ax.get_ylabel() == "batch sharpness ± standard error"
    for result in (sharpkit.gradient_noise(problem), sharpkit.fisher_rao(problem)):
        (ax,) = result.plot().axes
        assert result.headline in ax.get_ylabel()
        ax.figure.canvas.draw()


def test_the_rise_in_a_ball_and_under_noise():
    w = np.linspace(0.5, 1, 9)
    samples = {"samples": 4, "subset": lambda chosen: square}
    problem = Problem(w, square, **samples)
    found = sharpkit.ball_sharpness(problem, radius=0.1)
    (ax,) = found.plot().axes
    assert ax.get_ylabel() == "rise of the loss in a ball (l2, 0.1)"
    assert ax.get_title() == f"{found.value:.4g}, converged"
    curve, noise = ax.get_lines()
    np.testing.assert_array_equal(curve.get_ydata(), found.history)
    np.testing.assert_array_equal(noise.get_ydata(), [found.noise] * 2)
    step = sharpkit.ball_sharpness(problem, method="one_step", adaptive=True)
    (ax,) = step.plot().axes
    assert ax.get_ylabel() == "rise of the loss in a ball (adaptive l2, 0.05)"
    assert ax.get_title() == f"{step.value:.4g}, one step"
    parts = sharpkit.ball_sharpness(problem, method="one_step", subset=2)
    (ax,) = parts.plot().axes
    assert ax.get_ylabel() == "rise of the loss in a ball"
    mean = sharpkit.average_sharpness(problem, samples=20)
    (ax,) = mean.plot().axes
    assert ax.get_ylabel() == "mean rise of the loss ± standard error"
    band = ax.patches[0].get_bbox()
    assert (band.ymin, band.ymax) == pytest.approx(mean.interval)
    ax.figure.canvas.draw()


def square(w):
    return float(w @ w), 2 * w
