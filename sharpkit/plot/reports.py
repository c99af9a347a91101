"""One figure for a report, and one for a comparison."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpkit._spectrum import quadrature
from sharpkit.plot.measures import (
    GRID,
    plot_density,
    plot_eigenvalues,
    plot_sharpness,
    plot_trace,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sharpkit.results.comparison import Comparison
    from sharpkit.results.report import Report

SMOOTHING = 0.2  # of a density, in units of asinh(x / scale)
FLOOR = 0.5  # eigenvalues per decade: a tenth of the peak of a single one
LOG_RANGE = 100  # losses that differ by a larger factor get a logarithmic axis
WIDEST = 3.0  # a relative error drawn at most: a factor of 20 each way
BLUE, RED = "#1f4e9c", "#c2410c"


def plot_report(report: Report) -> Figure:
    """Draw one figure with a panel for each measure that the report has."""
    every: list[tuple[Callable[[Any, Axes], Axes], Any]] = [
        (plot_sharpness, report.sharpness),
        (plot_eigenvalues, report.eigenvalues),
        (plot_trace, report.trace),
        (plot_density, report.density),
    ]
    drawn = [(draw, result) for draw, result in every if result is not None]
    if not drawn:
        msg = "the report has no measures to draw; ask `measure` for at least one"
        raise ValueError(msg)
    figure, panels = _panels(None, len(drawn))
    for ax, (draw, result) in zip(panels, drawn, strict=True):
        draw(result, ax)
    return figure


def plot_comparison(comparison: Comparison, figure: Figure | None = None) -> Figure:
    """Draw what a comparison has: the path, the densities, the ratios of the measures.

    Beside each other in a new figure, or in the one given.
    """
    drawn: list[Callable[[Comparison, Axes], None]] = []
    if comparison.paths:
        drawn.append(_draw_paths)
    if comparison.a.density is not None and comparison.b.density is not None:
        drawn.append(_draw_densities)
    figure, panels = _panels(figure, len(drawn) + 1)
    for ax, draw in zip(panels, [*drawn, _draw_ratios], strict=True):
        draw(comparison, ax)
    return figure


def _draw_paths(comparison: Comparison, ax: Axes) -> None:
    """Loss on the left axis, accuracy on the right; a line style per data set."""
    right: Any = None
    styles = itertools.cycle(["-", "--", ":", "-."])
    for (data, path), style in zip(comparison.paths.items(), styles, strict=False):
        name = f", {data}" if len(comparison.fits) > 1 else ""
        loss = np.where(np.isfinite(path.loss), path.loss, np.nan)
        ax.plot(path.alpha, loss, style, color=BLUE, label=f"loss{name}")
        if path.accuracy is not None:
            right = right or ax.twinx()
            share = 100 * path.accuracy
            right.plot(path.alpha, share, style, color=RED, label=f"accuracy{name}")
    every = np.concatenate([path.loss for path in comparison.paths.values()])
    every = every[np.isfinite(every)]
    if every.size and every.min() > 0 and every.max() > LOG_RANGE * every.min():
        ax.set_yscale("log")
    for place, end in zip((0, 1), comparison.names, strict=True):
        ax.axvline(place, color="0.75", lw=0.8, zorder=0)
        ax.annotate(
            end,
            (place, 1),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
        )
    ax.set_xlabel(r"$\alpha$")
    ax.set_ylabel("loss", color=BLUE)
    lines = list(ax.get_lines()[: len(comparison.paths)])
    if right is not None:
        right.set_ylim(0, 102)
        right.set_ylabel("accuracy, %", color=RED)
        lines += right.get_lines()
    ax.legend(
        lines,
        [str(line.get_label()) for line in lines],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.14),  # below: lines may be anywhere on two axes
        ncols=2,
        frameon=False,
    )


def _draw_densities(comparison: Comparison, ax: Axes) -> None:
    """Both densities with their bands, on an axis linear near 0 and logarithmic beyond.

    Smoothed in ``u = asinh(x / scale)``, shown as eigenvalues per decade; triangles
    mark the ends of the spectra.
    """
    found = [comparison.a.density, comparison.b.density]
    results = [result for result in found if result is not None]
    scale = max(result.width for result in results) / 2
    ends = np.array([(each.nodes.min(), each.nodes.max()) for each in results])
    low, high = np.arcsinh([ends.min() / scale, ends.max() / scale])
    grid = np.linspace(low - 4 * SMOOTHING, high + 4 * SMOOTHING, GRID)
    x, decade, top = scale * np.sinh(grid), math.log(10), 2 * FLOOR
    for result, name, colour in zip(
        results, comparison.names, (BLUE, RED), strict=True
    ):
        stretched = np.arcsinh(result.nodes / scale)
        band = quadrature.density(stretched, result.weights, result.n, grid, SMOOTHING)
        value, lowest, highest = (result.n * decade * each for each in band)
        ax.plot(x, value, color=colour, lw=1.2, label=name)
        ax.fill_between(x, lowest, highest, color=colour, alpha=0.2, lw=0)
        top = max(top, *highest[value > FLOOR])  # of nothing a band knows little
        places = [result.nodes.min(), result.nodes.max()]
        ax.plot(places, [1.3 * FLOOR] * 2, "v", color=colour)
    ax.set_xscale("asinh", linear_width=scale)
    ax.set_xticks([tick for tick in _decades(scale) if x[0] <= tick <= x[-1]])
    ax.set_yscale("log")
    ax.set_ylim(FLOOR, 1.5 * top)
    ax.set_xlabel(f"eigenvalue λ (linear within ±{scale:.1g})")
    ax.set_ylabel("eigenvalues per decade")
    ax.legend(frameon=False)


def _decades(scale: float) -> list[float]:
    """Return 0 and powers of ten beyond the scale, up and down."""
    least = math.ceil(math.log10(scale))
    powers = [10.0**power for power in range(least, least + 40)]
    return [*(-power for power in reversed(powers)), 0.0, *powers]


def _draw_ratios(comparison: Comparison, ax: Axes) -> None:
    """B / A of every row that is positive in both; bars of both relative errors."""
    a, b = comparison.names
    names, ratios, spreads = [], [], []
    for row in comparison.rows:
        if row.a is None or row.b is None:
            continue
        if not (0 < row.a.value < math.inf and 0 < row.b.value < math.inf):
            continue
        relative = [(each.error or 0) / each.value for each in (row.a, row.b)]
        names.append(row.known.name)
        ratios.append(row.b.value / row.a.value)
        spreads.append(min(math.hypot(*relative), WIDEST))
    places, middle = np.arange(len(names)), np.array(ratios)
    bars = middle * np.array([1 - np.exp(-np.array(spreads)), np.expm1(spreads)])
    ax.errorbar(middle, places, xerr=bars, fmt="o", color=RED, capsize=3)
    ax.axvline(1, color="0.6", lw=0.8)
    _plain_log_axis(ax)
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.set_xlabel(f"{b} / {a}, where both are positive")


def _plain_log_axis(ax: Axes) -> None:
    """Make the x axis logarithmic, with ticks such as 0.5 also within one decade."""
    from matplotlib import ticker

    ax.set_xscale("log")
    low, high = ax.get_xlim()
    narrow = high < 10 * low
    few = ticker.MaxNLocator(5) if narrow else ticker.LogLocator(numticks=6)
    ax.xaxis.set_major_locator(few)
    ax.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(ticker.NullFormatter())


def _panels(figure: Figure | None, count: int) -> tuple[Figure, list[Axes]]:
    size = (5.4 * count, 4.2)
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=size, layout="constrained")
    else:
        figure.set_size_inches(*size)
    return figure, list(figure.subplots(1, count, squeeze=False)[0])
