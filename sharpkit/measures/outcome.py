"""What is said of a search for the sharpness: how it ended."""

from __future__ import annotations

from sharpkit._box.box import Box, Point
from sharpkit.results import Status

CONVERGED_GAP = 1e-2


def relative_gap(box: Box, best: Point) -> float:
    """Return the first-order gain left at ``best`` as a share of the rise, or NaN."""
    rise = best.loss - box.history[0]
    followable = box.space.dot(best.gradient, best.gradient) > 0
    if rise <= 0 or (box.non_finite and not followable):
        return float("nan")
    return box.gap(best) / rise


def status_of(
    box: Box, value: float, noise: float, gap: float, stopped: bool
) -> Status:
    """Return how a search ended."""
    if box.non_finite:
        return Status.NON_FINITE
    if value == 0:
        return Status.STALLED if stopped else Status.FLAT
    if value <= noise:
        return Status.BELOW_NOISE
    if gap <= CONVERGED_GAP:
        return Status.CONVERGED
    return Status.STALLED if stopped else Status.BUDGET
