"""Calls sent to an executor, of any kind; those that it loses are sent again."""

from __future__ import annotations

import multiprocessing
import numbers
import os
import pickle
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sharpkit._inputs.checks import at_least
from sharpkit._inputs.warn import warn
from sharpkit._inputs.workers import begin_worker, environment

TRIES = 3  # for a call that is lost, each time with the worker that had it
_POLL_SECONDS = 0.5
Name = TypeVar("Name")


@dataclass(frozen=True)
class Raised:
    """What a call raised, or that the executor lost it.

    Attributes
    ----------
    error : Exception
        The error.
    trace : str
        Where it was raised, in words.
    """

    error: Exception
    trace: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        error = self.error
        try:  # some can be pickled, but not read again
            pickle.loads(pickle.dumps(error))
        except Exception:
            error = RuntimeError(f"{type(error).__name__}: {error}")
        return Raised, (error, self.trace)

    def again(self) -> None:
        """Raise it here.

        Raises
        ------
        Exception
            The error, with a note on where it was first raised.
        """
        if self.error.__traceback__ is None and self.trace:
            self.error.add_note(f"In a worker:\n{self.trace}")
        raise self.error


class Sent(Generic[Name]):
    """Calls on their way, each with a name.

    Parameters
    ----------
    executor
        The executor: `concurrent.futures`, or anything whose ``submit`` gives what has
        ``done()``, ``result()`` and ``cancel()``.
    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._calls: dict[Any, tuple[Name, int, tuple[Any, ...]]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def names(self) -> list[Name]:
        """Return the names of the calls that are on their way."""
        return [name for name, _, _ in self._calls.values()]

    def send(self, name: Name, function: Callable[..., Any], *arguments: Any) -> None:
        """Send a call of a function of some module."""
        self._send(name, 1, (function, *arguments))

    def _send(self, name: Name, trial: int, call: tuple[Any, ...]) -> None:
        future = self._executor.submit(_tried, trial, *call)
        self._calls[future] = name, trial, call

    def arrived(self) -> list[tuple[Name, Any]]:
        """Wait for a call; return the names of those that ended, and what they gave.

        Returns
        -------
        list of (name, result)
            The results, where a call failed a `Raised`. The list is empty where what
            ended was lost and is sent again.

        Raises
        ------
        BrokenExecutor
            If nothing can be sent to the executor any more.

        Warns
        -----
        SharpkitWarning
            If a call was lost and is sent again.
        """
        found = []
        for future in self._ended():
            name, trial, call = self._calls.pop(future)
            try:
                result = future.result()
            except BrokenExecutor:
                raise
            # A call keeps its own errors: this one is of the executor.
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                if trial < TRIES:
                    warn(f"a worker was lost ({said}); what it did is done again")
                    self._send(name, trial + 1, call)
                    continue
                msg = f"it lost its worker {TRIES} times, at last by {said}"
                result = Raised(RuntimeError(msg))
            found.append((name, result))
        return found

    def _ended(self) -> list[Any]:
        while not (found := [each for each in self._calls if each.done()]):
            if all(isinstance(each, Future) for each in self._calls):
                wait(self._calls, _POLL_SECONDS, FIRST_COMPLETED)
            else:
                time.sleep(_POLL_SECONDS)
        return found

    def cancel(self) -> None:
        """Cancel what has not begun."""
        for future in self._calls:
            with suppress(Exception):  # SLURM refuses for a job that ended meanwhile
                future.cancel()


def _tried(trial: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function; return what it raises, which is no fault of the worker.

    The number of the trial tells calls apart for Dask, which takes equal ones for one.
    """
    try:
        return function(*arguments)
    except Exception as error:
        return Raised(error, traceback.format_exc())


def checked_executor(executor: Any) -> Any:
    """Return an executor, a number of processes, or None.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if executor is None:
        return None
    if callable(getattr(executor, "get_executor", None)):  # a client of Dask's
        return executor.get_executor()
    if callable(getattr(executor, "submit", None)):
        return executor
    if isinstance(executor, bool) or not isinstance(executor, numbers.Integral):
        msg = (
            f"executor is of type {type(executor).__name__}; give an executor as of "
            "concurrent.futures, the number of processes, or None"
        )
        raise TypeError(msg)
    return at_least("executor", executor, 1)


@contextmanager
def opened(executor: Any, variables: dict[str, str]) -> Iterator[tuple[Any, int]]:
    """Give an executor and the number of its workers, 0 if that cannot be known.

    Parameters
    ----------
    executor
        The executor, or a number of processes, which are of our own and end with what
        is done inside.
    variables
        The environment of such processes.
    """
    if not isinstance(executor, int):
        yield executor, _workers(executor)
        return
    pool = ProcessPoolExecutor(
        executor,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=begin_worker,
        initargs=(os.getpid(),),
    )
    try:
        with environment(variables):
            yield pool, executor
    except BaseException:
        working = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in working:
            worker.terminate()
        raise
    pool.shutdown()


def _workers(executor: Executor) -> int:
    client = getattr(executor, "_client", None)  # Dask's
    if client is not None:
        return len(client.nthreads())
    for name in ("_max_workers", "num_workers"):  # of the library, of mpi4py
        if isinstance(found := getattr(executor, name, None), int):
            return found
    return 0
