"""Figures: where they come from, and where they go."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sharpkit._inputs.extras import needs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[["Axes"], None]

PANEL = (5.4, 4.2)  # inches
DPI = 150


def figure_of(
    panels: Sequence[Draw],
    path: Any = None,
    ax: Axes | None = None,
    *,
    columns: int | None = None,
    projection: str = "",
) -> Figure:
    """Return a figure with one panel beside the other, saved if a path is given.

    Parameters
    ----------
    panels
        The functions that draw them.
    path
        The file to save to. A figure that is only saved is none of pyplot's, so that
        nothing has to be closed and no window opens.
    ax
        The axes to draw a single panel on; None makes a new figure.
    columns
        The number of panels in a row; None puts all in one.
    projection
        The projection of new axes, such as ``"3d"``; none is flat.

    Returns
    -------
    Figure
        The figure that was drawn on.

    Raises
    ------
    TypeError
        If the path is no path: axes are given by ``ax=``.
    ValueError
        If axes are given for more panels than one.
    """
    if path is not None and not isinstance(path, (str, os.PathLike)):
        msg = (
            f"path is of type {type(path).__name__}; give the name of a file to save "
            "to, or axes as ax="
        )
        raise TypeError(msg)
    if ax is not None and len(panels) != 1:
        msg = f"ax= takes one panel and there are {len(panels)}; leave ax out"
        raise ValueError(msg)
    if ax is not None:
        figure = ax.get_figure(root=True)
        assert figure is not None  # axes belong to one
        axes = [ax]
    else:
        width, height = PANEL
        columns = min(columns or len(panels), len(panels))
        rows = -(-len(panels) // columns)
        figure = _empty((width * columns, height * rows), shown=path is None)
        kind = {"projection": projection or None}
        grid = figure.subplots(rows, columns, squeeze=False, subplot_kw=kind)
        axes = list(grid.flat)
        for spare in axes[len(panels) :]:
            spare.remove()
    for draw, place in zip(panels, axes, strict=False):
        draw(place)
    if path is not None:
        figure.savefig(path, dpi=DPI)
    return figure


def _empty(size: tuple[float, float], *, shown: bool) -> Figure:
    with needs("a plot", "matplotlib", extra="plot"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    if shown:
        import matplotlib.pyplot as plt

        return plt.figure(figsize=size, layout="constrained")
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
