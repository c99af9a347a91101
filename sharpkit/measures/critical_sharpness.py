"""Critical sharpness: how long an update may be before the loss rises."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sharpkit._inputs.checks import at_least
from sharpkit._inputs.objective import Objective, require_moderate
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Array, LossFn
from sharpkit.measures._given import (
    Sum,
    centre,
    closer,
    direction_of,
    forward,
    positive,
)
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import sharded
from sharpkit.problem import is_problem
from sharpkit.results.along import CriticalResult, CriticalStatus

FIRST = 1e-2  # of 1 + |w|: the length of the first step, without a guess
FACTOR, NEAR = 2.0, 1.25  # between steps; between the first two after a guess
TOLERANCE = 1 / 16  # of the larger end: a bracket so narrow is the result
MOST = 40  # forward passes
SURE = 4.0  # so many standard deviations of the noise are a rise, or a fall


@sharded
@documented
def critical_sharpness(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    direction: Any = None,
    guess: float | None = None,
    max_evaluations: int = MOST,
    backend: str | None = None,
    process_group: Any = None,
    comm: Any = None,
    progress: Progress = None,
) -> CriticalResult:
    r"""Measure the curvature along an update by how long the update may be.

    ``2 / min {s > 0 : L(w - s d) > L(w)}`` for the update d. On a quadratic it is
    ``d.Hd / d.g``, the directional sharpness; with the gradient as d at most the
    largest eigenvalue. It takes forward passes only, five or six from a good guess.

    Parameters
    ----------
    problem
        $problem
    loss_fn
        $loss_fn
    direction
        The update that is taken off the weights: ``w - s direction``. A vector, such as
        the optimiser's last step divided by its rate; a problem, whose gradient at
        these weights it is (relative critical sharpness: the loss of one problem along
        the update of another); or None for the gradient of the loss itself.
    guess
        A step to begin with: `CriticalResult.step` of an earlier measurement. None
        begins with a step of 1 % of ``1 + |w|``.
    max_evaluations
        The forward passes that may be done, at least 8.
    backend
        $backend
    process_group
        $process_group
    comm
        $comm
    progress
        $progress

    Returns
    -------
    CriticalResult
        The value, the critical step with its bracket, and how far to believe them.

    Raises
    ------
    TypeError, ValueError
        $raises

    Warns
    -----
    SharpkitWarning
        If the loss is not deterministic.

    See Also
    --------
    directional_sharpness : The same to second order, by one product.

    Notes
    -----
    The step is doubled or halved until it has the first rise between its last two
    values, and that bracket is then bisected until its ends differ by less than 1/16.
    A loss that rises and falls again between two of these steps is not seen to. A step
    whose loss is not finite counts as risen. Where the loss falls by no more than
    rounding may explain, its noise is looked at in some 20 to 80 evaluations more.

    References
    ----------
    arXiv 2601.16979.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> def loss(w):
    ...     return 0.5 * float(w @ (np.array([1.0, 4.0]) * w)), np.array([1.0, 4.0]) * w
    >>> result = sharpkit.critical_sharpness(np.array([0.0, 1.0]), loss)
    >>> low, high = result.interval
    >>> bool(low <= 4.0 <= high)
    True
    """
    point = Point.of(problem, loss_fn, backend=backend, comm=comm)
    began = point.begin()
    budget = at_least("max_evaluations", max_evaluations, 8)
    if guess is not None:
        guess = positive("guess", guess)
    whole, objective = point.objective(), forward(point)
    vector = direction is not None and not is_problem(direction)
    update = direction_of(point, direction, whole)
    loss, _, noise = centre(objective, point.weights)
    require_moderate(loss)
    with reporter(
        progress, budget, title="critical sharpness", unit="passes", value="{:.4g}"
    ) as report:
        search = _Search(_Line(point, objective, update), loss, noise, report, budget)
        low, high = search.run(guess, point, update)
    passes = objective.calls
    search.noise = closer(point, objective, loss, noise, search.deepest)
    step, value = _headline(low, high)
    interval = search.interval()
    return CriticalResult(
        value=value,
        step=step,
        bracket=(low, high),
        interval=interval,
        loss=loss,
        noise=search.noise,
        evaluations=passes,
        gradients=0 if vector else 1,
        status=search.status(low, high, interval),
        run=point.run(
            Sum(objective, whole), began, seed=0, source="differences of the loss"
        ),
    )


def _headline(low: float, high: float) -> tuple[float, float]:
    """Return the critical step and twice its inverse."""
    if math.isinf(high):
        return low, 2 / low
    return (low + high) / 2, 4 / (low + high)


class _Line:
    """The loss at ``w - s d``. Memory: one vector."""

    def __init__(self, point: Point, objective: Objective, update: Array) -> None:
        self._point, self._objective, self._update = point, objective, update
        self._x = point.space.empty()

    def __call__(self, step: float) -> float:
        space = self._point.space
        space.copy(self._point.weights, self._x)
        space.add(self._update, self._x, -step)
        with np.errstate(all="ignore"):  # of a step that may be far too long
            return self._objective(self._x)[0]


class _Search:
    """The doubling, the halving and the bisection, and what they have seen."""

    def __init__(
        self,
        line: Callable[[float], float],
        loss: float,
        noise: float,
        report: Callable[[int, float], None],
        budget: int,
    ) -> None:
        self._line, self._loss, self.noise = line, loss, noise
        self._report, self._left, self._done = report, budget - 2, 2
        self._seen: dict[float, float] = {0.0: 0.0}  # the rise at each step

    def run(
        self, guess: float | None, point: Point, update: Array
    ) -> tuple[float, float]:
        """Return the bracket of the critical step: not above, and above."""
        norm = point.space.norm
        first = FIRST * (1 + norm(point.weights)) / norm(update)
        step, factor = guess or first, FACTOR if guess is None else NEAR
        above = self._above(step)
        low, high = (0.0, step) if above else (step, math.inf)
        while self._left and (low == 0.0 or math.isinf(high)):
            step = step / factor if above else step * factor
            if self._above(step):
                high = step
            else:
                low = step
            factor = FACTOR
        while self._left and low > 0 and 1 - low / high >= TOLERANCE:
            middle = (low + high) / 2
            if self._above(middle):
                high = middle
            else:
                low = middle
        return low, high

    @property
    def deepest(self) -> float:
        """How far the loss was seen to fall."""
        falls = [-rise for rise in self._seen.values() if math.isfinite(rise)]
        return max(falls)

    def interval(self) -> tuple[float, float]:
        """Return the values between which it lies, allowing for noise."""
        sure = [s for s, rise in self._seen.items() if not rise <= SURE * self.noise]
        high = min(sure, default=math.inf)
        fell = (s for s, rise in self._seen.items() if rise < -SURE * self.noise)
        low = max((s for s in fell if s < high), default=0.0)
        return 2 / high, 2 / low if low else math.inf

    def status(
        self, low: float, high: float, interval: tuple[float, float]
    ) -> CriticalStatus:
        """Return how the search ended, as far as noise lets it be known."""
        if math.isinf(high):
            return CriticalStatus.NO_RISE
        if math.isinf(interval[1]) and interval[0] > 0:
            return CriticalStatus.NO_DESCENT
        told = interval[1] * (1 - 2 * TOLERANCE) <= interval[0]
        return CriticalStatus.CONVERGED if told else CriticalStatus.BELOW_NOISE

    def _above(self, step: float) -> bool:
        rise = self._line(step) - self._loss
        self._left, self._done = self._left - 1, self._done + 1
        self._seen[step] = rise
        self._report(self._done, 2 / step)
        return not rise <= self.noise  # NaN is above
