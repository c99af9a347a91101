"""Planes through the weights: filled contours, contour lines, and surfaces."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sharpkit.plot.figures import Draw
from sharpkit.plot.landscape import axis_label, log_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sharpkit.landscape import PlaneResult

Floats = NDArray[np.float64]
Grid = tuple[Floats, Floats, Floats]

KINDS = ("filled", "contour", "surface")
COLOURS = "viridis"
DASHED = 13  # dashed contours at most: with more, every other level is left out
HALO = 2.5  # points of white around lines and texts on colours
# Levels within a decade, the densest that are few enough.
MANTISSAS = (
    (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8),
    (1, 1.5, 2, 3, 5, 7),
    (1, 2, 5),
    (1, 3),
)


def plane_panel(
    result: PlaneResult, value: str | None, kind: str, log: bool | None, levels: int
) -> Draw:
    """Return what draws one value over a plane.

    Raises
    ------
    KeyError
        If there is no value of this name.
    ValueError
        If the kind is none, or the levels are no number of them.
    """
    if kind not in KINDS:
        msg = f"kind={kind!r}; give {', '.join(map(repr, KINDS[:2]))} or {KINDS[2]!r}"
        raise ValueError(msg)
    if levels < 1:
        msg = f"levels={levels}; give the number of contours, at least 1"
        raise ValueError(msg)
    result.value(value)
    return partial(_draw_plane, result, value, kind, log, levels)


def _draw_plane(
    result: PlaneResult,
    value: str | None,
    kind: str,
    log: bool | None,
    number: int,
    ax: Axes,
) -> None:
    name = next(iter(result.values)) if value is None else value
    whole, every = result.whole(), result.value(name)
    grid = np.where(result.taken & np.isfinite(every), every, np.nan)
    first, second = whole or (slice(None), slice(None))
    grid = grid[first][:, second]
    logarithmic = log_scale(log, [grid])
    if logarithmic:
        grid = np.where(grid > 0, grid, np.nan)
    at: Grid = (result.x[first], result.y[second], grid)
    solid = kind == "surface"
    if solid and ax.name != "3d":
        msg = "kind='surface' needs axes of projection='3d'; give such as ax="
        raise ValueError(msg)
    levels = _levels(grid, logarithmic, number)
    ax.set(xlim=_ends(result.x), ylim=_ends(result.y))
    if not np.isfinite(grid).any():
        name += ": no value to draw"
    elif solid:
        _surface(ax, at, logarithmic)
    elif whole is None:
        _scatter(ax, at, logarithmic)
    else:
        _contours(ax, at, levels, logarithmic, filled=kind == "filled")
        entries = _blank(ax, at, levels)
        known = result.quadratic() if name == next(iter(result.values)) else None
        if known is not None:
            entries += _quadratic(ax, (*at[:2], known[first][:, second]), levels)
        _legend(ax, entries)
    _marks(ax, result, at, logarithmic)
    _words(ax, result, name, grid.shape if whole else ())


def _words(ax: Axes, result: PlaneResult, name: str, drawn: tuple[int, ...]) -> None:
    shares = result.explained or (None, None)
    labels = [axis_label(*each) for each in zip(result.axes, shares, strict=True)]
    if ax.name == "3d":
        labels = [label.replace(" (", "\n(") for label in labels]
    ax.set(xlabel=labels[0], ylabel=labels[1])
    if not result.complete:
        took = f"{int(result.taken.sum()):,} of {result.taken.size:,} points taken"
        name += f" ({took}{', {} x {} drawn'.format(*drawn) if drawn else ''})"
    ax.set_title(name, fontsize="medium")


def _levels(grid: Floats, log: bool, number: int) -> Floats:
    """Return round levels, from at most the smallest value to at least the largest."""
    from matplotlib.ticker import MaxNLocator

    if not np.isfinite(grid).any():
        return np.zeros(0)
    low, high = np.nanmin(grid), np.nanmax(grid)
    decades = math.log10(high / low) if log else 0.0
    if decades < 1:
        found = np.asarray(MaxNLocator(number).tick_values(low, high))
        return found[found > 0] if log else found
    few = (each for each in MANTISSAS if len(each) * decades <= number)
    mantissas = next(few, (1,))
    step = max(1, math.ceil(decades / number)) if len(mantissas) == 1 else 1
    powers = range(
        math.floor(math.log10(low)), math.ceil(math.log10(high)) + step, step
    )
    every = np.array([m * 10.0**power for power in powers for m in mantissas])
    first = np.flatnonzero(every <= low * (1 + 1e-9))[-1]
    last = np.flatnonzero(every >= high * (1 - 1e-9))[0]
    return every[first : last + 1]


def _norm(grid: Floats, log: bool) -> Any:
    from matplotlib.colors import LogNorm, Normalize

    kind = LogNorm if log else Normalize
    return kind(np.nanmin(grid), np.nanmax(grid))


def _contours(ax: Axes, at: Grid, levels: Floats, log: bool, *, filled: bool) -> None:
    x, y, grid = at
    values = np.ma.masked_invalid(grid.T)
    options: Any = {"levels": levels, "cmap": COLOURS, "norm": _norm(levels, log)}
    if filled:
        drawn = ax.contourf(x, y, values, **options)
        _bar(ax, drawn, log)
    elif _crossed(grid, levels):
        drawn = ax.contour(x, y, values, linewidths=1.2, **options)
        ax.clabel(drawn, fmt="%.4g", fontsize=7, inline_spacing=2)


def _bar(ax: Axes, drawn: Any, log: bool) -> None:
    """Draw the bar of colours, with ticks that are numbers where it is logarithmic."""
    figure: Any = ax.get_figure()
    bar = figure.colorbar(drawn, ax=ax, pad=0.02)
    if log:
        from matplotlib.ticker import LogLocator, NullLocator

        low, high = drawn.norm.vmin, drawn.norm.vmax
        few = high < 1000 * low
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        if few:
            bar.ax.yaxis.set_major_formatter("{x:g}")


def _crossed(grid: Floats, levels: Floats) -> bool:
    """Return whether a contour of these levels exists, for matplotlib warns of none."""
    low, high = np.nanmin(grid), np.nanmax(grid)
    return bool(((levels > low) & (levels < high)).any())


def _quadratic(ax: Axes, at: Grid, levels: Floats) -> list[Any]:
    """Draw what the eigenvalues say as dashed lines, at levels of the contours."""
    from matplotlib.lines import Line2D

    x, y, known = at
    levels = levels[:: 1 + len(levels) // DASHED]
    if not _crossed(known, levels):
        return []
    dashes: Any = {"colors": "0.1", "linestyles": "dashed", "linewidths": 0.7}
    ax.contour(x, y, known.T, levels=levels, **dashes)
    label = "quadratic of the eigenvalues"
    return [Line2D([], [], color="0.1", ls="--", lw=0.7, label=label)]


def _scatter(ax: Axes, at: Grid, log: bool) -> None:
    """Draw the points that were taken, where they are no grid yet."""
    x, y, grid = at
    first, second = np.nonzero(np.isfinite(grid))
    options: Any = {"s": 14, "marker": "s", "cmap": COLOURS, "norm": _norm(grid, log)}
    drawn = ax.scatter(x[first], y[second], c=grid[first, second], **options)
    _bar(ax, drawn, log)


def _blank(ax: Axes, at: Grid, levels: Floats) -> list[Any]:
    """Hatch what has no value, below everything."""
    from matplotlib.patches import Rectangle

    x, y, grid = at
    if np.isfinite(grid).all():
        return []
    look: Any = {"facecolor": "0.96", "edgecolor": "0.7", "hatch": "////", "lw": 0}
    look["label"] = "not finite, or not on the scale"
    ground = Rectangle((0, 0), 1, 1, transform=ax.transAxes, zorder=0.5, **look)
    ax.add_patch(ground)
    white: Any = {"levels": levels[[0, -1]], "colors": "white", "zorder": 0.6}
    ax.contourf(x, y, np.ma.masked_invalid(grid.T), **white)
    return [ground]


def _legend(ax: Axes, entries: list[Any]) -> None:
    if entries:
        where: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}
        ax.legend(handles=entries, ncols=2, frameon=False, fontsize="small", **where)


def _surface(ax: Any, at: Grid, log: bool) -> None:
    """Draw the surface, of exponents where it is logarithmic: mplot3d needs that."""
    from matplotlib.ticker import MaxNLocator

    x, y, grid = at
    height = np.log10(grid) if log else grid
    across, along = np.meshgrid(x, y, indexing="ij")
    fine: Any = {"rcount": len(x), "ccount": len(y), "lw": 0, "antialiased": False}
    ax.computed_zorder = False  # marks lie on the surface, which would hide them
    ax.plot_surface(
        across, along, height, cmap=COLOURS, norm=_norm(height, False), zorder=1, **fine
    )
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.labelpad = 12
    if log:
        ax.zaxis.set_major_formatter(lambda power, _: f"{10**power:.3g}")
    ax.tick_params(labelsize=8)
    ax.view_init(elev=35, azim=-60)
    ax.set_box_aspect(None, zoom=0.8)


def _inside(result: PlaneResult, place: Floats) -> bool:
    ends = (_ends(result.x), _ends(result.y))
    return all(low <= at <= high for at, (low, high) in zip(place, ends, strict=True))


def _height(at: tuple[Floats, ...], grid: Floats, place: Floats) -> float:
    """Interpolate between the four points around a place."""
    cells, shares = [], []
    for ticks, where in zip(at, place, strict=True):
        cell = int(np.clip(np.searchsorted(ticks, where) - 1, 0, len(ticks) - 2))
        cells.append(slice(cell, cell + 2))
        share = (where - ticks[cell]) / (ticks[cell + 1] - ticks[cell])
        shares.append(np.array([1 - share, share]))
    return float(shares[0] @ grid[cells[0], cells[1]] @ shares[1])


def _marks(ax: Axes, result: PlaneResult, at: Grid, log: bool) -> None:
    x, y, grid = at
    height = np.log10(grid) if log else grid
    for name, places in result.marks.items():
        if ax.name != "3d":
            _trail(ax, (places[:, 0], places[:, 1]), name)
            continue
        inside = np.array([place for place in places if _inside(result, place)])
        if len(inside):
            heights = np.array([_height((x, y), height, place) for place in inside])
            _trail(ax, (inside[:, 0], inside[:, 1], heights), name)


def _trail(ax: Any, place: tuple[Floats, ...], name: str) -> None:
    """Draw a checkpoint, or a trajectory whose end is marked, with its name."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=HALO, foreground="white")]
    dark: Any = {"color": "0.1", "zorder": 6, "path_effects": halo}
    several = len(place[0]) > 1
    if several:
        ax.plot(*place, "-o", lw=1, ms=2.5, **dark)
    end = [float(each[-1]) for each in place]
    look: Any = {"mfc": "white", "mec": "0.1", "zorder": 7}
    ax.plot(*([each] for each in end), "s" if several else "o", ms=6, **look)
    if len(place) == 3:
        if np.isfinite(end).all():
            ax.text(*end, f"  {name}", fontsize=8, **dark)
        return
    right, top = ax.transAxes.inverted().transform(ax.transData.transform(end)) > 0.9
    offset = (-6 if right else 6, -12 if several or top else 5)
    where: Any = {"xytext": offset, "textcoords": "offset points", "fontsize": 8}
    where |= {"ha": "right" if right else "left", "annotation_clip": True}
    ax.annotate(name, end, **where, **dark)


def _ends(ticks: Floats) -> tuple[float, float]:
    return float(ticks.min()), float(ticks.max())
