"""Processes of our own that work for this one, and end with it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def environment(changes: dict[str, str]) -> Iterator[None]:
    """Change the environment that processes started inside inherit.

    Parameters
    ----------
    changes
        The variables, and what they are.
    """
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def begin_worker(parent: int) -> None:
    """Prepare a process, as the first that it does, to work for another.

    Parameters
    ----------
    parent
        The process that it works for.
    """
    # Ctrl-C reaches the whole process group; only the parent decides what follows.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent was killed: nobody would use its result."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
