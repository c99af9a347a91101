"""One figure for a report, and one for a comparison."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpkit.plot.figures import Draw
from sharpkit.plot.measures import draw_eigenvalues, draw_sharpness, draw_trace
from sharpkit.plot.spectra import BLUE, RED, draw_densities, draw_density

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sharpkit.results.comparison import Comparison
    from sharpkit.results.report import Report

LOG_RANGE = 100  # losses that differ by a larger factor get a logarithmic axis
WIDEST = 3.0  # a relative error drawn at most: a factor of 20 each way


def report_panels(report: Report) -> Sequence[Draw]:
    """Return a panel for each measure that the report has.

    Raises
    ------
    ValueError
        If it has none.
    """
    every: list[tuple[Callable[[Any, Axes], None], Any]] = [
        (draw_sharpness, report.sharpness),
        (draw_eigenvalues, report.eigenvalues),
        (draw_trace, report.trace),
        (draw_density, report.spectral_density),
    ]
    drawn = [partial(draw, result) for draw, result in every if result is not None]
    own = {"sharpness", "eigenvalues", "trace", "spectral_density"} & {*report.results}
    if any(each.quantities and each.name not in own for each in report.taken):
        drawn.append(partial(_draw_rows, report))
    if not drawn:
        msg = "the report has no measures to draw; ask `measure` for at least one"
        raise ValueError(msg)
    return drawn


def _draw_rows(report: Report, ax: Axes) -> None:
    """Every number that is above 0, with its error; places lie far apart."""
    found = [row for row in report.measured() if 0 < row.value < math.inf]
    value = np.array([row.value for row in found])
    error = np.array([min(row.error or 0.0, WIDEST * row.value) for row in found])
    places, below = np.arange(len(found)), np.minimum(error, 0.95 * value)
    ax.errorbar(value, places, xerr=[below, error], fmt="o", color=RED, capsize=3)
    _plain_log_axis(ax)
    ax.set_yticks(places, [row.label for row in found])
    ax.invert_yaxis()
    ax.set_xlabel("value ± error, where it is positive")


def comparison_panels(comparison: Comparison) -> Sequence[Draw]:
    """Return what a comparison has: the path, the densities, the ratios."""
    drawn: list[Draw] = []
    if comparison.paths:
        drawn.append(partial(_draw_paths, comparison))
    densities = {
        name: report.spectral_density
        for name, report in zip(
            comparison.names, (comparison.a, comparison.b), strict=True
        )
        if report.spectral_density is not None
    }
    if len(densities) == 2:
        drawn.append(partial(draw_densities, densities))
    return [*drawn, partial(_draw_ratios, comparison)]


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
