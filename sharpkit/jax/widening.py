"""A few samples in float64: what tells a product's missing part from kinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from sharpkit._inputs.types import Array

SAMPLES = 16  # of the first batch


class Widened:
    """A problem of JAX in float64, between arrays of NumPy.

    JAX has float64 only where it is switched on, as it is here for each call.

    Parameters
    ----------
    make
        The function that makes the problem, called where there is float64.

    Attributes
    ----------
    weights : (n,) float64
        The weights.
    hvp : callable or None
        The exact product, ``hvp(w, v) -> H v``, as the problem has it.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        with jax.enable_x64(True):
            self._inner = make()
            self.weights = np.array(self._inner.weights)
            self.hvp = None if self._inner.hvp is None else self._product

    def __call__(self, w: Array) -> tuple[float, Array]:
        """Return the mean loss at w and its gradient."""
        with jax.enable_x64(True):
            loss, gradient = self._inner(w)
            return loss, np.array(gradient)

    def _product(self, w: Array, v: Array) -> Array:
        with jax.enable_x64(True):
            return np.array(self._inner.hvp(w, v))
