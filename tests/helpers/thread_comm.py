"""Ranks as threads, with the meaning of MPI's reductions; for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpkit._vectors.ranks import RankError, Ranks

PATIENCE = 60  # seconds until a rank that waits for a missing one gives up


class _World:
    def __init__(self, size: int) -> None:
        self.slots: list[NDArray[np.float64]] = [np.empty(0)] * size
        self.barrier = threading.Barrier(size, timeout=PATIENCE)


class ThreadComm:
    """One rank's view: `sharpkit._vectors.comm.Comm`, and its `rank`."""

    def __init__(self, world: _World, rank: int, offset: int) -> None:
        self._world, self.rank, self.offset = world, rank, offset
        self.count, self.pieces = len(world.slots), None

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.zeros_like(values)
        for piece in self._exchange(values):
            total = total + piece
        return total

    def max(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.max(self._exchange(values), axis=0)

    def _exchange(self, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        world = self._world
        world.slots[self.rank] = values.copy()
        world.barrier.wait()
        pieces = list(world.slots)
        world.barrier.wait()  # nobody writes the next slot before all have read
        assert len({piece.shape for piece in pieces}) == 1, "ranks disagree on a shape"
        return pieces


class ThreadRanks(Ranks):
    """Ranks as threads that fail together, as processes do."""

    def __init__(self, comm: ThreadComm) -> None:
        super().__init__(comm.rank, comm.count)
        self._comm = comm

    def gather(
        self, row: NDArray[np.float64], patience: float | None = None
    ) -> NDArray[np.float64]:
        try:
            return np.array(self._comm._exchange(row))
        except threading.BrokenBarrierError as error:
            raise RankError("a thread has ended") from error


def run_ranks(
    lengths: Sequence[int], function: Callable[[ThreadComm, slice], Any]
) -> list[Any]:
    """Call ``function(comm, slice)`` on one thread per length; return the results.

    The slice is the rank's piece of the global vectors. The first exception comes
    through, and frees the ranks that wait for the failed one.
    """
    world = _World(len(lengths))
    ends = np.cumsum(lengths)
    results: list[Any] = [None] * len(lengths)
    errors: list[BaseException] = []

    def rank_main(rank: int) -> None:
        begin, end = int(ends[rank] - lengths[rank]), int(ends[rank])
        try:
            results[rank] = function(ThreadComm(world, rank, begin), slice(begin, end))
        except threading.BrokenBarrierError as error:
            errors.append(error)
        except BaseException as error:
            errors.insert(0, error)
            world.barrier.abort()

    ranks = [threading.Thread(target=rank_main, args=(i,)) for i in range(len(lengths))]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    if errors:
        raise errors[0]
    return results
