"""All points of a landscape, one after another or in several processes."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sharpkit._inputs.arrays import to_host
from sharpkit._inputs.executors import Raised, Sent, opened
from sharpkit._inputs.progress import OutOfTime, Progress, reporter, until
from sharpkit._inputs.types import Array
from sharpkit._inputs.warn import warn
from sharpkit.landscape.grid import Place, in_order
from sharpkit.landscape.record import Record
from sharpkit.landscape.surface import Floats
from sharpkit.landscape.values import Found, Values
from sharpkit.measures._point import Point

SHARES = 16  # tasks for each process, so that none waits long for the others
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # read when one starts


@dataclass(frozen=True)
class Job:
    """What a process needs to take points: it is sent to others as it is.

    Attributes
    ----------
    problems : dict
        The problems, by the names of their data sets.
    block : (rows, n) array
        The weights, and below them directions or other weights.
    coordinates : tuple of arrays
        The coordinates along each axis.
    steps : (axes, rows) array
        What one unit of each coordinate adds to the factors of the rows, which are
        ``(1, 0, 0, ...)`` at the weights.
    apart : bool
        Whether each row below the weights is a line of its own; the first coordinate
        is then its number.
    samples, seed
        The samples to take, or None for all, and the seed by which they are drawn.
    backend
        The name of the kernels.
    """

    problems: dict[str | None, Any]
    block: Array
    coordinates: tuple[Floats, ...]
    steps: Floats
    samples: int | None
    seed: int
    backend: str | None
    apart: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of points along each axis."""
        return tuple(map(len, self.coordinates))

    def factors(self, at: Sequence[float]) -> Floats:
        """Return the factors of the rows at some coordinates."""
        if self.apart:
            line, x = at
            found = np.zeros(len(self.block))
            found[1 + int(line)] = x
        else:
            found = np.asarray(at) @ self.steps
        found[0] += 1.0
        return found

    def key(self) -> str:
        """Return a fingerprint of all that the values depend on, but for the data."""
        kinds = [getattr(each, "batch_norm", None) for each in self.problems.values()]
        names = list(self.problems)
        settings = (names, kinds, self.samples, self.seed, str(self.block.dtype))
        found = hashlib.sha256(repr(settings).encode())
        for each in (*self.coordinates, self.steps, to_host(self.block)):
            found.update(np.ascontiguousarray(each).data)
        return found.hexdigest()


class Taker:
    """Takes the points of a job: ``weights + x first + y second``, from the start.

    Parameters
    ----------
    job
        The job.
    """

    def __init__(self, job: Job) -> None:
        points = {
            name: Point.of(problem, backend=job.backend)
            for name, problem in job.problems.items()
        }
        self._job, self._space = job, next(iter(points.values())).space
        self.values = Values.of(points, job.samples, job.seed)
        self._out = self._space.empty(1)

    def __call__(self, place: Place) -> Found:
        """Return the values at one place of the grid."""
        job = self._job
        return self.at(
            [float(axis[i]) for axis, i in zip(job.coordinates, place, strict=True)]
        )

    def at(self, at: Sequence[float]) -> Found:
        """Return the values at some coordinates."""
        self._space.combine(self._job.factors(at)[None], self._job.block, self._out)
        return self.values(self._out[0])


@dataclass
class Walk:
    """What was taken on the way.

    Attributes
    ----------
    centre : Found
        The values at the weights.
    found : dict
        The values at each place that was taken.
    calls, seconds
        The evaluations, and the seconds inside the callbacks, of all processes.
    """

    centre: Found
    found: dict[Place, Found]
    calls: int
    seconds: float


def walk(
    job: Job,
    *,
    executor: Executor | int | None,
    checkpoint: Any,
    end: float,
    progress: Progress,
    title: str,
) -> Walk:
    """Take all points, coarse ones first, as far as the time allows.

    Parameters
    ----------
    job
        The points.
    executor
        Where they are taken: here (None), in so many processes, or by an executor.
    checkpoint
        The file that every point is kept in, or None.
    end
        When the time is over, by `time.perf_counter`.
    progress
        Who is told.
    title
        What it is.

    Raises
    ------
    ValueError
        If the checkpoint is of another landscape, or the loss at the weights is not
        what it was.
    KeyboardInterrupt
        If nothing was taken before it.

    Warns
    -----
    SharpkitWarning
        After an interrupt: what was taken is returned.
    """
    taker = Taker(job)
    centre = taker.at([0.0] * len(job.coordinates))
    record = _Kept(job, checkpoint, centre)
    left = [place for place in in_order(job.shape) if place not in record.found]
    walked = Walk(centre, record.found, taker.values.calls, taker.values.seconds)
    total = math.prod(job.shape)
    with reporter(
        progress, total, title=title, unit="points", value="loss {:.4g}"
    ) as report:
        try:
            with until(end):
                report(len(walked.found), math.nan)
                for place, found in _taken(job, taker, left, executor, walked):
                    record.add(place, found)
                    report(len(walked.found), next(iter(found.values.values())))
        except OutOfTime:
            pass
        except KeyboardInterrupt:
            if not walked.found:
                raise
            warn("interrupted: the points that were taken are returned")
        finally:
            record.close()
    return walked


class _Kept:
    """The points in memory, and in a file if there is one."""

    def __init__(self, job: Job, checkpoint: Any, centre: Found) -> None:
        self.found: dict[Place, Found] = {}
        self._record: Record | None = None
        if checkpoint is None:
            return
        self._record = Record(Path(checkpoint), job.key(), job.shape)
        known = self._record.found.pop((), None)
        if known is None:
            self._record.add((), centre)
            del self._record.found[()]
        elif json.dumps(known) != json.dumps(centre):  # which NaN equals, too
            self._record.close()
            msg = (
                f"checkpoint={os.fspath(checkpoint)!r}: the values at the weights were "
                f"{known.values} and are {centre.values}; the data or the loss have "
                "changed, or the number of threads: give another file"
            )
            raise ValueError(msg)
        self.found = self._record.found

    def add(self, place: Place, found: Found) -> None:
        if self._record is None:
            self.found[place] = found
        else:
            self._record.add(place, found)

    def close(self) -> None:
        if self._record is not None:
            self._record.close()


def _taken(
    job: Job,
    taker: Taker,
    left: list[Place],
    executor: Executor | int | None,
    walked: Walk,
) -> Iterator[tuple[Place, Found]]:
    """Yield the points as they come, and count what they took."""
    if executor is None:
        for place in left:
            found = taker(place)
            walked.calls, walked.seconds = taker.values.calls, taker.values.seconds
            yield place, found
        return
    here = isinstance(executor, ThreadPoolExecutor)
    sent = job if here else _sendable(job)
    with opened(executor, ONE_THREAD) as (pool, workers):
        size = max(1, -(-len(left) // (SHARES * max(1, workers))))
        shares = iter([left[i : i + size] for i in range(0, len(left), size)])
        running: Sent[None] = Sent(pool)
        try:
            while True:
                most = 2 * workers or SHARES
                for share in itertools.islice(shares, max(0, most - len(running))):
                    running.send(None, work, sent, share)
                if not running:
                    return
                for _, came in running.arrived():
                    if isinstance(came, Raised):
                        came.again()
                    found, calls, seconds = came
                    walked.calls += calls
                    walked.seconds += seconds
                    yield from found
        finally:
            running.cancel()


class _Held(threading.local):
    """What takes the points of the job that this thread was last given.

    A job itself is held, not its identity: that of one that is gone may be another's.
    """

    key: Job | bytes | None = None
    taker: Taker | None = None


_held = _Held()


def work(
    sent: Job | bytes, places: list[Place]
) -> tuple[list[tuple[Place, Found]], int, float]:
    """Take some points of a job, in whatever process this is.

    Parameters
    ----------
    sent
        The job, pickled for another process.
    places
        The points.

    Returns
    -------
    found : list
        The points and what was found there.
    calls, seconds
        What they took.
    """
    if isinstance(sent, bytes):
        key: Job | bytes = hashlib.sha256(sent).digest()
        known = _held.key == key if isinstance(_held.key, bytes) else False
    else:
        key, known = sent, _held.key is sent
    if _held.taker is None or not known:
        job = pickle.loads(sent) if isinstance(sent, bytes) else sent
        _held.key, _held.taker = key, Taker(job)
    taker = _held.taker
    before = taker.values.calls, taker.values.seconds
    found = [(place, taker(place)) for place in places]
    calls, seconds = taker.values.calls, taker.values.seconds
    return found, calls - before[0], seconds - before[1]


def _sendable(job: Job) -> bytes:
    """Return the job as other processes are sent it.

    It is pickled here, once: queues between processes would move the tensors of the
    user into shared memory.

    Raises
    ------
    TypeError
        If it cannot be sent.
    """
    try:
        return pickle.dumps(job)
    except Exception as error:
        msg = (
            f"executor: the problem cannot be sent to other processes ({error}); "
            "define its functions and classes in a module, not inside functions, or "
            "leave executor out"
        )
        raise TypeError(msg) from error
