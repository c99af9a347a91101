"""Warnings that point at the user's line, however deep inside they are raised."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_PACKAGE = str(Path(__file__).parents[1])
_COLLECTED: ContextVar[list[str] | None] = ContextVar("_COLLECTED", default=None)


class SharpkitWarning(UserWarning):
    """A measurement that is possible but should not be trusted as it stands."""


def warn(message: str) -> None:
    """Issue a `SharpkitWarning` for the first caller outside of this package."""
    collected = _COLLECTED.get()
    if collected is not None:
        collected.append(message)
        return
    depth, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, SharpkitWarning, stacklevel=depth)


@contextmanager
def collecting() -> Iterator[list[str]]:
    """Collect the warnings inside in a list, and issue none."""
    texts: list[str] = []
    token = _COLLECTED.set(texts)
    try:
        yield texts
    finally:
        _COLLECTED.reset(token)
