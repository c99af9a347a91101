"""The line search of Moré and Thuente (1994), as MINPACK-2 and L-BFGS-B run it.

J. J. Moré and D. J. Thuente, "Line search algorithms with guaranteed sufficient
decrease", ACM Transactions on Mathematical Software 20 (1994); section numbers below.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

SUFFICIENT = 1e-3  # decrease, as a share of what the first slope promises
CURVATURE = 0.9  # the slope must have fallen to this share
NARROW = 0.1  # relative width of the bracket at which the search gives up
GROWTH = (1.1, 4.0)  # the next step ahead, in units of the last one
BISECT = 0.66  # the bracket must shrink to this share in two trials


@dataclass
class Trial:
    """One step along the line.

    Attributes
    ----------
    step : float
        Its length.
    value, slope : float
        The function and its derivative there.
    """

    step: float
    value: float
    slope: float

    def tilted(self, slope: float) -> Trial:
        """Return the trial for the function minus ``slope`` times the step."""
        return Trial(self.step, self.value - slope * self.step, self.slope - slope)


def search(
    at: Callable[[float], Trial | None],
    start: Trial,
    longest: Callable[[], float],
    *,
    trials: int = 20,
) -> Trial | None:
    """Return a trial that satisfies the strong Wolfe conditions, or the best found.

    ``f(t) <= f(0) + SUFFICIENT t f'(0)`` and ``|f'(t)| <= CURVATURE |f'(0)|``.

    Parameters
    ----------
    at
        A function that evaluates at a step, or returns None where that cannot be done,
        which ends the search. Where the value is infinite, the search comes back
        halfway.
    start
        The trial at step 0; its slope is negative.
    longest
        A function that returns the largest step. It is asked only if the first trial,
        at 1, does not do.
    trials
        The largest number of evaluations.

    Returns
    -------
    Trial or None
        The trial that was evaluated last; None if there is none that may be taken.
    """
    step, limit = 1.0, math.inf
    best = other = start
    bracketed, low, high = False, 0.0, step + GROWTH[1] * step
    width = before = math.inf
    first_stage, least = True, SUFFICIENT * start.slope
    for _ in range(trials):
        now = at(step)
        if now is None:
            return None
        if not math.isfinite(now.value):  # beyond where the function exists: come back
            limit, step = step, (best.step + step) / 2
            width, before = limit, 2 * limit
            continue
        enough = now.value <= start.value + step * least
        if enough and abs(now.slope) <= -CURVATURE * start.slope:
            return now
        if limit == math.inf:
            limit = max(longest(), step)
            width, before = limit, 2 * limit
        first_stage = first_stage and not (enough and now.slope >= 0)
        if (
            (bracketed and not low < step < high)
            or (bracketed and high - low <= NARROW * high)
            or (step == limit and enough and now.slope <= least)
            or (step == 0 and (not enough or now.slope >= least))
        ):
            return now
        # Section 4: until the decrease suffices somewhere, the search is for a
        # minimum of the function minus the line it has to stay under.
        tilt = least if first_stage and now.value <= best.value and not enough else 0.0
        ends = best.tilted(tilt), other.tilted(tilt), now.tilted(tilt)
        step, bracketed = _next_step(*ends, bracketed, low, high)
        best, other = _interval(best, other, now, ends)
        if bracketed:
            if abs(other.step - best.step) >= BISECT * before:
                step = best.step + 0.5 * (other.step - best.step)
            before, width = width, abs(other.step - best.step)
            low, high = sorted((best.step, other.step))
        else:
            low, high = (step + g * (step - best.step) for g in GROWTH)
        step = min(max(step, 0.0), limit)
        if bracketed and (not low < step < high or high - low <= NARROW * high):
            step = best.step
    return None


def _interval(
    best: Trial, other: Trial, now: Trial, ends: tuple[Trial, Trial, Trial]
) -> tuple[Trial, Trial]:
    """Return the ends of the new interval, the better one first (section 2)."""
    x, _, t = ends
    if t.value > x.value:
        return best, now
    if t.slope * x.slope < 0:
        return now, best
    return now, other


def _next_step(
    x: Trial, y: Trial, t: Trial, bracketed: bool, low: float, high: float
) -> tuple[float, bool]:
    """Return the next step and whether a minimum is bracketed (section 4).

    ``x`` is the best trial, ``y`` the other end of the interval, ``t`` the newest one.
    """
    if t.value > x.value:  # case 1: a higher value brackets a minimum
        cubic, quadratic = _cubic(x, t, x), _parabola(x, t)
        if abs(cubic - x.step) < abs(quadratic - x.step):
            return cubic, True
        return cubic + (quadratic - cubic) / 2, True
    if t.slope * x.slope < 0:  # case 2: so does a slope of the other sign
        cubic, secant = _cubic(x, t, t), _secant(x, t)
        return (cubic if abs(cubic - t.step) > abs(secant - t.step) else secant), True
    if abs(t.slope) < abs(x.slope):  # case 3: the slope has lessened
        secant = _secant(x, t)
        beyond = high if t.step > x.step else low
        cubic = _cubic(x, t, t, beyond)
        nearer = abs(cubic - t.step) < abs(secant - t.step)
        step = cubic if nearer == bracketed else secant
        if not bracketed:
            return min(max(step, low), high), False
        guard = t.step + BISECT * (y.step - t.step)
        return (min if t.step > x.step else max)(guard, step), True
    if bracketed:  # case 4: it has not
        return _cubic(y, t, t), True
    return (high if t.step > x.step else low), False


def _cubic(a: Trial, b: Trial, origin: Trial, beyond: float | None = None) -> float:
    """Return the minimum of the cubic through two trials, stepping from ``origin``.

    Where the cubic has none in the direction of b, return ``beyond`` if given.
    """
    other = b if origin is a else a
    theta = 3 * (a.value - b.value) / (b.step - a.step) + a.slope + b.slope
    scale = max(abs(theta), abs(a.slope), abs(b.slope))
    inside = (theta / scale) ** 2 - a.slope / scale * (b.slope / scale)
    gamma = scale * math.sqrt(max(0.0, inside))
    if (origin.step > other.step) if origin is b else (b.step < a.step):
        gamma = -gamma
    p = (gamma - origin.slope) + theta
    q = ((gamma - origin.slope) + gamma) + other.slope
    if beyond is not None and not (q != 0 and p / q < 0 and gamma != 0):
        return beyond
    return origin.step + p / q * (other.step - origin.step)


def _parabola(x: Trial, t: Trial) -> float:
    """Return the minimum of the parabola through value and slope at x, value at t."""
    span = t.step - x.step
    return x.step + x.slope / ((x.value - t.value) / span + x.slope) / 2 * span


def _secant(x: Trial, t: Trial) -> float:
    """Return where the line through both slopes is zero."""
    return t.step + t.slope / (t.slope - x.slope) * (x.step - t.step)
