"""L-BFGS-B, the method of the paper's recipe, on `Space` alone.

R. H. Byrd, P. Lu, J. Nocedal and C. Zhu, "A limited memory algorithm for bound
constrained optimization", SIAM Journal on Scientific Computing 16 (1995), with the
projected subspace step of J. L. Morales and J. Nocedal, "Remark on algorithm 778", ACM
Transactions on Mathematical Software 38 (2011). It minimises ``-c f(z)`` over the box;
``g`` in these files is the gradient of ``c f``, the direction of ascent.

Iterates agree with those of the authors' code, which SciPy runs, to rounding, except
where a path has several Cauchy points (see `cauchy`) or the problem itself amplifies
rounding.
"""

from __future__ import annotations

from sharpkit._box.box import Box, Point
from sharpkit._box.lbfgsb.run import Run

MEMORY = 10  # pairs; SciPy's default
# SciPy's tolerances: relative decrease of one iteration, and projected gradient.
DECREASE, GRADIENT = 2.220446049250313e-09, 1e-5


def maximise(
    box: Box, *, max_iter: int, rescale: bool, memory: int = MEMORY
) -> tuple[Point, bool]:
    """Return the best point, and whether the method stopped by itself.

    Takes over the vectors of ``box.centre``. Memory: ``2 memory + 5`` vectors of the
    search space, and two more if a rejected step proves to be the best.

    Parameters
    ----------
    box
        The problem, evaluated at its centre.
    max_iter
        The largest number of iterations; the box's budget of evaluations holds too.
    rescale
        Whether ``-c f(z)`` with `Box.first_step_scale` is minimised, without
        tolerances, and not ``-f(z)`` as it is, with SciPy's tolerances.
    memory
        The number of pairs that are kept.
    """
    run = Run(box, scale=box.first_step_scale() if rescale else 1.0, memory=memory)
    tolerances = (0.0, 0.0) if rescale else (DECREASE, GRADIENT)
    iterations = 0
    for _ in run.iterates(*tolerances):
        iterations += 1
        if iterations == max_iter:
            break
    return run.best(), iterations < max_iter and box.left > 0
