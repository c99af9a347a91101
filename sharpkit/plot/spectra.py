"""Densities of eigenvalues, drawn over all orders of magnitude."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sharpkit._spectrum import quadrature

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sharpkit.results import DensityResult

GRID = 1000  # places at which a density is drawn
SMOOTHING = 0.2  # of a density, in units of asinh(x / scale)
COLOURS = (BLUE, RED) = ("#1f4e9c", "#c2410c")
FLOOR = 0.5  # eigenvalues per decade: a tenth of the peak of a single one


def draw_densities(results: dict[str, DensityResult], ax: Axes) -> None:
    """Draw densities with their bands, each under its name.

    The axis is linear near 0 and logarithmic beyond. The densities are smoothed in
    ``u = asinh(x / scale)`` and shown as eigenvalues per decade; triangles mark the
    ends of the spectra.
    """
    every = list(results.values())
    scale = max(result.width for result in every) / 2
    ends = np.array([(each.nodes.min(), each.nodes.max()) for each in every])
    low, high = np.arcsinh([ends.min() / scale, ends.max() / scale])
    grid = np.linspace(low - 4 * SMOOTHING, high + 4 * SMOOTHING, GRID)
    x, decade, top = scale * np.sinh(grid), math.log(10), 2 * FLOOR
    for (name, result), colour in zip(results.items(), COLOURS, strict=False):
        stretched = np.arcsinh(result.nodes / scale)
        band = quadrature.density(stretched, result.weights, result.n, grid, SMOOTHING)
        value, lowest, highest = (result.n * decade * each for each in band)
        ax.plot(x, value, color=colour, lw=1.2, label=name)
        ax.fill_between(x, lowest, highest, color=colour, alpha=0.2, lw=0)
        top = max(top, *highest[value > FLOOR])  # of nothing a band knows little
        places = [result.nodes.min(), result.nodes.max()]
        ax.plot(places, [1.3 * FLOOR] * 2, "v", color=colour)
    ax.set_xscale("asinh", linear_width=scale)
    ax.set_xticks([tick for tick in _decades(scale) if x[0] <= tick <= x[-1]])
    ax.set_yscale("log")
    ax.set_ylim(FLOOR, 1.5 * top)
    ax.set_xlabel(f"eigenvalue λ (linear within ±{scale:.1g})")
    ax.set_ylabel("eigenvalues per decade")
    ax.legend(frameon=False)


def draw_density(result: DensityResult, ax: Axes) -> None:
    """Draw one density with its band, and mark the outliers."""
    draw_densities({"density, 95 % band": result}, ax)
    places = result.outliers()
    if len(places):
        height = np.full(len(places), 2 * FLOOR)
        ax.plot(places, height, "v", color=RED, label="outliers")
        ax.legend(frameon=False)
    ax.set_title(f"n = {result.n:,}, {result.products} products")


def _decades(scale: float) -> list[float]:
    """Return 0 and powers of ten beyond the scale, up and down."""
    least = math.ceil(math.log10(scale))
    powers = [10.0**power for power in range(least, least + 40)]
    return [*(-power for power in reversed(powers)), 0.0, *powers]
