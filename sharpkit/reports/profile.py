"""Everything that applies to one point, in one table, at a cost that is told before."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from sharpkit._inputs.progress import Progress, announce, require_progress
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Path
from sharpkit.measures._given import start_of
from sharpkit.measures._point import Point
from sharpkit.measures._resumable import resumable
from sharpkit.measures._sharded import unsharded
from sharpkit.problem import as_problem
from sharpkit.reports.asked import (
    USUAL,
    checked,
    checked_measures,
    end_of,
    require_function,
)
from sharpkit.reports.evaluate import fitted
from sharpkit.reports.rows import KNOWN
from sharpkit.reports.session import Session, Work
from sharpkit.reports.steps import last_of, steps
from sharpkit.results.report import Report, Settings


@unsharded
@resumable
@documented
def profile(
    problem: Any,
    *,
    measures: Iterable[str] = USUAL,
    time_budget: float | None = None,
    max_evaluations: int | None = None,
    epsilon: float = 1e-3,
    repeats: int = 3,
    k: int = 1,
    start: Any = None,
    seed: int = 0,
    backend: str | None = None,
    checkpoint: Path | None = None,
    progress: Progress = None,
    on_result: Callable[[Report], None] | None = None,
) -> Report:
    """Take every measure that applies to a problem, and share what they have in common.

    The loss and the gradient at the weights are evaluated once, the product is tried
    once, the search for eigenvalues leaves its basis to the trace, and one density is
    read for all that follows from it. What does not apply says why.

    Parameters
    ----------
    problem
        A problem, as `sharpkit.torch.problem`, `sharpkit.jax.problem` or
        `sharpkit.Problem` make it, or any loss function with an attribute ``weights``.
    measures
        The names of the measures. Of the box: ``"sharpness"``, ``"subspace_sharpness"``
        (100 random directions). Of the spectrum: ``"eigenvalues"``, ``"trace"``,
        ``"spectral_density"``, ``"frobenius_norm"``, ``"effective_dimension"`` (at 1),
        ``"renyi_sharpness"`` (of order 2). Of balls, l2 of radius 0.05 or adaptive of
        0.5: ``"ball_sharpness"``, ``"adaptive_ball_sharpness"``,
        ``"one_step_sharpness"``, ``"adaptive_one_step_sharpness"``; under noise of 0.05
        per weight ``"average_sharpness"``, ``"adaptive_average_sharpness"``; until the
        error, or the loss where there is no accuracy, is 0.1 higher
        ``"flatness_radius"`` (sigma) and, only if it is asked for,
        ``"worst_flatness_radius"`` (alpha). Along the gradient: ``"gradient_norm"``,
        ``"directional_sharpness"``, ``"critical_sharpness"``; from the start
        ``"distance"``. Of samples: ``"batch_sharpness"`` (of 32), ``"gradient_noise"``,
        ``"fisher_rao"``. Of layers: ``"relative_flatness"``, ``"normalized_flatness"``.
        What one is made of is taken, too.
    time_budget
        The seconds that all may take, a first look at the problem included. What is
        left is shared among the measures to come; one that is under way at the end is
        given up. Results then depend on how fast the machine is. None sets no limit.
    max_evaluations
        What all may cost, in evaluations of loss and gradient; a product with the
        Hessian counts as 3 of them, or 2 by differences. It is shared in the same way,
        and gives the same bits on every machine. None sets no limit.
    epsilon
        The size of the box of the sharpness, relative to ``|w_i| + 1``.
    repeats
        The number of searches for the sharpness, with the seeds ``seed``, ``seed + 1``
        and so on; fewer where the budget is short.
    k
        The number of eigenvalues.
    start
        The weights that the training began with, a vector or a problem at them, for the
        distance and the bounds of the radii.
    seed
        $seed
    backend
        $backend
    checkpoint
        $resumed
        Only the box, the spectrum and the trace are long enough to be saved on the
        way; other measures are taken again. It needs `time_budget` None.
    progress
        $progress
    on_result
        A function ``on_result(report)`` that is called after every finished measure,
        with all that has been found so far.

    Returns
    -------
    Report
        The table, and the full result of each measure; for more options call those
        themselves. After an interrupt (Ctrl-C) it is what was finished.

    Raises
    ------
    TypeError, ValueError
        $raises

    Warns
    -----
    SharpkitWarning
        If it was interrupted, if a measure failed, and whatever the measures warn of.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> problem = sharpkit.Problem(np.zeros(3), lambda w: (1.5 * float(w @ w), 3 * w))
    >>> report = sharpkit.profile(problem, time_budget=60)
    >>> report.undefined["subspace_sharpness"]
    'undefined: 100 directions are no fewer than the 3 weights'
    """
    _require_untimed(checkpoint, time_budget)
    return taken_at(
        problem,
        Settings(
            epsilon, repeats, checked_measures(measures), k, seed,
            max_evaluations, time_budget,
        ),
        backend=backend,
        progress=progress,
        on_result=on_result,
        start=start,
    )  # fmt: skip


def _require_untimed(checkpoint: Path | None, time_budget: float | None) -> None:
    """Raise if a report is to be resumed that depends on how fast the machine is.

    Raises
    ------
    ValueError
        If it is.
    """
    if checkpoint is not None and time_budget is not None:
        msg = (
            "checkpoint= and time_budget= are given, and what a time allows is another "
            "thing in each run; give max_evaluations in place of time_budget"
        )
        raise ValueError(msg)


def taken_at(
    problem: Any,
    settings: Settings,
    *,
    backend: str | None,
    progress: Progress,
    on_result: Callable[[Report], None] | None,
    start: Any = None,
) -> Report:
    """Return the report of one problem."""
    require_function(on_result)
    point = Point.of(as_problem("problem", problem), backend=backend)
    if start is not None:
        start = start_of(point, start)
    session = begun(point, settings, progress, end_of(settings))
    session.start = start
    tell(progress, [session])
    try:
        return last_of(steps(session), on_result)
    finally:
        point.release()


def begun(point: Point, settings: Settings, progress: Progress, end: float) -> Session:
    """Return a session after a first look at the point.

    Raises
    ------
    TypeError, ValueError
        If an option cannot be used; before anything is called.
    """
    settings = checked(settings, point)
    require_progress(progress)
    point.share()
    spectral = any(KNOWN[name].needs == "products" for name in settings.measures)
    found = fitted(point, settings.seed, epsilon=settings.epsilon, products=spectral)
    session = Session(point, settings, progress, end, found)
    session.waiting = settings.measures
    return session


def tell(progress: Progress, sessions: list[Session], more: float = 0.0) -> None:
    """Say what the measures of some points will take, if it is more than moments.

    Parameters
    ----------
    progress
        Who is told.
    sessions
        The points.
    more
        The seconds of what else there is to do.
    """
    settings, work, functions = sessions[0].settings, [], set[str]()
    for session in sessions:
        known = [KNOWN[name] for name in settings.measures]
        applying = [entry for entry in known if not entry.reason(session)]
        costs = [entry.cost(session).usual for entry in applying]
        usual = Work(*map(sum, zip(Work(), *costs, strict=True)))
        limit = settings.max_evaluations or math.inf
        seconds = session.seconds(usual)
        work.append(min(limit * session.seconds(Work(session.unit)), seconds))
        functions |= {each for entry in applying for each in entry.builds}
    building = max(session.found.building_seconds for session in sessions)
    seconds = sum(work) + more + len(functions) * building
    most = settings.time_budget
    if most is not None and most < seconds:
        seconds, kept = most, ", which is the time budget"
    else:
        kept = f", of {sessions[0].seconds(Work(1)):.2g} s an evaluation"
    names = [name.replace("_", " ") for name in settings.measures]
    more_names = f" and {len(names) - 3} more" if len(names) > 3 else ""
    what = ", ".join(names[:3]) + more_names
    at = "" if len(sessions) == 1 else f" at {len(sessions)} points"
    verb = "takes" if len(names) == 1 else "take"
    announce(
        progress,
        seconds,
        f"sharpkit: {what}{at} {verb} at most about {duration(seconds)}{kept}",
    )


def duration(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 100:
        return f"{seconds:.2g} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
