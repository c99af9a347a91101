"""A chart as Plotly's JSON: curves, bands and axes; the page adds legend and colours.

Text is escaped, because Plotly takes tags in it for markup and dollars for formulas.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np

from sharpkit.lab.outcome import Axis, Chart, Plane
from sharpkit.lab.rendering.curves import MARKED, Curve, Points, curves, decades
from sharpkit.lab.rendering.heights import STEPS, Heights

_BAND = 0.18  # its opacity
# symbol -> its outline in a box from -4 to 4, for the legend
_OUTLINES = {
    "circle": "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z",
    "square": "M-3-3h6v6h-6z",
    "diamond": "M0-4l4 4l-4 4l-4-4z",
    "triangle-up": "M0-4l4 7h-8z",
    "cross": "M-1.4-4h2.8v2.6h2.6v2.8h-2.6v2.6h-2.8v-2.6h-2.6v-2.8h2.6z",
    "x": "M-4-2l2-2l2 2l2-2l2 2l-2 2l2 2l-2 2l-2-2l-2 2l-2-2l2-2z",
    "star": "M0-4l1.2 2.6l2.8.3l-2 2l.5 2.8l-2.5-1.4l-2.5 1.4l.5-2.8l-2-2l2.8-.3z",
    "hexagon": "M-2-3.5h4l2 3.5l-2 3.5h-4l-2-3.5z",
}
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'


@dataclass(frozen=True)
class Entry:
    """One button of the legend.

    Attributes
    ----------
    curve : Curve
        The curve.
    traces : list of int
        The traces that the button shows and hides.
    right : bool
        Whether the curve belongs to the right axis.
    """

    curve: Curve
    traces: list[int]
    right: bool

    @property
    def outline(self) -> str:
        """Return its symbol as an SVG path around the origin."""
        return _OUTLINES[self.curve.symbol]


def figure(chart: Chart | Plane) -> tuple[dict[str, Any], list[Entry]]:
    """Return ``{"data": ..., "layout": ...}`` and the legend, ours before the paper's.

    Gaps are null: JSON has no not-a-number. A plane has no legend.

    Raises
    ------
    ValueError
        If a series is malformed, as in `curves`.
    """
    if isinstance(chart, Plane):
        return _plane(chart), []
    found = curves(chart)
    traces: list[dict[str, Any]] = []
    entries = []
    for curve in found:
        own = [_line(chart, curve)]
        if curve.bands:
            own.insert(0, _band(chart, curve))
        numbers = list(range(len(traces), len(traces) + len(own)))
        entries.append(Entry(curve, numbers, curve.series.right))
        traces.extend(own)
    layout = _layout(chart, found)
    if not any(curve.drawn for curve in found):
        layout["annotations"] = [_nothing()]
    entries.sort(key=lambda entry: entry.curve.series.paper)
    return {"data": traces, "layout": layout}, entries


def _plane(plane: Plane) -> dict[str, Any]:
    """Return filled contours and the marks, each with what is known there to read."""
    found = Heights.of(plane)
    frame = Chart(plane.title, plane.x, plane.y, ())
    layout = _layout(frame, []) | {"annotations": _labels(plane)}
    layout["xaxis"] |= {"constrain": "domain"}
    layout["yaxis"] |= {"constrain": "domain", "scaleanchor": "x"}
    if not found.drawn:
        layout["annotations"] = [_nothing()]
    return {"data": [_contours(plane, found), _marks(plane)], "layout": layout}


def _contours(plane: Plane, found: Heights) -> dict[str, Any]:
    step = (found.high - found.low) / STEPS
    return {
        "type": "contour",
        "x": list(plane.at_x),
        "y": list(plane.at_y),
        "z": [_json(row) for row in found.z.T],
        "text": [
            [_read(plane, i, j) for i in range(len(plane.at_x))]
            for j in range(len(plane.at_y))
        ],
        "hovertemplate": "%{text}<extra></extra>",
        "hoverongaps": True,
        "colorscale": "Viridis",
        "contours": {"start": found.low, "end": found.high, "size": step},
        "line": {"width": 0.5, "color": "rgba(255,255,255,0.4)"},
        "zmin": found.low,
        "zmax": found.high,
        "colorbar": {
            "title": {"text": _text(plane.shown), "side": "right"},
            "tickvals": list(found.ticks),
            "ticktext": list(found.ticks.values()),
            "thickness": 14,
            "outlinewidth": 0,
        },
    }


def _read(plane: Plane, i: int, j: int) -> str:
    """Return the coordinates and all values of a point, a line each."""
    values = [f"{_text(name)}: {at[i][j]:.4g}" for name, at in plane.values.items()]
    return "<br>".join([f"x: {plane.at_x[i]:.4g}, y: {plane.at_y[j]:.4g}", *values])


def _marks(plane: Plane) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x for x, _ in plane.marks.values()],
        "y": [y for _, y in plane.marks.values()],
        "text": [_text(name) for name in plane.marks],
        "hovertemplate": "<b>%{text}</b><br>x: %{x:.4~g}, y: %{y:.4~g}<extra></extra>",
        "marker": {
            "size": 10,
            "color": "#ffffff",
            "line": {"color": "#1b1f24", "width": 1.5},
        },
    }


def _labels(plane: Plane) -> list[dict[str, Any]]:
    look = {"xanchor": "left", "xshift": 9, "yshift": 13, "showarrow": False}
    look |= {"bgcolor": "#ffffff"}  # the style sheet has the ground's colour instead
    return [
        {"text": _text(name), "x": x, "y": y} | look
        for name, (x, y) in plane.marks.items()
    ]


def _line(chart: Chart, curve: Curve) -> dict[str, Any]:
    series = curve.series
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": _text(curve.label),
        "x": _json(_placed(chart.x, curve.x)),
        "y": _json(curve.y),
        "yaxis": "y2" if series.right else "y",
        "line": {
            "color": curve.colour,
            "width": 3 if series.paper else 2,
            "dash": "dash" if series.dashed else "solid",
        },
        "marker": {
            "color": curve.colour,
            "symbol": curve.symbol,
            "size": 7,
            "maxdisplayed": 0 if curve.isolated else MARKED,
        },
        "connectgaps": False,
        "hovertemplate": _hover(chart, curve),
    }
    if chart.x.linear_within is not None:
        trace["text"] = [f"{x:.4g}" for x in curve.x]
    if series.low is not None and series.high is not None:
        trace["customdata"] = [
            f" [{low:.4g}, {high:.4g}]"
            for low, high in zip(series.low, series.high, strict=True)
        ]
    return trace


def _hover(chart: Chart, curve: Curve) -> str:
    axis = chart.y_right if curve.series.right and chart.y_right else chart.y
    x, y, label = (
        _text(text).replace("%{", "%&#123;")
        for text in (chart.x.label, axis.label, curve.label)
    )
    ends = "%{customdata}" if curve.series.low is not None else ""
    at = "%{x:.4~g}" if chart.x.linear_within is None else "%{text}"
    return f"<b>{label}</b><br>{x}: {at}<br>{y}: %{{y:.4~g}}{ends}<extra></extra>"


def _placed(axis: Axis, x: Points) -> Points:
    """Return where the values of x lie on an axis that Plotly itself has linear."""
    return x if axis.linear_within is None else np.arcsinh(x / axis.linear_within)


def _band(chart: Chart, curve: Curve) -> dict[str, Any]:
    """Return the stretches as polygons, apart by gaps: there and back."""
    x: list[float | None] = []
    y: list[float | None] = []
    for places, low, high in curve.bands:
        gap: list[float | None] = [None] if x else []
        there = _placed(chart.x, places)
        x += gap + _json(np.concatenate([there, there[::-1]]))
        y += gap + _json(np.concatenate([high, low[::-1]]))
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "yaxis": "y2" if curve.series.right else "y",
        "line": {"width": 0},
        "fill": "toself",
        "fillcolor": _rgba(curve.colour, _BAND),
        "hoverinfo": "skip",
    }


def _layout(chart: Chart, found: list[Curve]) -> dict[str, Any]:
    layout: dict[str, Any] = {
        "xaxis": _axis(chart.x),
        "yaxis": _axis(chart.y),
        "showlegend": False,
        "hovermode": "closest",
        "margin": {"l": 68, "r": 20 if chart.y_right is None else 68, "t": 10, "b": 54},
        "font": {"family": _FONT, "size": 13},
        "hoverlabel": {
            "bgcolor": "#22272e",
            "bordercolor": "#22272e",
            "font": {"color": "#ffffff", "family": _FONT, "size": 13},
            "align": "left",
        },
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }
    if chart.x.linear_within is not None:
        shown = [x for curve in found for x in curve.x if np.isfinite(x)] or [0.0]
        ticks = decades(chart.x, min(shown), max(shown))
        layout["xaxis"] |= {
            "tickvals": _json(_placed(chart.x, np.array(ticks))),
            "ticktext": [f"{tick:g}" for tick in ticks],
        }
    if chart.y_right is not None:
        layout["yaxis2"] = _axis(chart.y_right) | {
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
            "tickmode": "auto",  # at round values, not beside the left axis' ticks
        }
        layout["yaxis"]["showgrid"] = False  # of two scales, which one would it be?
    return layout


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "title": {"text": _text(axis.label), "standoff": 8},
        "type": "log" if axis.log else "linear",
        "autorange": "reversed" if axis.reverse else True,
        "exponentformat": "power",
        "zeroline": False,
        "ticks": "outside",
        "showline": True,
        "automargin": True,
    }


def _nothing() -> dict[str, Any]:
    return {
        "text": "Nothing to draw",
        "x": 0.5,
        "y": 0.5,
        "xref": "paper",
        "yref": "paper",
        "showarrow": False,
    }


def _text(text: str) -> str:
    return html.escape(text, quote=False).replace("$", "&#36;")


def _json(values: Points) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _rgba(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
