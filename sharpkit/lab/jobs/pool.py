"""Carry tasks out on an executor, each result stored here the moment it is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

import sharpkit
from sharpkit._inputs.executors import Raised, Sent, checked_executor, opened
from sharpkit.lab.jobs import (
    curvature,
    descent,
    measures,
    path,
    plane,
    sharpness,
    training,
    watch,
)
from sharpkit.lab.jobs.minimisers import Done
from sharpkit.lab.jobs.task import Task, with_needs
from sharpkit.lab.store import Run, Store, StoreError
from sharpkit.lab.store.versions import versions

KINDS: dict[str, Callable[[Task, list[Done]], tuple[dict[str, Any], dict[str, Any]]]]
KINDS = {
    "train": training.run,
    "sharpness": sharpness.run,
    "path": path.run,
    "plane": plane.run,
    "curvature": curvature.run,
    "measures": measures.run,
    "descent": descent.run,
    "watch": watch.run,
}
# A task changes what all of its process has: threads, filters of warnings, PyTorch's
# random numbers. So those that an executor gives to threads of one take turns.
_TURN = threading.Lock()
# Read when a process starts. PyTorch's convolutions ask for the same large blocks at
# every call; kept rather than given back, they cost up to 40 % less time.
_WORKER = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
}


@dataclass(frozen=True)
class Failure:
    """A task that could not be carried out, and why.

    Attributes
    ----------
    task : Task
        The task.
    reason : str
        The error that it raised, in a line.
    """

    task: Task
    reason: str


def carry_out(
    tasks: list[Task],
    folder: Path,
    *,
    executor: Any,
    advance: Callable[[Task], None] = lambda task: None,
) -> list[Failure]:
    """Carry out the tasks and all they need that the store lacks.

    Each worker uses one thread, so that the bits do not depend on how many there are.
    What is finished is in the store whatever happens next; to go on, call this again.
    Only this process reads and writes the store: workers are sent what they need.

    Parameters
    ----------
    tasks
        The tasks.
    folder
        The folder of the store.
    executor
        Where they are carried out: an executor as of `concurrent.futures`, or the
        number of processes. A task that a worker lost with its life is sent again.
    advance
        A function that is called with each task as soon as its result is in the store,
        also if it was there before.

    Returns
    -------
    list of Failure
        The tasks that raised, or were lost every time; those that need them were left
        out.

    Raises
    ------
    StoreError
        If the store cannot be used, or the executor broke with one of its workers, as
        those of processes do.

    Warns
    -----
    SharpkitWarning
        If a worker was lost and its task is sent again.
    """
    executor = checked_executor(executor)
    waiting: dict[str, Task] = {}
    with Store(folder) as store:
        for task in with_needs(tasks):
            if task.key in store:
                advance(task)
            else:
                waiting[task.key] = task
        if not waiting:
            return []
        try:
            with opened(executor, _WORKER) as (pool, workers):
                return _drain(pool, workers, waiting, store, advance)
        except BrokenExecutor as broken:
            msg = (
                "a worker process was killed, perhaps for memory; what was finished is "
                f"in {folder}: give the same command again, perhaps with fewer workers"
            )
            raise StoreError(msg) from broken


def _drain(
    pool: Any,
    workers: int,
    waiting: dict[str, Task],
    store: Store,
    advance: Callable[[Task], None],
) -> list[Failure]:
    """Send each task once all it needs is there, until none can be sent."""
    running: Sent[Task] = Sent(pool)
    failures: list[Failure] = []
    try:
        while waiting or running:
            unmade = set(waiting) | {task.key for task in running.names()}
            for task in list(waiting.values()):
                if workers and len(running) >= 2 * workers:
                    break  # what is sent is held in memory
                if any(need.key in unmade for need in task.needs):
                    continue
                del waiting[task.key]
                if task.key in store:  # another process was faster
                    unmade.remove(task.key)
                    advance(task)
                else:
                    running.send(task, work, task, needed(store, task))
            if not running:
                break  # what is left needs a task that failed
            for task, came in running.arrived():
                if isinstance(came, Raised):
                    failures.append(Failure(task, _reason(came)))
                    _drop(task, waiting)
                    continue
                store.put(came.run, came.arrays)
                advance(task)
    finally:
        running.cancel()
    return failures


def _reason(raised: Raised) -> str:
    error = raised.error
    return f"{type(error).__name__}: {error}"


def _drop(failed: Task, waiting: dict[str, Task]) -> None:
    """Take out what needs a task that failed, and what needs that."""
    for task in list(waiting.values()):
        if any(need.key == failed.key for need in task.needs):
            waiting.pop(task.key, None)
            _drop(task, waiting)


def needed(store: Store, task: Task) -> list[Done]:
    """Return from a store what a task needs."""
    return [Done(store.get(need.key), store.arrays(need.key)) for need in task.needs]


def work(task: Task, needs: list[Done]) -> Done:
    """Carry out one task on one thread, in whatever process this is."""
    with _TURN, threadpool_limits(1):
        before = sharpkit.get_num_threads()
        sharpkit.set_num_threads(1)
        try:
            began = time.perf_counter()
            metrics, arrays = KINDS[task.kind](task, needs)
        finally:
            sharpkit.set_num_threads(before)
    run = Run(
        key=task.key,
        kind=task.kind,
        config=_described(task),
        seed=task.seed,
        metrics=metrics,
        versions=versions(),
        seconds=time.perf_counter() - began,
    )
    return Done(run, arrays)


def _described(task: Task) -> dict[str, Any]:
    """Return the configuration with, of a measurement, that of the run measured."""
    if not task.needs:
        return task.config
    origin = _described(task.needs[0])
    inherited = {name: origin[name] for name in ("network", "data") if name in origin}
    return inherited | task.config | {"of": [need.key for need in task.needs]}
