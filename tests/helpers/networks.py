"""A small network in plain NumPy, with its gradient and its Hessian's products."""

import zlib
from itertools import pairwise

import numpy as np


def tanh(z):
    t = np.tanh(z)
    return t, 1 - t * t, -2 * t * (1 - t * t)


def relu(z):
    on = (z > 0).astype(z.dtype)
    return z * on, on, 0 * on


class Network:
    """Mean cross-entropy of a multilayer perceptron; a ``loss_fn`` with ``hvp``.

    ``layers`` are the slices of the weight matrices and biases, in turns.
    """

    def __init__(self, seed, *, sizes=(8, 20, 20, 4), samples=100, act=tanh):
        rng = np.random.default_rng(seed)
        self.sizes, self.act = sizes, act
        self.x = rng.standard_normal((samples, sizes[0]))
        hidden = self.x @ rng.standard_normal((sizes[0], sizes[-1]))
        self.y = np.eye(sizes[-1])[hidden.argmax(axis=1)]
        self.shapes = [s for a, b in pairwise(sizes) for s in ((a, b), (b,))]
        ends = np.cumsum([np.prod(shape) for shape in self.shapes])
        self.layers = [slice(a, b) for a, b in pairwise([0, *ends])]
        self.n = int(ends[-1])

    def weights(self, seed, dtype=np.float64, *, steps=0):
        """Return initial weights after some steps of gradient descent."""
        rng = np.random.default_rng(seed)
        w = np.concatenate(
            [
                np.sqrt(2 / self.sizes[i // 2]) * rng.standard_normal(np.prod(shape))
                for i, shape in enumerate(self.shapes)
            ]
        ).astype(dtype)
        for _ in range(steps):
            w -= dtype(0.2) * self(w)[1]
        return w

    def _split(self, w):
        return [w[s].reshape(t) for s, t in zip(self.layers, self.shapes, strict=True)]

    def _forward(self, w, v):
        """Return what each layer keeps: inputs, tangents and derivatives."""
        p, dp = self._split(w), self._split(v)
        h = self.x.astype(w.dtype)
        dh, kept = np.zeros_like(h), []
        for i in range(0, len(p), 2):
            z = h @ p[i] + p[i + 1]
            dz = dh @ p[i] + h @ dp[i] + dp[i + 1]
            last = i == len(p) - 2
            f, f1, f2 = (z, 1 + 0 * z, 0 * z) if last else self.act(z)
            kept.append((h, dh, p[i], dp[i], dz, f1, f2))
            h, dh = f, f1 * dz
        return h, dh, kept

    def _both(self, w, v):
        scores, dscores, kept = self._forward(w, v)
        y = self.y.astype(w.dtype)
        top = scores.max(axis=1, keepdims=True)
        q = np.exp(scores - top)
        total = q.sum(axis=1, keepdims=True)
        q /= total
        loss = (np.log(total) + top - (scores * y).sum(axis=1, keepdims=True)).mean()
        d = (q - y) / len(y)
        dd = q * (dscores - (q * dscores).sum(axis=1, keepdims=True)) / len(y)
        gradient, product = np.empty_like(w), np.empty_like(w)
        parts = zip(self.layers[::2], self.layers[1::2], strict=True)
        pairs = zip(list(parts)[::-1], kept[::-1], strict=True)
        for (matrix, bias), (h, dh, p, dp, dz, f1, f2) in pairs:
            d, dd = d * f1, dd * f1 + d * f2 * dz
            gradient[matrix], gradient[bias] = (h.T @ d).ravel(), d.sum(axis=0)
            product[matrix] = (dh.T @ d + h.T @ dd).ravel()
            product[bias] = dd.sum(axis=0)
            d, dd = d @ p.T, dd @ p.T + d @ dp.T
        return loss, gradient, product

    def __call__(self, w):
        loss, gradient, _ = self._both(w, np.zeros_like(w))
        return loss, gradient

    def hvp(self, w, v):
        """Return the product with the Hessian."""
        return self._both(w, v)[2]


def without_product(loss_fn):
    """Return the callback without its method ``hvp``."""
    return lambda w: loss_fn(w)


def noisy(loss_fn, sigma):
    """Add normal noise that is a function of the weights, so that repeats agree."""

    def call(w):
        loss, gradient = loss_fn(w)
        draw = np.random.default_rng(zlib.crc32(w.tobytes())).standard_normal()
        return float(loss) + sigma * draw, gradient

    return call


def half(w):
    """Round as bfloat16 does, but for ties."""
    bits = w.astype(np.float32).view(np.uint32) + np.uint32(0x8000)
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)
