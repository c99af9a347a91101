"""What a profile is asked for, checked before anything is called."""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sharpkit._inputs.checks import (
    as_float,
    at_least,
    checked_epsilon,
    checked_seed,
    one_of,
)
from sharpkit.measures._point import Point
from sharpkit.reports.rows import KNOWN
from sharpkit.results.report import Settings

NAMES = tuple(KNOWN)
USUAL = tuple(name for name, entry in KNOWN.items() if not entry.asked)


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


def checked(settings: Settings, point: Point) -> Settings:
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
