"""Carry tasks out in worker processes, each result stored the moment it is there."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

import sharpkit
from sharpkit._inputs.workers import begin_worker, environment
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
_POLL_SECONDS = 0.5
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
    workers: int,
    advance: Callable[[Task], None] = lambda task: None,
) -> list[Failure]:
    """Carry out the tasks and all they need that the store lacks.

    Each worker process uses one thread, so that the bits do not depend on how many
    there are. What is finished is in the store whatever happens next; to go on, call
    this again.

    Parameters
    ----------
    tasks
        The tasks.
    folder
        The folder of the store.
    workers
        The number of processes.
    advance
        A function that is called with each task as soon as its result is in the store,
        also if it was there before.

    Returns
    -------
    list of Failure
        The tasks that raised; those that need them were left out.

    Raises
    ------
    StoreError
        If the store cannot be written, or a worker was killed.
    """
    waiting: dict[str, Task] = {}
    with Store(folder) as store:
        for task in with_needs(tasks):
            if task.key in store:
                advance(task)
            else:
                waiting[task.key] = task
    if not waiting:
        return []
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=begin_worker,
        initargs=(os.getpid(),),
    )
    try:
        with environment(_WORKER):
            failures = _drain(pool, waiting, folder, advance)
        pool.shutdown()
    except BaseException as stopped:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.terminate()
        if isinstance(stopped, BrokenProcessPool):
            msg = (
                "a worker process was killed, perhaps for memory; what was finished is "
                f"in {folder}: give the same command again, perhaps with fewer workers"
            )
            raise StoreError(msg) from stopped
        raise
    return failures


def _drain(
    pool: ProcessPoolExecutor,
    waiting: dict[str, Task],
    folder: Path,
    advance: Callable[[Task], None],
) -> list[Failure]:
    """Submit each task once all it needs is there, until none can be submitted."""
    running: dict[Future[None], Task] = {}
    failures: list[Failure] = []
    while waiting or running:
        unmade = set(waiting) | {task.key for task in running.values()}
        for task in list(waiting.values()):
            if not any(need.key in unmade for need in task.needs):
                running[pool.submit(work, task, folder)] = waiting.pop(task.key)
        if not running:
            break  # what is left needs a task that failed
        done, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            task = running.pop(future)
            error = future.exception()
            if isinstance(error, StoreError | BrokenProcessPool):
                raise error
            if error is None:
                advance(task)
                continue
            failures.append(Failure(task, f"{type(error).__name__}: {error}"))
            _drop(task, waiting)
    return failures


def _drop(failed: Task, waiting: dict[str, Task]) -> None:
    """Take out what needs a task that failed, and what needs that."""
    for task in list(waiting.values()):
        if any(need.key == failed.key for need in task.needs):
            waiting.pop(task.key, None)
            _drop(task, waiting)


def work(task: Task, folder: Path) -> None:
    """Carry out one task on one thread and store its result."""
    before = sharpkit.get_num_threads()
    sharpkit.set_num_threads(1)
    try:
        with threadpool_limits(1), Store(folder) as store:
            if task.key in store:  # another process was faster
                return
            began = time.perf_counter()
            needed = [
                Done(store.get(need.key), store.arrays(need.key)) for need in task.needs
            ]
            metrics, arrays = KINDS[task.kind](task, needed)
            run = Run(
                key=task.key,
                kind=task.kind,
                config=_described(task),
                seed=task.seed,
                metrics=metrics,
                versions=versions(),
                seconds=time.perf_counter() - began,
            )
            store.put(run, arrays)
    finally:
        sharpkit.set_num_threads(before)


def _described(task: Task) -> dict[str, Any]:
    """Return the configuration with, of a measurement, that of the run measured."""
    if not task.needs:
        return task.config
    origin = _described(task.needs[0])
    inherited = {name: origin[name] for name in ("network", "data") if name in origin}
    return inherited | task.config | {"of": [need.key for need in task.needs]}
