"""A moment of a training: its weights then, and what is known of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from sharpkit._inputs.foreign import native
from sharpkit._inputs.preconditioner import Preconditioner
from sharpkit._inputs.types import Array, XpArray
from sharpkit.measures._point import Point
from sharpkit.problem import ProblemLike


class Watched(Protocol):
    """What a framework tells of a training. All is read, and nothing written.

    Attributes
    ----------
    sees : bool
        Whether it sees the weights of now by itself; a loop tells of them.
    has_metric : bool
        Whether the optimiser may step in another metric than the identity.
    """

    @property
    def sees(self) -> bool:
        """Whether it sees the weights of now by itself."""
        ...

    @property
    def has_metric(self) -> bool:
        """Whether the metric may be another than the identity."""
        ...

    def now(self, *state: Any, **named: Any) -> None:
        """Note what the user tells of at a step."""
        ...

    def problem(self) -> ProblemLike:
        """Return the problem of the probe at the weights of now, which it keeps."""
        ...

    def weights(self) -> XpArray:
        """Return the weights of now, (n,), in the order of the problem's."""
        ...

    def rate(self) -> float | None:
        """Return the learning rate of now, where it is known."""
        ...

    def threshold(self, problem: ProblemLike) -> float | None:
        """Return the largest stable eigenvalue of the Hessian, where there is one."""
        ...

    def metric(self, problem: ProblemLike) -> Preconditioner | None:
        """Return the metric of the optimiser; None where it is the identity."""
        ...

    def settle(self) -> None:
        """Wait for what the training has begun on a device, which is its own time."""
        ...


@dataclass
class Memory:
    """What one record leaves for the next.

    Attributes
    ----------
    start : (n,)
        The weights before the first step, NumPy or CuPy; empty until they are known.
    noise, gap : float
        The noise of the loss, and of its gradient, at the start.
    points : dict of str to Point
        The points whose products have been tried, by the coordinates they are in.
    vectors : dict of str to array
        The last eigenvectors, by the name of the measure.
    guess : float or None
        The last critical step.
    taken : Counter
        How often each measure was taken.
    """

    start: Array = field(default_factory=lambda: np.empty(0))
    noise: float = 0.0
    gap: float = 0.0
    points: dict[str, Point] = field(default_factory=dict)
    vectors: dict[str, Array] = field(default_factory=dict)
    guess: float | None = None
    taken: Counter[str] = field(default_factory=Counter)


class Moment:
    """The weights at one step, and what measures there share.

    Parameters
    ----------
    step
        The step.
    watched
        The training.
    memory
        What the record before has left.
    """

    def __init__(self, step: int, watched: Watched, memory: Memory) -> None:
        self.step, self.memory = step, memory
        self._watched = watched
        self.update: Array | None = None
        self.rate: float | None = None
        try:
            self._problem: ProblemLike | Exception = watched.problem()
            self.rate = watched.rate()
        except Exception as error:  # such as of weights that are not finite
            self._problem = error

    @property
    def problem(self) -> ProblemLike:
        """The problem of the probe at these weights.

        Raises
        ------
        Exception
            What was raised when it was made.
        """
        if isinstance(self._problem, Exception):
            raise self._problem
        return self._problem

    @cached_property
    def point(self) -> Point:
        """The point, which trusts the products that earlier points have tried."""
        return self.inheriting("weights", Point.of(self.problem))

    def inheriting(self, name: str, point: Point) -> Point:
        """Return a point that trusts the products of an earlier one of the name."""
        earlier = self.memory.points.get(name)
        if earlier is not None:
            point.inherit(earlier)
        return point

    @cached_property
    def loss(self) -> tuple[float, Array | None]:
        """The loss and its gradient, by one call."""
        value, gradient = self.point.objective()(self.point.weights.copy())
        return value, None if gradient is None else gradient.copy()

    @cached_property
    def threshold(self) -> float | None:
        """The largest stable eigenvalue of the Hessian, where there is one."""
        return self._watched.threshold(self.problem)

    @property
    def metric(self) -> Preconditioner | None:
        """The metric of the optimiser; None where it is the identity, or unknown."""
        return self._watched.metric(self.problem)

    def follow(self) -> None:
        """Note the update that the optimiser has made since: what was taken off."""
        now: Any = native(self._watched.weights())[0]
        self.update = self.point.weights - now.astype(self.point.weights.dtype)

    @property
    def eps(self) -> float:
        """The rounding of the weights' dtype."""
        return float(np.finfo(self.point.weights.dtype).eps)
