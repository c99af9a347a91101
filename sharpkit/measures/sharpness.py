"""The epsilon-box sharpness of Keskar et al.: how far the loss rises nearby."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from sharpkit._box.box import NUMERICAL_LIMIT, Box
from sharpkit._box.columns import MEMORY, Distribution
from sharpkit._box.solvers import LBFGSB, Auto, ScipyLBFGSB, solver_from
from sharpkit._box.subspace import (
    FullSpace,
    RandomSubspace,
    Scale,
    Subspace as Drawn,
    subspace_from,
)
from sharpkit._inputs.checks import (
    at_least,
    checked_epsilon,
    checked_seed,
    checked_weights,
    require_callable,
)
from sharpkit._inputs.foreign import native, native_loss
from sharpkit._inputs.objective import Objective
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.types import Array, LossFn
from sharpkit._vectors.backends import kernels_for
from sharpkit._vectors.space import Space
from sharpkit.measures.groups import groupable
from sharpkit.measures.outcome import relative_gap, status_of
from sharpkit.results import SharpnessResult, Subspace

Solver = Literal["auto", "lbfgsb", "scipy"]

DEFAULT_EVALUATIONS = Auto.default_evaluations
CENTRE_EVALUATIONS = 2  # the loss at the weights, and again to see its noise


@groupable("sharpness, %")
def sharpness(
    weights: Array,
    loss_fn: LossFn,
    *,
    groups: None = None,
    epsilon: float = 1e-3,
    subspace: int | None = None,
    subspace_law: Distribution = "normal",
    subspace_scale: Scale = "entries",
    subspace_memory: int = MEMORY,
    solver: Solver = "auto",
    max_evaluations: int | None = None,
    max_iter: int = 10,
    scaled: bool = False,
    seed: int = 0,
    backend: str | None = None,
    progress: Progress = None,
) -> SharpnessResult:
    r"""Measure how far the loss rises in a small box around the weights, in per cent.

    ``phi = 100 (max_{z in C} f(w + A z) - f(w)) / (1 + f(w))`` with the box
    ``C = {z : |z_i| <= epsilon (|(A^+ w)_i| + 1)}``; A is the identity (full space) or
    a random matrix of ``subspace`` columns. The maximum is searched, so the value is a
    lower bound.

    Parameters
    ----------
    weights : (n,) float32 or float64, NumPy, CuPy, torch or JAX
        All weights, flattened; never written to. float16 is measured on a float32 copy.
    loss_fn
        ``loss_fn(w) -> loss`` or ``(loss, gradient)``, the mean loss over the training
        set. ``w`` is of the kind of the weights, and a buffer that the next call
        overwrites. A loss alone is differentiated numerically, in search spaces of up
        to 1000 dimensions.
    groups : mapping of str to slice, optional
        Measure each of these ranges of the weights by itself, the others fixed, and
        return `GroupResults`: ``problem.layers`` tells which layers are sharp. The
        budget is that of one group; ``progress`` counts groups.
    epsilon
        Size of the box relative to ``|w_i| + 1``; the paper uses 1e-3 and 5e-4.
    subspace
        Number of random directions (the paper: 100); None is the full space. The boxes
        of subspaces have many basins: look at `SharpnessResult.starts`.
    subspace_law : {"normal", "rademacher"}
        Law of the entries of A, which have mean 0 and variance 1.
    subspace_scale : {"entries", "columns", "orthonormal"}
        A as drawn; with columns of norm 1; with orthonormal columns. The paper leaves
        law and scale open; unscaled entries fit its numbers.
    subspace_memory
        Bytes that A may take. Where it would take more it is drawn again for each
        product, which gives the same values and takes about 2 ns per entry.
    solver : {"auto", "lbfgsb", "scipy"}
        ``"auto"``: sign steps with restarts. ``"lbfgsb"``: the paper's recipe, L-BFGS-B
        from the centre with memory 10, on sharpkit's own kernels. ``"scipy"``: the same
        by SciPy, as a judge: slow, and always on the host.
    max_evaluations
        Evaluations of loss and gradient that may be spent, two of them at the weights.
        None: 25 for ``"auto"``, no limit for L-BFGS-B.
    max_iter
        Iterations of L-BFGS-B; the paper's 10.
    scaled
        For L-BFGS-B: scale the loss so that the first step has the size of the box, and
        use no tolerances. The default is the recipe as published scripts run it.
    seed
        Fixes the subspace and the restarts; the same seed gives the same bits.
    backend : {None, "cpu", "cuda", "reference"}
        None: where the weights live. ``"cuda"`` needs weights on a CUDA device, and a
        callback that takes and returns arrays there.
    progress
        True, False, a callable ``progress(evaluations, budget, value)``, or None: a
        line on stderr if that is a terminal and the search takes over two seconds.

    Returns
    -------
    SharpnessResult
        With ``groups``, `GroupResults` of them.

    Raises
    ------
    TypeError, ValueError
        If an argument or a value that ``loss_fn`` returns cannot be used. The message
        names it and the fix. Exceptions of ``loss_fn`` come through unchanged.

    Warns
    -----
    SharpkitWarning
        If the loss is not deterministic, or a gradient has another dtype.

    Notes
    -----
    Memory beside the callback's own, in vectors of the weights' length and dtype: six
    for ``"auto"`` in the full space, 27 for ``"lbfgsb"``; four in a random subspace,
    beside A.

    References
    ----------
    Keskar, Mudigere, Nocedal, Smelyanskiy, Tang, arXiv 1609.04836, Metric 2.1, Eqs. 3
    and 4.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> curvature = np.array([1.0, 100.0])
    >>> def loss(w):
    ...     return 0.5 * np.sum(curvature * w**2), curvature * w
    >>> round(float(sharpkit.sharpness(np.zeros(2), loss, epsilon=0.1)), 6)
    50.5
    """
    began = time.perf_counter()
    require_callable("loss_fn", loss_fn)
    weights, kind = native(weights)
    weights = checked_weights(weights)
    epsilon = checked_epsilon(epsilon, weights)
    seed = checked_seed(seed)
    chosen = _solver(solver, max_iter, scaled)
    budget: int | None = chosen.default_evaluations
    if max_evaluations is not None:
        budget = at_least("max_evaluations", max_evaluations, CENTRE_EVALUATIONS + 1)
    name, kernels = kernels_for(backend, weights)
    space = Space(kernels, weights.size, weights.dtype)
    drawn = subspace_from(subspace, weights.size)
    if drawn is not None:
        drawn = replace(
            drawn,
            distribution=subspace_law,
            scale=subspace_scale,
            memory=subspace_memory,
        )
    objective = Objective(native_loss(loss_fn, kind), weights)
    dimensions = weights.size if drawn is None else drawn.columns
    loss, gradient, loss_noise = _centre(objective, weights, dimensions)
    # Only now, with arguments and callback checked, what takes time: drawing A.
    where: FullSpace | RandomSubspace
    if drawn is None:
        where = FullSpace(space, weights, epsilon)
    else:
        where = RandomSubspace(space, weights, drawn, epsilon, seed=seed)

    def per_cent(rise: Any) -> Any:  # Eq. 4
        return 100 * rise / (1 + loss)

    with reporter(
        progress,
        budget,
        title="sharpness",
        unit="evaluations",
        value="{:.4g} % so far",
    ) as report:
        box = Box(
            objective,
            where,
            loss,
            gradient,
            budget=budget,
            spent=CENTRE_EVALUATIONS,
            report=lambda evaluations, best: report(evaluations, per_cent(best - loss)),
        )
        del gradient  # in a subspace only its projection is needed
        best, reached, stopped = chosen.maximise(box, seed=seed)
    value, gap = float(per_cent(best.loss - loss)), relative_gap(box, best)
    noise = float(per_cent(loss_noise))
    return SharpnessResult(
        value=value,
        loss=loss,
        max_loss=best.loss,
        displacement=box.displacement(best.z),
        evaluations=len(box.history),
        calls=objective.calls,
        history=per_cent(np.array(box.history) - loss),
        starts=tuple(
            float(per_cent(each - loss)) for each in reached if np.isfinite(each)
        ),
        gap=gap,
        noise=noise,
        status=status_of(box, value, noise, gap, stopped),
        epsilon=epsilon,
        subspace=_record(drawn),
        solver=chosen.name,
        backend=name,
        dtype=str(weights.dtype),
        seed=seed,
        seconds=time.perf_counter() - began,
        callback_seconds=objective.seconds,
    )


def _record(drawn: Drawn | None) -> Subspace | None:
    if drawn is None:
        return None
    return Subspace(drawn.columns, drawn.distribution, drawn.scale)


def _solver(solver: Solver, max_iter: int, scaled: bool) -> Auto | LBFGSB | ScipyLBFGSB:
    chosen = solver_from(solver)
    if not isinstance(chosen, Auto):
        return replace(chosen, max_iter=max_iter, rescale=scaled)
    if scaled:
        msg = (
            "scaled=True belongs to solver='lbfgsb' and 'scipy', not to "
            f"solver={solver!r}, which needs no scaling; drop it"
        )
        raise ValueError(msg)
    return chosen


def _centre(
    objective: Objective, weights: Array, dimensions: int
) -> tuple[float, Array | None, float]:
    """Return loss, gradient and noise at the weights, if they can be worked with."""
    loss, gradient, noise = objective.centre(weights)
    if loss <= -1:
        msg = (
            f"loss_fn returned {loss} at the given weights; sharpness divides by "
            "1 + loss: add a constant that keeps the loss above -1"
        )
        raise ValueError(msg)
    if gradient is None and dimensions > NUMERICAL_LIMIT:
        msg = (
            f"loss_fn returns no gradient and the search space has "
            f"{dimensions} dimensions, above {NUMERICAL_LIMIT}: return (loss, "
            "gradient), or search a random subspace with subspace=100"
        )
        raise ValueError(msg)
    return loss, gradient, noise
