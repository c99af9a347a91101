"""The Hessian at a minimiser, beside the sharpness of the box around it.

The box is wide enough for the loss to leave its second-order model. How much of the
sharpness the Hessian explains is therefore measured: the model is searched in the same
box by the same solver, and its maximum stands beside the loss's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

import sharpkit
from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import XpArray

Record = dict[str, Any]

TRACE_PRODUCTS = 20
# Nodes a few thousandths apart in the bulk; the share of negative curvature is then
# within 0.05 of what 480 steps find on quick digits.
DENSITY_STEPS, DENSITY_PROBES = 60, 2
# Steps of progress, about their cost.
EIGENVALUE, TRACE, PREDICTION = 2, 2, 3


class Curved(Protocol):
    """A loss with exact products of its Hessian, such as `Problem`."""

    def __call__(self, weights: XpArray) -> tuple[float, XpArray]:
        """Return the loss and its gradient."""
        ...

    def hvp(self, weights: XpArray, v: XpArray) -> XpArray:
        """Return the Hessian at the weights times ``v``."""
        ...


class QuadraticModel:
    """``q(w + z) = f(w) + g . z + z . H z / 2`` and its gradient ``g + H z``.

    The second-order Taylor model of a loss around one point, by one exact product per
    evaluation. It may fall to any depth where H has negative eigenvalues.

    Parameters
    ----------
    problem
        The loss f.
    weights : (n,)
        The point w.
    """

    def __init__(self, problem: Curved, weights: XpArray) -> None:
        self._problem, self._weights = problem, weights.copy()
        self._loss, self._gradient = problem(self._weights)

    def __call__(self, weights: XpArray) -> tuple[float, XpArray]:
        """Return the model's value at ``weights`` and its gradient, (n,)."""
        z = weights - self._weights
        bend = self._problem.hvp(self._weights, z)
        slope = self._gradient + bend / 2  # on average on the way from w to w + z
        rise = array_module(z).dot(z.astype(np.float64), slope.astype(np.float64))
        return self._loss + float(rise), self._gradient + bend


def curvature(
    problem: Curved,
    weights: XpArray,
    *,
    epsilons: tuple[float, ...],
    seed: int,
    with_density: bool = False,
    advance: Callable[[str, int], None] = lambda what, steps: None,
) -> Record:
    """Measure the Hessian at a minimiser, and the sharpness that it predicts.

    Parameters
    ----------
    problem
        The loss whose sharpness is measured.
    weights : (n,)
        The minimiser, where the problem's samples live.
    epsilons
        The boxes, in the full space.
    seed
        Of the random vectors, and of the solver's restarts: as for the sharpness.
    with_density
        Also estimate the density of all eigenvalues.
    advance
        ``advance(what, steps)``; `steps_of` says how many steps in all. The density,
        which only some minimisers have, is not among them.

    Returns
    -------
    dict
        Ready for JSON: what the results' ``to_dict()`` return. ``eigenvalues`` (the
        largest, with its residual), ``trace``, ``predicted`` (the sharpness of the
        `QuadraticModel`, one entry per epsilon) and, if asked for, ``density`` with
        ``negative_share``: value and standard error of the share of negative
        curvature, by size.

    References
    ----------
    Keskar et al., arXiv 1609.04836, section 2.2.2, for the spectrum of sharp minima.
    """
    record: Record = {"eigenvalues": _largest(problem, weights, seed)}
    advance("largest eigenvalue", EIGENVALUE)
    record["trace"] = _trace(problem, weights, seed)
    advance("trace", TRACE)
    model = QuadraticModel(problem, weights)
    record["predicted"] = []
    for epsilon in epsilons:
        found = sharpkit.sharpness(
            weights, model, epsilon=epsilon, seed=seed, progress=False
        )
        record["predicted"].append(found.to_dict())
        advance("predicted", PREDICTION)
    if with_density:
        record["density"] = _density(problem, weights, seed)
    return record


def steps_of(epsilons: tuple[float, ...]) -> int:
    """Return the steps of progress of one minimiser's `curvature`."""
    return EIGENVALUE + TRACE + PREDICTION * len(epsilons)


def _largest(problem: Curved, weights: XpArray, seed: int) -> Record:
    return sharpkit.eigenvalues(
        weights, hvp=problem.hvp, k=1, seed=seed, progress=False
    ).to_dict()


def _trace(problem: Curved, weights: XpArray, seed: int) -> Record:
    return sharpkit.trace(
        weights, hvp=problem.hvp, max_products=TRACE_PRODUCTS, seed=seed, progress=False
    ).to_dict()


def _density(problem: Curved, weights: XpArray, seed: int) -> Record:
    found = sharpkit.spectral_density(
        weights,
        hvp=problem.hvp,
        max_products=DENSITY_STEPS * DENSITY_PROBES,
        probes=DENSITY_PROBES,
        seed=seed,
        progress=False,
    )
    negative = found.negative_share()
    return found.to_dict() | {
        "negative_share": {"value": negative.value, "stderr": negative.stderr}
    }
