"""Boxes of made-up losses: with known maxima, or unlike those of trained networks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.boxes import Box, LossFn

Array = NDArray[Any]

LARGE, RANK = 800, 60  # dimensions, and directions in which a loss of low rank bends
OFFSET = 10.0  # of losses that may fall, to keep them above -1
EPSILON = 1e-3


@dataclass(frozen=True)
class Synthetic:
    """One of `KINDS`, drawn from a seed."""

    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.kind} {self.seed}"

    def boxes(self) -> Iterator[Box]:
        """Yield the one box."""
        family, make = KINDS[self.kind]
        yield make(str(self), family, np.random.default_rng([self.seed, LARGE]))


def quadratic(hessian: Array, centre: Array, offset: float) -> LossFn:
    """Return the loss ``offset + (x - centre)' H (x - centre) / 2`` with gradient."""

    def loss_fn(x: Array) -> tuple[float, Array]:
        product = hessian @ (x - centre)
        return offset + 0.5 * float((x - centre) @ product), product

    return loss_fn


def highest(hessian: Array, slope: Array) -> float:
    """Return the maximum of ``slope' u + u' H u / 2`` over all ``|u_i| <= 1``.

    A coordinate can be inside at a maximum only where the function is concave along
    it. All sets of such coordinates are tried, with all corners of the others.
    """
    n, best = len(slope), 0.0
    concave = [i for i in range(n) if hessian[i, i] < 0]
    for count in range(len(concave) + 1):
        for inside in itertools.combinations(concave, count):
            free, fixed = list(inside), [i for i in range(n) if i not in inside]
            u = np.empty((2 ** len(fixed), n))
            bits = np.arange(len(u))[:, None] >> np.arange(len(fixed))
            u[:, fixed] = 2 * (bits & 1) - 1
            if free:
                known = slope[free] + u[:, fixed] @ hessian[np.ix_(fixed, free)]
                u[:, free] = -np.linalg.solve(hessian[np.ix_(free, free)], known.T).T
            u = u[np.all(np.abs(u) <= 1, axis=1)]
            if len(u):
                values = u @ slope + 0.5 * np.sum((u @ hessian) * u, axis=1)
                best = max(best, float(values.max()))
    return best


def exact_box(
    name: str,
    family: str,
    hessian: Array,
    weights: Array,
    centre: Array,
    epsilon: float,
) -> Box:
    """Return the box of a quadratic in few dimensions, with its maximum."""
    loss_fn = quadratic(hessian, centre, OFFSET)
    loss, slope = loss_fn(weights)
    radius = epsilon * (np.abs(weights) + 1)
    rise = highest(radius[:, None] * hessian * radius, radius * slope)
    exact = 100 * rise / (1 + loss)
    return Box(name, family, weights, loss_fn, epsilon, exact)


def _bent(signs: tuple[int, ...]) -> Callable[..., Box]:
    """Return what makes quadratics of low rank, near their stationary point."""

    def make(name: str, family: str, random: np.random.Generator) -> Box:
        weights = 0.1 * random.standard_normal(LARGE)
        axes = np.linalg.qr(random.standard_normal((LARGE, RANK)))[0]
        sizes = random.uniform(0.1, 10, RANK) * np.exp(random.standard_normal(RANK))
        sizes *= random.choice(signs, RANK)
        centre = weights + 0.1 * EPSILON * random.standard_normal(LARGE)

        def loss_fn(x: Array) -> tuple[float, Array]:
            along = axes.T @ (x - centre)
            return OFFSET + 0.5 * float(sizes @ along**2), axes @ (sizes * along)

        return Box(name, family, weights, loss_fn, EPSILON)

    return make


def _indefinite_full(name: str, family: str, random: np.random.Generator) -> Box:
    weights = 0.1 * random.standard_normal(LARGE)
    matrix = random.standard_normal((LARGE, LARGE))
    centre = weights + 0.1 * EPSILON * random.standard_normal(LARGE)
    loss_fn = quadratic((matrix + matrix.T) / 2, centre, OFFSET)
    return Box(name, family, weights, loss_fn, EPSILON)


def _interior(*, mixed: bool) -> Callable[..., Box]:
    """Return what makes concave losses whose maximum lies inside, and so is known."""

    def make(name: str, family: str, random: np.random.Generator) -> Box:
        weights = 0.1 * random.standard_normal(LARGE)
        top = weights + random.uniform(-0.8, 0.8, LARGE) * EPSILON
        if mixed:
            matrix = random.standard_normal((LARGE, LARGE)) / np.sqrt(LARGE)
            hessian = matrix @ matrix.T + 0.1 * np.eye(LARGE)
        else:
            hessian = np.diag(np.exp(random.standard_normal(LARGE)))
        loss_fn = quadratic(-hessian, top, OFFSET)
        loss = loss_fn(weights)[0]
        exact = 100 * (OFFSET - loss) / (1 + loss)
        return Box(name, family, weights, loss_fn, EPSILON, exact)

    return make


def _chained(name: str, family: str, random: np.random.Generator, n: int = 14) -> Box:
    """Neighbours pull at each other; the gradient at the weights vanishes."""
    pull = random.uniform(-1.5, 1.5, n - 1)
    hessian = np.diag(random.uniform(0.5, 2, n)) + np.diag(pull, 1) + np.diag(pull, -1)
    hessian += (max(0.0, -np.linalg.eigvalsh(hessian)[0]) + 0.05) * np.eye(n)
    zero = np.zeros(n)
    return exact_box(name, family, hessian, zero, zero, 0.1)


def _small(*, convex: bool, n: int) -> Callable[..., Box]:
    """Return what makes quadratics in which every coordinate pulls at every other."""

    def make(name: str, family: str, random: np.random.Generator) -> Box:
        matrix = random.standard_normal((n, n))
        hessian = matrix @ matrix.T / n if convex else (matrix + matrix.T) / 2
        weights = random.standard_normal(n)
        centre = weights + 0.1 * EPSILON * random.standard_normal(n)
        return exact_box(name, family, hessian, weights, centre, EPSILON)

    return make


def rosenbrock(x: Array) -> tuple[float, Array]:
    """Return Rosenbrock's function, a chain of terms of two neighbours each."""
    a, b = x[:-1], x[1:]
    bend, gradient = b - a * a, np.zeros_like(x)
    gradient[:-1] += -400 * a * bend - 2 * (1 - a)
    gradient[1:] += 200 * bend
    return float(np.sum(100 * bend**2 + (1 - a) ** 2)), gradient


def _rosenbrock(name: str, family: str, _: Any, n: int = 30) -> Box:
    """At the minimum, with its maximum by dynamic programming along the chain.

    It is convex in each coordinate so near to the minimum, so that the maximum is at a
    corner; ``reached`` is the highest sum up to here by the coordinate that ends it.
    """
    ends = 1 + EPSILON * np.array([-2.0, 2.0])
    terms = [[rosenbrock(np.array([a, b]))[0] for b in ends] for a in ends]
    reached = np.zeros(2)
    for _ in range(n - 1):
        reached = np.max(reached[:, None] + terms, axis=0)
    exact = 100 * float(reached.max())
    return Box(name, family, np.ones(n), rosenbrock, EPSILON, exact)


KINDS: dict[str, tuple[str, Callable[..., Box]]] = {
    "convex": ("convex", _bent((1,))),
    "convex, 16 dimensions": ("convex", _small(convex=True, n=16)),
    "indefinite": ("indefinite", _bent((-1, 1))),
    "indefinite, full rank": ("indefinite", _indefinite_full),
    "indefinite, 10 dimensions": ("indefinite", _small(convex=False, n=10)),
    "interior": ("interior", _interior(mixed=False)),
    "interior, mixed": ("interior", _interior(mixed=True)),
    "chained": ("chained", _chained),
    "Rosenbrock": ("chained", _rosenbrock),
}


def synthetic_boxes(seeds: tuple[int, ...]) -> list[Synthetic]:
    """Return a box of each kind and seed; of Rosenbrock's function there is one."""
    return [
        Synthetic(kind, seed)
        for kind in KINDS
        for seed in (seeds[:1] if kind == "Rosenbrock" else seeds)
    ]
