"""Problems whose loss, gradient and Hessian are known in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SCALES = (-8, -4, -1, 0, 0, 1, 4, 8)  # powers of ten of a Hessian's size
FLOORS = (0.0, 0.0, 1.0, 100.0, -0.5, -3.0)  # times the loss's own size, but -0.5


@dataclass
class Known:
    """A loss in float64; `__call__` is what a user would write around it.

    `exact` returns the loss and the gradient at float64 weights, `hessian` the dense
    matrix there.
    """

    kind: str
    weights: Any
    exact: Any
    hessian: Any

    def __call__(self, w):
        with np.errstate(over="ignore", invalid="ignore"):
            loss, gradient = self.exact(w.astype("f8"))
            return float(loss), gradient.astype(w.dtype)

    def hvp(self, w, v):
        with np.errstate(over="ignore", invalid="ignore"):
            return (self.hessian(w.astype("f8")) @ v.astype("f8")).astype(v.dtype)


def spectrum(rng, n):
    """Return n eigenvalues of size 1: definite, indefinite, deficient, or clustered."""
    kind = rng.choice(["definite", "indefinite", "deficient", "outliers", "one"])
    values = rng.uniform(0.1, 1, n)
    if kind == "indefinite":
        values *= rng.choice([-1, 1], n)
    elif kind == "deficient":
        values[rng.random(n) < 0.6] = 0
        values[0] = 1
    elif kind == "outliers":
        values = np.concatenate([[1.0], 1e-3 * rng.standard_normal(n - 1)])
    elif kind == "one":
        values = np.ones(n)
    return kind, values


def quadratic(rng, n, scale, floor):
    kind, values = spectrum(rng, n)
    q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    h = scale * (q * values) @ q.T
    h = (h + h.T) / 2
    w = rng.standard_normal(n) * 10.0 ** rng.integers(-2, 2)
    m = w - rng.choice([0.0, 1e-3, 1.0]) * rng.standard_normal(n)

    def exact(x):
        g = h @ (x - m)
        return (x - m) @ g / 2 + floor, g

    return Known(f"quadratic, {kind}", w, exact, lambda x: h)


def separable(rng, n, scale, floor):
    a, b = scale * rng.uniform(0.1, 1, (2, n))
    w = rng.standard_normal(n)
    m = w - rng.choice([0.0, 0.3]) * rng.standard_normal(n)

    def exact(x):
        d = x - m
        return np.sum(a * d**2 / 2 + b * d**4 / 4) + floor, a * d + b * d**3

    return Known("separable", w, exact, lambda x: np.diag(a + 3 * b * (x - m) ** 2))


def network(rng, n, scale, floor):
    """One hidden layer and the mean square, smooth or kinked."""
    inputs, samples = 3, 12
    hidden = max(n // (inputs + 1), 1)
    kinked = bool(rng.integers(2))
    x = rng.standard_normal((samples, inputs))
    y = rng.standard_normal(samples)
    cut = hidden * inputs

    def parts(w):
        z = x @ w[:cut].reshape(hidden, inputs).T
        if kinked:
            return np.maximum(z, 0), (z > 0) * 1.0, 0 * z
        t = np.tanh(z)
        return t, 1 - t**2, -2 * t * (1 - t**2)

    def jacobian(w):
        f, f1, _ = parts(w)
        inner = (f1 * w[cut:])[:, :, None] * x[:, None, :]
        return np.concatenate([inner.reshape(samples, cut), f], axis=1)

    def exact(w):
        r = parts(w)[0] @ w[cut:] - y
        return scale * (r @ r) / (2 * samples) + floor, scale * (
            r @ jacobian(w)
        ) / samples

    def hessian(w):
        f, f1, f2 = parts(w)
        r, j = f @ w[cut:] - y, jacobian(w)
        h = j.T @ j
        for k in range(hidden):
            rows = slice(k * inputs, (k + 1) * inputs)
            h[rows, rows] += (x.T * (r * w[cut + k] * f2[:, k])) @ x
            cross = x.T @ (r * f1[:, k])
            h[rows, cut + k] += cross
            h[cut + k, rows] += cross
        return scale * h / samples

    w = rng.standard_normal(cut + hidden)
    return Known(f"network, {'kinked' if kinked else 'smooth'}", w, exact, hessian)


def known(rng: np.random.Generator) -> Known:
    """Return a random problem; its weights are float32 or float64."""
    scale = 10.0 ** rng.choice(SCALES)
    floor = rng.choice(FLOORS)
    floor *= scale if abs(floor) > 1 else 1
    n = int(rng.choice([1, 2, 3, 5, 8, 13, 24, 40, 60]))
    make = [quadratic, quadratic, separable, network][rng.integers(4)]
    found = make(rng, n, scale, floor)
    dtype = ["f4", "f8", "f8"][rng.integers(3)]
    found.weights = found.weights.astype(dtype)
    found.kind += f", n = {found.weights.size}, {dtype}, scale {scale:.0e}, + {floor:g}"
    return found
