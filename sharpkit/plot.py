"""One function per result type, drawn with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sharpkit.results import SharpnessResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_sharpness(result: SharpnessResult, ax: Axes | None = None) -> Axes:
    """Draw the best sharpness (per cent) against the evaluations spent.

    A curve that still climbs at its right end says that the search had not converged.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        ax = plt.subplots(figsize=(6, 4), layout="constrained")[1]
    evaluations = np.arange(1, result.evaluations + 1)
    ax.step(evaluations, result.history, where="post", label=result.solver)
    if result.noise > 0:
        ax.axhline(result.noise, color="0.6", ls=":", label="noise of the loss")
    ax.set_xlabel("evaluations of loss and gradient")
    ax.set_ylabel(f"sharpness, % (ε = {result.epsilon:g})")
    ax.set_title(f"{result.value:.4g} %, {result.status.name.lower()}")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return ax
