"""What the pictures and the page share: a plane's values as heights to draw."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sharpkit.lab.outcome import Plane
from sharpkit.lab.rendering.curves import Points

STEPS = 20  # of colour, from the lowest to the highest


@dataclass(frozen=True)
class Heights:
    """The first value of a plane as it is drawn.

    Attributes
    ----------
    z : (x, y) array
        The values, or their decimal logarithms; not-a-number where nothing is drawn.
    low, high : float
        The ends of the scale, which differ.
    ticks : dict of float to str
        Places on the scale, and the values that they stand for.
    note : str
        How many points are left blank; empty where none is.
    """

    z: Points
    low: float
    high: float
    ticks: dict[float, str]
    note: str

    @property
    def drawn(self) -> bool:
        """Return whether there is anything to see."""
        return bool(np.isfinite(self.z).any())

    @classmethod
    def of(cls, plane: Plane) -> Heights:
        """Return the heights of a plane."""
        values = np.array(plane.values[plane.shown], np.float64)
        there = np.isfinite(values) & ((values > 0) | (not plane.log))
        z = np.where(there, values, np.nan)
        if plane.log:
            z = np.log10(z)
        low, high = (np.nanmin(z), np.nanmax(z)) if there.any() else (0.0, 1.0)
        high = high if high > low else low + 1.0
        lost = int((~there).sum())
        note = f"{lost} of {there.size} points have no value to draw." if lost else ""
        ticks = _ticks(float(low), float(high), plane.log)
        return cls(z, float(low), float(high), ticks, note)


def _ticks(low: float, high: float, log: bool) -> dict[float, str]:
    """Return values by their places, round ones where the scale is logarithmic."""
    if not log:
        return {float(at): f"{at:.3g}" for at in np.linspace(low, high, 6)}
    step = max(1, math.ceil((high - low) / 8))
    digits = (1,) if high - low > 3 else (1, 2, 5)
    powers = range(math.floor(low), math.ceil(high) + 1)
    values = [digit * 10.0**power for power in powers[::step] for digit in digits]
    found = {math.log10(value): f"{value:g}" for value in values}
    return {at: text for at, text in found.items() if low <= at <= high}
