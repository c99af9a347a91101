from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

import sharpkit
from sharpkit import eigenvalues, spectral_density


@pytest.fixture
def result():
    w = np.linspace(0.5, 1, 9)
    return sharpkit.sharpness(w, lambda w: (float(w @ w), 2 * w), epsilon=5e-4)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_the_curve_and_its_labels(result):
    ax = result.plot()
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
    axes = plt.subplots(1, 2)[1]
    assert result.plot(axes[1]) is axes[1]
    assert not axes[0].lines
    assert len(plt.get_fignums()) == 1


def test_a_flat_result_without_noise():
    result = sharpkit.sharpness(np.zeros(3), lambda w: (0.0, 0 * w))
    ax = result.plot()
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
    ax = found.plot()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["converged", "not yet"]
    assert ax.get_title() == "4 eigenvalues (LA), 9 products"
    assert found.plot(ax) is ax


def test_the_density_with_outliers():
    w, hvp = curved(200)
    found = spectral_density(w, hvp=hvp, steps=40)
    ax = found.plot(width=0.2)
    assert ax.get_yscale() == "log"
    labels = {text.get_text() for text in ax.get_legend().get_texts()}
    assert labels == {"95 % band", "outliers"}
    (marks,) = (line for line in ax.get_lines() if line.get_marker() == "v")
    np.testing.assert_allclose(sorted(marks.get_xdata()), [20, 30], atol=1e-6)
    assert found.plot(ax) is ax


def test_the_density_of_one_value():
    found = spectral_density(np.zeros(9), hvp=lambda w, v: 0 * v, steps=5)
    low, high = found.plot().get_xlim()
    assert low < 0 < high
