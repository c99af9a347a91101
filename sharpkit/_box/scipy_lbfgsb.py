"""SciPy's own L-BFGS-B on the box: the outside judge of `lbfgsb`.

The paper runs ten iterations of L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995) and states
neither start, memory, scaling nor tolerances (arXiv 1609.04836, section 2.2.2). Here:
start at the centre, SciPy's defaults for the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import Bounds, minimize

from sharpkit._box.box import Box, Point
from sharpkit._inputs.arrays import array_module, to_host
from sharpkit._inputs.types import Array


class _BudgetSpent(Exception):
    pass


def maximise(box: Box, *, max_iter: int, rescale: bool) -> tuple[Point, bool]:
    """Return the best point of L-BFGS-B, and whether SciPy stopped by itself.

    Parameters
    ----------
    box
        The problem, evaluated at its centre.
    max_iter
        The largest number of iterations; the box's budget of evaluations holds too.
    rescale
        Whether ``-c f(z)`` with `Box.first_step_scale` is minimised, without
        tolerances, and not ``-f(z)`` as it is, as published scripts do; near a minimum
        the first step is then of the size of the gradient, and SciPy may stop at once.
    """
    centre, radius = box.centre, to_host(box.radius()).astype(np.float64)
    best = Point(centre.z.copy(), centre.loss, centre.gradient.copy())
    scale = box.first_step_scale() if rescale else 1.0
    place = box.space.empty()
    known: list[tuple[Array, float, Array]] = [
        (np.zeros_like(radius), centre.loss, centre.gradient)
    ]

    def negative(z: Array) -> tuple[float, Array]:
        if known and np.array_equal(known[0][0], z):
            loss, gradient = known[0][1:]  # the centre has been paid for already
        else:
            known.clear()
            if not box.left:
                raise _BudgetSpent
            place[...] = array_module(place).asarray(z, place.dtype)
            loss, gradient = box.evaluate(place, place, 0.0, place)
            if loss > best.loss:
                best.z[...], best.loss = place, loss
                best.gradient[...] = gradient
        return -scale * loss, -scale * to_host(gradient).astype(np.float64)

    options: dict[str, Any] = {"maxiter": max_iter}
    if rescale:
        options |= {"ftol": 0.0, "gtol": 0.0}
    try:
        done = minimize(
            negative,
            np.zeros_like(radius),
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(-radius, radius),
            options=options,
        )
    except _BudgetSpent:
        return best, False
    return best, done.nit < max_iter
