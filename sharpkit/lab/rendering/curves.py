"""What the pictures and the page share: which points are drawn, and how they look."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharpkit.lab.outcome import Axis, Chart, Series

# At least 3:1 against white and against the page's dark ground.
COLOURS = (
    "#2f74d0",
    "#cf5a14",
    "#128a6b",
    "#a24fc4",
    "#a87400",
    "#c43d6b",
    "#64801c",
    "#6b6bd6",
)
GREY = "#868e96"
SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "cross",
    "x",
    "star",
    "hexagon",
)
MARKED = 16  # as many points of a curve carry a symbol, at most

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One series as it is drawn.

    Attributes
    ----------
    series : Series
        The series.
    label : str
        Its entry in the legend, which no other series of the chart has.
    x, y : array
        Its places, not-a-number at both where nothing is drawn.
    bands : list of (x, low, high)
        The stretches of the band between gaps, two points or more each.
    left_out : int
        The number of points that are numbers but not positive, on a logarithmic axis;
        where only the band's low end is, the point counts, too.
    colour, symbol : str
        The colour as ``#rrggbb``, the symbol by Plotly's name.
    """

    series: Series
    label: str
    x: Points
    y: Points
    bands: list[tuple[Points, Points, Points]]
    left_out: int
    colour: str
    symbol: str

    @property
    def drawn(self) -> int:
        """Return how many points there are to see."""
        return int(np.isfinite(self.y).sum())

    @property
    def isolated(self) -> bool:
        """Return whether a point has no neighbour, so that no line shows it."""
        there = np.concatenate([[False], np.isfinite(self.y), [False]])
        return bool((there[1:-1] & ~there[:-2] & ~there[2:]).any())


def curves(chart: Chart) -> list[Curve]:
    """Return the series as they are drawn: the paper's first, behind ours.

    Raises
    ------
    ValueError
        If a series' lengths differ, or it belongs to a right axis that is not there.
    """
    labels = _labels(chart)
    own = _numbered(series.name for series in chart.series if not series.paper)
    papers = _numbered(series.name for series in chart.series if series.paper)
    found = []
    for series, label in zip(chart.series, labels, strict=True):
        _check(chart, series)
        number = own[_ours(series)] if _ours(series) in own else papers[series.name]
        x, y, bands, left_out = _points(chart, series)
        colour = GREY if series.paper else COLOURS[number % len(COLOURS)]
        symbol = SYMBOLS[number % len(SYMBOLS)]
        found.append(Curve(series, label, x, y, bands, left_out, colour, symbol))
    return sorted(found, key=lambda curve: not curve.series.paper)


def decades(axis: Axis, low: float, high: float) -> list[float]:
    """Return ticks for an axis over all orders: 0, and every power of ten beyond it."""
    assert axis.linear_within is not None
    least = math.ceil(math.log10(axis.linear_within))
    powers = [10.0**power for power in range(least, least + 40)]
    return [
        each
        for each in (*(-p for p in reversed(powers)), 0.0, *powers)
        if low <= each <= high
    ]


def left_out_note(found: list[Curve]) -> str:
    """Say how many points a logarithmic axis cannot show; nothing if none."""
    number = sum(curve.left_out for curve in found)
    if not number:
        return ""
    points = "One point" if number == 1 else f"{number} points"
    return f"{points} not positive, left out of the logarithmic axes."


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: i for i, name in enumerate(dict.fromkeys(names))}


def _ours(series: Series) -> str:
    """Return the name of the series of ours that the paper's stands behind."""
    if not series.paper:
        return series.name
    return series.name.removeprefix("paper: ").removesuffix(", paper")


def _labels(chart: Chart) -> list[str]:
    """Return the names with what tells them apart: paper, side, dashes, number."""
    labels = []
    for series in chart.series:
        label = series.name
        if series.paper and "paper" not in label.lower():
            label += ", paper"
        labels.append(label)
    for attribute in ("right", "dashed"):
        labels = [
            f"{label}, {attribute}"
            if labels.count(label) > 1 and getattr(series, attribute)
            else label
            for label, series in zip(labels, chart.series, strict=True)
        ]
    return [
        f"{label}, {labels[: i + 1].count(label)}" if labels.count(label) > 1 else label
        for i, label in enumerate(labels)
    ]


def _check(chart: Chart, series: Series) -> None:
    where = f"chart {chart.title!r}, series {series.name!r}"
    lengths = {
        name: len(values)
        for name in ("x", "y", "low", "high")
        if (values := getattr(series, name)) is not None
    }
    if len(set(lengths.values())) > 1:
        msg = f"{where}: lengths {lengths}; give as many of each"
        raise ValueError(msg)
    if (series.low is None) != (series.high is None):
        msg = f"{where}: only one end of the band; give low and high, or neither"
        raise ValueError(msg)
    if series.right and chart.y_right is None:
        msg = f"{where}: right=True, but the chart has no right axis; give y_right"
        raise ValueError(msg)


def _points(
    chart: Chart, series: Series
) -> tuple[Points, Points, list[tuple[Points, Points, Points]], int]:
    x, y = np.array(series.x, np.float64), np.array(series.y, np.float64)
    axis = chart.y_right if series.right and chart.y_right is not None else chart.y
    shown = _showable(x, chart.x) & _showable(y, axis)
    out = np.isfinite(x) & np.isfinite(y) & ~shown
    bands = []
    if series.low is not None and series.high is not None:
        low, high = np.array(series.low), np.array(series.high)
        filled = _showable(x, chart.x) & _showable(low, axis) & _showable(high, axis)
        out |= np.isfinite(x) & np.isfinite(low) & np.isfinite(high) & ~filled
        bands = [(x[part], low[part], high[part]) for part in _stretches(filled)]
    x[~shown] = y[~shown] = np.nan
    return x, y, bands, int(out.sum())


def _showable(values: Points, axis: Axis) -> NDArray[np.bool_]:
    finite = np.isfinite(values)
    return finite & (values > 0) if axis.log else finite


def _stretches(filled: NDArray[np.bool_]) -> list[slice]:
    """Return the runs of True of two or more."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], filled.astype(int), [0]])))
    pairs = edges.reshape(-1, 2)
    return [slice(a, b) for a, b in pairs if b - a > 1]
