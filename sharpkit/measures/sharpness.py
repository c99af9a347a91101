"""The epsilon-box sharpness of Keskar et al.: how far the loss rises nearby."""

from __future__ import annotations

from typing import Any

import numpy as np

from sharpkit._box.box import NUMERICAL_LIMIT, Box, Outcome, Point as Place
from sharpkit._box.solvers import Auto, Solver, solver_from
from sharpkit._box.subspace import FullSpace, RandomSubspace, Subspace, subspace_from
from sharpkit._diagnosis.noise import spurious_rise
from sharpkit._inputs.checks import (
    at_least,
    checked_epsilon,
    checked_seed,
    true_or_false,
)
from sharpkit._inputs.objective import Objective, require_moderate
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.types import Array, LossFn
from sharpkit.measures._point import Point
from sharpkit.measures._texts import documented
from sharpkit.results.sharpness import SharpnessResult, Status

DEFAULT_EVALUATIONS = Auto.default_evaluations
CENTRE_EVALUATIONS = 2  # the loss at the weights, and again to see its noise
NOTABLE = 1e-2  # noise above this share of the rise is looked at closely
CONVERGED_GAP = 1e-2  # a first-order gain below this share of the rise is none


@documented
def sharpness(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    epsilon: float = 1e-3,
    subspace: int | Subspace | None = None,
    solver: Solver = "auto",
    max_evaluations: int | None = None,
    stay_inside: bool = False,
    seed: int = 0,
    backend: str | None = None,
    progress: Progress = None,
) -> SharpnessResult:
    r"""Measure how far the loss rises in a small box around the weights, in per cent.

    ``phi = 100 (max_{z in C} f(w + A z) - f(w)) / (1 + f(w))`` with the box
    ``C = {z : |z_i| <= epsilon (|(A^+ w)_i| + 1)}``; A is the identity (full space) or
    a random matrix (subspace). The maximum is searched, so the value is a lower bound.

    Parameters
    ----------
    problem
        $problem
    loss_fn
        $loss_fn
        It is the mean over the training set. A loss alone is differentiated
        numerically, in search spaces of up to 1000 dimensions.
    epsilon
        The size of the box relative to ``|w_i| + 1``; the paper uses 1e-3 and 5e-4.
    subspace
        The number of random directions to search (the paper has 100), or a `Subspace`
        with options of its own; None is the full space. The boxes of subspaces have
        many basins: look at `SharpnessResult.starts`.
    solver : {"auto", "lbfgsb", "scipy"}, LBFGSB or ScipyLBFGSB
        The method of the search. ``"auto"``: starts from outside the box, raced
        and crossed; in up to 40 dimensions corners of a quadratic model. ``"lbfgsb"``:
        the paper's recipe, L-BFGS-B from the centre, on sharpkit's own kernels.
        ``"scipy"``: the same by SciPy, as a judge: slow, and always on the host.
        `LBFGSB` and `ScipyLBFGSB` take iterations and scaling as options.
    max_evaluations
        The evaluations of loss and gradient that the search may spend, two of them at
        the weights. None stands for 25 with ``"auto"``, and for no limit with L-BFGS-B.
        Two more look at the noise near the weights, and some 20 to 80 more where that
        is no small share of the rise, or where there is no gradient.
    stay_inside
        Whether `loss_fn` is never called outside the box. ``"auto"`` takes gradients at
        up to 64 times its size, which steer it and are never a result; without them it
        finds less. A loss that raises an error there, or is not finite, is left alone
        by itself: see `SharpnessResult.outside`.
    seed
        $seed
    backend
        $backend
    progress
        $progress

    Returns
    -------
    SharpnessResult
        The value, the step to the maximum, and how far to believe it.

    Raises
    ------
    TypeError, ValueError
        $raises

    Warns
    -----
    SharpkitWarning
        If the loss is not deterministic or has fewer digits than the weights, or if a
        gradient has another dtype, or is not that of the loss.

    See Also
    --------
    by_group : The sharpness of each layer by itself.
    check : Whether the loss can be believed, and the smallest sharpness it can show.

    Notes
    -----
    Memory beside the callback's own, in vectors of the weights' length and dtype: eight
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
    point = Point.of(problem, loss_fn, backend=backend)
    began = point.begin()
    epsilon = checked_epsilon(epsilon, point.weights)
    seed, chosen = checked_seed(seed), solver_from(solver)
    stay_inside = true_or_false("stay_inside", stay_inside)
    budget: int | None = chosen.default_evaluations
    if max_evaluations is not None:
        budget = at_least("max_evaluations", max_evaluations, CENTRE_EVALUATIONS + 1)
    drawn, objective = subspace_from(subspace, point.n), point.objective()
    loss, gradient, centre_noise = _centre(objective, point, drawn)
    noise = max(
        centre_noise, point.looks.noise(objective, loss, gradient, epsilon=epsilon)
    )
    # Only now, with arguments and callback checked, what takes time: drawing A.
    where = _search_space(point, drawn, epsilon, seed)

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
            first=Auto.first if max_evaluations is None and chosen.name == "auto" else None,
            outside=not stay_inside,
            report=lambda evaluations, best: report(evaluations, per_cent(best - loss)),
        )
        del gradient  # in a subspace only its projection is needed
        found = chosen.maximise(box, seed=seed)
    best = found.best
    noise = _noise(point, objective, box, best, noise, centre_noise)
    gap = _relative_gap(box, best)
    status = _status(box, best.loss - loss, noise, gap, found)
    finite = [i for i, each in enumerate(found.starts) if np.isfinite(each)]
    return SharpnessResult(
        value=float(per_cent(best.loss - loss)),
        loss=loss,
        max_loss=best.loss,
        displacement=box.displacement(best.z),
        evaluations=len(box.history),
        history=per_cent(np.array(box.history) - loss),
        starts=tuple(float(per_cent(found.starts[i] - loss)) for i in finite),
        crossed=tuple(found.crossed[i] for i in finite),
        outside=box.outside and isinstance(chosen, Auto),
        gap=gap,
        noise=float(per_cent(noise)),
        status=Status.WRONG_GRADIENT if point.looks.misled else status,
        epsilon=epsilon,
        subspace=drawn,
        solver=chosen.name,
        run=point.run(objective, began, source=_source(objective), seed=seed),
    )


def _centre(
    objective: Objective, point: Point, drawn: Subspace | None
) -> tuple[float, Array | None, float]:
    """Return loss, gradient and noise at the weights, if they can be worked with.

    Raises
    ------
    ValueError
        If the loss is too small to be divided by, or has no gradient where one is
        needed.
    """
    dimensions = point.n if drawn is None else drawn.columns
    loss, gradient, noise = objective.centre(point.weights)
    require_moderate(loss)
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


def _search_space(
    point: Point, drawn: Subspace | None, epsilon: float, seed: int
) -> FullSpace | RandomSubspace:
    if drawn is None:
        return FullSpace(point.space, point.weights, epsilon)
    return RandomSubspace(point.space, point.weights, drawn, epsilon, seed=seed)


def _source(objective: Objective) -> str:
    return "gradient" if objective.has_gradient else "differences of the loss"


def _noise(
    point: Point,
    objective: Objective,
    box: Box,
    best: Place,
    noise: float,
    centre_noise: float,
) -> float:
    """Return the noise of the loss, looked at more closely where it may matter."""
    rise = best.loss - box.history[0]
    doubtful = noise > NOTABLE * rise and (rise > 0 or noise > centre_noise)
    unseen = not objective.has_gradient  # the first look needs one
    if box.non_finite or not (doubtful or unseen or point.looks.astray):
        return noise
    return point.looks.closely(objective, centre_noise)


def _relative_gap(box: Box, best: Place) -> float:
    """Return the first-order gain left at ``best`` as a share of the rise, or NaN."""
    rise = best.loss - box.history[0]
    followable = box.space.dot(best.gradient, best.gradient) > 0
    if rise <= 0 or (box.non_finite and not followable):
        return float("nan")
    return box.gap(best) / rise


def _status(box: Box, rise: float, noise: float, gap: float, found: Outcome) -> Status:
    """Return how a search ended."""
    if box.non_finite:
        return Status.NON_FINITE
    if rise == 0:
        return Status.STALLED if found.stopped else Status.FLAT
    if rise <= spurious_rise(len(box.history) - CENTRE_EVALUATIONS) * noise:
        return Status.BELOW_NOISE
    if gap <= CONVERGED_GAP and found.settled:
        return Status.CONVERGED
    return Status.STALLED if found.stopped else Status.BUDGET
