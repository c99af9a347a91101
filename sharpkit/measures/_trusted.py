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
    closer: Callable[[], Trusted] | None,
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
        A trial where kinks and rounding hide less, if there is one.

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
    objective = Objective(loss_fn, weights)
    loss, gradient = objective(weights.copy())
    calls, seconds = 0, 0.0
    if gradient is not None and np.isfinite(space.norm(gradient)):
        centre = Centre(weights, loss, gradient.copy())
        verdict, found = doubt(space, centre, objective, product, v, hv, looks.step)
        if verdict == "unclear" and closer is not None:
            kept, _, calls, seconds = _closer(closer, hvp)
            trusted = trusted._replace(hvp=kept and hvp)
        if verdict == "differ":
            trusted = Trusted(None)
            _warn_of(found)
    return trusted._replace(
        calls=operator.calls + objective.calls + calls,
        seconds=operator.seconds + objective.seconds + seconds,
    )


def _closer(trial: Callable[[], Trusted], hvp: Hvp) -> Trusted:
    """Return what a closer trial says; if none can be made the product keeps its own.

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
        return Trusted(hvp)


def _warn_of(found: Doubt) -> None:
    warn(
        "hvp is not the derivative of the gradient: they differ by "
        f"{found.error:.1%} of the product, of which noise and kinks explain "
        f"{found.explained:.1%}; differences of the gradient are used. A backward pass "
        "that takes saved results for constants (a fused loss, a custom "
        "autograd.Function or custom_jvp) has no complete second derivative"
    )
