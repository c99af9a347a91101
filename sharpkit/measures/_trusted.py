"""An exact product on trial: it is held once against differences of the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sharpkit._diagnosis.glance import Closer, Doubt, Glance, doubt, roughness
from sharpkit._diagnosis.line import Centre
from sharpkit._inputs.objective import Objective
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit._inputs.warn import SharpkitWarning, warn
from sharpkit._spectrum.operators import Given
from sharpkit._vectors.space import Space

COARSE = 64.0  # so many roundings of 1 + |loss| are more than a dtype's own


class Trusted(NamedTuple):
    """A product that has been tried.

    Attributes
    ----------
    hvp : callable or None
        The product; None if it is not the derivative of the gradient.
    error : float
        The error of a product with a unit vector, if it is more than rounding.
    calls, seconds : int, float
        The calls of callbacks, and the seconds inside them, that the trial took.
    """

    hvp: Hvp | None
    error: float = 0.0
    calls: int = 0
    seconds: float = 0.0


def tried(
    space: Space,
    weights: Array,
    hvp: Hvp,
    loss_fn: LossFn | None,
    v: Array,
    seen: Glance | None,
    closer: Callable[[], Trusted] | None,
) -> Trusted:
    """Return a product, or None in its place if it cannot be trusted.

    Parameters
    ----------
    space
        The space of the weights.
    weights : (n,)
        The weights.
    hvp
        The product.
    loss_fn
        The loss, whose gradient the product must be the derivative of; None if there is
        nothing to hold it against.
    v : (n,)
        A direction whose entries are about 1.
    seen
        What a first look along v has told, if there was one.
    closer
        A trial where kinks and rounding hide less, if there is one.

    Warns
    -----
    SharpkitWarning
        If it is not the derivative of the gradient.
    """
    operator = Given(space, weights, hvp)

    def product(u: Array) -> Array:
        out = space.empty()
        operator.apply(u, out)
        return out

    trusted = Trusted(hvp, roughness(space, product, v))
    if loss_fn is None:
        return trusted._replace(calls=operator.calls, seconds=operator.seconds)
    objective = Objective(loss_fn, weights)
    loss, gradient = objective(weights.copy())
    if gradient is not None and np.isfinite(space.norm(gradient)):
        centre = Centre(weights, loss, gradient.copy())
        step = seen.step if seen else None
        verdict, found = doubt(space, centre, objective, product, v, step)
        if verdict == "unclear" and closer is not None:
            trusted = trusted._replace(hvp=hvp if _closer(closer) else None)
        if verdict == "differ":
            trusted = Trusted(None)
            _warn_of(found)
    return trusted._replace(
        calls=operator.calls + objective.calls,
        seconds=operator.seconds + objective.seconds,
    )


def _closer(trial: Callable[[], Trusted]) -> bool:
    """Return whether a closer trial has no doubt, or cannot be made: so is the user's.

    Models need not work in float64, nor on so few samples.

    Raises
    ------
    SharpkitWarning
        Where warnings are errors.
    """
    try:
        return trial().hvp is not None
    except SharpkitWarning:
        raise
    except Exception:
        return True


def _warn_of(found: Doubt) -> None:
    warn(
        "hvp is not the derivative of the gradient: they differ by "
        f"{found.error:.1%} of the product, of which noise and kinks explain "
        f"{found.explained:.1%}; differences of the gradient are used. A backward pass "
        "that takes saved results for constants (a fused loss, a custom "
        "autograd.Function or custom_jvp) has no complete second derivative"
    )


def warn_of(found: Closer, loss: float, rounding: float) -> bool:
    """Warn of what a second look has found; return whether the gradient is wrong.

    Parameters
    ----------
    found
        What it has found.
    loss
        The loss at the weights.
    rounding
        The machine epsilon of the weights' dtype.

    Warns
    -----
    SharpkitWarning
        If the gradient is not that of the loss, or the loss is rounded far more
        coarsely than the weights.
    """
    gap = found.gradient
    wrong = gap is not None and gap.error > gap.tolerance
    if gap is not None and wrong:
        warn(
            f"the gradient is not that of the loss: they differ by {gap.error:.1%}, "
            f"of which noise and kinks explain {gap.tolerance:.1%}; sharpkit.check "
            "tells more"
        )
    if found.noise > COARSE * rounding * (1 + abs(loss)):
        warn(
            f"the loss has a noise of {found.noise:.1g} near the weights, far more "
            "than their dtype's rounding: it is not deterministic, or computed in "
            "fewer digits (autocast, bfloat16, TF32, sums in float32); switch that "
            "off, or take what is below the noise for nothing"
        )
    return wrong
