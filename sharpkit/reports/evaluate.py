"""The loss and the accuracy of a problem, whatever library its weights are of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.checks import at_least, checked_weights
from sharpkit._inputs.foreign import native, native_loss
from sharpkit._inputs.objective import Objective
from sharpkit._inputs.types import Array
from sharpkit.problem import Problem
from sharpkit.results.report import Fit


class Evaluator:
    """A problem as seen with NumPy or CuPy weights.

    Parameters
    ----------
    problem

    Raises
    ------
    TypeError, ValueError
        If its weights cannot be used.
    """

    def __init__(self, problem: Any) -> None:
        weights, self.kind = native(problem.weights)
        self.problem, self.weights = problem, checked_weights(weights)
        self._objective = Objective(native_loss(problem, self.kind), self.weights)

    @property
    def kind_name(self) -> str:
        """Whose arrays the weights are."""
        own = array_module(self.weights).__name__
        return f"{own} array" if self.kind is None else self.kind.name

    @property
    def differentiable(self) -> bool:
        """Whether the loss came with its gradient, once `fit` has been called."""
        return bool(self._objective.has_gradient)

    def fit(self) -> Fit:
        """Return loss, noise and accuracy at the problem's own weights."""
        loss, _, noise = self._objective.centre(self.weights)
        share = self.accuracy(self.weights)
        if share is None:  # to count the samples may take a pass over the data
            return Fit(loss, noise, None, None)
        samples = getattr(self.problem, "samples", None)
        samples = None if samples is None else at_least("samples", samples, 1)
        return Fit(loss, noise, share, samples)

    def loss(self, w: Array) -> float:
        """Return the loss at w."""
        return self._objective(w)[0]

    def accuracy(self, w: Array) -> float | None:
        """Return the share of right answers at w, None where there is none.

        Raises
        ------
        ValueError
            If it is not between 0 and 1.
        """
        accuracy = getattr(self.problem, "accuracy", None)
        if accuracy is None:
            return None
        share = accuracy(w if self.kind is None else self.kind.given(w))
        if share is None:
            return None
        if not 0 <= float(share) <= 1:
            msg = (
                f"accuracy returned {float(share)!r}; return the share of right "
                "answers, from 0 to 1"
            )
            raise ValueError(msg)
        return float(share)


class Moved:
    """A problem at another flat vector; all else is the problem's own."""

    def __init__(self, problem: Any, vector: Any) -> None:
        plain = Problem(problem.weights, problem).at({"weights": vector})
        self._problem, self.weights = problem, plain.weights

    def __call__(self, w: Any) -> Any:
        """Return what the problem returns at w."""
        return self._problem(w)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._problem, name)


def checked_problem(name: str, problem: Any) -> Any:
    """Return ``problem`` if it has weights and can be called."""
    if not (callable(problem) and hasattr(problem, "weights")):
        msg = (
            f"{name} is of type {type(problem).__name__}; give "
            "sharpkit.torch.problem(model, loss, data), sharpkit.jax.problem(...), or "
            "sharpkit.Problem(weights, loss_fn)"
        )
        raise TypeError(msg)
    return problem


def norm(w: Array) -> float:
    """Return the Euclidean norm, summed in float64."""
    wide = w.astype(np.float64)
    return math.sqrt(float(array_module(wide).vdot(wide, wide)))
