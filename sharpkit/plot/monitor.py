"""The curves of a monitored training, with the thresholds of stability."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sharpkit.plot.figures import Draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sharpkit.monitor import MonitorLog

BLUE, RED = "#1f4e9c", "#c2410c"
WIDE = 30.0  # the largest value over the smallest above which an axis is logarithmic


def monitor_panels(log: MonitorLog, names: Sequence[str]) -> Sequence[Draw]:
    """Return a panel for each of some quantities that were recorded."""
    return [partial(_draw, log, name) for name in names]


def _draw(log: MonitorLog, name: str, ax: Axes) -> None:
    curve = log.curve(name)
    good = np.isfinite(curve.values)
    ax.plot(curve.steps[good], curve.values[good], color=BLUE, lw=1.2)
    known = good & np.isfinite(curve.errors)
    low, high = (curve.values + sign * curve.errors for sign in (-1, 1))
    ax.fill_between(
        curve.steps[known], low[known], high[known], color=BLUE, alpha=0.2, lw=0
    )
    held = np.isfinite(curve.thresholds)
    if held.any():
        steps, thresholds = curve.steps[held], curve.thresholds[held]
        ax.plot(steps, thresholds, "--", color=RED, lw=1.2, label="threshold")
        ax.legend(frameon=False)
    shown = np.concatenate([curve.values[good], curve.thresholds[held]])
    if shown.size and shown.min() > 0 and shown.max() > WIDE * shown.min():
        ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_title(name.replace("_", " "))
