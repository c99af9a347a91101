"""Stochastic Lanczos quadrature: nodes and weights of the spectrum of an operator.

Golub and Welsch (1969); Ubaru, Chen and Saad, "Fast estimation of tr(f(A)) via
stochastic Lanczos quadrature", SIAM J. Matrix Anal. Appl. 38 (2017).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sharpkit._inputs.types import Matrix, Report
from sharpkit._spectrum.basis import finite_norm
from sharpkit._spectrum.lanczos import Lanczos
from sharpkit._spectrum.operators import Operator, is_asymmetric
from sharpkit._vectors.streams import Stream

# Nodes beyond the number of dimensions repeat the last one; so many are kept at most.
PADDED = 1000


class Quadrature(NamedTuple):
    """The nodes and weights of the quadratures of some probes.

    Attributes
    ----------
    nodes, weights : (probes, steps) float64
        A row for each probe, its nodes ascending. A probe whose Krylov space was closed
        early has weights 0 at the end.
    asymmetric : bool
        Whether the products are not those of a symmetric operator.
    """

    nodes: Matrix
    weights: Matrix
    asymmetric: bool


def quadrature(
    operator: Operator,
    *,
    steps: int,
    probes: int,
    reorthogonalize: bool,
    seed: int,
    report: Report,
) -> Quadrature:
    """Run ``steps`` steps of Lanczos from each of ``probes`` random directions.

    Parameters
    ----------
    operator
        The operator whose spectrum is wanted.
    steps
        The number of steps of Lanczos for each probe.
    probes
        The number of random directions.
    reorthogonalize
        Whether all vectors of a probe are kept and held orthogonal, which takes
        ``steps + 1`` vectors of memory. Otherwise it takes three, and eigenvalues that
        have converged come again as further nodes and share their weight.
    seed
        The seed of the directions.
    report
        A function that is called with (products, probe) after each product.
    """
    process = (
        _Kept(operator, steps, seed) if reorthogonalize else _Short(operator, seed)
    )
    steps = min(steps, max(operator.space.size + 1, PADDED))
    nodes, weights = np.zeros((probes, steps)), np.zeros((probes, steps))
    asymmetric = False
    for probe in range(probes):
        matrix = process.run(probe, steps, report)
        asymmetric |= process.asymmetric
        found, mix = np.linalg.eigh((matrix + matrix.T) / 2)
        nodes[probe] = found[-1]
        nodes[probe, : len(found)] = found
        weights[probe, : len(found)] = mix[0] ** 2
    return Quadrature(nodes, weights, asymmetric)


class _Kept:
    """Lanczos on an orthonormal basis."""

    def __init__(self, operator: Operator, steps: int, seed: int) -> None:
        rows = min(steps, operator.space.size)
        self._operator, self._lanczos = operator, Lanczos(operator, rows, seed=seed)

    @property
    def asymmetric(self) -> bool:
        """Whether the last run showed products that are not symmetric."""
        return self._lanczos.asymmetric

    def run(self, probe: int, steps: int, report: Report) -> Matrix:
        """Return the operator restricted to the Krylov space of a probe."""
        lanczos = self._lanczos
        lanczos.begin()
        while lanczos.columns < lanczos.rows and not lanczos.closed:
            lanczos.step()
            report(self._operator.products, float(probe + 1))
        return lanczos.projected[: lanczos.columns, : lanczos.columns].copy()


class _Short:
    """The three-term recurrence, with nothing but three vectors."""

    def __init__(self, operator: Operator, seed: int) -> None:
        self._operator, self._seed = operator, seed
        self.asymmetric = False
        self._rows = [operator.space.empty() for _ in range(3)]

    def run(self, probe: int, steps: int, report: Report) -> Matrix:
        """Return the tridiagonal matrix of a probe."""
        space, (before, here, image) = self._operator.space, self._rows
        space.fill_normal(here, self._seed, Stream.RECURRENCE + probe)
        space.scale(here, 1 / space.norm(here))
        before.fill(0)
        diagonal: list[float] = []
        beside = [0.0]
        back: list[float] = []  # what symmetry makes equal to `beside`
        rounding = float(np.finfo(space.dtype).eps)
        while len(diagonal) < min(steps, space.size):
            self._operator.apply(here, image)
            size = finite_norm(space, image)
            back.append(space.dot(before, image))
            space.add(before, image, -beside[-1])
            diagonal.append(space.dot(here, image))
            space.add(here, image, -diagonal[-1])
            report(self._operator.products, float(probe + 1))
            left = finite_norm(space, image)
            if left <= 8 * rounding * size:
                break
            beside.append(left)
            space.scale(image, 1 / left)
            before, here, image = here, image, before
        upper = np.array(beside[1 : len(diagonal)])
        found = np.diag(diagonal) + np.diag(upper, 1) + np.diag(upper, -1)
        gap = math.sqrt(2) * float(np.linalg.norm(upper - back[1:]))
        norm, error = float(np.linalg.norm(found)), self._operator.error
        self.asymmetric = is_asymmetric(gap, norm, len(found), error)
        return found
