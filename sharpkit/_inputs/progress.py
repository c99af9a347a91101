"""A line on stderr for measurements that take their time, and an end to that time."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from sharpkit._inputs.types import Report

Progress = bool | Callable[[int, int | None, float], None] | None
"""Whether there is a line, or who is told (spent, allowed, value so far) instead."""

QUIET_SECONDS = 2.0  # work that takes less shows no line
LOG_SECONDS = 30.0  # where there is no terminal lines are so far apart

_end: ContextVar[float] = ContextVar("end", default=math.inf)


class OutOfTime(Exception):
    """The time that was allowed for a measurement is over."""


@contextmanager
def until(end: float) -> Iterator[None]:
    """End the work inside, as soon as it tells of progress, at a time.

    Parameters
    ----------
    end
        The time, by `time.perf_counter`; `math.inf` for never.
    """
    before = _end.set(end)
    try:
        yield
    finally:
        _end.reset(before)


def _require_time() -> None:
    end = _end.get()
    if end < math.inf and time.perf_counter() > end:
        raise OutOfTime


@contextmanager
def reporter(
    progress: Progress,
    budget: int | None,
    *,
    title: str,
    unit: str,
    value: str,
) -> Iterator[Report]:
    """Yield a function to call with (done, value so far) as work proceeds.

    Parameters
    ----------
    progress
        Whether a line shows the progress, or a function to call instead; None shows a
        line that is written over if stderr is a terminal, and else one now and then.
    budget
        The amount of work there is to do; None if that is unknown.
    title, unit
        The beginning of the line, and what work is counted in, such as ``"sharpness"``
        and ``"evaluations"``.
    value
        The format of the value, such as ``"{:.4g} % so far"``.

    Yields
    ------
    callable
        The function. Nothing done yet means that work is being prepared.

    Raises
    ------
    TypeError
        If ``progress`` is none of these.
    OutOfTime
        From the function, at the end that `until` has set.
    """
    if callable(progress):
        show = progress

        def call(done: int, found: float) -> None:
            show(done, budget, found)
            _require_time()

        yield call
        return
    require_progress(progress)
    written_over = _at_terminal() if progress is None else progress
    kind = _Line if written_over else _Log
    line = kind(budget, title, unit, value) if progress is not False else None

    def tell(done: int, found: float) -> None:
        if line:
            line.show(done, found)
        _require_time()

    try:
        yield tell
    finally:
        if line:
            line.clear()


def require_progress(progress: Any) -> None:
    """Raise unless it is what `reporter` takes.

    Raises
    ------
    TypeError
        If it is not.
    """
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        msg = (
            f"progress={progress!r} is of type {type(progress).__name__}; give True, "
            "False, None, or a function of (spent, allowed, value so far)"
        )
        raise TypeError(msg)


def announce(progress: Progress, seconds: float, text: str) -> None:
    """Say before work begins what it will take, if it takes its time.

    Parameters
    ----------
    progress
        As `reporter` takes it: functions are told nothing in words.
    seconds
        What it will take.
    text
        What is said.
    """
    if (progress is None or progress is True) and seconds >= QUIET_SECONDS:
        say(text)


def say(text: str, end: str = "\n") -> None:
    """Print a text on stderr if there is one: a daemon may have none, or a closed one.

    Parameters
    ----------
    text, end
        The text, and what follows it.
    """
    if sys.stderr is not None:  # print would take stdout
        with suppress(OSError, ValueError):
            print(text, end=end, file=sys.stderr, flush=True)


def _at_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


class _Line:
    """The line on stderr, written over again and again."""

    def __init__(self, budget: int | None, title: str, unit: str, value: str) -> None:
        self._budget, self._title, self._unit = budget, title, unit
        self._value = value
        self._began, self._width = time.perf_counter(), 0

    def show(self, done: int, found: float) -> None:
        spent = time.perf_counter() - self._began
        if spent < QUIET_SECONDS:
            return
        text = self._text(done, found, spent)
        say("\r" + text.ljust(self._width), end="")
        self._width = len(text)

    def _text(self, done: int, found: float, spent: float) -> str:
        if not done:
            return f"{self._title}: preparing"
        text = f"{self._title}: {done}"
        if self._budget:
            left = spent / done * (self._budget - done)
            text += f" of {self._budget} {self._unit}, about {left:.0f} s left"
        else:
            text += f" {self._unit}"
        return f"{text}, {self._value.format(found)}"

    def clear(self) -> None:
        if self._width:
            say("\r" + " " * self._width + "\r", end="")


class _Log(_Line):
    """Lines on stderr where there is no terminal: in a file, one now and then.

    Work that follows on other work shares its lines, so that many short measures do not
    make a long silence.
    """

    _said, _heard = -math.inf, -math.inf  # the last line, and the last word of progress

    def __init__(self, budget: int | None, title: str, unit: str, value: str) -> None:
        super().__init__(budget, title, unit, value)
        if not 0 <= self._began - _Log._heard < QUIET_SECONDS:
            _Log._said = self._began
        _Log._heard = self._began

    def show(self, done: int, found: float) -> None:
        _Log._heard = now = time.perf_counter()
        if now - _Log._said >= LOG_SECONDS:
            _Log._said = now
            say(self._text(done, found, now - self._began))

    def clear(self) -> None:
        _Log._heard = time.perf_counter()
