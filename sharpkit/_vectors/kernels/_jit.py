"""How `cpu` has its inner loops compiled.

Rows are sliced before the inner loops: that is what lets LLVM vectorise them. A worker
handles a range of whole chunks, columns ``begin`` to ``end``. It and the parts it calls
stand in one file with their constants, because Numba's cache on disk watches only that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numba import types
from numba.core import event

from sharpkit._inputs.progress import say
from sharpkit._vectors.compiling import jit

F = TypeVar("F", bound=Callable[..., Any])

# Division by zero is as in IEEE 754, not an exception.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
# Sums may be reordered once, when compiled. fastmath=True would also lose NaN.
_SUMS = {"reassoc", "contract"}


class Worker(NamedTuple):
    """A function to compile, and what to compile it for.

    Attributes
    ----------
    function : callable
        The function, which handles a range of columns and returns nothing.
    signature : callable
        What gives its Numba signature for the Numba type of a dtype.
    """

    function: Callable[..., None]
    signature: Callable[[Any], Any]


def inner(function: F) -> F:
    """Compile a part of a worker, most often a sum."""
    return cast("F", numba.njit(fastmath=_SUMS, **_OPTIONS)(function))


def exact(function: F) -> F:
    """Compile a part of a worker that rounds as it is written."""
    return cast("F", numba.njit(**_OPTIONS)(function))


def block(t: Any, readonly: bool = True) -> Any:
    """Return the Numba type of a (k, n) block.

    Inputs are declared read-only: writable arrays convert, so one version serves both.
    """
    return types.Array(t, 2, "C", readonly=readonly)


def vector(t: Any, readonly: bool = True) -> Any:
    """Return the Numba type of an (n,) vector."""
    return types.Array(t, 1, "C", readonly=readonly)


@functools.cache
def compiled(worker: Worker, dtype: np.dtype[Any]) -> Callable[..., None]:
    """Return a worker's machine code, from the cache on disk if it is there.

    Raises
    ------
    TypeError
        If the dtype is neither float32 nor float64.
    """
    if dtype not in (np.float32, np.float64):
        msg = f"the arrays have dtype {dtype}; give float32 or float64"
        raise TypeError(msg)
    signature = worker.signature(numba.from_dtype(dtype))
    with event.install_listener("numba:compile", _Notice(worker)):
        return jit(worker.function, signature, **_OPTIONS)


class _Notice(event.Listener):
    """Says that a worker is compiled; Numba does not tell it of one that it loads."""

    def __init__(self, worker: Worker) -> None:
        self._function = worker.function

    def on_start(self, happening: Any) -> None:
        if happening.data["dispatcher"].py_func is self._function:
            _announce()

    def on_end(self, happening: Any) -> None:
        pass


@functools.cache
def _announce() -> None:
    say("sharpkit: compiling CPU kernels, once (about 10 s) ...")
