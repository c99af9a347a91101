"""The answers of `sharpkit.check`, each from one trial."""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

import numpy as np

from sharpkit._diagnosis.gradient import FACTOR, LONGEST, Agreement, agreement
from sharpkit._diagnosis.noise import Noise, noise_along
from sharpkit._diagnosis.product import Consistency, Symmetry, consistency, symmetry
from sharpkit._diagnosis.trial import Trial
from sharpkit._inputs.types import Array, Hvp
from sharpkit._spectrum.operators import Differences, Given
from sharpkit.results.check import Gradient, Product

TELLING = 0.1  # with a tolerance above this too little is known to call anything right
LINEAR = 1e-2  # products that are less linear than this, as a share, are wrong


class GradientAnswer(NamedTuple):
    """What is said of the gradient: fields of `CheckResult`, which explains them."""

    gradient: Gradient
    gradient_error: float = math.nan
    gradient_tolerance: float = math.nan


class ProductAnswer(NamedTuple):
    """What is said of products: fields of `CheckResult`, which explains them."""

    product: Product = "no product"
    product_source: str = "none"
    asymmetry: float = math.nan
    asymmetry_tolerance: float = math.nan
    product_error: float = math.nan
    product_tolerance: float = math.nan
    product_seconds: float = math.nan
    products: int = 0


def noise_answer(trial: Trial) -> tuple[Noise, bool]:
    """Return the noise of loss and slope, and whether that of the loss was seen."""
    found = noise_along(trial.line(trial.normal(0)))
    # Three normal values span 1.7 standard deviations on average.
    seen = max(found.loss, trial.loss_difference / 1.7)
    if seen > 0:
        return found._replace(loss=seen), True
    # Not of the loss: a cross-entropy of 1e-9 is rounded like the 1 in its logarithm.
    rounding = float(np.finfo(trial.space.dtype).eps) * (1 + abs(trial.centre.loss))
    return found._replace(loss=rounding), False


def gradient_answer(trial: Trial, noise: Noise, directions: int) -> GradientAnswer:
    """Return whether the gradient is that of the loss."""
    gradient = trial.centre.gradient
    if gradient is None:
        return GradientAnswer("no gradient")
    if trial.stale:
        return GradientAnswer("wrong", trial.gradient_difference, 0.0)
    lines = [trial.line(trial.normal(i)) for i in range(directions)]
    size = trial.space.norm(gradient)
    if size > 0:
        along = trial.space.empty()
        trial.space.copy(gradient, along, math.sqrt(trial.space.size) / size)
        lines.append(trial.line(along))
    longest, found = LONGEST * lines[0].scale, []
    for line in lines:
        one = agreement(line, noise, longest)
        if one is not None:
            found.append(one)
            # What suits one direction is near to what suits the next.
            longest = min(FACTOR * one.length, LONGEST * line.scale)
    return _judged(found)


def _judged(found: list[Agreement]) -> GradientAnswer:
    """Return the answer of all lines, with the figures of the worst one."""
    if not found:
        return GradientAnswer("undecided")
    worst = max(found, key=lambda one: one.error / (one.tolerance or math.ulp(0)))
    answer: Gradient = "right"
    if worst.error > worst.tolerance:
        answer = "wrong"
    elif statistics.median(one.tolerance for one in found) > TELLING:
        answer = "undecided"
    return GradientAnswer(answer, worst.error, worst.tolerance)


def product_answer(trial: Trial, noise: Noise, hvp: Hvp | None) -> ProductAnswer:
    """Return whether products are right, or how wrong differences are."""
    if hvp is not None:
        return _given(trial, noise, hvp)
    if trial.centre.gradient is None:
        return ProductAnswer()
    return _differences(trial)


def _given(trial: Trial, noise: Noise, hvp: Hvp) -> ProductAnswer:
    space = trial.space
    operator, lapses = Given(space, trial.weights, hvp), []

    def product(v: Array) -> Array:
        before, out = operator.seconds, space.empty()
        operator.apply(v, out)
        lapses.append(operator.seconds - before)
        return out

    u, v = trial.normal(1), trial.normal(2)
    even, near = symmetry(space, product, u, v), None
    if trial.centre.gradient is not None:
        near = consistency(space, trial.centre, trial.evaluate, product, v)
    trial.other_seconds += operator.seconds
    answer = _soundness(even, near)
    # A loss that has lost half its digits leaves few to its gradient and products.
    digits = math.sqrt(np.finfo(space.dtype).eps) * abs(trial.centre.loss)
    if answer == "wrong" and noise.loss > digits:
        answer = "undecided"
    return ProductAnswer(
        product=answer,
        product_source=operator.source,
        asymmetry=even.asymmetry if even else math.nan,
        asymmetry_tolerance=even.tolerance if even else math.nan,
        product_error=near.error if near else math.nan,
        product_tolerance=near.tolerance if near else math.nan,
        product_seconds=statistics.median(lapses),
        products=operator.products,
    )


def _soundness(even: Symmetry | None, near: Consistency | None) -> Product:
    if even is not None and (
        even.asymmetry > even.tolerance or even.nonlinearity > LINEAR
    ):
        return "wrong"
    if near is None:
        return "undecided"
    if near.wrong:
        return "wrong"
    told = near.error <= near.tolerance <= TELLING
    return "right" if told else "undecided"


def _differences(trial: Trial) -> ProductAnswer:
    space = trial.space
    operator = Differences(
        space,
        trial.weights,
        trial.loss_fn,
        seed=trial.seed,
        preparing=lambda: trial.report(trial.calls),
    )
    v, out = trial.normal(1), space.empty()
    operator.apply(v, out)
    size = trial.space.norm(out)
    if size > 0:  # a direction in which the large eigenvalues count
        space.copy(out, v, 1 / size)
        operator.apply(v, out)
        size = trial.space.norm(out)
    error = operator.error_along(v)
    trial.other_calls += operator.calls
    trial.other_seconds += operator.seconds
    return ProductAnswer(
        product="differences",
        product_source=operator.source,
        product_error=error / size if size else math.nan,
        product_seconds=2 * trial.evaluation_seconds,
    )
