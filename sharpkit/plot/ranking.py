"""A ranking: the taus with their intervals, and each measure against the target."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpkit.plot.figures import figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sharpkit.results.ranking import RankedMeasure, RankingResult

BEST = 4  # measures that are drawn against the target
BLUE, RED = "#4477aa", "#cc3311"
WIDE = 50  # positive values that differ by a larger factor get a logarithmic axis


def draw_ranking(result: RankingResult, colour: str, path: Any) -> Figure:
    """Return the figure of a ranking: one panel of taus, then the best measures.

    Parameters
    ----------
    result
        The ranking.
    colour
        The column whose values have a colour each; empty for a single colour.
    path
        The file to save to, or None.
    """
    scatters = [
        partial(_scatter, result, each, colour) for each in result.measures[:BEST]
    ]
    return figure_of([partial(_draw_taus, result), *scatters], path)


def _draw_taus(result: RankingResult, ax: Axes) -> None:
    places = np.arange(len(result.measures))
    kinds = {"tau": [each.tau for each in result.measures]}
    if result.hyperparameters:
        kinds["granulated"] = [each.granulated for each in result.measures]
    height = 0.8 / len(kinds)
    for i, (name, found) in enumerate(kinds.items()):
        value, low, high = np.array([each[:3] for each in found]).T
        at = places + (i - (len(kinds) - 1) / 2) * height
        ax.barh(at, np.nan_to_num(value), height, color=(BLUE, RED)[i], label=name)
        ax.hlines(at, low, high, color="0.2", lw=1.2)
    ax.axvline(0, color="0.4", lw=0.8)
    ax.set_yticks(places, [result.label(m.name) for m in result.measures])
    ax.invert_yaxis()
    ax.set_xlabel("Kendall's tau, 95 % interval")
    ax.legend(frameon=False, fontsize="small")


def _scatter(
    result: RankingResult, measure: RankedMeasure, colour: str, ax: Axes
) -> None:
    x, y = (np.array(result.columns[n]) for n in (measure.name, result.target))
    values = np.array(result.columns.get(colour, ("",) * len(x)), dtype=object)
    seen = np.isfinite(x) & np.isfinite(y)
    for value in dict.fromkeys(values[seen].tolist()):
        chosen = seen & np.array([each == value for each in values])
        name = f"{value:g}" if isinstance(value, float) else str(value)
        ax.scatter(x[chosen], y[chosen], s=14, label=name)
    positive = x[seen & (x > 0)]
    if positive.size == seen.sum() > 0 and positive.max() > WIDE * positive.min():
        ax.set_xscale("log")
    ax.set_xlabel(result.label(measure.name))
    ax.set_ylabel(result.label(result.target))
    ax.set_title(f"tau {measure.tau.value:+.2f}", fontsize="medium")
    if colour:
        title = result.label(colour)
        ax.legend(title=title, frameon=False, fontsize="small")
