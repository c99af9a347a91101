"""The sharpness of SAM and its relatives: how far the loss rises within a radius."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from sharpkit._box.agreement import confirmed
from sharpkit._box.ascents import Ascents
from sharpkit._box.ball import Ball, Cube, Round
from sharpkit._box.box import NUMERICAL_LIMIT, Box, Outcome
from sharpkit._box.solvers import Auto
from sharpkit._diagnosis.noise import spurious_rise
from sharpkit._inputs.checks import at_least, checked_seed, one_of, true_or_false
from sharpkit._inputs.objective import Objective
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Array, LossFn, Report, Vector
from sharpkit.measures._parts import Parts
from sharpkit.measures._point import Point
from sharpkit.measures._rises import (
    Centre,
    checked_radius,
    closer_noise,
    looked_at,
    taken,
)
from sharpkit.measures._searches import search
from sharpkit.measures._sharded import sharded
from sharpkit.results.ball import BallResult, BallStatus
from sharpkit.results.common import Run

Norm = Literal["l2", "linf"]
Method = Literal["search", "one_step"]
LEAST = 3  # evaluations: two at the weights, and one
CONVERGED_GAP = 1e-2  # a first-order gain below this share of the rise is none
# The worst first: what holds for one subset is told of all.
WORST = (
    BallStatus.NON_FINITE,
    BallStatus.ONE_STEP,
    BallStatus.BUDGET,
    BallStatus.UNCONFIRMED,
    BallStatus.CONVERGED,
)


@sharded
@documented
def ball_sharpness(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    radius: float = 0.05,
    norm: Norm = "l2",
    adaptive: bool = False,
    subset: int | None = None,
    subsets: int | None = None,
    method: Method = "search",
    max_evaluations: int | None = None,
    seed: int = 0,
    backend: str | None = None,
    process_group: Any = None,
    comm: Any = None,
    progress: Progress = None,
) -> BallResult:
    r"""Measure how far the loss rises in a ball around the weights: SAM's sharpness.

    ``max L(w + d) - L(w)`` over ``||d / c||_p <= radius``, with p = 2 or infinity, and
    c = 1 or, adaptive, ``|w|``. It is an absolute rise of the loss, not per cent. The
    maximum is searched, so the value is a lower bound; in an l2 ball it is next to
    exact where the loss is close to a quadratic.

    Parameters
    ----------
    problem
        $problem
    loss_fn
        $loss_fn
        A loss alone is differentiated numerically, with up to 1000 weights.
    radius
        The radius. SAM takes 0.05 for l2; adaptive ones are larger, 0.5 for ASAM. In
        linf, where every weight moves, 1e-3 is large.
    norm : {"l2", "linf"}
        The norm.
    adaptive
        Whether steps are relative to each weight, ``c = |w|``, which makes the value
        invariant to rescaled layers. Weights of 0 do not move: there is no constant
        (eta) that is added to ``|w|``.
    subset
        The samples m of m-sharpness: the value is the mean over disjoint random
        subsets of m samples of each subset's own maximum. Samples that do not fill a
        subset are left out. None takes all samples at once. It needs a problem with
        ``samples`` and ``subset``.
    subsets
        The subsets that are measured; None for all of them, up to 100. Where only some
        are, the value has a standard error.
    method : {"search", "one_step"}
        Whether the maximum is searched, or one step is taken: ``c^2 g / ||c g||`` times
        the radius in l2, ``c sign(g)`` in linf, as SAM and ASAM do.
    max_evaluations
        The evaluations of loss and gradient that the search may spend, for each subset
        anew, two of them at the weights. None begins with 25, ends there if another
        start comes within 3 % of the best one, and else goes on to 100. ``"one_step"``
        takes 3, the weights twice to see whether the loss repeats itself, and 2 for
        each further subset. Besides, two calls look for noise near the weights, once
        for all subsets, and some 20 to 80 more where that is no small share of the
        rise.
    seed
        $seed
    backend
        $backend
    process_group
        $process_group
    comm
        $comm
    progress
        $progress

    Returns
    -------
    BallResult
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
    average_sharpness : The mean rise in place of the largest one.
    sharpness : The same in the box of Keskar et al., in per cent.

    Notes
    -----
    Starts that agree may all have come to one basin that is not the highest. In 96 l2
    balls of small networks, against three searches of 1000 evaluations each, 8 % of
    those that ended as converged after 100 evaluations were more than 5 % below the
    best known, 11 % by default, 16 % after 50 and 28 % after 25; in 32 linf balls 3 %
    after 100, and 14 % by default.

    Memory beside the callback's own, in vectors of the weights' length, at most: 15 for
    l2 and 14 for linf, if adaptive 17 and 17; for one step 8, if adaptive 11.

    References
    ----------
    Foret, Kleiner, Mobahi, Neyshabur, arXiv 2010.01412 (SAM, m-sharpness); Kwon, Kim,
    Park, Choi, arXiv 2102.11600 (ASAM); Andriushchenko, Croce, Mueller, Hein,
    Flammarion, arXiv 2302.07011.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> curvature = np.array([1.0, 100.0])
    >>> def loss(w):
    ...     return 0.5 * np.sum(curvature * w**2), curvature * w
    >>> round(float(sharpkit.ball_sharpness(np.zeros(2), loss, radius=0.1)), 6)
    0.5
    """
    point = Point.of(problem, loss_fn, backend=backend, comm=comm)
    began = point.begin()
    one_of("norm", norm, get_args(Norm))
    one_of("method", method, get_args(Method))
    adaptive = true_or_false("adaptive", adaptive)
    radius = checked_radius(radius, point, adaptive=adaptive, spread=norm == "l2")
    seed = checked_seed(seed)
    first, budget = _budgets(max_evaluations, method)
    parts = Parts(point, subset, subsets, seed)
    task = _Task(radius, norm, adaptive, method, first, budget, seed)
    every: list[_Found] = []
    runs: list[Run] = []
    known: Centre | None = None
    with reporter(
        progress,
        parts.count * budget,
        title="ball sharpness",
        unit="evaluations",
        value="{:.4g} so far",
    ) as report:
        for part in parts.points():
            objective = part.objective()
            centre = _centre(part, objective, task, known)
            done = sum(found.evaluations for found in every)
            found = _one(part, objective, task, centre, _reported(report, done, centre))
            noise = centre.noise
            if known is None and found.status is not BallStatus.NON_FINITE:
                noise = closer_noise(part, objective, found.rise, centre)
            if known is None:
                known, misled = centre._replace(noise=noise), part.looks.misled
            every.append(found)
            runs.append(
                part.run(objective, began, source=_source(objective), seed=seed)
            )
    assert known is not None
    rises = np.array([found.rise for found in every])
    alone = every[0] if parts.size is None else None
    noise = known.noise
    return BallResult(
        value=float(rises.mean()),
        stderr=parts.stderr(rises),
        values=tuple(rises.tolist()),
        loss=float(np.mean([found.loss for found in every])),
        max_loss=float(np.mean([found.loss + found.rise for found in every])),
        displacement=alone and alone.displacement,
        evaluations=sum(found.evaluations for found in every),
        history=alone.history if alone else np.empty(0),
        starts=alone.starts if alone else (),
        kin=alone.kin if alone else (),
        gap=max(found.gap for found in every),
        noise=noise,
        status=BallStatus.WRONG_GRADIENT if misled else _status(every, noise),
        radius=radius,
        norm=norm,
        adaptive=adaptive,
        method=method,
        subset=parts.size,
        subsets=str(parts),
        run=_together(runs),
    )


class _Task(NamedTuple):
    """What is asked of each subset."""

    radius: float
    norm: str
    adaptive: bool
    method: str
    first: int | None
    budget: int
    seed: int


class _Found(NamedTuple):
    """What was found over one subset."""

    loss: float
    rise: float
    displacement: Array
    history: Vector
    starts: tuple[float, ...]
    kin: tuple[bool, ...]
    gap: float
    evaluations: int
    status: BallStatus


@dataclass(frozen=True)
class _Climbing:
    """The solver of round balls."""

    def maximise(self, box: Any, *, seed: int) -> Outcome:
        """Return the best point found and the starts."""
        return Ascents(box, seed).run()


def _budgets(max_evaluations: Any, method: str) -> tuple[int | None, int]:
    if max_evaluations is not None:
        budget = at_least("max_evaluations", max_evaluations, LEAST)
        return None, LEAST if method == "one_step" else budget
    if method == "one_step":
        return None, LEAST
    return Auto.first, Auto.default_evaluations


def _centre(
    part: Point, objective: Objective, task: _Task, known: Centre | None
) -> Centre:
    """Return loss and gradient at the weights.

    Raises
    ------
    ValueError
        If there is no gradient, and too many weights to do without one.
    """
    if known is not None:
        return taken(part, objective, known)
    entries = math.sqrt(part.n) if task.norm == "l2" else 1.0
    centre = looked_at(part, objective, task.radius / entries)
    if centre.gradient is None and part.n > NUMERICAL_LIMIT:
        msg = (
            f"loss_fn returns no gradient and there are {part.n} weights, above "
            f"{NUMERICAL_LIMIT}: give a loss_fn that returns (loss, gradient)"
        )
        raise ValueError(msg)
    return centre


def _one(
    part: Point, objective: Objective, task: _Task, centre: Centre, report: Report
) -> _Found:
    """Search one ball, or take one step in it."""
    space = (Round if task.norm == "l2" else Cube)(
        part.space, part.weights, task.radius, adaptive=task.adaptive
    )
    box = (Ball if task.norm == "l2" else Box)(
        objective,
        space,
        centre.loss,
        centre.gradient,
        budget=task.budget,
        spent=centre.spent,
        first=task.first,
    )
    if task.method == "one_step":
        return _one_step(box)
    solver: Any = _Climbing() if task.norm == "l2" else Auto()
    found = search(box, solver, range(task.seed, task.seed + 1), report)
    best, rise = found.best, found.best.loss - centre.loss
    rises = tuple(each - centre.loss for each in best.starts)
    status = BallStatus.BUDGET
    if found.non_finite:
        status = BallStatus.NON_FINITE
    elif best.gap <= CONVERGED_GAP:
        agreed = confirmed(rises, best.kin)
        status = BallStatus.CONVERGED if agreed else BallStatus.UNCONFIRMED
    return _Found(
        loss=centre.loss,
        rise=rise,
        displacement=found.displacement,
        history=found.history - centre.loss,
        starts=rises,
        kin=best.kin,
        gap=best.gap,
        evaluations=len(found.history),
        status=status,
    )


def _one_step(box: Box) -> _Found:
    """Evaluate where the gradient points."""
    place, loss = box.space.zeros(), box.centre.loss
    if box.space.dot(box.centre.gradient, box.centre.gradient) > 0:
        box.space.copy(box.centre.gradient, place)
        box.corner(place, place)
    there = box.evaluate(place, place, 0.0, place)
    return _Found(
        loss=loss,
        rise=there.loss - loss if np.isfinite(there.loss) else math.nan,
        displacement=box.displacement(place),
        history=np.array(box.history) - loss,
        starts=(),
        kin=(),
        gap=math.nan,
        evaluations=len(box.history),
        status=BallStatus.NON_FINITE if box.non_finite else BallStatus.ONE_STEP,
    )


def _reported(report: Report, done: int, centre: Centre) -> Report:
    return lambda spent, best: report(done + spent, best - centre.loss)


def _status(every: list[_Found], noise: float) -> BallStatus:
    """Return what holds for the mean, and how the worst search ended."""
    statuses = {found.status for found in every}
    if BallStatus.NON_FINITE in statuses:
        return BallStatus.NON_FINITE
    rise = float(np.mean([found.rise for found in every]))
    if not any(found.rise for found in every):
        return BallStatus.FLAT
    evaluations = max(found.evaluations for found in every)
    if abs(rise) <= spurious_rise(evaluations) * noise:
        return BallStatus.BELOW_NOISE
    return next(status for status in WORST if status in statuses)


def _source(objective: Objective) -> str:
    return "gradient" if objective.has_gradient else "differences of the loss"


def _together(runs: list[Run]) -> Run:
    """Return the record of all subsets; each began when the first one did."""
    longest = max(run.seconds for run in runs)
    return replace(Run.together(runs), seconds=longest)
