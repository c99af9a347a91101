"""Whether a gradient is that of its loss: the loss against the integral of slopes."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from sharpkit._diagnosis.line import Line, Place
from sharpkit._diagnosis.noise import Noise
from sharpkit._inputs.types import Vector

LONGEST = 1e-2  # the longest length that is tried, as a share of 1 + |w|
FACTOR = 8.0  # between lengths that are tried
FINE = 8  # steps of the finest rule on each side
FALSE_ALARM = 1e-5  # the chance of one comparison, if what rules leave were normal
NOISE = 6.0  # so many standard deviations may be noise
ROUNDINGS = 16.0  # so many roundings of the slopes are always allowed


class Agreement(NamedTuple):
    """The worst disagreement on one line.

    Attributes
    ----------
    error, tolerance : float
        ``|f(b) - f(a) - int g.dx|`` and what noise and the rule explain of it, as
        shares of ``int |g.dx|``.
    length : float
        The length of each side, in units of t.
    """

    error: float
    tolerance: float
    length: float


class _Side(NamedTuple):
    """What one side of the weights tells.

    Attributes
    ----------
    gap : float
        What the rise of the loss and the integral of the slopes differ by.
    noise : float
        The standard deviation of that by noise alone.
    size : float
        The integral of the slopes' magnitudes.
    panels : (panels,) float64
        Simpson's rule less the trapezoidal one, for each two steps.
    """

    gap: float
    noise: float
    size: float
    panels: Vector


def agreement(line: Line, noise: Noise, longest: float) -> Agreement | None:
    r"""Compare the loss with the integral of the gradient along a line, on both sides.

    ``f(w + H u) - f(w) = int_0^H g(w + t u).u dt``, the integral by Simpson's rule.
    Unlike a central difference this uses all slopes, so that H may be long, and it
    works at a minimum, where the slope at the weights is nothing but noise. What
    Simpson's rule differs from the trapezoidal rule by bounds its error for smooth
    losses and for one kink in each panel; kinks in great number make both like normal
    variables of one variance, hence Student's t over the panels. H is the one of a
    ladder of lengths at which the tolerance is least; how much disagrees there plays no
    part in the choice.

    Parameters
    ----------
    line
        The line through the weights.
    noise
        The noise of the loss and of its slopes.
    longest
        The longest length H to try.

    Returns
    -------
    Agreement or None
        What disagrees; None if the loss is not finite near the weights, or constant.
    """
    length = _best_length(line, noise, longest)
    if length is None:
        return None
    found: Agreement | None = None
    for step in (2, 1):
        places = _refined(line, length, step)
        sides = [_side(line, part, noise, step * length / FINE) for part in places]
        # A gradient of few digits may stand beside a loss of many, and a place that
        # is not a multiple of the last bit of the weights is rounded.
        size = max(line.steepest * length, max(side.size for side in sides))
        moved = line.steepest * line.scale
        rounding = line.rounding * (ROUNDINGS * size + moved)
        found, smooth = _judged(sides, length, rounding)
        if smooth:
            break
    return found


def _refined(line: Line, length: float, every: int) -> list[list[Place]]:
    """Return the places on the right and on the left, from the weights outwards."""
    sides = []
    for sign in (1, -1):
        steps = range(0, sign * (FINE + 1), sign * every)
        places = line.sample(length / FINE, steps)
        sides.append([Place(p.loss, sign * every * p.slope) for p in places])
    return sides


@np.errstate(over="ignore", invalid="ignore")  # losses and slopes may be infinite
def _side(line: Line, places: list[Place], noise: Noise, step: float) -> _Side:
    """Return what is left of the loss once the integral is taken off."""
    slopes = np.array([place.slope for place in places])
    weights = np.full(len(slopes), 2 / 3)
    weights[1::2], weights[[0, -1]] = 4 / 3, 1 / 3
    rise = places[-1].loss - places[0].loss
    slope_noise = 0.0 if math.isnan(noise.slope) else noise.slope
    return _Side(
        gap=abs(rise - float(weights @ slopes)),
        noise=math.hypot(
            math.sqrt(2) * _noise_at(line, noise, places),
            step * slope_noise * float(np.linalg.norm(weights)),
        ),
        size=max(float(weights @ np.abs(slopes)), abs(rise)),
        panels=(slopes[:-2:2] - 2 * slopes[1::2] + slopes[2::2]) / 3,
    )


def _noise_at(line: Line, noise: Noise, places: list[Place]) -> float:
    """Return the noise of the loss at places where it may be larger, and so rounding.

    As a share of the loss it stays what it is at the weights, if it is rounding.
    """
    largest = max(abs(places[0].loss), abs(places[-1].loss))
    rounding = line.rounding * largest
    if line.centre.loss:
        rounding = min(rounding, noise.loss * largest / abs(line.centre.loss))
    return max(noise.loss, rounding)


def _judged(
    sides: list[_Side], length: float, rounding: float
) -> tuple[Agreement, bool]:
    """Return the worse side, and whether noise limits it rather than the rule."""
    panels = np.concatenate([side.panels for side in sides])
    rms = math.sqrt(float(np.mean(panels**2)) * len(sides[0].panels))
    rule = rms * float(stdtrit(len(panels), 1 - FALSE_ALARM / 2)) + rounding
    worst = max(sides, key=lambda side: side.gap / (NOISE * side.noise + rule or 1))
    tolerance = NOISE * worst.noise + rule
    judged = Agreement(worst.gap / worst.size, tolerance / worst.size, length)
    return judged, rule <= NOISE * worst.noise


def _best_length(line: Line, noise: Noise, longest: float) -> float | None:
    """Return the length with the least tolerance, by two evaluations for each."""
    tried: list[tuple[float, float, float]] = []  # length, noise / size, rule / size
    length, limited = longest, 0
    while length > line.shortest and limited < 2:
        left, centre, right = line.sample(length, (-1, 0, 1))
        side = _side(line, [left, centre, right], noise, length)
        if math.isfinite(side.gap) and side.size > 0:
            rule = float(np.abs(side.panels[0])) * _SCOUTED
            tried.append((length, NOISE * side.noise / side.size, rule / side.size))
            limited = limited + 1 if NOISE * side.noise > rule else 0
        length /= FACTOR
    if not tried:
        return None
    # One small second difference is luck among kinks: the next length must agree.
    rules = [rule for _, _, rule in tried]
    rules = [max(pair) for pair in zip(rules, rules[1:] + rules[-1:], strict=True)]
    totals = [at[1] + rule for at, rule in zip(tried, rules, strict=True)]
    return tried[int(np.argmin(totals))][0]


# The panels of the finest rule are a quarter as long as the one tried, and four.
_SCOUTED = float(stdtrit(FINE, 1 - FALSE_ALARM / 2)) / FINE
