"""Losses whose maximum over the box is known without a search."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def radius(w: Array, epsilon: float) -> NDArray[np.float64]:
    """Return the half widths of the box, in float64."""
    return epsilon * (np.abs(w.astype(np.float64)) + 1)


def per_cent(loss: float, max_loss: float) -> float:
    """Return the sharpness of Keskar et al., Metric 2.1."""
    return 100 * (max_loss - loss) / (1 + loss)


class Recorded:
    """A callback that remembers the weights and the losses of all its calls."""

    def __init__(self, loss_fn: Any) -> None:
        self.loss_fn = loss_fn
        self.seen: list[Array] = []
        self.losses: list[float] = []

    def __call__(self, w: Array) -> Any:
        self.seen.append(w.copy())
        returned = self.loss_fn(w)
        self.losses.append(returned[0] if isinstance(returned, tuple) else returned)
        return returned


def without_gradient(loss_fn: Any) -> Any:
    """Return the callback that gives the loss alone."""
    return lambda w: loss_fn(w)[0]


@dataclass
class Separable:
    """``0.5 sum(h (x - m)^2) + floor`` with h >= 0; rank-deficient where h is 0."""

    h: Array
    m: Array
    factor: float = 1.0
    floor: float = 0.0

    def __call__(self, w: Array) -> tuple[float, Array]:
        d = w - self.m.astype(w.dtype)
        g = self.factor * self.h * d.astype(np.float64)
        return float(0.5 * (g @ d.astype(np.float64)) + self.floor), g.astype(w.dtype)

    def maximum(self, w: Array, epsilon: float) -> float:
        """Return the largest loss in the box: each coordinate at its farther end."""
        far = np.abs(w.astype(np.float64) - self.m) + radius(w, epsilon)
        return float(0.5 * self.factor * np.sum(self.h * far**2) + self.floor)

    def rounding(self, w: Array, epsilon: float) -> float:
        """Bound how far `maximum` is from the loss at the rounded farther ends.

        Half a unit for each of: eps, |w| + 1, their product, w + z, x - m, m; to first
        order times the slope; and the float64 sums.
        """
        u = np.finfo(w.dtype).eps / 2
        w8, r = w.astype(np.float64), radius(w, epsilon)
        far = np.abs(w8 - self.m) + r
        moved = 3 * u * r + u * (np.abs(w8) + r) + u * far + u * np.abs(self.m)
        sums = 1e-16 * (w.size + 8) * self.maximum(w, epsilon)
        slope = np.sum(self.factor * self.h * far * moved)
        return float(1.001 * slope + sums + 1e-300)


@dataclass
class Dense:
    """``0.5 (x - m)^T H (x - m)`` with a dense positive semidefinite H."""

    H: Array
    m: Array

    def __call__(self, w: Array) -> tuple[float, Array]:
        d = w - self.m
        g = self.H @ d
        return 0.5 * float(d @ g), g.astype(w.dtype)

    def maximum(self, w: Array, epsilon: float) -> float:
        """Return the largest loss over all corners of the box: f is convex."""
        r = radius(w, epsilon)
        corners = np.array(list(itertools.product([-1.0, 1.0], repeat=w.size))) * r
        d = corners + (w - self.m)
        return float((0.5 * np.einsum("ij,jk,ik->i", d, self.H, d)).max())


def rotated(rng: np.random.Generator, n: int, *, rank: int | None = None) -> Dense:
    """Return a rotated quadratic whose minimum is at ones, of full rank or less."""
    q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    h = rng.uniform(0.1, 10, n)
    h[n if rank is None else rank :] = 0
    return Dense(q @ np.diag(h) @ q.T, np.ones(n))


def flat(w: Array) -> tuple[float, Array]:
    """Return the same loss everywhere."""
    return 0.75, np.zeros_like(w)


@dataclass
class Linear:
    """``floor + slope . x``."""

    slope: Array
    floor: float = 100.0

    def __call__(self, w: Array) -> tuple[float, Array]:
        return self.floor + float(self.slope @ w), self.slope.astype(w.dtype)

    def maximum(self, w: Array, epsilon: float) -> float:
        return self(w)[0] + float(np.abs(self.slope) @ radius(w, epsilon))


@dataclass
class Bounded:
    """A quadratic that is not finite where some |x_i - 1| is above the limit."""

    limit: float
    beyond: float = np.nan
    spoil_loss: bool = True
    spoil_gradient: bool = True

    def __call__(self, w: Array) -> tuple[float, Array]:
        loss, g = 0.5 * float(w @ w), w.copy()
        if np.abs(w - 1).max() > self.limit:
            if self.spoil_loss:
                loss = self.beyond
            if self.spoil_gradient:
                g[-1] = self.beyond
        return loss, g


@dataclass
class TwoBasins:
    """``1 + 0.1 s + s^2 - 0.5 s^3`` of ``s = sum(x) / (n epsilon)``, around 0.

    In the box s goes from -1 to 1. The gradient at the centre leads to s = 1, where the
    loss is 1.6; at s = -1 it is 2.4.
    """

    n: int
    epsilon: float

    def at(self, s: float) -> tuple[float, float]:
        """Return loss and slope at s."""
        return 1 + 0.1 * s + s**2 - 0.5 * s**3, 0.1 + 2 * s - 1.5 * s**2

    def __call__(self, w: Array) -> tuple[float, Array]:
        scale = self.n * self.epsilon
        loss, slope = self.at(float(w.sum()) / scale)
        return loss, np.full_like(w, slope / scale)


def wave(w):
    """Separable, with a maximum in the middle of each side of the box."""
    x = w - 0.01 * np.arange(1, w.size + 1)
    return w.size + float(np.sum(np.sin(4 * x))), 4 * np.cos(4 * x)


def never(w):
    raise AssertionError("called")
