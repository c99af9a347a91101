"""How CUDA kernels are compiled and launched, and what is checked before.

The source of a dtype is compiled when a kernel of it is first called; CuPy keeps the
result on disk. Whoever has kernels names its files, and says what each computes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sharpkit._inputs.extras import needs
from sharpkit._inputs.types import XpArray

with needs("the CUDA backend", "cupy", extra="cuda"):
    import cupy
try:
    cupy.cuda.runtime.getDeviceCount()  # an error if there are none
except cupy.cuda.runtime.CUDARuntimeError as error:
    msg = f"CuPy finds no CUDA device: {error}"
    raise ImportError(msg) from error


__all__ = ["THREADS", "blocks_for", "common_length", "compiled", "cupy", "launch"]

THREADS = 128  # as in sums.cuh
REALS = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


def common_length(vectors: Sequence[XpArray], blocks: Sequence[XpArray] = ()) -> int:
    """Check what compiled code takes on trust; return the common length.

    Raises
    ------
    TypeError
        If one is no CuPy array of float32 or float64.
    ValueError
        If they differ in dtype, length or device, or one of them is not contiguous or
        has another number of dimensions than it should.
    """
    arrays = [*vectors, *blocks]
    for a in arrays:
        if not isinstance(a, cupy.ndarray):
            msg = f"got {type(a)}; give CuPy arrays"
            raise TypeError(msg)
        if a.dtype not in REALS:
            msg = f"the arrays have dtype {a.dtype}; give float32 or float64"
            raise TypeError(msg)
        if not a.flags.c_contiguous:
            msg = f"an array of shape {a.shape} is not C-contiguous"
            raise ValueError(msg)
    for ndim, group in ((1, vectors), (2, blocks)):
        for a in group:
            if a.ndim != ndim:
                msg = f"an array has shape {a.shape}; give {ndim} dimension(s)"
                raise ValueError(msg)
    if len({(a.dtype, a.shape[-1]) for a in arrays}) > 1:
        found = ", ".join(f"{a.dtype} {a.shape}" for a in arrays)
        msg = f"the arrays differ in dtype or length: {found}"
        raise ValueError(msg)
    current = cupy.cuda.runtime.getDevice()
    if any(a.device.id != current for a in arrays):
        where = sorted({a.device.id for a in arrays})
        msg = f"the arrays are on device {where}; the current one is {current}"
        raise ValueError(msg)
    n: int = arrays[0].shape[-1]
    return n


def blocks_for(n: int) -> int:
    """Return how many blocks have a thread for each of n numbers."""
    return -(-n // THREADS)


def launch(
    files: tuple[str, ...],
    name: str,
    like: XpArray,
    blocks: int,
    *args: XpArray | np.generic | int,
) -> None:
    """Queue a kernel of these files, that of ``like``'s dtype; no blocks, no launch."""
    if blocks:
        real = REALS[like.dtype]
        kernel = compiled(files, real).get_function(f"{name}_{real}")
        kernel((blocks,), (THREADS,), args)


@functools.cache
def compiled(files: tuple[str, ...], real: str) -> Any:
    """Return the kernels of a dtype, compiled for each device when they are first used.

    The files go into one string: CuPy's disk cache does not see what is included.
    """
    text = "".join((_folder() / name).read_text() for name in files)
    for name in files:
        text = text.replace(f'#include "{name}"\n', "")
    options = ("-std=c++17", "--fmad=false", f"-DSK_REAL={real}")
    return cupy.RawModule(code=text.replace("#pragma once\n", ""), options=options)


def _folder() -> Path:
    """Return where the sources are: in the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "csrc"
    return inside if inside.is_dir() else package.parent / "csrc"
