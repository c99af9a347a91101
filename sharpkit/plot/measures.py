"""One function per result type, drawn with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sharpkit.results import (
        DensityResult,
        EigenResult,
        GroupResults,
        SharpnessResult,
        TraceResult,
    )

GRID = 1000  # places at which a density is drawn


def plot_sharpness(result: SharpnessResult, ax: Axes | None = None) -> Axes:
    """Draw the best sharpness (per cent) against the evaluations spent.

    A curve that still climbs at its right end says that the search had not converged.
    """
    ax = _axes(ax)
    evaluations = np.arange(1, result.evaluations + 1)
    ax.step(evaluations, result.history, where="post", label=result.solver)
    if result.noise > 0:
        ax.axhline(result.noise, color="0.6", ls=":", label="noise of the loss")
    ax.set_xlabel("evaluations of loss and gradient")
    ax.set_ylabel(f"sharpness, % (ε = {result.epsilon:g})")
    ax.set_title(f"{result.value:.4g} %, {result.status.name.lower()}")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return ax


def plot_eigenvalues(result: EigenResult, ax: Axes | None = None) -> Axes:
    """Draw the eigenvalues in order, residuals as error bars; hollow: not converged."""
    from matplotlib.ticker import MaxNLocator

    ax = _axes(ax)
    order = np.arange(1, len(result.values) + 1)
    for good, fill, label in ((True, "full", "converged"), (False, "none", "not yet")):
        chosen = result.converged == good
        if chosen.any():
            ax.errorbar(
                order[chosen],
                result.values[chosen],
                yerr=result.residuals[chosen],
                fmt="o",
                color="C0",
                fillstyle=fill,
                capsize=3,
                label=label,
            )
    ax.axhline(0, color="0.6", lw=0.8)
    ax.set_xlabel("eigenvalue")
    ax.set_ylabel("curvature λ")
    ax.set_title(
        f"{len(order)} eigenvalues ({result.which}), {result.products} products"
    )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    return ax


def plot_density(
    result: DensityResult, ax: Axes | None = None, *, width: float | None = None
) -> Axes:
    """Draw the density of eigenvalues with its band, log scale, and mark outliers.

    What lies below half an eigenvalue per ``width`` is cut off.
    """
    ax = _axes(ax)
    width = result.width if width is None else width
    low, high = result.nodes.min() - 4 * width, result.nodes.max() + 4 * width
    grid = np.linspace(low, high, GRID)
    band = result.density(grid, width)
    ax.fill_between(grid, band.low, band.high, alpha=0.3, lw=0, label="95 % band")
    ax.plot(grid, band.value, lw=1.2)
    floor = 0.5 / (result.n * width)
    places = result.outliers(width)
    if len(places):
        ax.plot(
            places, np.full(len(places), floor), "v", color="C3", ms=6, label="outliers"
        )
    ax.set_yscale("log")
    ax.set_ylim(bottom=floor / 2)
    ax.set_xlabel("eigenvalue λ")
    ax.set_ylabel(f"density (width {width:.2g})")
    ax.set_title(f"n = {result.n:,}, {result.products} products")
    ax.legend(frameon=False)
    return ax


def plot_groups(results: GroupResults[Any], ax: Axes | None = None) -> Axes:
    """Draw a horizontal bar per group, from the top in the order given, with errors."""
    import matplotlib.pyplot as plt

    if ax is None:
        size = (6, 1.2 + 0.3 * len(results))
        ax = plt.subplots(figsize=size, layout="constrained")[1]
    values, errors = zip(*results.numbers().values(), strict=True)
    ax.barh(list(results), values, xerr=errors, capsize=2)
    ax.axvline(0, color="0.6", lw=0.8)
    ax.invert_yaxis()
    ax.set_xlabel(results.what)
    ax.set_title("each group of weights by itself, the others fixed")
    return ax


def plot_trace(result: TraceResult, ax: Axes | None = None) -> Axes:
    """Draw the estimates on the way with their standard errors, and the interval."""
    ax = _axes(ax)
    history = result.history or ((result.products, result.value, result.stderr),)
    products, values, errors = np.array(history, np.float64).T
    if np.isfinite(result.interval).all():
        ax.axhspan(*result.interval, alpha=0.2, lw=0, label="95 % interval")
    known = np.where(np.isfinite(errors), errors, 0)
    ax.errorbar(products, values, yerr=known, fmt="o-", capsize=3, label=result.method)
    ax.set_xlabel("products with the Hessian")
    ax.set_ylabel("trace ± standard error")
    ax.set_title(f"{result.value:.4g} ± {result.stderr:.1g}")
    ax.legend(frameon=False)
    return ax


def _axes(ax: Axes | None) -> Axes:
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(6, 4), layout="constrained")[1] if ax is None else ax
