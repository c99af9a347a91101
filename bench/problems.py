"""Losses whose maximum in the box is known, and that cost next to nothing."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

import numpy as np

from sharpkit._vectors.compiling import jit

Array = Any  # a NumPy or a CuPy array
Kind = Literal["convex", "concave"]

EPSILON = 1e-3
CURVATURES = 100.0  # the largest over the smallest, on the scale of the box
RISING, WEAK = 0.1, 0.3  # share of the coordinates that curve up in "concave"; how much


class Quadratic:
    """``f(x) = offset + 0.5 sum(h (x - m)^2)``, with loss 1 at the weights.

    Calling it returns the loss and the gradient, always in the same buffer.

    Parameters
    ----------
    n, dtype
        Of the weights `w`, which are standard normal.
    kind
        ``"convex"``: all h > 0; the maximum is in the corner that the gradient at the
        weights points to, and L-BFGS, which minimises -f, finds no curvature to use.
        ``"concave"``: nine of ten h < 0, with maxima inside the box and beyond its
        walls, so that every iteration adds a pair to the matrix of L-BFGS.
    xp
        numpy, or cupy for weights on a device.
    """

    def __init__(
        self, n: int, dtype: Any, kind: Kind, *, seed: int = 0, xp: ModuleType = np
    ) -> None:
        self.kind = kind
        random = np.random.default_rng(seed)
        w, h, m = (np.empty(n, dtype) for _ in range(3))
        random.standard_normal(out=w, dtype=dtype)
        random.random(out=h, dtype=dtype)
        random.random(out=m, dtype=dtype)
        _set_up(w, h, m, EPSILON, CURVATURES, RISING if kind == "concave" else 1.0)
        self.offset = 1 - _sum(w, h, m)
        self.rise = _rise(w, h, m, EPSILON)
        self.w, self.h, self.m = (xp.asarray(each) for each in (w, h, m))
        self.gradient = xp.empty_like(self.w)
        self._evaluate = _evaluate if xp is np else _device_evaluation(xp)

    @property
    def maximum(self) -> float:
        """The largest possible sharpness, per cent, for exact weights and box."""
        return 100 * self.rise / 2

    def __call__(self, x: Array) -> tuple[float, Array]:
        """Return the loss and its gradient at ``x``."""
        found = self._evaluate(x, self.h, self.m, self.gradient)
        return self.offset + float(found), self.gradient


def _device_evaluation(cupy: ModuleType) -> Callable[..., Any]:
    arguments = "T x, T h, T m"
    gradient = cupy.ElementwiseKernel(
        arguments, "T g", "g = h * (x - m)", "bench_gradient"
    )
    loss = cupy.ReductionKernel(
        arguments,
        "float64 y",
        "0.5 * h * (double)(x - m) * (x - m)",
        *("a + b", "y = a", "0", "bench_loss"),
    )

    def evaluate(x: Array, h: Array, m: Array, g: Array) -> Array:
        gradient(x, h, m, g)
        return loss(x, h, m)

    return evaluate


def _evaluation(x: Array, h: Array, m: Array, g: Array) -> float:
    """Write the gradient; return the sum."""
    total = 0.0
    for i in range(len(g)):
        d = x[i] - m[i]
        y = h[i] * d
        g[i] = y
        total += np.float64(y) * d
    return 0.5 * total


def _setting_up(
    w: Array, h: Array, m: Array, eps: float, spread: float, rising: float
) -> None:
    """Turn the uniform numbers in h and m into curvatures and middles.

    Curvatures are relative to the box and spread evenly on a logarithmic scale; middles
    lie within 0.75 half widths (all rising) or 1.5, which is partly beyond the walls.
    """
    n, reach = len(w), 0.75 if rising == 1.0 else 1.5
    for i in range(n):
        r, u = eps * (abs(np.float64(w[i])) + 1.0), np.float64(h[i])
        sign = 1.0 if rising == 1.0 else -1.0
        if rising < 1.0 and u < rising:
            sign, u = WEAK / spread**0.5, u / rising
        elif rising < 1.0:
            u = (u - rising) / (1.0 - rising)
        h[i] = sign * spread**u / (n * r * r)
        m[i] = w[i] + r * reach * (2.0 * np.float64(m[i]) - 1.0)


def _summing(w: Array, h: Array, m: Array) -> float:
    total = 0.0
    for i in range(len(w)):
        d = w[i] - m[i]
        total += np.float64(h[i] * d) * d
    return 0.5 * total


def _rising(w: Array, h: Array, m: Array, eps: float) -> float:
    """Return how far f rises in the box: coordinate by coordinate, in float64."""
    total = 0.0
    for i in range(len(w)):
        w8, h8, m8 = np.float64(w[i]), np.float64(h[i]), np.float64(m[i])
        r, d = eps * (abs(w8) + 1.0), w8 - m8
        if h8 > 0.0:
            far = abs(d) + r
            total += h8 * (far * far - d * d)
        else:
            near = max(abs(d) - r, 0.0)
            total += h8 * (near * near - d * d)
    return 0.5 * total


_evaluate = jit(_evaluation, nogil=True, fastmath={"reassoc", "contract"})
_set_up = jit(_setting_up)
_sum = jit(_summing, fastmath={"reassoc", "contract"})
_rise = jit(_rising, fastmath={"reassoc"})
