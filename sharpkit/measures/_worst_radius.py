"""The smallest box known to hold a point with a rise: the radius of the worst case.

Whatever point has the rise bounds the radius from above by its own largest coordinate.
So points are looked for in a box, the highest is drawn back towards the weights until
the rise is only just there, and the search goes on in the box that it then touches,
from that very point, until no search finds more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sharpkit._box.ball import Cube
from sharpkit._box.box import Box
from sharpkit._box.search import maximise
from sharpkit._inputs.objective import Objective
from sharpkit._inputs.types import Array
from sharpkit._vectors.streams import Stream

SEARCH, LAST = 25, 100  # evaluations of a search, and of the last one at most
SMALLER = 1e-3  # a radius that is smaller by no more than this share is the same
RAY, EXACT = 12, 1e-10  # evaluations on the way back; a rise so close to the target
FACTOR, FARTHEST, NEAREST = 4.0, 4.0**12, 4.0**-12  # of the way out, and its ends
USUAL_POWER = 2.0  # of the distance, which a rise grows with


class Found(NamedTuple):
    """What was found.

    Attributes
    ----------
    radius, rise : float
        The radius, and the rise at the point that touches its box.
    evaluations : int
        The evaluations that were spent.
    end : {"upper bound", "budget", "unreached", "noise"}
        How the search ended.
    """

    radius: float
    rise: float
    evaluations: int
    end: str


class Shrinking:
    """Looks for points with the rise in ever smaller boxes.

    Memory: that of a search of the box, and six vectors.

    Parameters
    ----------
    objective
        The loss with its gradient, which is climbed.
    cube
        The box.
    loss, gradient
        The loss and the gradient at the weights; no gradient says that differences are
        to be taken.
    height
        What is to rise, at some weights.
    centre
        The same at the weights.
    target
        The rise.
    budget
        The evaluations that may be spent.
    seed
        The seed of the searches.
    report
        A function that is called with (evaluations, radius).
    """

    def __init__(
        self,
        objective: Objective,
        cube: Cube,
        loss: float,
        gradient: Array | None,
        height: Callable[[Array], float],
        centre: float,
        *,
        target: float,
        budget: int,
        seed: int,
        report: Callable[[int, float], None],
    ) -> None:
        self._objective, self._cube, self._loss = objective, cube, loss
        self._gradient, self._height, self._centre = gradient, height, centre
        # What is risen by the target and no more is still inside the radius.
        self._target, self._budget, self._seed = target * (1 + EXACT), budget, seed
        self._report, self._spent, self._space = report, 0, cube.search
        self._z, self._scaled = self._space.empty(), self._space.empty()
        self._rise = 0.0

    def run(self, first: float) -> Found:
        """Return the radius, looked for from a first one on."""
        end = self._outward(first)
        if end:
            return Found(self._cube.epsilon, self._rise, self._spent, end)
        searches, budget, gained = 0, SEARCH, True
        while self._left > RAY + SEARCH:
            if gained and self._climb():
                continue
            spend, seed = min(budget, self._left - RAY), self._seed + searches
            gained, searches = self._search(spend, seed), searches + 1
            if not gained and budget == LAST:
                end = "upper bound"
                break
            budget = budget if gained else LAST
        radius = self._cube.epsilon
        return Found(radius, self._rise, self._spent, end or "budget")

    @property
    def _left(self) -> int:
        return self._budget - self._spent

    def _at(self, share: float) -> float:
        """Return the rise a share of the way to the point."""
        self._space.copy(self._z, self._scaled, share)
        self._spent += 1
        with np.errstate(all="ignore"):
            rise = self._height(self._cube.weights_at(self._scaled)) - self._centre
        return math.inf if math.isnan(rise) else rise

    def _risen(self, rise: float) -> bool:
        return rise >= self._target * (1 - EXACT / 2)

    def _outward(self, first: float) -> str:
        """Find any point with the rise, along the corner of random signs."""
        self._space.fill_signs(self._z, self._seed, Stream.OUTWARD)
        scale, rise, low, high = first, 0.0, 0.0, math.inf
        while not (low > 0 and high < math.inf):
            if not NEAREST <= scale / first <= FARTHEST:
                self._cube.epsilon = scale
                self._rise = rise
                return "noise" if high < math.inf else "unreached"
            rise = self._at(scale)
            if self._risen(rise):
                high, scale = scale, scale / FACTOR
            else:
                low, scale = scale, scale * FACTOR
        self._space.scale(self._z, high)
        self._cube.epsilon = high
        self._back()
        return ""

    def _back(self) -> bool:
        """Draw the point back until the rise is only just there; take the smaller box.

        Returns whether the box has become smaller.
        """
        low, high, below = 0.0, 1.0, 0.0
        above, power = self._at(1.0), USUAL_POWER
        if not self._risen(above):
            return False
        for _ in range(RAY - 1):
            if above <= self._target * (1 + EXACT) or 1 - low / high < SMALLER / 4:
                break
            share = high * (self._target / above) ** (1 / power)  # 0 if it is infinite
            if not low < share < high:
                share = (low + high) / 2
            rise = self._at(share)
            if below > 0 and math.isfinite(above):
                power = math.log(above / below) / math.log(high / low)
            if self._risen(rise):
                stuck = 1 - share / high < SMALLER / 4
                high, above = share, rise
            else:
                stuck = share / low - 1 < SMALLER / 4 if low else False
                low, below = share, max(rise, 0.0)
            if stuck:  # at one end: bisect
                power = USUAL_POWER
        before, self._rise = self._cube.epsilon, above
        self._space.scale(self._z, high)
        self._cube.epsilon = min(self._space.largest(self._z), before)
        self._report(self._spent, self._cube.epsilon)
        return self._cube.epsilon < before * (1 - SMALLER)

    def _box(self, budget: int) -> Box:
        gradient = self._gradient
        gradient = None if gradient is None else gradient.copy()
        return Box(
            self._objective,
            self._cube,
            self._loss,
            gradient,
            budget=budget + 1,
            spent=1,
        )

    def _climb(self) -> bool:
        """Climb from corner to corner, from the last point; return whether it helped.

        The gradient at one corner says which is the next: the power method of the box.
        """
        box = self._box(SEARCH)
        z, best = self._space.empty(), -math.inf
        self._space.copy(self._z, z)
        while box.left:
            found = box.evaluate(z, z, 0.0)
            if not found.loss > best:
                break
            best = found.loss
            self._space.copy(z, self._z)
            box.corner(found.gradient, z)
        self._spent += len(box.history) - 1
        return self._back()

    def _search(self, budget: int, seed: int) -> bool:
        """Search the box anew; return whether that led to a smaller one."""
        box = self._box(budget)
        kept = self._z.copy()
        self._space.copy(maximise(box, seed=seed).best.z, self._z)
        self._spent += len(box.history) - 1
        rise = self._rise
        if self._back():
            return True
        self._space.copy(kept, self._z)
        self._rise = rise
        return False
