"""Timing side by side: A B A B ..., so that a busy machine slows all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """Seconds of each repetition of one candidate, in the order they were taken."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Half of the repetitions took no longer."""
        return float(np.median(self.seconds))

    @property
    def spread(self) -> float:
        """Distance of the quartiles as a share of the median."""
        low, high = np.percentile(self.seconds, (25, 75))
        return float(high - low) / self.median

    def __str__(self) -> str:
        digits = 2 if self.median < 0.1 else 1
        return f"{1e3 * self.median:.{digits}f} ms ±{50 * self.spread:.0f} %"


def interleaved(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    turn: int = 1,
    settle: int = 0,
    pause: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time every candidate ``rounds * turn`` times, taking turns.

    One round is run first and not counted: compilation, first touch of memory. Every
    other round runs backwards, so that none always follows the same one.

    Parameters
    ----------
    candidates
        What to call, by name.
    rounds
        Turns of each candidate.
    turn
        Counted calls per turn.
    settle, pause
        Calls that open a turn and are not counted, and seconds of rest before them:
        the idle threads of one library spin for a while and would slow the next one.
    """
    if rounds < 1 or turn < 1:
        msg = f"rounds={rounds}, turn={turn}: give at least 1 of each"
        raise ValueError(msg)
    turns = {
        name: partial(_turn, call, settle, turn, pause, clock)
        for name, call in candidates.items()
    }
    return {
        name: Timing(tuple(each for seconds in taken[1:] for each in seconds))
        for name, taken in in_turns(turns, rounds + 1).items()
    }


def in_turns(
    candidates: Mapping[str, Callable[[], T]], rounds: int
) -> dict[str, list[T]]:
    """Call every candidate once per round; return what each gave, in order.

    The first round and every other one run backwards.
    """
    found: dict[str, list[T]] = {name: [] for name in candidates}
    for index in range(rounds):
        names = list(candidates)
        for name in names if index % 2 else reversed(names):
            found[name].append(candidates[name]())
    return found


def _turn(
    call: Callable[[], object],
    settle: int,
    turn: int,
    pause: float,
    clock: Callable[[], float],
) -> list[float]:
    time.sleep(pause)
    for _ in range(settle):
        call()
    seconds = []
    for _ in range(turn):
        began = clock()
        call()
        seconds.append(clock() - began)
    return seconds


def ratio(a: Timing, b: Timing) -> float:
    """Return how long ``a`` takes as a share of ``b``, median against median."""
    return a.median / b.median
