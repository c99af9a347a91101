"""Other quadratures of the same Lanczos runs: where they differ, steps are missing.

Gauss quadratures of fewer steps are contained in that of all; Laurie's anti-Gauss rule,
the last coupling times ``sqrt(2)``, errs to the opposite side of the one of a step less
(Laurie, *Anti-Gaussian quadrature formulas*, Mathematics of Computation 65 (1996)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.types import Matrix, Vector

SHARES = (1.0, 0.85, 0.7, 0.5)  # of the steps; the first stands for all but one

Rule = tuple[Matrix, Matrix]


def others(nodes: Matrix, weights: Matrix, closed: NDArray[np.bool_]) -> list[Rule]:
    """Return other rules for the measures of the same probes.

    Parameters
    ----------
    nodes, weights : (probes, steps) float64
        A Gauss quadrature for each probe.
    closed : (probes,) bool
        Which of them are the whole measure: every rule has them as they are.

    Returns
    -------
    list of (nodes, weights), each (probes, steps) float64
        The rules; the weights that a shorter one lacks are 0.
    """
    rules = [(nodes.copy(), weights.copy()) for _ in range(len(SHARES) + 1)]
    for probe in np.flatnonzero(~closed):
        used = weights[probe] > 0
        t = nodes[probe][used]
        scale = np.exp2(np.frexp(np.abs(t).max())[1])  # squares stay in range
        diagonal, beside = _jacobi(t / scale, weights[probe][used])
        for rule, (x, a) in zip(rules, _rules(diagonal, beside), strict=True):
            rule[0][probe], rule[1][probe] = t[-1], 0.0
            # Of functions nothing is asked where no eigenvalue has been seen.
            rule[0][probe, : len(x)] = np.clip(scale * x, t[0], t[-1])
            rule[1][probe, : len(x)] = a * weights[probe].sum()
    return rules


def _rules(diagonal: Vector, beside: Vector) -> list[tuple[Vector, Vector]]:
    """Return nodes and weights of the rules that a Jacobi matrix contains."""
    steps, found = len(diagonal), []
    for share in SHARES:
        count = max(min(round(share * steps), steps - 1), 1)
        found.append(_gauss(diagonal[:count], beside[: count - 1]))
    opposite = beside.copy()
    opposite[-1:] *= np.sqrt(2)
    return [*found, _gauss(diagonal, opposite)]


def _gauss(diagonal: Vector, beside: Vector) -> tuple[Vector, Vector]:
    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    nodes, mix = np.linalg.eigh(matrix)
    return nodes, mix[0] ** 2


def _jacobi(nodes: Vector, weights: Vector) -> tuple[Vector, Vector]:
    """Return the Jacobi matrix of a quadrature, by Lanczos on the nodes.

    Its leading part is that of the run which made the quadrature; it may end early,
    where rounding is all that is left.
    """
    steps = len(nodes)
    rows = np.zeros((steps, steps))
    diagonal, beside = np.zeros(steps), np.zeros(steps - 1)
    v = np.sqrt(weights / weights.sum())
    least = np.finfo(float).eps * float(np.abs(nodes).max(initial=0.0))
    for j in range(steps):
        rows[j] = v
        diagonal[j] = v @ (nodes * v)
        v = nodes * v
        for _ in range(2):
            v = v - rows[: j + 1].T @ (rows[: j + 1] @ v)
        norm = float(np.linalg.norm(v))
        if j + 1 == steps or norm <= least:
            break
        beside[j], v = norm, v / norm
    return diagonal[: j + 1], beside[:j]
