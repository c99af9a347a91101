"""Fixed chunks of work, shared among a few threads.

Work is cut into chunks whose number does not depend on the number of threads; each
thread takes a contiguous range of them and partial sums are stored per chunk. So a
result has the same bits for 1, 2 or 16 threads. Plain Python threads serve because
every task releases the interpreter lock; unlike an OpenMP team they neither spin
between calls, which would steal cores from the BLAS, nor break in a forked child, and
two callers may use them at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

from sharpkit._inputs.checks import at_least

_pool: ThreadPoolExecutor | None = None
_threads: int | None = None


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else (os.cpu_count() or 1)
    )


def get_num_threads() -> int:
    """Return how many threads sharpkit's own CPU kernels use.

    That is what `set_num_threads` was given; else what the environment variable
    ``SHARPKIT_NUM_THREADS`` says; else the number of cores this process may use.

    Raises
    ------
    ValueError
        If the variable is no whole number of at least 1.
    """
    if _threads is not None:
        return _threads
    named = os.environ.get("SHARPKIT_NUM_THREADS")
    if not named:
        return available_cores()
    if not named.strip().isdecimal() or int(named) < 1:
        msg = (
            f"SHARPKIT_NUM_THREADS={named!r}, in the environment; give a whole number "
            "of at least 1"
        )
        raise ValueError(msg)
    return int(named)


def set_num_threads(threads: int) -> None:
    """Use this many threads from now on.

    Results do not depend on the number: they have the same bits for each.

    Parameters
    ----------
    threads
        The number of threads, at least 1.

    Raises
    ------
    TypeError, ValueError
        If it is no such number.
    """
    global _threads, _pool
    _threads, _pool = at_least("threads", threads, 1), None


def run(task: Callable[[int, int], object], chunks: int) -> None:
    """Call ``task(first, last)`` on contiguous ranges that cover ``range(chunks)``.

    Parameters
    ----------
    task
        The work on some chunks. It must release the interpreter lock to gain anything,
        and must write only what belongs to these chunks. Its exceptions come through.
    chunks
        The number of chunks.
    """
    threads = min(get_num_threads(), chunks)
    if threads <= 1:
        task(0, chunks)
        return
    bounds = [chunks * i // threads for i in range(threads + 1)]
    pool = _shared_pool()
    # The calling thread takes the first range itself: one hand-over less.
    others = [pool.submit(task, bounds[i], bounds[i + 1]) for i in range(1, threads)]
    try:
        task(bounds[0], bounds[1])
    finally:
        wait(others)  # no thread may still write when an exception leaves
    for other in others:
        other.result()


def _shared_pool() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(get_num_threads(), thread_name_prefix="sharpkit")
    return _pool


def _forget_pool() -> None:
    global _pool
    _pool = None  # a forked child has the parent's pool object but not its threads


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
