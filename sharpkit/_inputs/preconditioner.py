"""The metric in which an optimiser steps, and where it ceases to be stable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sharpkit._inputs.types import XpArray


@dataclass(frozen=True, eq=False, repr=False)
class Preconditioner:
    """The diagonal metric P of an optimiser, ``w - rate P^-1 gradient``.

    `sharpkit.torch.preconditioner` and `sharpkit.jax.preconditioner` read it from the
    state of an optimiser; `sharpkit.eigenvalues` takes it.

    Attributes
    ----------
    values : (n,)
        The diagonal of P, above 0, one entry for each weight. Where learning rates
        differ, it is that of the largest one.
    threshold : float or None
        The largest eigenvalue of ``P^-1/2 H P^-1/2`` with which the optimiser is stable
        on a quadratic loss; None if it is not known.
    shift : (n,) or None
        What is added to the diagonal of ``P^-1/2 H P^-1/2``: the part of weight decay
        that differs between the weights. None adds nothing.
    name : str
        What the metric is that of, such as ``"AdamW"``.
    """

    values: XpArray
    threshold: float | None = None
    shift: XpArray | None = None
    name: str = "given"

    def __repr__(self) -> str:
        of = "" if self.threshold is None else f", stable up to {self.threshold:.6g}"
        return f"Preconditioner {self.name} of n = {len(self.values):,} weights{of}"


def stable_up_to(
    rate: float, *, momentum: float = 0.0, share: float = 1.0, nesterov: bool = False
) -> float:
    """Return the largest stable eigenvalue of ``w - rate m``, ``m = b m + share g``.

    Beyond it the iterates change their sign at each step and grow.

    Parameters
    ----------
    rate
        The learning rate.
    momentum
        The share b of the buffer m that stays.
    share
        The share of the gradient that is added: 1 for Polyak's, ``1 - b`` for a mean.
    nesterov
        Whether the step is ``g + b m`` in place of m, with a share of 1.
    """
    looked_ahead = 1 + 2 * momentum if nesterov else 1.0
    return (2 + 2 * momentum) / (rate * share * looked_ahead)


def checked_rate(name: str, rate: Any) -> float:
    """Return a learning rate as a float.

    Raises
    ------
    ValueError
        If it is not above 0.
    """
    number = float(rate)
    if not 0 < number < math.inf:
        msg = (
            f"{name}={number:g}; weights that do not move have no threshold: give a "
            "rate above 0, or leave these weights out with parameters="
        )
        raise ValueError(msg)
    return number
