"""The parametric plot, as the paper's Figure 3, and the densities of the Hessian."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from sharpkit._spectrum import quadrature

Record = dict[str, Any]

_LOSS, _ACCURACY = "#1f4e9c", "#c2410c"
_BATCHES = {"SB": ("small batch", "#1f4e9c"), "LB": ("large batch", "#c2410c")}
_PLACES = 1000  # at which a density is drawn
_BLUR = 0.2  # of a density, in units of asinh(x / scale)
_FLOOR = 0.5  # eigenvalues per decade: a tenth of the peak of a single one


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


def draw_densities(densities: dict[str, dict[str, Record]], file: Path) -> None:
    """Write the density of the eigenvalues, small and large batch, a panel per setting.

    Most eigenvalues are near 0 and the few large ones decades away, so that the axis is
    that of ``u = asinh(x / scale)``, linear within a scale around 0, which is about the
    distance of the nodes there, and logarithmic beyond. The density is smoothed in u by
    `_BLUR` and shown as eigenvalues per decade. Bands: 95 %; triangles: the ends of the
    spectrum.

    Parameters
    ----------
    densities
        Setting's name -> ``"SB"`` and ``"LB"`` -> ``density`` of `curvature`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4 * len(densities) + 0.6, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(
        1, len(densities), squeeze=False, sharex=True, sharey=True
    )[0]
    spectra = [
        np.array(each["nodes"]) for pair in densities.values() for each in pair.values()
    ]
    scale = max(np.ptp(nodes) / nodes.shape[1] for nodes in spectra) / 2
    low, high = min(map(np.min, spectra)), max(map(np.max, spectra))
    for axis, (name, pair) in zip(panels, densities.items(), strict=True):
        _density_panel(axis, name, pair, scale)
    panels[0].set_xscale("asinh", linear_width=scale)
    panels[0].set_xticks(_decades(low, high, scale))
    panels[0].set_yscale("log")
    panels[0].set_ylim(bottom=_FLOOR)
    panels[0].set_ylabel("eigenvalues per decade")
    figure.savefig(file, dpi=150)


def _decades(low: float, high: float, scale: float) -> list[float]:
    """Return 0 and the powers of ten beyond the scale, as far as the next one."""
    powers = 10.0 ** np.arange(math.ceil(math.log10(scale)), 10)
    reach = [powers[powers < 10 * max(end, scale)] for end in (-low, high)]
    return [*-reach[0][::-1], 0.0, *reach[1]]


def _density_panel(axis: Any, name: str, pair: dict[str, Record], scale: float) -> None:
    ends = [
        end
        for each in pair.values()
        for end in (np.min(each["nodes"]), np.max(each["nodes"]))
    ]
    low, high = np.arcsinh([min(ends) / scale, max(ends) / scale])
    grid = np.linspace(low - 4 * _BLUR, high + 4 * _BLUR, _PLACES)
    for batch, (words, colour) in _BATCHES.items():
        record = pair[batch]
        nodes, weights = np.array(record["nodes"]), np.array(record["weights"])
        stretched = np.arcsinh(nodes / scale)
        decade = record["n"] * math.log(10)
        band = quadrature.density(stretched, weights, record["n"], grid, _BLUR)
        x = scale * np.sinh(grid)
        share = 100 * record["negative_share"]["value"]
        label = f"{words}, {share:.0f} % negative by size"
        axis.plot(x, decade * band.value, color=colour, lw=1.2, label=label)
        axis.fill_between(
            x, decade * band.low, decade * band.high, color=colour, alpha=0.2, lw=0
        )
        axis.plot([nodes.min(), nodes.max()], [1.3 * _FLOOR] * 2, "v", color=colour)
    axis.set_title(name)
    axis.set_xlabel(rf"eigenvalue $\lambda$ (linear within ±{scale:.1g})")
    axis.legend(frameon=False, fontsize=8)
