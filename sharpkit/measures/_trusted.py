"""An exact product on trial: it is held once against differences of the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sharpkit._diagnosis.glance import Doubt, doubt, judged, roughness
from sharpkit._diagnosis.line import Centre
from sharpkit._inputs.objective import Objective
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit._inputs.warn import SharpkitWarning, warn
from sharpkit._spectrum.operators import Given
from sharpkit.measures._looks import Looks


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
    looks: Looks,
    hvp: Hvp,
    loss_fn: LossFn | None,
    closer: Callable[[], bool] | None,
) -> Trusted:
    """Return a product, or None in its place if it cannot be trusted.

    Parameters
    ----------
    looks
        What is known of the loss near the weights.
    hvp
        The product.
    loss_fn
        The loss, whose gradient the product must be the derivative of; None if there is
        nothing to hold it against.
    closer
        A trial where kinks and rounding hide less, if there is one, which tells whether
        the product can be trusted.

    Warns
    -----
    SharpkitWarning
        If it is not the derivative of the gradient.
    """
    space, weights, v = looks.space, looks.weights, looks.direction()
    operator = Given(space, weights, hvp)

    def product(u: Array) -> Array:
        out = space.empty()
        operator.apply(u, out)
        return out

    hv = product(v)
    trusted = Trusted(hvp, roughness(space, product, hv))
    seen = looks.step is not None and judged(space, looks.step, hv)[0] == "agree"
    if loss_fn is None or seen:
        return trusted._replace(calls=operator.calls, seconds=operator.seconds)
    del hv
    objective = Objective(loss_fn, weights)
    loss, gradient = objective(weights.copy())
    if gradient is not None and np.isfinite(space.norm(gradient)):
        centre = Centre(weights, loss, gradient.copy())
        verdict, found = doubt(space, centre, objective, product, v, looks.step)
        if verdict == "unclear" and closer is not None:
            trusted = trusted._replace(hvp=hvp if _closer(closer) else None)
        if verdict == "differ":
            trusted = Trusted(None)
            _warn_of(found)
    return trusted._replace(
        calls=operator.calls + objective.calls,
        seconds=operator.seconds + objective.seconds,
    )


def _closer(trial: Callable[[], bool]) -> bool:
    """Return whether a closer trial has no doubt, or cannot be made: so is the user's.

    Models need not work in float64, nor on so few samples.

    Raises
    ------
    SharpkitWarning
        Where warnings are errors.
    """
    try:
        return trial()
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
