"""The parametric plot between the two minimisers, as the paper's Figure 3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Record = dict[str, Any]

_LOSS, _ACCURACY = "#1f4e9c", "#c2410c"


def draw_paths(paths: dict[str, Record], file: Path) -> None:
    """Write one panel per setting to ``file``; the suffix chooses the format.

    Left axis: cross-entropy; right axis: accuracy; train solid, test dashed.

    Parameters
    ----------
    paths
        Setting's name -> what `parametric_path` returned.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4 * len(paths) + 0.6, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(paths), squeeze=False)[0]
    for axis, (name, path) in zip(panels, paths.items(), strict=True):
        _panel(axis, name, path)
    lines = [*panels[0].get_lines()[:2], *panels[0].right_axis.get_lines()]
    figure.legend(
        lines,
        [line.get_label() for line in lines],
        loc="outside lower center",
        ncols=4,
        frameon=False,
    )
    figure.savefig(file, dpi=150)


def _panel(axis: Any, name: str, path: Record) -> None:
    right = axis.twinx()
    axis.right_axis = right
    for part, style in (("train", "-"), ("test", "--")):
        alpha = path["alpha"]
        axis.plot(
            alpha, path[f"{part}_loss"], style, color=_LOSS, label=f"loss, {part}"
        )
        right.plot(
            alpha,
            [100 * value for value in path[f"{part}_accuracy"]],
            style,
            color=_ACCURACY,
            label=f"accuracy, {part}",
        )
    for place, label in ((0, "small batch"), (1, "large batch")):
        axis.axvline(place, color="0.75", lw=0.8, zorder=0)
        axis.annotate(
            label,
            (place, 1.0),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=8,
            color="0.35",
        )
    axis.set_title(name, pad=16)
    axis.set_xlabel(r"$\alpha$")
    axis.set_xlim(-1, 2)
    axis.set_ylim(bottom=0)
    right.set_ylim(0, 102)
    axis.set_ylabel("cross-entropy", color=_LOSS)
    right.set_ylabel("accuracy, %", color=_ACCURACY)
    axis.tick_params(axis="y", colors=_LOSS)
    right.tick_params(axis="y", colors=_ACCURACY)
