"""A line on stderr for measurements that take their time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sharpkit._inputs.types import Report

Progress = bool | Callable[[int, int | None, float], None] | None
"""Whether there is a line, or who is told (spent, allowed, value so far) instead."""

QUIET_SECONDS = 2.0  # work that takes less shows no line


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
        line if stderr is a terminal.
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
    """
    if callable(progress):
        show = progress

        def call(done: int, found: float) -> None:
            show(done, budget, found)

        yield call
        return
    given: Any = progress
    if given is not None and not isinstance(given, bool):
        msg = (
            f"progress={given!r} is of type {type(given).__name__}; give True, "
            "False, None, or a function of (spent, allowed, value so far)"
        )
        raise TypeError(msg)
    wanted = _at_terminal() if progress is None else progress
    line = _Line(budget, title, unit, value) if wanted else None
    try:
        yield line.show if line else lambda done, found: None
    finally:
        if line:
            line.clear()


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
