"""The scale at which the mean rise over random perturbations comes to a target.

All scales see the same perturbations (common random numbers), so that the mean rise is
one smooth curve, whose root is found by a few evaluations; how far that root may be
from the true one is told by the spread of the perturbations at it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sharpkit._inputs.types import Array, Vector
from sharpkit._spectrum.sampling import quantile
from sharpkit._vectors.space import Space
from sharpkit._vectors.streams import Stream
from sharpkit.measures._bounds import EPSILON

PILOT = 4  # draws that tell where to look
SCALES = 3  # at which all draws are looked at
FACTOR, NARROW = 4.0, 1.5  # between the pilot's scales, first and last
# Times the first scale: beyond that nothing rises, and below it all is noise.
FARTHEST, NEAREST = FACTOR**10, FACTOR**-12
POWERS = 0.25, 8.0  # of the scale, which a rise may grow with
CLOSE = 0.05  # of a standard error: so close is the root of the draws


class Root(NamedTuple):
    """Where the mean rise comes to the target.

    Attributes
    ----------
    scale : float
        The scale.
    interval : (float, float)
        What holds the true one in about 95 of 100 runs.
    rise : float
        The mean rise at the last scale that was looked at.
    draws : int
        The perturbations that were averaged.
    end : {"converged", "budget", "unreached", "noise", "non-finite"}
        How the search ended.
    """

    scale: float
    interval: tuple[float, float]
    rise: float
    draws: int
    end: str


class Draws:
    """The rises along fixed random perturbations, at any scale.

    Memory: two vectors.

    Parameters
    ----------
    space, weights
        The space of the weights, and these.
    height
        The loss or the error at some weights.
    centre
        The same at the weights themselves.
    slope
        The gradient of it there, or None. What it says of a rise has a mean of zero,
        and is taken off where that makes the rises spread less.
    magnitude
        Whether a weight is perturbed by its magnitude.
    seed
        The seed of the perturbations.
    """

    def __init__(
        self,
        space: Space,
        weights: Array,
        height: Callable[[Array], float],
        centre: float,
        slope: Array | None,
        *,
        magnitude: bool,
        seed: int,
    ) -> None:
        self._space, self._weights, self._height = space, weights, height
        self._centre, self._slope, self._seed = centre, slope, seed
        self._magnitude, self.evaluations = magnitude, 0
        self._x, self._spread = space.empty(), space.empty()

    def rises(self, scale: float, draws: range) -> tuple[Vector, Vector]:
        """Return the rises of some draws, and what the slope says of each."""
        self._spread[...] = scale
        if self._magnitude:
            self._spread[...] = np.sqrt((scale * self._weights) ** 2 + EPSILON**2)
        found, along = np.empty(len(draws)), np.zeros(len(draws))
        for i, draw in enumerate(draws):
            self._space.fill_normal(self._x, self._seed, Stream.RADIUS + draw)
            self._x *= self._spread
            if self._slope is not None:
                along[i] = self._space.dot(self._slope, self._x)
            self._x += self._weights
            with np.errstate(all="ignore"):  # of a scale that may be far too large
                found[i] = self._height(self._x) - self._centre
            self.evaluations += 1
        return np.where(np.isnan(found), math.inf, found), along


def controlled(rises: Vector, along: Vector) -> Vector:
    """Return the rises less what the slope says, if they spread less so."""
    if not np.isfinite(rises).all():
        return rises
    less = rises - along
    return less if np.var(less) < np.var(rises) else rises


def mean_interval(samples: Vector, noise: float) -> tuple[float, float]:
    """Return what holds the mean of all such samples in about 95 of 100 runs.

    Rises are skewed, like squares of normal numbers: Student's t is corrected for it by
    Hall's transformation (P. Hall, J. R. Stat. Soc. B 54 (1992) 221).

    Parameters
    ----------
    samples
        The samples.
    noise
        The standard deviation of an error that all of them share.
    """
    count, mean, spread = len(samples), float(np.mean(samples)), float(np.std(samples))
    t, root = quantile(count - 1), math.sqrt(count)
    skew = float(np.mean((samples - mean) ** 3)) / spread**3 if spread else 0.0
    stderr = spread / math.sqrt(count - 1)

    def corrected(x: float) -> float:
        if abs(skew) < 1e-6:
            return x
        inner = 1 + skew / root * (x - skew / (6 * root))
        return 3 * root / skew * (float(np.cbrt(inner)) - 1)

    below, above = corrected(t) * stderr, -corrected(-t) * stderr
    return mean - math.hypot(below, 2 * noise), mean + math.hypot(above, 2 * noise)


class Crossing:
    """Looks for the scale at which the mean rise comes to the target.

    Parameters
    ----------
    draws
        The perturbations.
    target
        The rise.
    noise
        The noise of what rises.
    budget
        The evaluations that may be spent.
    report
        A function that is called with (evaluations, scale).
    """

    def __init__(
        self,
        draws: Draws,
        target: float,
        noise: float,
        budget: int,
        report: Callable[[int, float], None],
    ) -> None:
        self._draws, self._target, self._noise = draws, target, noise
        self._budget, self._report = budget, report

    @np.errstate(over="ignore", invalid="ignore")  # losses may be 1e200, or infinite
    def run(self, first: float) -> Root:
        """Return where it is, looked for from a first scale on."""
        low, high, power = self._bracket(first)
        if not high[0] < math.inf:
            return Root(low[0], (low[0], math.inf), low[1], PILOT, "unreached")
        if not low[0] > 0:
            return Root(high[0], (0.0, math.inf), high[1], PILOT, "noise")
        left = self._budget - self._draws.evaluations
        count = max(left // SCALES, 2)
        scale, looked = self._guess(low, high, power), []
        for _ in range(SCALES):
            samples = controlled(*self._draws.rises(scale, range(count)))
            mean = float(np.mean(samples))
            looked.append((scale, mean, samples))
            self._report(self._draws.evaluations, scale)
            if len(looked) > 1:
                power = _power(*looked[-2][:2], scale, mean) or power
            if math.isfinite(mean) and self._close(mean, samples):
                break
            scale = self._next(scale, mean, power)
        return self._root(looked, power, count)

    def _root(
        self, looked: list[tuple[float, float, Vector]], power: float, count: int
    ) -> Root:
        """Return the root by the scale that has come closest to it."""
        fits = [look for look in looked if math.isfinite(look[1])]
        most = min((s for s, mean, _ in looked if math.isinf(mean)), default=math.inf)
        if not fits:
            return Root(most, (0.0, most), math.inf, count, "non-finite")
        scale, mean, samples = min(fits, key=lambda look: abs(look[1] - self._target))
        a, b = mean_interval(samples, self._noise)
        value = scale * _ratio(self._target, mean, power)
        if value >= most:
            return Root(scale, (scale, most), mean, count, "non-finite")
        interval = scale * _ratio(self._target, b, power), scale * self._above(a, power)
        settled = 1 / FACTOR < value / scale < FACTOR
        end = "converged" if settled else "budget"
        return Root(value, interval, mean, count, end)

    def _close(self, mean: float, samples: Vector) -> bool:
        stderr = float(np.std(samples)) / math.sqrt(len(samples))
        return abs(mean - self._target) <= CLOSE * stderr

    def _above(self, least: float, power: float) -> float:
        return math.inf if not least > 0 else _ratio(self._target, least, power)

    def _bracket(
        self, scale: float
    ) -> tuple[tuple[float, float], tuple[float, float], float]:
        """Return scales of a rise below and above the target, and the power between."""
        low, high = (0.0, 0.0), (math.inf, math.inf)
        largest, least = FARTHEST * scale, NEAREST * scale
        while not high[0] <= NARROW * low[0]:
            if not least <= scale <= largest:
                return low, high, 2.0
            mean = float(np.mean(controlled(*self._draws.rises(scale, range(PILOT)))))
            self._report(self._draws.evaluations, scale)
            if mean <= self._target:
                low = scale, mean
            else:
                high = scale, mean
            if not low[0] > 0:
                scale /= FACTOR
            elif math.isinf(high[0]):
                scale *= FACTOR
            else:
                scale = math.sqrt(low[0] * high[0])
        return low, high, _power(*low, *high) or 2.0

    def _guess(
        self, low: tuple[float, float], high: tuple[float, float], power: float
    ) -> float:
        if low[1] > 0 and math.isfinite(high[1]):
            return low[0] * _ratio(self._target, low[1], power)
        return math.sqrt(low[0] * high[0])

    def _next(self, scale: float, mean: float, power: float) -> float:
        step = _ratio(self._target, mean, power) if mean > 0 else FACTOR
        return scale * min(max(step, 1 / FACTOR), FACTOR)


def _power(scale: float, rise: float, other: float, higher: float) -> float | None:
    """Return the power of the scale that leads from one rise to another, or None."""
    if not (0 < min(rise, higher) and max(rise, higher) < math.inf):
        return None
    if abs(math.log(other / scale)) < 1e-2:  # too close to tell
        return None
    power = math.log(higher / rise) / math.log(other / scale)
    return min(max(power, POWERS[0]), POWERS[1])


def _ratio(target: float, rise: float, power: float) -> float:
    """Return the ratio of scales that leads from a rise to the target."""
    if math.isinf(rise):
        return 0.0
    return (target / rise) ** (1 / power) if rise > 0 else FACTOR
