"""Entries of a profile: how far the loss rises in balls and under noise, and radii."""

from __future__ import annotations

from typing import Any

from sharpkit.measures._rises import checked_radius
from sharpkit.measures._searches import CENTRE_EVALUATIONS
from sharpkit.measures.average_sharpness import average_sharpness
from sharpkit.measures.ball_sharpness import ball_sharpness
from sharpkit.measures.flatness_radius import LEAST, USUAL, flatness_radius
from sharpkit.reports.entry import FIRST, WHOLE, Entry, climbable, quantity
from sharpkit.reports.session import Cost, Session, Work
from sharpkit.results.report import Quantity

RADIUS, RELATIVE = 0.05, 0.5  # of SAM, and of ASAM
NOISE = 0.05  # the deviation of each weight, also in units of itself
DRAWS = 40  # displacements, at most: 20 pairs tell the mean and its error
FEWEST = 10  # displacements of which the error is known to a quarter
TARGET = 0.1  # the rise of the error, or of the loss, that a radius is of


def _ball(name: str, method: Any, *, adaptive: bool) -> Entry:
    """Return the entry of the ball of SAM, or of ASAM."""
    radius = RELATIVE if adaptive else RADIUS
    kind = "adaptive " if adaptive else ""
    place = "one step in" if method == "one_step" else "rise in"

    def take(session: Session, work: Work | None) -> Any:
        most = None
        if work is not None and method == "search":
            allowed = work.evaluations // session.unit
            most = None if allowed >= WHOLE else max(allowed, 1) + CENTRE_EVALUATIONS
        return ball_sharpness(
            session.point,
            radius=radius,
            adaptive=adaptive,
            method=method,
            max_evaluations=most,
            **session.options,
        )

    def rows(result: Any) -> list[Quantity]:
        return [quantity(f"{place} the {kind}ball of {radius:g}", result)]

    def cost(session: Session) -> Cost:
        if method == "one_step":
            return _fixed(2 * session.unit)
        return Cost(Work(FIRST * session.unit), Work(WHOLE * session.unit))

    def lacks(session: Session) -> str:
        return climbable(session) or _lost(session, radius, adaptive, spread=True)

    return Entry(name, take, rows, cost, lacks=lacks)


def _average(name: str, *, adaptive: bool) -> Entry:
    """Return the entry of the mean rise under normal noise."""

    def take(session: Session, work: Work | None) -> Any:
        allowed = DRAWS if work is None else work.evaluations
        return average_sharpness(
            session.point,
            radius=NOISE,
            adaptive=adaptive,
            samples=allowed // 2 * 2,
            **session.options,
        )

    def rows(result: Any) -> list[Quantity]:
        kind = "adaptive " if adaptive else ""
        return [quantity(f"mean rise, {kind}noise of {NOISE:g}", result)]

    def lacks(session: Session) -> str:
        return _lost(session, NOISE, adaptive, spread=False)

    cost = Cost(Work(FEWEST), Work(DRAWS))
    return Entry(name, take, rows, lambda session: cost, lacks=lacks, part=_whole)


def _lost(session: Session, radius: float, adaptive: bool, *, spread: bool) -> str:
    """Return why the weights cannot take steps of such a size, if they cannot."""
    try:
        checked_radius(radius, session.point, adaptive=adaptive, spread=spread)
    except ValueError as error:
        return str(error)
    return ""


def _radius(name: str, kind: Any, *, asked: bool) -> Entry:
    """Return the entry of sigma, or of alpha, of Jiang et al."""
    letter = "sigma" if kind == "average" else "alpha"

    def take(session: Session, work: Work | None) -> Any:
        unit = session.unit if kind == "worst" else 1
        most = _most(session) if work is None else work.evaluations // unit
        return flatness_radius(
            session.point,
            kind=kind,
            of=_of(session),
            target=TARGET,
            start=session.start,
            max_evaluations=max(most, LEAST),
            **session.options,
        )

    def rows(result: Any) -> list[Quantity]:
        label = f"{letter}, {result.of} {TARGET:g} higher"
        return [quantity(label, result)]

    def _most(session: Session) -> int:
        return USUAL[kind] if asked else LEAST

    def cost(session: Session) -> Cost:
        unit = session.unit if kind == "worst" else 1
        return Cost(Work(LEAST * unit), Work(_most(session) * unit))

    def lacks(session: Session) -> str:
        return _too_wrong(session) or (climbable(session) if kind == "worst" else "")

    return Entry(name, take, rows, cost, lacks=lacks, part=_whole, asked=asked)


def _of(session: Session) -> Any:
    return "loss" if session.found.fit.accuracy is None else "error"


def _too_wrong(session: Session) -> str:
    accuracy = session.found.fit.accuracy
    if accuracy is None or 1 - accuracy + TARGET <= 1:
        return ""
    return f"the error is {1 - accuracy:.3g}, and cannot rise by {TARGET:g}"


def _whole(session: Session) -> float:
    return 1.0


def _fixed(evaluations: int) -> Cost:
    return Cost(Work(evaluations), Work(evaluations))


ENTRIES = (
    _ball("ball_sharpness", "search", adaptive=False),
    _ball("adaptive_ball_sharpness", "search", adaptive=True),
    _ball("one_step_sharpness", "one_step", adaptive=False),
    _ball("adaptive_one_step_sharpness", "one_step", adaptive=True),
    _average("average_sharpness", adaptive=False),
    _average("adaptive_average_sharpness", adaptive=True),
    _radius("flatness_radius", "average", asked=False),
    _radius("worst_flatness_radius", "worst", asked=True),
)
