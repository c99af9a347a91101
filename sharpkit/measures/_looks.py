"""Looks at a loss near the weights, once for all measures: noise, a wrong gradient."""

from __future__ import annotations

import math

import numpy as np

from sharpkit._diagnosis.glance import STEP, Closer, Glance, glance, look_closely
from sharpkit._diagnosis.line import Centre
from sharpkit._diagnosis.product import Rung
from sharpkit._inputs.objective import Objective
from sharpkit._inputs.types import Array
from sharpkit._inputs.warn import warn
from sharpkit._vectors.space import Space
from sharpkit._vectors.streams import Stream

COARSE = 64.0  # so many roundings of 1 + |loss| are more than a dtype's own


class Looks:
    """What looks near the weights have told.

    Parameters
    ----------
    space
        The space of the weights.
    weights : (n,)
        The weights.

    Attributes
    ----------
    misled : bool
        Whether the gradient has been found not to be that of the loss.
    """

    def __init__(self, space: Space, weights: Array) -> None:
        self.space, self.weights, self.misled = space, weights, False
        self._glance: Glance | None = None
        self._noise: float | None = None

    @property
    def astray(self) -> bool:
        """Whether a first look has found a gradient that may be of another loss."""
        return self._glance is not None and self._glance.astray

    @property
    def step(self) -> Rung | None:
        """The differences along `direction` that a first look has kept."""
        return self._glance and self._glance.step

    def forget(self) -> None:
        """Free what is kept for the trial of a product."""
        self._glance = self._glance and self._glance._replace(step=None)

    def direction(self) -> Array:
        """Return the direction of the looks, signs."""
        v = self.space.empty()
        self.space.fill_signs(v, 0, Stream.GLANCE)
        return v

    def noise(
        self,
        objective: Objective,
        loss: float,
        gradient: Array | None,
        *,
        epsilon: float,
        keep: bool = False,
    ) -> float:
        """Return the noise that a first look shows, which kinks are part of.

        It takes two evaluations, once for all measures, and is 0 without a gradient.

        Parameters
        ----------
        objective
            The loss.
        loss, gradient
            The loss and the gradient at the weights.
        epsilon
            The size of the box in which the look is taken, unless that is large.
        keep
            Whether the differences are kept, a vector, for the trial of a product.
        """
        if gradient is None:
            return 0.0
        if self._glance is None:
            centre = Centre(self.weights, loss, gradient)
            step = min(epsilon, STEP)
            self._glance = glance(
                self.space,
                centre,
                objective,
                self.direction(),
                step,
                keep=keep and step == STEP,
            )
        return self._glance.noise

    def closely(self, objective: Objective, noise: float) -> float:
        """Return the noise of the loss by a second look, once for all measures.

        Parameters
        ----------
        objective
            The loss.
        noise
            The noise by two calls at the weights, or what rounding makes of the loss.

        Warns
        -----
        SharpkitWarning
            If the gradient is not that of the loss, or the loss is rounded far more
            coarsely than the weights.
        """
        if self._noise is None:
            loss, gradient = objective(self.weights.copy())
            gradient = None if gradient is None else gradient.copy()
            centre, seen = Centre(self.weights, loss, gradient), self._glance
            found = look_closely(
                self.space,
                centre,
                objective,
                self.direction(),
                seen.noise if seen else 0.0,
            )
            rounding = float(np.finfo(self.weights.dtype).eps)
            self.misled = _warn_of(found, loss, rounding)
            # The rounding is uniform, and seldom seen where few losses differ.
            coarse = seen.rounding / math.sqrt(12) if seen else 0.0
            self._noise = max(found.noise, coarse)
            if noise > rounding * abs(loss):  # the calls differ, by sqrt(2) sigma
                self._noise = max(self._noise, noise / math.sqrt(2))
        return self._noise or noise


def _warn_of(found: Closer, loss: float, rounding: float) -> bool:
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
