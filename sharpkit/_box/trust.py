"""The maximum of a small quadratic in a ball: the trust-region problem, by eigenvalues.

Moré and Sorensen, SIAM J. Sci. Stat. Comput. 4 (1983) 553, with a full decomposition.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from sharpkit._inputs.types import Matrix, Vector

HARD = 1e-14  # of the slope: less of it along the top eigenvector is none


def maximum(curvature: Matrix, slope: Vector, radius: float) -> Vector:
    """Return where ``slope.u + u.curvature u / 2`` is highest, ``||u||_2 <= radius``.

    Parameters
    ----------
    curvature : (k, k) float64
        A symmetric matrix, which may be indefinite.
    slope : (k,) float64
        The slope at 0.
    radius
        The radius of the ball.
    """
    if not len(slope):
        return slope
    values, vectors = np.linalg.eigh(curvature)
    along = vectors.T @ slope
    length, top = float(np.linalg.norm(along)), float(values[-1])
    if top < 0:
        inside = along / -values
        if np.linalg.norm(inside) <= radius:
            return np.asarray(vectors @ inside)
    below = top - values
    if abs(along[-1]) <= HARD * length or length == 0:
        # The hard case: the slope says nothing of the steepest way.
        others = below > HARD * np.abs(values).max()
        rest = np.divide(along, below, out=np.zeros_like(along), where=others)
        room = radius**2 - float(rest @ rest)
        if room >= 0:
            rest[-1] = np.sqrt(room)
            return np.asarray(vectors @ rest)

    def excess(shift: float) -> float:
        return float(np.linalg.norm(along / (below + shift))) / radius - 1

    shift = length / radius  # where the step is at most as long as the radius
    least = max(abs(along[-1]) / radius, HARD * shift)
    if excess(shift) < 0 < excess(least):
        shift = brentq(excess, least, shift, xtol=1e-300, rtol=1e-14, maxiter=500)
    step = along / (below + shift)
    return np.asarray(vectors @ (step * (radius / np.linalg.norm(step))))
