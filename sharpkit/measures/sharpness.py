"""The epsilon-box sharpness of Keskar et al.: how far the loss rises nearby."""

from __future__ import annotations

from typing import Any, Literal

from sharpkit._box.box import NUMERICAL_LIMIT, Box
from sharpkit._box.solvers import LBFGSB, Auto, ScipyLBFGSB, Solver, solver_from
from sharpkit._box.subspace import FullSpace, RandomSubspace, Subspace, subspace_from
from sharpkit._diagnosis.missing import judged
from sharpkit._diagnosis.noise import spurious_rise
from sharpkit._inputs.checks import (
    at_least,
    checked_epsilon,
    checked_seed,
    one_of,
    true_or_false,
)
from sharpkit._inputs.journal import journal, resumable_here
from sharpkit._inputs.objective import Objective, require_moderate
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Array, LossFn, Path
from sharpkit.measures._point import Point
from sharpkit.measures._resumable import resumable
from sharpkit.measures._searches import CENTRE_EVALUATIONS, Found, search
from sharpkit.measures._sharded import sharded
from sharpkit.results.sharpness import SharpnessResult, Status

Memory = Literal["usual", "lean"]
DEFAULT_EVALUATIONS = Auto.default_evaluations
NOTABLE = 1e-2  # noise above this share of the rise is looked at closely
MOST_REPEATS = 10_000  # more would never come to an end
CONVERGED_GAP = 1e-2  # a first-order gain below this share of the rise is none


@sharded
@resumable
@documented
def sharpness(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    epsilon: float = 1e-3,
    subspace: int | Subspace | None = None,
    solver: Solver = "auto",
    max_evaluations: int | None = None,
    repeats: int = 1,
    stay_inside: bool = False,
    memory: Memory = "usual",
    seed: int = 0,
    backend: str | None = None,
    checkpoint: Path | None = None,
    process_group: Any = None,
    comm: Any = None,
    progress: Progress = None,
) -> SharpnessResult:
    r"""Measure how far the loss rises in a small box around the weights, in per cent.

    ``phi = 100 (max_{z in C} f(w + A z) - f(w)) / (1 + f(w))`` with the box
    ``C = {z : |z_i| <= epsilon (|(A^+ w)_i| + 1)}``; A is the identity (full space) or
    a random matrix (subspace). The maximum is searched, so the value is a lower bound:
    `SharpnessResult.missing` says what searches like it have missed.

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
        and crossed; in up to 128 dimensions corners of a quadratic model. ``"lbfgsb"``:
        the paper's recipe, L-BFGS-B from the centre, on sharpkit's own kernels.
        ``"scipy"``: the same by SciPy, as a judge: slow, and always on the host.
        `LBFGSB` and `ScipyLBFGSB` take iterations and scaling as options.
    max_evaluations
        The evaluations of loss and gradient that each search may spend, two of them at
        the weights. None stands for no limit with L-BFGS-B; ``"auto"`` then begins with
        25, ends there if another start comes within 3 % of the best one, and else goes
        on to 100. Two more look at the noise near the weights, and some 20 to 80 more
        where that is no small share of the rise, or where there is no gradient.
    repeats
        The number of searches, at most 10,000, with the seeds ``seed``, ``seed + 1``
        and so on, in the same box. The highest one counts, and whether another one
        comes as high says how far to believe it. What is done at the weights is done
        once.
    stay_inside
        Whether `loss_fn` is never called outside the box. ``"auto"`` takes gradients at
        up to 64 times its size, which steer it and are never a result; without them it
        finds less. A loss that raises an error there, or is not finite, is left alone
        by itself: see `SharpnessResult.outside`. The noise is then looked at less
        closely, and in a subspace by two calls at the weights alone.
    memory
        ``"lean"`` keeps two points at a time with ``"auto"``, not four, and needs 24
        bytes per weight of float32 with all else. In the hardest boxes of trained
        networks it finds less: with 100 evaluations 0.929 of the best known on
        average, where four find 0.934.
    seed
        $seed
    backend
        $backend
    checkpoint
        $resumed
    process_group
        $process_group
    comm
        $comm
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
    Memory beside the callback's own, in vectors of the weights' length and dtype: at
    most eight for ``"auto"`` in the full space, six with ``memory="lean"``, and up to
    three, or one, more where maxima lie off the corners; 27 for ``"lbfgsb"``; four in a
    random subspace, beside A. With `repeats` there are two more
    in the full space: the gradient at the weights and the best displacement.

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
    point = Point.of(problem, loss_fn, backend=backend, comm=comm)
    began = point.begin()
    epsilon = checked_epsilon(epsilon, point.weights)
    chosen = _with_memory(solver_from(solver), memory)
    _require_resumable(chosen)
    seeds = _seeds(seed, repeats, chosen)
    stay_inside = true_or_false("stay_inside", stay_inside)
    first, budget = _budgets(chosen, max_evaluations)
    drawn, objective = subspace_from(subspace, point.n), point.objective()
    loss, gradient, centre_noise = _centre(objective, point, drawn)
    noise = centre_noise
    if drawn is None or not stay_inside:  # it stays inside the box of all weights
        seen = point.looks.noise(objective, loss, gradient, epsilon=epsilon)
        noise = max(noise, seen)
    # Only now, with arguments and callback checked, what takes time: drawing A.
    box = Box(
        objective,
        _search_space(point, drawn, epsilon, seeds[0]),
        loss,
        gradient,
        budget=budget,
        spent=CENTRE_EVALUATIONS,
        first=first,
        outside=not stay_inside,
    )
    del gradient  # in a subspace only its projection is needed

    found = _searched(box, chosen, seeds, loss, budget, progress)
    del box  # its vectors make room for closer looks
    best, rise = found.best, found.best.loss - loss
    if not (found.non_finite or stay_inside):
        noise = _noise(point, objective, rise, noise, centre_noise)
    status = _status(found, rise, noise)
    result = SharpnessResult(
        value=float(_per_cent(rise, loss)),
        loss=loss,
        max_loss=best.loss,
        displacement=found.displacement,
        evaluations=len(found.history),
        history=_per_cent(found.history - loss, loss),
        repeats=tuple(float(_per_cent(each - loss, loss)) for each in found.losses),
        starts=tuple(float(_per_cent(each - loss, loss)) for each in best.starts),
        kin=best.kin,
        outside=best.outside,
        gap=best.gap,
        noise=float(_per_cent(noise, loss)),
        missing=None,
        status=Status.WRONG_GRADIENT if point.looks.misled else status,
        epsilon=epsilon,
        subspace=drawn,
        solver=chosen.name,
        run=point.run(objective, began, source=_source(objective), seed=seeds[0]),
    )
    return judged(result, result.repeats, best.evaluations)


def _per_cent(rise: Any, loss: float) -> Any:
    """Return Eq. 4 for a rise from a loss."""
    return 100 * rise / (1 + loss)


def _searched(
    box: Box,
    solver: Auto | LBFGSB | ScipyLBFGSB,
    seeds: range,
    loss: float,
    budget: int | None,
    progress: Progress,
) -> Found:
    """Search a box once with each seed, and tell of the progress."""
    with (
        reporter(
            progress,
            _in_all(budget, len(seeds)),
            title="sharpness",
            unit="evaluations",
            value="{:.4g} % so far",
        ) as report,
        resumable_here(),
    ):
        return search(
            box,
            solver,
            seeds,
            lambda done, best: report(done, _per_cent(best - loss, loss)),
        )


def _with_memory(
    solver: Auto | LBFGSB | ScipyLBFGSB, memory: Any
) -> Auto | LBFGSB | ScipyLBFGSB:
    """Return the solver with the memory that is asked for.

    Raises
    ------
    ValueError
        If the memory is unknown, or the solver has no such choice.
    """
    one_of("memory", memory, ("usual", "lean"))
    lean = memory == "lean"
    if isinstance(solver, Auto):
        return Auto(lean=lean)
    if lean:
        msg = f"memory={memory!r}, but {solver.name} has no choice; use solver='auto'"
        raise ValueError(msg)
    return solver


def _require_resumable(solver: Auto | LBFGSB | ScipyLBFGSB) -> None:
    """Raise if a search is to be resumed that keeps its numbers to itself.

    Raises
    ------
    ValueError
        If it is.
    """
    if journal() is not None and isinstance(solver, ScipyLBFGSB):
        msg = (
            "checkpoint= is given, but SciPy's solver cannot go on where it was; use "
            "solver='lbfgsb', which does the same"
        )
        raise ValueError(msg)


def _seeds(seed: Any, repeats: Any, solver: Auto | LBFGSB | ScipyLBFGSB) -> range:
    """Return the seeds of the searches.

    Raises
    ------
    ValueError
        If there are too many searches, or several, and the solver has no use for a
        seed.
    """
    first, count = checked_seed(seed), at_least("repeats", repeats, 1)
    if count > MOST_REPEATS:
        msg = f"repeats={repeats} is too many searches; give at most {MOST_REPEATS}"
        raise ValueError(msg)
    if count > 1 and not isinstance(solver, Auto):
        msg = (
            f"repeats={repeats}, but {solver.name} begins at the weights with every "
            "seed: give repeats=1, or solver='auto'"
        )
        raise ValueError(msg)
    checked_seed(first + count - 1)
    return range(first, first + count)


def _budgets(
    solver: Auto | LBFGSB | ScipyLBFGSB, max_evaluations: Any
) -> tuple[int | None, int | None]:
    """Return after what a search looks whether to go on, and what it may spend."""
    if max_evaluations is not None:
        least = CENTRE_EVALUATIONS + 1
        return None, at_least("max_evaluations", max_evaluations, least)
    first = solver.first if isinstance(solver, Auto) else None
    return first, solver.default_evaluations


def _in_all(budget: int | None, repeats: int) -> int | None:
    """Return the evaluations that all searches may spend."""
    if budget is None:
        return None
    return CENTRE_EVALUATIONS + repeats * (budget - CENTRE_EVALUATIONS)


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
    loss, gradient, noise = point.centre(objective)
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
    rise: float,
    noise: float,
    centre_noise: float,
) -> float:
    """Return the noise of the loss, looked at more closely where it may matter."""
    doubtful = noise > NOTABLE * rise and (rise > 0 or noise > centre_noise)
    unseen = not objective.has_gradient  # the first look needs one
    if not (doubtful or unseen or point.looks.astray):
        return noise
    return point.looks.closely(objective, centre_noise)


def _status(found: Found, rise: float, noise: float) -> Status:
    """Return how the search that reached highest ended, by itself."""
    best, evaluations = found.best, len(found.history) - CENTRE_EVALUATIONS
    if found.non_finite:
        return Status.NON_FINITE
    if rise == 0:
        return Status.STALLED if best.stopped else Status.FLAT
    if rise <= spurious_rise(evaluations) * noise:
        return Status.BELOW_NOISE
    if best.gap <= CONVERGED_GAP and best.settled:
        return Status.CONVERGED
    return Status.STALLED if best.stopped else Status.BUDGET
