"""The paper's recipe: SciPy's own L-BFGS-B on the box, as an outside judge.

The paper runs ten iterations of L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995) and states
neither start, memory, scaling nor tolerances (arXiv 1609.04836, section 2.2.2). Here:
start at the centre, SciPy's defaults for the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, minimize

from sharpkit.box import Box, Point

Array = NDArray[Any]


class _BudgetSpent(Exception):
    pass


def maximise(box: Box, *, max_iter: int, scaled: bool) -> tuple[Point, bool]:
    """Return the best point of L-BFGS-B, and whether SciPy stopped by itself.

    Parameters
    ----------
    max_iter
        Iterations; the box's budget of evaluations holds too.
    scaled
        False: minimise ``-f(z)`` as it is, as published scripts do; near a minimum the
        first step is then of the size of the gradient, and SciPy may stop at once.
        True: minimise ``-f(r u) / s`` over ``|u_i| <= 1`` with ``s`` the mean of
        ``|r_i g_i|`` at the centre and no tolerances, so that the first step is of the
        size of the box.
    """
    centre, radius = box.centre, box.radius.astype(np.float64)
    best = Point(centre.z.copy(), centre.loss, centre.gradient.copy())
    slope = float(np.mean(np.abs(radius * centre.gradient)))
    scaled = scaled and slope > 0  # nothing to scale by where the gradient vanishes
    unit, value = (radius, slope) if scaled else (np.ones_like(radius), 1.0)
    z, out = box.space.empty(), box.space.empty()
    known: list[tuple[Array, float, Array]] = [
        (np.zeros_like(radius), centre.loss, centre.gradient)
    ]

    def negative(u: Array) -> tuple[float, Array]:
        if known and np.array_equal(known[0][0], u):
            loss, gradient = known[0][1:]  # the centre has been paid for already
        else:
            known.clear()
            if not box.left:
                raise _BudgetSpent
            np.multiply(u, unit, out=z, casting="same_kind")
            found = box.evaluate(z, z, 0.0, out)
            loss, gradient = found.loss, found.gradient
            if loss > best.loss:
                best.z[...], best.loss = out, loss
                best.gradient[...] = gradient
        return -loss / value, -(gradient.astype(np.float64) * unit) / value

    bounds = Bounds(-radius / unit, radius / unit)
    options: dict[str, Any] = {"maxiter": max_iter}
    if scaled:
        options |= {"ftol": 0.0, "gtol": 0.0}
    try:
        done = minimize(
            negative,
            np.zeros_like(radius),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options=options,
        )
    except _BudgetSpent:
        return best, False
    return best, done.nit < max_iter
