"""Processes that each hold a piece of the weights, and go down together.

All that travels is small: numbers of float64 on the host, gathered from all ranks, and
added up in the same pairs by each, so that all have the same bits. Every gathering has
a head, in which a rank that has failed says so in place of its numbers. Whatever the
others were about to ask for, they read it there, and raise as well: no error of one
rank, wherever it is raised, leaves the others waiting.
"""

from __future__ import annotations

import inspect
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from sharpkit._inputs.types import Matrix, Vector

HEAD, ROW = 4, 64  # of a row that is gathered: the first numbers, and all of them
MOST = 1 << 17  # numbers that a rank sends at once
FINE, FAILED = 1.0, 2.0  # the first number of a head; another one is no head
TEXT = 4096  # bytes of an error's message that travel
PATIENCE = 10.0  # seconds in which a rank that failed waits for the others to hear
ALIKE = "alike"  # the kind of a maximum that looks for what is not the same
PLAIN = int, float, str, type(None), np.number


class RankError(RuntimeError):
    """Another rank has failed, or is not to be reached."""


class Ranks(ABC):
    """A `Comm` over processes, which fail together.

    Attributes
    ----------
    rank, count : int
        The number of this rank, from 0, and how many there are.
    offset : int
        The global index of the first coordinate that this rank holds: see `place`.
    pieces : list of (int, int) or None
        The length, and the first global index, of each range that it holds.
    """

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count, self.offset = rank, count, 0
        self.pieces: list[tuple[int, int]] | None = None
        self._turn = 0

    @abstractmethod
    def gather(self, row: Vector, patience: float | None = None) -> Matrix:
        """Return the rows of all ranks, each of the same length, in their order.

        Parameters
        ----------
        row
            The row of this rank, float64.
        patience
            The seconds to wait for the others; None waits as long as the library does.

        Raises
        ------
        RankError
            If they are not to be reached.
        """

    def sum(self, values: Matrix) -> Matrix:
        """Return the elementwise sum over ranks, the same bits on each."""
        return self._exchanged("sum", values)

    def max(self, values: Matrix) -> Matrix:
        """Return the elementwise maximum over ranks."""
        return self._exchanged("max", values)

    def place(self, n: int, pieces: list[tuple[int, int]] | None = None) -> None:
        """Set the place of this rank, which holds n coordinates.

        Parameters
        ----------
        n
            The number of coordinates.
        pieces
            Where they lie; None puts the ranks one after the other.
        """
        self.pieces = pieces
        before = np.zeros(self.count)
        before[self.rank + 1 :] = n
        self.offset = int(self.sum(before)[self.rank])

    @contextmanager
    def together(
        self, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> Iterator[None]:
        """Have an exception inside, on any rank, end what all ranks do.

        Parameters
        ----------
        function, args, kwargs
            What is called; plain arguments must be alike on all ranks, but for the
            progress that is shown.

        Raises
        ------
        RankError
            If another rank has failed.
        ValueError
            If an argument is not the same on all ranks.
        """
        try:
            bound = inspect.signature(function).bind(*args, **kwargs)
            bound.apply_defaults()
            bound.arguments.pop("progress", None)
            self._exchanged(function.__name__, np.zeros(1))
            self._require_alike(bound.arguments)
            yield
        except RankError:
            raise
        except BaseException as error:
            error.add_note(f"raised on rank {self.rank} of {self.count}")
            if not self._announced(error):
                error.add_note(
                    "the other ranks did not hear of it: one has ended, perhaps with "
                    "an error of its own, or they wait inside the callback"
                )
            raise
        self._exchanged("end", np.zeros(1))  # none goes on before all have ended

    def reduced(self, kind: str, rows: Matrix) -> Vector:
        """Return the sum, or the maximum, of the rows of the ranks."""
        if kind in ("max", ALIKE):
            return np.asarray(rows.max(axis=0))
        while len(rows) > 1:  # in pairs, so that errors grow by the tree's height alone
            half = -(-len(rows) // 2)
            below, rows = rows[half:], rows[:half].copy()
            rows[: len(below)] += below
        return np.asarray(rows[0])

    def _exchanged(self, kind: str, values: Matrix) -> Matrix:
        """Return the numbers of all ranks, reduced."""
        flat = np.ascontiguousarray(values, np.float64).ravel()
        first, rest = flat[: ROW - HEAD], flat[ROW - HEAD :]
        row = np.zeros(ROW)
        row[:HEAD] = FINE, self._turn, zlib.crc32(kind.encode()), flat.size
        row[HEAD : HEAD + first.size] = first
        rows = self.gather(row)
        self._turn += 1
        self._require_fine(rows[:, :HEAD])
        parts = [self.reduced(kind, rows[:, HEAD : HEAD + first.size])]
        for begin in range(0, rest.size, MOST):
            part = self.gather(rest[begin : begin + MOST])
            parts.append(self.reduced(kind, part))
        return np.concatenate(parts).reshape(np.shape(values))

    def _require_fine(self, heads: Matrix) -> None:
        """Raise where a rank has failed, or asks for something else than the others.

        Raises
        ------
        RankError
            If so.
        """
        failed = np.flatnonzero(heads[:, 0] == FAILED)
        if failed.size:
            texts = self.gather(np.zeros(TEXT // 8))
            first = int(failed[0])
            text = texts[first].tobytes().rstrip(b"\0").decode(errors="replace")
            msg = f"rank {first} of {self.count} raised {text}"
            raise RankError(msg)
        if (heads != heads[0]).any():
            msg = (
                f"the {self.count} ranks do not do the same; call the same measures in "
                "the same order, with the same arguments, on every rank, and let no "
                "rank alone catch an error and go on"
            )
            raise RankError(msg)

    def _announced(self, error: BaseException) -> bool:
        """Tell the others of an error; return whether they have heard."""
        row, text = np.zeros(ROW), np.zeros(TEXT // 8)
        row[:2] = FAILED, self._turn
        told = f"{type(error).__name__}: {error}".encode()[:TEXT]
        text.view(np.uint8)[: len(told)] = np.frombuffer(told, np.uint8)
        try:
            self.gather(row, PATIENCE)
            self.gather(text, PATIENCE)
        except RankError:
            return False
        return True

    def _require_alike(self, arguments: Mapping[str, Any]) -> None:
        """Raise unless plain arguments are the same on all ranks.

        Raises
        ------
        ValueError
            If one is not.
        """
        names, marks = [*arguments], np.zeros((self.count, len(arguments)))
        marks[self.rank] = [_mark(value) for value in arguments.values()]
        marks = self._exchanged(ALIKE, marks)
        for name, column in zip(names, marks.T, strict=True):
            others = np.flatnonzero(column != column[0]).tolist()
            if others:
                msg = (
                    f"{name} is not the same on all ranks: rank {others[0]} and rank 0 "
                    f"differ, and here, on rank {self.rank}, it is "
                    f"{arguments[name]!r}; give the same on every rank"
                )
                raise ValueError(msg)


class Copies(Ranks):
    """Ranks of which each holds all weights: the numbers of rank 0 are those of all.

    Parameters
    ----------
    ranks
        The ranks.
    """

    def __init__(self, ranks: Ranks) -> None:
        super().__init__(ranks.rank, ranks.count)
        self._ranks = ranks

    def gather(self, row: Vector, patience: float | None = None) -> Matrix:
        """Return the rows of all ranks, each of the same length, in their order."""
        return self._ranks.gather(row, patience)

    def place(self, n: int, pieces: list[tuple[int, int]] | None = None) -> None:
        """Keep the offset 0: each rank holds all coordinates."""

    def reduced(self, kind: str, rows: Matrix) -> Vector:
        """Return the row of rank 0, which the other rows are copies of."""
        return super().reduced(kind, rows if kind == ALIKE else rows[:1])


def _mark(value: Any) -> float:
    """Return a number that tells plain values apart; 0 for all others."""
    return float(zlib.crc32(repr(value).encode())) if _is_plain(value) else 0.0


def _is_plain(value: Any) -> bool:
    """Return whether a value holds nothing but numbers and words."""
    if is_dataclass(value) and not isinstance(value, type):
        value = tuple(getattr(value, each.name) for each in fields(value))
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)
