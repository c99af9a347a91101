"""A smooth network and its squared error in float64: what gradient descent is shown on.

Nothing here is random or has a kink, so that full-batch descent meets no other limit
than its own (Cohen et al., arXiv 2103.00065).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class SquaredError:
    """``(loss, gradient)`` at flat weights: half the squared error, mean over samples.

    Layers compute ``tanh(h W + b)``, the last one ``h W + b``.

    Parameters
    ----------
    hidden
        The widths of the hidden layers.
    x, y : (M, inputs), (M, outputs)
        The samples, and what the network shall make of them.
    """

    def __init__(self, hidden: tuple[int, ...], x: Floats, y: Floats) -> None:
        self.sizes = (x.shape[1], *hidden, y.shape[1])
        self.x, self.y = x, y
        self.n_weights = sum((a + 1) * b for a, b in pairwise(self.sizes))

    def initial_weights(self, seed: int) -> Floats:
        """Draw matrices and biases from ``U(-a, a)``, ``a = 1 / sqrt(inputs)``."""
        random = np.random.default_rng([seed, 5])
        parts = [
            random.uniform(-1, 1, (a + 1) * b) / np.sqrt(a)
            for a, b in pairwise(self.sizes)
        ]
        return np.concatenate(parts)

    def __call__(self, weights: Floats) -> tuple[float, Floats]:
        """Return the loss and its gradient, a new (n,) array."""
        layers = self._layers(weights)
        values = self._values(layers)
        slope = (values[-1] - self.y) / len(self.x)
        loss = 0.5 * float(np.vdot(slope, values[-1] - self.y))
        gradient = np.empty_like(weights)
        parts = self._layers(gradient)
        for i in reversed(range(len(layers))):
            parts[i][0][...], parts[i][1][...] = values[i].T @ slope, slope.sum(axis=0)
            if i:
                slope = (slope @ layers[i][0].T) * (1 - values[i] ** 2)
        return loss, gradient

    def hvp(self, weights: Floats, v: Floats) -> Floats:
        """Return the exact Hessian of the loss times ``v``, a new (n,) array.

        Pearlmutter's method: every line of the gradient, differentiated along ``v``.
        """
        layers, moves = self._layers(weights), self._layers(v)
        values = self._values(layers)
        moved = [np.zeros_like(self.x)]
        for i, ((w, _), (dw, db)) in enumerate(zip(layers, moves, strict=True)):
            change = moved[i] @ w + values[i] @ dw + db
            last = i == len(layers) - 1
            moved.append(change if last else change * (1 - values[i + 1] ** 2))
        slope = (values[-1] - self.y) / len(self.x)
        bend = moved[-1] / len(self.x)
        product = np.empty_like(weights)
        parts = self._layers(product)
        for i in reversed(range(len(layers))):
            parts[i][0][...] = moved[i].T @ slope + values[i].T @ bend
            parts[i][1][...] = bend.sum(axis=0)
            if i:
                back, h = slope @ layers[i][0].T, values[i]
                bend = bend @ layers[i][0].T + slope @ moves[i][0].T
                bend = bend * (1 - h**2) - 2 * h * moved[i] * back
                slope = back * (1 - h**2)
        return product

    def _layers(self, vector: Floats) -> list[tuple[Floats, Floats]]:
        """Return the matrices and biases in a vector, as views."""
        found, start = [], 0
        for a, b in pairwise(self.sizes):
            middle, end = start + a * b, start + (a + 1) * b
            found.append((vector[start:middle].reshape(a, b), vector[middle:end]))
            start = end
        return found

    def _values(self, layers: list[tuple[Floats, Floats]]) -> list[Floats]:
        """Return what each layer is given, and what the last one makes of it."""
        values = [self.x]
        for i, (w, b) in enumerate(layers):
            z = values[-1] @ w + b
            values.append(z if i == len(layers) - 1 else np.tanh(z))
        return values


def chebyshev(degree: int, points: int = 20) -> tuple[Floats, Floats]:
    """Return points evenly in [-1, 1] and the Chebyshev polynomial there, (M, 1) each.

    ``T_k(cos t) = cos(k t)``: the problem ``chebyshev-k-20`` of Cohen et al.
    """
    x = np.linspace(-1, 1, points)[:, None]
    return x, np.cos(degree * np.arccos(x))
