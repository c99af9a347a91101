"""A line on stderr for searches that take their time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, int | None, float], None]
"""``report(evaluations, budget, value)``: spent, allowed, best value in per cent."""

Progress = bool | Report | None

QUIET_SECONDS = 2.0


@contextmanager
def reporter(
    progress: Progress, loss: float, budget: int | None
) -> Iterator[Callable[[int, float], None]]:
    """Yield a function to call with (evaluations, best loss) after each evaluation."""
    if callable(progress):
        show = progress

        def call(evaluations: int, best: float) -> None:
            show(evaluations, budget, 100 * (best - loss) / (1 + loss))

        yield call
        return
    wanted = sys.stderr.isatty() if progress is None else progress
    line = _Line(loss, budget) if wanted else None
    try:
        yield line.show if line else lambda evaluations, best: None
    finally:
        if line:
            line.clear()


class _Line:
    def __init__(self, loss: float, budget: int | None) -> None:
        self._loss, self._budget = loss, budget
        self._began, self._width = time.perf_counter(), 0

    def show(self, evaluations: int, best: float) -> None:
        spent = time.perf_counter() - self._began
        if spent < QUIET_SECONDS:
            return
        text = f"sharpness: {evaluations}"
        if self._budget:
            left = spent / evaluations * (self._budget - evaluations)
            text += f" of {self._budget} evaluations, about {left:.0f} s left"
        else:
            text += " evaluations"
        text += f", {100 * (best - self._loss) / (1 + self._loss):.4g} % so far"
        print("\r" + text.ljust(self._width), end="", file=sys.stderr, flush=True)
        self._width = len(text)

    def clear(self) -> None:
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr, flush=True)
