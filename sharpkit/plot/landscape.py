"""Landscapes: values along a line, on a plane, and along a curve between minima."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.warn import warn
from sharpkit.plot.figures import Draw
from sharpkit.plot.reports import LOG_RANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sharpkit.landscape import CurveResult, LineResult

Floats = NDArray[np.float64]

LEFT = ("#1f4e9c", "#128a6b", "#a24fc4")  # losses, one after the other
RIGHT = ("#c2410c", "#a87400", "#c43d6b")  # accuracies
ACCURACY = "accuracy"


def line_panel(result: LineResult, value: str | None, log: bool | None) -> Draw:
    """Return what draws the values along a line.

    Raises
    ------
    KeyError
        If there is no value of this name.
    """
    names = result.values if value is None else {value: result.value(value)}
    return partial(_draw_line, result, [*names], log)


def curve_panel(result: CurveResult) -> Draw:
    """Return what draws the values along a curve, and along the straight line."""
    return partial(_draw_curve, result)


def log_scale(log: bool | None, grids: Iterable[Floats]) -> bool:
    """Return whether a scale is logarithmic, which None lets the values decide.

    Warns
    -----
    SharpkitWarning
        If some values have no place on a logarithmic scale that was asked for.
    """
    grids = list(grids)
    every = np.concatenate([np.ravel(grid) for grid in grids]) if grids else np.zeros(0)
    every = every[np.isfinite(every)]
    lost = int((every <= 0).sum())
    if log and lost:
        warn(
            f"{lost} of {every.size} values are not positive and are left out of the "
            "logarithmic scale; log=False shows them"
        )
    if log is None:
        wide = every.size and not lost and every.max() > LOG_RANGE * every.min()
        return bool(wide)
    return log and lost < every.size


def losses(values: Iterable[str]) -> list[str]:
    """Return the names of the values that are losses."""
    return [name for name in values if not name.endswith(ACCURACY)]


def bands(result: LineResult) -> dict[str, tuple[Floats, Floats]]:
    """Return the ends of the bands: of sampling errors, or of several directions."""
    found = {}
    for name, error in result.errors.items():
        found[name] = (result.values[name] - error, result.values[name] + error)
    for name, every in result.repeats.items():
        found[name] = (every.min(axis=0), every.max(axis=0))
    return found


def _draw_line(
    result: LineResult, names: list[str], log: bool | None, ax: Axes
) -> None:
    taken = result.taken
    ranges = {
        name: (low[taken], high[taken]) for name, (low, high) in bands(result).items()
    }
    known = {name: result.values[name][taken] for name in names}
    right = _draw_values(ax, result.x[taken], known, log, ranges)
    ax.set_xlabel(line_label(result))
    parabola = result.parabola()
    if parabola is not None and next(iter(result.values)) in names:
        ax.set_ylim(ax.get_ylim())  # the curve's, beyond which it is cut off
        seen = parabola > 0 if ax.get_yscale() == "log" else np.isfinite(parabola)
        label = f"parabola of the eigenvalue {result.axes[0].curvature:.4g}"
        shown = np.where(seen, parabola, np.nan)
        ax.plot(result.x, shown, "--", color="0.35", lw=1.2, label=label)
    for name, places in result.marks.items():
        heights = _between(result.x[taken], known[names[0]], places[:, 0])
        on = right if names[0].endswith(ACCURACY) else ax
        height = 100 * heights if on is right else heights
        on.plot(places[:, 0], height, ".", color="0.1", ms=6 + 4 * (len(places) == 1))
        _end(ax, places[-1, 0], name)
    _legend(ax, right)


def _draw_curve(result: CurveResult, ax: Axes) -> None:
    """Draw the curve solid, and the straight line dashed."""
    right = _draw_values(ax, result.t, result.values, None, {}, result.straight)
    for place, name in zip((0.0, 1.0), result.names, strict=True):
        _end(ax, place, name)
    barriers = f"barrier {result.barrier:.3g}, straight {result.straight_barrier:.3g}"
    kind = result.kind.replace("bezier", "Bézier")
    ax.set_xlabel(f"t ({kind} curve, {barriers})")
    _legend(ax, right)


def _draw_values(
    ax: Axes,
    x: Floats,
    values: Mapping[str, Floats],
    log: bool | None,
    bands: Mapping[str, tuple[Floats, Floats]],
    dashed: Mapping[str, Floats] | None = None,
) -> Any:
    """Losses on the left axis, accuracies on the right one, which is returned."""
    dashed = dashed or {}
    left = losses(values)
    shares = [name for name in values if name.endswith(ACCURACY)]
    right: Any = ax.twinx() if shares else None
    shown = [values[name] for name in left]
    shown += [dashed[name] for name in left if name in dashed]
    if left and log_scale(log, shown):
        ax.set_yscale("log", nonpositive="mask")
    for own, colours, on, unit in ((left, LEFT, ax, 1), (shares, RIGHT, right, 100)):
        for name, colour in zip(own, itertools.cycle(colours), strict=False):
            y = unit * _finite(values[name])
            on.plot(x, y, "-", color=colour, lw=1.6, label=name)
            lone = np.isfinite(y) & ~_neighbours(np.isfinite(y))
            on.plot(x[lone], y[lone], ".", color=colour)
            if name in dashed:
                straight = unit * _finite(dashed[name])
                label = f"{name}, straight line"
                on.plot(x, straight, "--", color=colour, lw=1.1, label=label)
            if name in bands:
                low, high = (unit * _finite(each) for each in bands[name])
                on.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
    bad = ~np.all([np.isfinite(each) for each in values.values()], axis=0)
    if bad.any():
        edge = ax.get_xaxis_transform()
        at = np.full(int(bad.sum()), 0.985)
        ax.plot(x[bad], at, "x", color="0.1", ms=4, transform=edge, label="not finite")
    ax.set_ylabel("loss", color=LEFT[0])
    if right is not None:
        right.set_ylim(0, 102)
        right.set_ylabel("accuracy, %", color=RIGHT[0])
    if not left:
        ax.set_ylabel("")
        ax.set_yticks([])
    return right


def _end(ax: Axes, place: float, name: str) -> None:
    """Mark a place on the x axis by its name."""
    low, high = ax.get_xlim()
    if low <= place <= high:
        ax.axvline(place, color="0.75", lw=0.8, zorder=0)
        where = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "bottom"}
        ax.annotate(name, (place, 1), **where)  # type: ignore[arg-type]


def _legend(ax: Axes, right: Any) -> None:
    sides = [ax, *([] if right is None else [right])]
    lines = [line for side in sides for line in side.get_lines()]
    lines = [line for line in lines if not str(line.get_label()).startswith("_")]
    ax.legend(
        lines,
        [str(line.get_label()) for line in lines],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.14),  # below: lines may be anywhere on two axes
        ncols=2,
        frameon=False,
    )


def axis_label(axis: Any, share: float | None = None) -> str:
    """Return what a direction is called, with the variance that it explains."""
    label = axis.name if axis.seed is None else f"{axis.name}, seed {axis.seed}"
    return label if share is None else f"{label} ({share:.1%} of the variance)"


def line_label(result: LineResult) -> str:
    """Return what the direction of a line is called, or its several directions."""
    first, last = result.axes[0], result.axes[-1]
    several = f"{first.name}, seeds {first.seed} to {last.seed}"
    return axis_label(first) if len(result.axes) == 1 else several


def _finite(values: Floats) -> Floats:
    shown: Floats = np.where(np.isfinite(values), values, np.nan)
    return shown


def _neighbours(there: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where a point has one beside it, so that a line shows it."""
    padded = np.concatenate([[False], there, [False]])
    beside: NDArray[np.bool_] = padded[:-2] | padded[2:]
    return beside


def _between(x: Floats, y: Floats, at: Floats) -> Floats:
    """Interpolate; NaN outside, and beside values that are not finite."""
    if not x.size:
        return np.full(at.shape, np.nan)
    heights: Floats = np.interp(at, x, _finite(y), left=np.nan, right=np.nan)
    return heights
