"""How long batches were waited for: the loader's time, which is not the model's."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_waited = {"seconds": 0.0, "batches": 0.0}


def waiting(batches: Iterable[T]) -> Iterator[T]:
    """Yield batches, and count the seconds until each of them is there.

    Parameters
    ----------
    batches
        The batches, such as a loader.

    Yields
    ------
    batch
        One batch after the other.
    """
    began = time.perf_counter()
    each = iter(batches)
    while True:
        try:
            batch = next(each)
        except StopIteration:
            return
        finally:
            _waited["seconds"] += time.perf_counter() - began
        _waited["batches"] += 1
        yield batch
        began = time.perf_counter()


def waited() -> tuple[float, float]:
    """Return the seconds, and the number of batches, of all loaders so far."""
    return _waited["seconds"], _waited["batches"]
