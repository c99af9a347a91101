"""CUDA kernels on a machine without a GPU: csrc/*.cu, compiled by g++.

`launch` runs a kernel as CUDA would, with the threads of a block one after the other in
a given order, shared memory that begins as NaN, and a check that all threads of a block
wait at the same barrier. `build.sanitizer_program` makes a program with one system
thread for each CUDA thread, which ThreadSanitizer can watch.
"""

from __future__ import annotations

import ctypes
import math
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from simt import build

ORDERS = ("forward", "reverse", "shuffled")
_using = {"order": "forward", "library": None}


@contextmanager
def using(*, order: str = "forward", library: Path | None = None):
    """Launch in another order, or kernels that `build.shared_library` has compiled."""
    before = dict(_using)
    _using.update(order=order, library=library)
    try:
        yield
    finally:
        _using.update(before)


def launch(
    name: str,
    grid: tuple[int, ...],
    block: tuple[int, ...],
    args: list[int | np.generic],
    order: str | None = None,
    blocks: range | None = None,
) -> None:
    """Run a kernel; arrays are given by address, numbers as NumPy scalars.

    Blocks run one after the other; ``blocks`` chooses some of a grid that is too large.
    """
    if math.prod(grid) != grid[0] or math.prod(block) != block[0]:
        msg = f"{name}: grid {grid}, block {block}; give one dimension"
        raise ValueError(msg)
    if not (0 < grid[0] < 2**31 and 0 < block[0] <= 1024):
        msg = f"{name}: grid {grid}, block {block}; no GPU launches that"
        raise ValueError(msg)
    chosen = range(grid[0]) if blocks is None else blocks
    arguments = (_Argument * len(args))(*map(_argument, args))
    library = ctypes.CDLL(str(_using["library"] or build.shared_library()))
    library.simt_launch.restype = ctypes.c_char_p
    error = library.simt_launch(
        name.encode(),
        *map(ctypes.c_uint, (grid[0], chosen.start, chosen.stop, block[0])),
        arguments,
        ctypes.c_size_t(len(args)),
        (order or _using["order"]).encode(),
    )
    if error:
        raise RuntimeError(error.decode())


class _Argument(ctypes.Structure):
    _fields_ = (("code", ctypes.c_char * 8), ("bytes", ctypes.c_ubyte * 8))


def _argument(x: int | np.generic) -> _Argument:
    if isinstance(x, np.generic):
        code, data = x.dtype.str[1:], x.tobytes()
    elif type(x) is int:
        code, data = "ptr", x.to_bytes(8, "little")
    else:
        msg = f"got {type(x)}; give addresses and NumPy scalars"
        raise TypeError(msg)
    return _Argument(code.encode(), (ctypes.c_ubyte * 8)(*data))
