"""What a long computation has been told so far, so that it can be gone through again.

All that steers an algorithm are numbers: what callbacks return, and sums over vectors
that have been reduced over the ranks. A `Journal` takes them down while a computation
runs. A later one that is given the same numbers takes the same turns without a
vector touched, in next to no time, up to where the vectors in use were saved; there it
takes them over and goes on with the same bits. So any algorithm can be resumed at any
call of its callback, without a state of its own to save, at the cost of the vectors
that it holds anyhow: a file of all that callbacks returned would be many times as large
(of 100 gradients of 1e8 weights 40 GB, where the search holds 8 vectors).

That needs three things of an algorithm. No number that it branches on is taken from a
vector except through a `Space` or its `comm`. A vector that outlives a call of the
callback comes from a `Space`, or is handed to `tracked`. What a callback returned is
copied before the next call.
"""

from __future__ import annotations

import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from sharpkit._inputs.types import Array

SHARE = 0.015  # of wall time that goes into saving: the last one is not counted
LEAST_SECONDS = 2.0  # between two times
SECONDS_PER_BYTE = 1e-9  # of saving, before it has been measured
# What a callback returned, beside the loss.
ALONE, WITH_GRADIENT, RAISED = 0.0, 1.0, 2.0
# Losses at one point may differ by so many roundings of 1 + |loss|, in float32.
ROUNDINGS, ROUNDING = 64, 2.0**-23

_current: ContextVar[Journal | None] = ContextVar("journal", default=None)


class Repeated(Exception):
    """A callback raised an exception here before; it is not called again."""


class Past(NamedTuple):
    """What an earlier computation has saved.

    Attributes
    ----------
    numbers : list of array
        All that it was told, in order.
    calls : int
        How many calls of callbacks had returned.
    load : callable
        The function ``load(blocks)`` that fills arrays, by their numbers.
    """

    numbers: list[Any]
    calls: int
    load: Callable[[dict[int, Array]], None]


class Journal:
    """The numbers that one computation is told, and the vectors that it holds.

    Parameters
    ----------
    past
        What an earlier computation of the same has saved, if there is any.
    save
        The function ``save(journal)`` that saves this one.

    Attributes
    ----------
    numbers : list of array
        All that it has been told, in order.
    calls : int
        How many calls of callbacks have been made where it can be resumed.
    blocks : dict of int to weak reference
        The arrays in use, by their number in the order in which they were made.
    blank : bool
        Whether it takes the turns that are known, without touching a vector.
    """

    def __init__(self, past: Past | None, save: Callable[[Journal], None]) -> None:
        self.numbers: list[Any] = [] if past is None else past.numbers
        self._past, self._save = past, save
        self._told, self._known = 0, len(self.numbers)
        self.calls, self.made = 0, 0
        self.blocks: dict[int, weakref.ref[Any]] = {}
        self.covered = self.blank = self._inside = False
        self._stopping: Callable[[], None] | None = None
        self._last, self._per_byte = time.perf_counter(), SECONDS_PER_BYTE

    def track(self, array: Array) -> None:
        """Count an array among those that are saved while they are in use."""
        owner = array if array.base is None else array.base
        number, blocks = self.made, self.blocks
        self.made += 1
        blocks[number] = weakref.ref(owner, lambda _: blocks.pop(number, None))

    def arrays(self) -> dict[int, Array]:
        """Return the arrays in use, by their numbers."""
        found = {number: known() for number, known in list(self.blocks.items())}
        return {number: array for number, array in found.items() if array is not None}

    def number(self, value: Any) -> Any:
        """Return what was told here before; a new value is taken down."""
        if self._told < self._known:
            value = self.numbers[self._told].copy()
        else:
            self.numbers.append(np.array(value))
        self._told += 1
        return value

    @contextmanager
    def calling(self) -> Iterator[bool]:
        """Yield whether a call of a callback is left out; it can be saved before it."""
        if self.covered:
            if self.blank and self._past and self.calls == self._past.calls:
                self._past.load(self.arrays())
                self._go_on()
            elif not self.blank and self._due():
                self.save()
            if self._stopping:
                self._stop()
            self.calls += 1
        self._inside = True
        try:
            yield self.blank
        finally:
            self._inside = False

    def _go_on(self) -> None:
        assert self._told == self._known  # the same turns have the same numbers
        self.blank, self._past, self._last = False, None, time.perf_counter()

    def answer(self, loss: float, kind: float) -> tuple[float, float]:
        """Return what a callback returned here before; what it returns now is known.

        Parameters
        ----------
        loss
            The loss that it returned now.
        kind
            What was returned beside it.

        Raises
        ------
        ValueError
            If that is another loss.
        """
        known = self.number([loss, kind])
        before = float(known[0])
        if abs(loss - before) > ROUNDINGS * ROUNDING * (1 + abs(before)):
            msg = (
                f"loss_fn returned {loss!r} where it returned {before!r} when the "
                "checkpoint was saved; give the same loss and data, or another "
                "checkpoint="
            )
            raise ValueError(msg)
        return before, float(known[1])

    def repeated(self) -> tuple[float, float]:
        """Return loss and kind of an answer of a callback that is not called again."""
        loss, kind = self.number(None)
        return float(loss), float(kind)

    def _due(self) -> bool:
        since = time.perf_counter() - self._last
        if since < LEAST_SECONDS:
            return False
        size = sum(array.nbytes for array in self.arrays().values())
        return since * SHARE >= size * self._per_byte

    def save(self) -> None:
        """Save all numbers and vectors."""
        began = time.perf_counter()
        self._save(self)
        self._last = time.perf_counter()
        size = sum(array.nbytes for array in self.arrays().values())
        self._per_byte = (self._last - began) / max(size, 1)

    @contextmanager
    def covering(self) -> Iterator[None]:
        """Let the work inside be resumed at any call of a callback."""
        self.covered, self.blank = True, self._past is not None
        try:
            yield
        finally:
            self.covered = self.blank = False

    @contextmanager
    def current(self) -> Iterator[None]:
        """Take down what the work inside is told; SIGTERM saves it and ends it."""
        token = _current.set(self)
        try:
            with self._terminable():
                yield
        finally:
            _current.reset(token)

    @contextmanager
    def _terminable(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGTERM)
        if before is None or before is signal.SIG_IGN:  # it is not Python's, or unheard
            yield
            return

        def stop() -> None:
            signal.signal(signal.SIGTERM, before)
            if callable(before):
                before(signal.SIGTERM, None)
                signal.signal(signal.SIGTERM, handle)  # its owner wants to go on
            else:
                raise SystemExit(128 + signal.SIGTERM)

        def handle(number: int, frame: Any) -> None:
            self._stopping = stop
            if self._inside or not self.covered:
                self._stop()

        signal.signal(signal.SIGTERM, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _stop(self) -> None:
        """Save what is not saved yet, and do what SIGTERM does."""
        stop, self._stopping = self._stopping, None
        if self.covered and not self.blank:
            if self._inside:
                self.calls -= 1  # the one under way is made again
            self.save()
            self.calls += self._inside
        assert stop is not None
        stop()


def journal() -> Journal | None:
    """Return the journal of the computation under way, if it has one."""
    return _current.get()


def tracked(array: Array) -> Array:
    """Return an array that outlives a call of a callback: it is saved with the rest."""
    kept = _current.get()
    if kept is not None:
        kept.track(array)
    return array


def resumable_here() -> AbstractContextManager[None]:
    """Return the context of work that can be resumed at any call of a callback."""
    kept = _current.get()
    return nullcontext() if kept is None else kept.covering()
