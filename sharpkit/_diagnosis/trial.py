"""The loss at the weights, called several times, and what every question needs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np

from sharpkit._diagnosis.line import Centre, Line
from sharpkit._inputs.objective import (
    ROUNDINGS,
    Objective,
    gradient_rounding,
    require_moderate,
)
from sharpkit._inputs.types import Array, LossFn
from sharpkit._vectors.space import Space
from sharpkit._vectors.streams import Stream

REPEATS = 2  # so many calls at the weights follow the two of `Objective.centre`
AWAY = 1e-3  # the last of them follows one that is so far away, in every entry


class Trial:
    """A loss under trial: its centre, checked calls, their times, and directions.

    Parameters
    ----------
    space
        The space of the weights.
    weights : (n,)
        The weights.
    loss_fn
        The loss under trial.
    seed
        The seed of the directions.
    report
        A function that is called with the number of calls so far.

    Attributes
    ----------
    centre : Centre
        The weights, with the loss and the gradient there.
    deterministic : bool
        Whether loss and gradient are the same at every call, but for rounding.
    loss_difference, gradient_difference : float
        The largest difference between the calls at the weights; the gradient's is a
        share of its norm, NaN without one.
    stale : bool
        Whether the gradient is that of the loss at the call before.
    other_calls, other_seconds : int, float
        The calls of products and differences, and the seconds spent inside them.
    """

    def __init__(
        self,
        space: Space,
        weights: Array,
        loss_fn: LossFn,
        seed: int,
        report: Callable[[int], None],
    ) -> None:
        self.space, self.weights, self.seed = space, weights, seed
        self.loss_fn, self.report = loss_fn, report
        self._objective = Objective(loss_fn, weights)
        self._lapses: list[float] = []
        self.other_calls, self.other_seconds = 0, 0.0  # outside of `evaluate`
        loss, gradient, _ = self._objective.centre(weights)
        require_moderate(loss)
        self.centre = Centre(weights, loss, gradient)
        self._repeat()

    def evaluate(self, x: Array) -> tuple[float, Array | None]:
        """Return loss and gradient, the callback's buffer."""
        before = self._objective.seconds
        found = self._objective(x)
        self._lapses.append(self._objective.seconds - before)
        self.report(self.calls)
        return found

    def _repeat(self) -> None:
        loss, gradient = self.centre.loss, self.centre.gradient
        x, gap = self.weights.copy(), self.space.empty()
        losses, gaps = [loss], [0.0]
        for repeat in range(REPEATS):
            if repeat == REPEATS - 1:  # what belongs to the call before shows itself
                self._elsewhere()
            again, other = self.evaluate(x)
            losses.append(again)
            if gradient is not None and other is not None:
                self.space.copy(other, gap)
                self.space.add(gradient, gap, -1.0)
                gaps.append(self.space.norm(gap))
        roundings = ROUNDINGS * float(np.finfo(self.space.dtype).eps)
        self.loss_difference = float(np.ptp(losses))
        self.deterministic = self.loss_difference <= roundings * (1 + abs(loss))
        self.gradient_difference, self.stale = math.nan, False
        if gradient is not None:
            size = self.space.norm(gradient)
            allowed = gradient_rounding(
                size, loss, self.space.norm(self.weights), self.space.dtype
            )
            *before, last = gaps
            self.deterministic &= max(before) <= allowed
            self.gradient_difference = max(gaps) / size if size else max(gaps)
            self.stale = self.deterministic and last > allowed

    def _elsewhere(self) -> None:
        away = self.space.empty()
        self.space.copy(self.normal(0), away, AWAY)
        self.space.add(self.weights, away)
        self.evaluate(away)

    @property
    def calls(self) -> int:
        """How often the loss, or the product, was called."""
        return self._objective.calls + self.other_calls

    @property
    def seconds(self) -> float:
        """The seconds that were spent inside the callbacks."""
        return self._objective.seconds + self.other_seconds

    @property
    def evaluation_seconds(self) -> float:
        """The median time of one evaluation, in seconds."""
        return statistics.median(self._lapses)

    def line(self, direction: Array) -> Line:
        """Return the line through the weights in a direction."""
        return Line(self.space, self.centre, direction, self.evaluate)

    def normal(self, index: int) -> Array:
        """Return a standard normal direction."""
        out = self.space.empty()
        self.space.fill_normal(out, self.seed, Stream.CHECK + index)
        return out
