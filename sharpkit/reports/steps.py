"""The measures of one point, one after another."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from sharpkit._inputs.progress import OutOfTime, until
from sharpkit._inputs.warn import warn
from sharpkit.reports.entry import Entry
from sharpkit.reports.evaluate import norm
from sharpkit.reports.rows import KNOWN
from sharpkit.reports.session import Cost, Session, within
from sharpkit.results.common import Run, plain
from sharpkit.results.report import FAILED, Quantity, Report, Taken

R = TypeVar("R")
INTERRUPTED = "interrupted: what was under way is lost"


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
