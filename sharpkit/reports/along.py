"""Entries of a profile: along the gradient, its length, and the way from the start."""

from __future__ import annotations

from typing import Any

from sharpkit.measures.critical_sharpness import MOST, critical_sharpness
from sharpkit.measures.directional_sharpness import directional_sharpness
from sharpkit.measures.distance import distance, gradient_norm
from sharpkit.reports.entry import Entry, number
from sharpkit.reports.session import Cost, Session, Work

FEWEST = 15  # forward passes, of which most searches need no more


def _gradient(session: Session, work: Work | None) -> Any:
    return gradient_norm(session.point)


def _directional(session: Session, work: Work | None) -> Any:
    return directional_sharpness(session.point)


def _critical(session: Session, work: Work | None) -> Any:
    """Search along the gradient, from the step that the second order says."""
    _, gradient, _ = session.point.centre(session.point.objective())
    known = session.results.get("directional_sharpness")
    guess = 2 / known.value if known is not None and known.value > 0 else None
    return critical_sharpness(
        session.point,
        direction=gradient,
        guess=guess,
        max_evaluations=MOST if work is None else work.evaluations,
        progress=session.progress,
    )


def _flat(session: Session) -> str:
    if session.found.gradient_norm > 0:
        return ""
    return "the gradient is zero: there is no direction to step along"


def _distance(session: Session, work: Work | None) -> Any:
    return distance(session.point, start=session.start)


def _startless(session: Session) -> str:
    if session.start is not None:
        return ""
    return "no start is given: give start=, the weights that the training began with"


GRADIENT = Entry(
    "gradient_norm",
    _gradient,
    number("gradient norm"),
    lambda session: Cost(Work(1), Work(1)),
    needs="gradient",
)
ENTRIES = (
    Entry(
        "directional_sharpness",
        _directional,
        number("directional sharpness, gradient"),
        lambda session: Cost(Work(1, 1), Work(1, 1)),
        needs="gradient",
        lacks=_flat,
    ),
    Entry(
        "critical_sharpness",
        _critical,
        number("critical sharpness, gradient"),
        lambda session: Cost(Work(FEWEST), Work(MOST)),
        needs="gradient",
        lacks=_flat,
        part=lambda session: 1.0,
    ),
    Entry(
        "distance",
        _distance,
        number("distance from the start"),
        lacks=_startless,
    ),
)
