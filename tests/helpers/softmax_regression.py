"""Softmax regression in float64, whose samples are known one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

import sharpkit


class Softmax:
    """A model near its minimum, its gradients and Hessians in closed form."""

    def __init__(self, samples=60, inputs=4, classes=3, seed=0, steps=40):
        rng = np.random.default_rng(seed)
        self.samples, self.classes = samples, classes
        self.x = rng.standard_normal((samples, inputs))
        scores = self.x @ rng.standard_normal((inputs, classes))
        self.y = (scores + rng.standard_normal(scores.shape)).argmax(1)
        self.weights = np.zeros(inputs * classes)
        every = self.over(slice(None))
        for _ in range(steps):
            self.weights = self.weights - 0.3 * every(self.weights)[1]

    def shares(self, x: Any, w: Any) -> Any:
        """Return the probabilities of the classes."""
        z = x @ w.reshape(-1, self.classes)
        p = np.exp(z - z.max(1, keepdims=True))
        return p / p.sum(1, keepdims=True)

    def over(self, chosen: Any, hvp: bool = True) -> Any:
        """Return the loss of some samples, with its exact product."""
        x, y = self.x[chosen], self.y[chosen]
        rows = np.arange(len(y))

        def loss_fn(w):
            p = self.shares(x, w)
            rest = p.copy()
            rest[rows, y] -= 1
            return float(-np.log(p[rows, y]).mean()), (x.T @ rest / len(y)).ravel()

        def product(w, v):
            p, moved = self.shares(x, w), x @ v.reshape(-1, self.classes)
            bent = p * (moved - (p * moved).sum(1, keepdims=True))
            return (x.T @ bent / len(y)).ravel()

        if hvp:
            loss_fn.hvp = product
        return loss_fn

    def problem(self, hvp: bool = True) -> sharpkit.Problem:
        """Return the problem over all samples."""
        return sharpkit.Problem(
            self.weights,
            self.over(slice(None)),
            samples=self.samples,
            subset=lambda chosen: self.over(chosen, hvp),
        )

    def gradients(self) -> Any:
        """Return the gradient of each sample, (samples, n)."""
        w = self.weights
        return np.array([self.over([i])(w)[1] for i in range(self.samples)])

    def curvature(self, chosen: Any) -> float:
        """Return that of a batch along its gradient, by the dense Hessian."""
        x, p = self.x[chosen], self.shares(self.x[chosen], self.weights)
        dense = np.zeros((self.weights.size, self.weights.size))
        for row, share in zip(x, p, strict=True):
            outer = np.diag(share) - np.outer(share, share)
            dense += np.kron(np.outer(row, row), outer) / len(x)
        g = self.gradients()[chosen].mean(0)
        return float(g @ dense @ g / (g @ g))
