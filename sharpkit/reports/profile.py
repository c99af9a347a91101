"""Everything that applies to one point, in one table, at a cost that is told before."""

from __future__ import annotations

import math
import numbers
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from sharpkit._inputs.checks import (
    as_float,
    at_least,
    checked_epsilon,
    checked_seed,
    one_of,
)
from sharpkit._inputs.progress import (
    OutOfTime,
    Progress,
    announce,
    require_progress,
    until,
)
from sharpkit._inputs.texts import documented
from sharpkit._inputs.warn import warn
from sharpkit.measures._given import start_of
from sharpkit.measures._point import Point
from sharpkit.problem import as_problem
from sharpkit.reports.entry import Entry
from sharpkit.reports.evaluate import fitted, norm
from sharpkit.reports.rows import KNOWN
from sharpkit.reports.session import Cost, Session, Work, within
from sharpkit.results.common import Run, plain
from sharpkit.results.report import FAILED, Quantity, Report, Settings, Taken

R = TypeVar("R")
NAMES = tuple(KNOWN)
USUAL = tuple(name for name, entry in KNOWN.items() if not entry.asked)
INTERRUPTED = "interrupted: what was under way is lost"


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


def end_of(settings: Settings) -> float:
    """Return when the time budget ends, by `time.perf_counter`; infinite without one.

    Raises
    ------
    TypeError
        If the budget is no number.
    ValueError
        If it is no number of seconds.
    """
    budget: Any = settings.time_budget
    if budget is None:
        return math.inf
    if isinstance(budget, bool) or not isinstance(budget, numbers.Real):
        msg = f"time_budget={budget!r} is not a number; give seconds, such as 60"
        raise TypeError(msg)
    if not 0 < as_float(budget) < math.inf:
        msg = f"time_budget={budget!r}; give seconds above 0, such as 60, or None"
        raise ValueError(msg)
    return time.perf_counter() + float(budget)


def begun(point: Point, settings: Settings, progress: Progress, end: float) -> Session:
    """Return a session after a first look at the point.

    Raises
    ------
    TypeError, ValueError
        If an option cannot be used; before anything is called.
    """
    settings = _checked(settings, point)
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


def last_of(found: Iterator[R], on_result: Callable[[R], None] | None) -> R:
    """Return the last of what comes, or what came before an interrupt.

    Raises
    ------
    KeyboardInterrupt
        If nothing was finished before it.

    Warns
    -----
    SharpkitWarning
        If there was an interrupt after something was finished.
    """
    last: Any = None
    try:
        for last in found:
            if on_result is not None:
                on_result(last)
    except KeyboardInterrupt:
        if last is None or not last.finished:
            raise
        warn("interrupted: what was finished is returned; the rest says so")
    return last  # type: ignore[no-any-return]


def steps(session: Session) -> Iterator[Report]:
    """Yield the report after the first look, and again after every measure.

    An interrupt is raised again after the report that tells of it.

    Raises
    ------
    Warning
        Where warnings are errors.
    """
    point, settings = session.point, session.settings
    report = Report(
        fit=session.found.fit,
        norm=norm(point.weights),
        run=session.found.run,
        settings=settings,
        complete=not settings.measures,
    )
    yield report
    reasons = {name: KNOWN[name].reason(session) for name in settings.measures}
    for index, name in enumerate(settings.measures):
        entry, reason, interrupt = KNOWN[name], reasons[name], None
        session.waiting = tuple(
            each for each in settings.measures[index + 1 :] if not reasons[each]
        )
        try:
            row = _row(session, entry, reason)
        except OutOfTime:
            row = Taken(name, reason=_ended(session))
        except KeyboardInterrupt as stopped:
            row, interrupt = Taken(name, reason=INTERRUPTED), stopped
        except Warning:  # an error because the user wants it to be one
            raise
        except Exception as error:
            row = Taken(name, reason=_failed(name, error))
        report = replace(
            report,
            run=Run.together(session.runs),
            taken=(*report.taken, row),
            results=dict(session.results),
            complete=index + 1 == len(settings.measures) and not interrupt,
        )
        yield report
        if interrupt:
            raise interrupt
    session.kept.clear()


def _ended(session: Session) -> str:
    """Return why a measure that was under way was given up."""
    budget = f"the time budget of {session.settings.time_budget:g} s"
    if time.perf_counter() > session.end:
        return f"not taken: {budget} ended meanwhile"
    return f"not taken: it took longer than its share of {budget}"


def _failed(name: str, error: Exception) -> str:
    """Return why there is no value, and warn of it: the other measures go on.

    Warns
    -----
    SharpkitWarning
        Always.
    """
    text = " ".join(str(error).split())
    reason = f"{FAILED}{type(error).__name__}: {text}".rstrip(": ")
    last = traceback.extract_tb(error.__traceback__)[-1]
    warn(
        f"{name.replace('_', ' ')} {reason} ({last.filename}, line {last.lineno}); the "
        "other measures go on"
    )
    return reason


def _row(session: Session, entry: Entry, reason: str) -> Taken:
    """Take one measure, if it applies and there is room for it."""
    if entry.after and entry.after not in session.results:
        reason = reason or f"not taken: it is read off the {entry.after}"
        reason = reason.replace("_", " ")
    waiting = [KNOWN[name].cost(session) for name in session.waiting]
    cost: Cost = entry.cost(session)
    share = None if reason else session.share(cost, waiting)
    if cost.least.products and not (reason or isinstance(share, str) or session.tried):
        with until(session.end):
            session.prepare()
        share = session.share(cost, waiting)
    if isinstance(share, str):
        reason = share
    if reason or isinstance(share, str):
        return Taken(entry.name, reason=reason)
    began = time.perf_counter()
    work = within(cost, share)
    try:
        with until(session.end_of(work, waiting)):
            result = entry.take(session, work)
    except ValueError as error:
        if entry.needs != "samples":
            raise
        return Taken(entry.name, reason=f"undefined: {error}")  # known of no sample
    session.results[entry.name] = result
    run = getattr(result, "run", None)
    if run is not None:
        session.ran(run, None if entry.part is None else entry.part(session))
    return Taken(
        entry.name,
        tuple(entry.rows(result)),
        calls=run.calls if run else 0,
        products=run.products if run else 0,
        seconds=time.perf_counter() - began,
        record=_record(result),
    )


def _record(result: Any) -> dict[str, Any]:
    if isinstance(result, Quantity):
        return result.to_dict()
    record: dict[str, Any] = plain(result.to_dict())
    return record


def checked_measures(measures: Iterable[str]) -> tuple[str, ...]:
    """Return the names of measures, and of what they are made of, as a tuple.

    Raises
    ------
    TypeError
        If they are one text, or none at all.
    ValueError
        If one is unknown.
    """
    given: Any = measures
    if isinstance(given, str):
        msg = f"measures={given!r} is text; give a tuple: ({given!r},)"
        raise TypeError(msg)
    if not isinstance(given, Iterable) or getattr(given, "shape", None) == ():
        msg = f"measures={given!r}; give a tuple of names, such as {NAMES[:2]}"
        raise TypeError(msg)
    wanted = set()
    for name in given:
        one_of("measures", name, NAMES)
        wanted |= {name, KNOWN[name].after}
    return tuple(name for name in NAMES if name in wanted)


def require_function(on_result: Any) -> None:
    """Raise unless results can be handed on.

    Raises
    ------
    TypeError
        If it is not callable.
    """
    if not (on_result is None or callable(on_result)):
        msg = (
            f"on_result={on_result!r} is of type {type(on_result).__name__}; give a "
            "function of what has been found so far, or None"
        )
        raise TypeError(msg)


def _checked(settings: Settings, point: Point) -> Settings:
    """Return plain numbers; raise for whatever a measure would refuse, at once.

    Raises
    ------
    ValueError
        If there are fewer eigenvalues than are wanted.
    """
    checked_epsilon(settings.epsilon, point.weights)
    repeats, k = at_least("repeats", settings.repeats, 1), at_least("k", settings.k, 1)
    if k > point.n:
        msg = (
            f"k={k}; there are {point.n} eigenvalues, one per weight: give at most "
            f"{point.n}"
        )
        raise ValueError(msg)
    most = settings.max_evaluations
    seed = checked_seed(settings.seed)
    checked_seed(seed + repeats - 1)
    return replace(
        settings,
        epsilon=float(settings.epsilon),
        repeats=repeats,
        k=k,
        seed=seed,
        max_evaluations=None if most is None else at_least("max_evaluations", most, 1),
    )
