"""The charts of an outcome as one picture, in the manner of the paper's figures."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from sharpkit._inputs.files import replacing
from sharpkit.lab.outcome import Axis, Chart, Outcome, Plane
from sharpkit.lab.rendering.curves import MARKED, Curve, curves, decades, left_out_note
from sharpkit.lab.rendering.heights import STEPS, Heights

_MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "cross": "P",
    "x": "X",
    "star": "*",
    "hexagon": "h",
}
_WIDTH, _HEIGHT = 5.4, 4.4  # of a panel, inches
_LEGEND = 80  # characters of a legend's row beneath a panel


def draw(outcome: Outcome, file: Path) -> None:
    """Write one panel per chart to ``file``; the suffix chooses the format.

    Ours in colour, bands from the smallest to the largest trial; the paper's curves
    behind them in grey. The file is replaced once the picture is complete.

    Raises
    ------
    ValueError
        If there is no chart, or the suffix names no format.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    charts = outcome.charts
    if not charts:
        msg = f"outcome {outcome.name} has charts=(); give one with a chart to draw"
        raise ValueError(msg)
    across = min(len(charts), 2 if len(charts) in (2, 4) else 3)
    down = math.ceil(len(charts) / across)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(_WIDTH * across, _HEIGHT * down), layout=layout)
    canvas = FigureCanvasAgg(figure)
    if file.suffix[1:].lower() not in canvas.get_supported_filetypes():
        kinds = ", ".join(sorted(canvas.get_supported_filetypes()))
        msg = f"file={str(file)!r}; give a name that ends in one of {kinds}"
        raise ValueError(msg)
    title = f"{outcome.title}, {outcome.network}"
    figure.suptitle(_plain(title, 62 * across), fontsize=11)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axis, chart in zip(panels, charts, strict=False):
        if isinstance(chart, Plane):
            _plane(axis, chart)
        else:
            _panel(axis, chart)
    for axis in panels[len(charts) :]:
        axis.remove()
    with replacing(file) as part:
        figure.savefig(part, dpi=150)


def _panel(axis: Any, chart: Chart) -> None:
    left = axis
    right = axis.twinx() if chart.y_right is not None else None
    left.set_zorder(1)  # twins lie above otherwise, and its own patch hides them
    left.patch.set_visible(False)
    found = curves(chart)
    lines = [_curve(right if curve.series.right else left, curve) for curve in found]
    _scale(left, "x", chart.x)
    _scale(left, "y", chart.y)
    if right is not None and chart.y_right is not None:
        _scale(right, "y", chart.y_right)
    left.set_title(_plain(chart.title, 56), fontsize=10)
    if right is None:  # it would lie over the right axis' curves
        left.grid(color="0.92", lw=0.6)
    left.tick_params(labelsize=8)
    note = left_out_note(found)
    if not any(curve.drawn for curve in found):
        note = "Nothing to draw."
    _note(left, note)
    _legend(left, lines, found)


def _plane(axis: Any, plane: Plane) -> None:
    """Draw filled contours with the marks on them."""
    found = Heights.of(plane)
    if found.drawn:
        levels = np.linspace(found.low, found.high, STEPS + 1)
        grid = np.ma.masked_invalid(found.z.T)
        drawn = axis.contourf(plane.at_x, plane.at_y, grid, levels=levels)
        bar = axis.figure.colorbar(drawn, ax=axis, shrink=0.8, pad=0.02)
        bar.set_ticks(list(found.ticks), labels=list(found.ticks.values()))
        bar.ax.tick_params(labelsize=8)
        bar.set_label(_plain(plane.shown, 48), fontsize=9)
    for name, (x, y) in plane.marks.items():
        axis.plot(x, y, "o", mfc="white", mec="0.1", ms=6)
        axis.annotate(
            _plain(name, 48),
            (x, y),
            xytext=(7, 7),
            textcoords="offset points",
            fontsize=8,
            bbox={"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none"},
        )
    axis.set_aspect("equal")
    _scale(axis, "x", plane.x)
    _scale(axis, "y", plane.y)
    axis.set_title(_plain(plane.title, 56), fontsize=10)
    _note(axis, found.note)


def _note(axis: Any, note: str) -> None:
    if note:
        axis.annotate(
            note, (0.02, 0.02), xycoords="axes fraction", fontsize=7, color="0.35"
        )


def _curve(axis: Any, curve: Curve) -> Any:
    behind = curve.series.paper
    for x, low, high in curve.bands:
        axis.fill_between(x, low, high, color=curve.colour, alpha=0.18, lw=0)
    (line,) = axis.plot(
        curve.x,
        curve.y,
        "--" if curve.series.dashed else "-",
        color=curve.colour,
        marker=_MARKERS[curve.symbol],
        markersize=4,
        markevery=1 if curve.isolated else max(1, math.ceil(len(curve.x) / MARKED)),
        lw=2.2 if behind else 1.5,
        alpha=0.7 if behind else 1,
        zorder=2 if behind else 3,
    )
    return line


def _scale(axis: Any, which: str, of: Axis) -> None:
    getattr(axis, f"set_{which}label")(_plain(of.label, 48), fontsize=9)
    if of.log:
        getattr(axis, f"set_{which}scale")("log")
    if of.linear_within is not None:
        axis.set_xscale("asinh", linear_width=of.linear_within)
        low, high = axis.get_xlim()
        axis.set_xticks(decades(of, low, high))
    if of.reverse:
        getattr(axis, f"invert_{which}axis")()
    axis.tick_params(which="both", labelsize=8)


def _legend(axis: Any, lines: list[Any], found: list[Curve]) -> None:
    """Put ours before the paper's, beneath the panel, as many a row as have room."""
    order = sorted(range(len(found)), key=lambda i: found[i].series.paper)
    right = any(curve.series.right for curve in found)
    labels = [_legend_label(found[i], named=right) for i in order]
    if not labels:
        return
    under = axis.get_xlabel().count("\n")  # its label may take several lines
    longest = max(len(line) for label in labels for line in label.split("\n")) + 6
    axis.legend(
        [lines[i] for i in order],
        labels,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.15 - 0.06 * under),
        ncols=max(1, min(len(labels), _LEGEND // longest)),
        frameon=False,
        fontsize=8,
    )


def _legend_label(curve: Curve, *, named: bool) -> str:
    side = " (right)" if named and curve.series.right else ""
    # a legend passes over labels with a leading underscore
    return "\u200b" * curve.label.startswith("_") + _plain(curve.label + side, 56)


def _plain(text: str, width: int) -> str:
    """Wrap, and keep dollar signs from being taken for formulas."""
    return textwrap.fill(text, width).replace("$", r"\$")
