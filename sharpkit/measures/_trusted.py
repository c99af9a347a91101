"""An exact product on trial: it is held once against differences of the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sharpkit._diagnosis.glance import Doubt, doubt, judged, roughness
from sharpkit._diagnosis.line import Centre
from sharpkit._diagnosis.product import Product
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
    closer: Callable[[], Trusted | None] | None,
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
    operator = Given(looks.space, looks.weights, hvp)

    def product(u: Array) -> Array:
        out = looks.space.empty()
        operator.apply(u, out)
        return out

    hv, found = product(looks.direction()), Trusted(hvp)
    agrees = looks.step and judged(looks.space, looks.step, hv)[0] == "agree"
    if loss_fn is not None and not agrees:
        found = _compared(looks, hvp, loss_fn, product, hv, closer)
    if found.hvp is not None:
        found = found._replace(error=roughness(looks.space, product, hv))
    return found._replace(
        calls=found.calls + operator.calls, seconds=found.seconds + operator.seconds
    )


def _compared(
    looks: Looks,
    hvp: Hvp,
    loss_fn: LossFn,
    product: Product,
    hv: Array,
    closer: Callable[[], Trusted | None] | None,
) -> Trusted:
    """Return the product if it is the derivative of the gradient, and what it took."""
    space, objective = looks.space, Objective(loss_fn, looks.weights)
    found = Trusted(hvp)
    loss, gradient = objective(looks.weights.copy())
    if gradient is not None and np.isfinite(space.norm(gradient)):
        centre = Centre(looks.weights, loss, gradient.copy())
        v = looks.direction()
        verdict, gap = doubt(space, centre, objective, product, v, hv, looks.step)
        if verdict == "unclear" and closer is not None:
            found = _closer(closer, hvp)
            found = found._replace(hvp=None if found.hvp is None else hvp)
        if verdict == "differ":
            found = Trusted(None)
            _warn_of(gap)
    return found._replace(
        calls=found.calls + objective.calls, seconds=found.seconds + objective.seconds
    )


def _closer(trial: Callable[[], Trusted | None], hvp: Hvp) -> Trusted:
    """Return what a closer trial says; if none can be made the product is kept.

    Raises
    ------
    SharpkitWarning
        Where warnings are errors.
    """
    try:
        return trial() or Trusted(hvp)
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
        "autograd.Function or custom_jvp) has no complete second derivative; a matrix "
        "that is not to be the Hessian is measured by weights, hvp=product alone"
    )
