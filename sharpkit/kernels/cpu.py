"""The kernels on CPU threads: Numba where memory is the limit, C++ for random numbers.

What each does is written in `reference`. A worker handles a range of fixed chunks, and
sums are kept per chunk and added in order, so results have the same bits for every
number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sharpkit import _native, parallel
from sharpkit.kernels._cpu_gram import GRAM
from sharpkit.kernels._cpu_vectors import BOX_RADIUS, BOX_STEP, COMBINE
from sharpkit.kernels._jit import Array, compiled

# Numbers per row in a chunk, a multiple of 128 and of the workers' pieces. The sums
# depend on it, so it never varies.
CHUNK = 32768
# Below this many multiplications (or numbers moved) a second thread costs more than it
# brings: handing over takes some 20 microseconds.
_ALONE = 1 << 18
_LARGEST = {np.dtype(t): float(np.finfo(t).max) for t in (np.float32, np.float64)}


def gram(A: Array, B: Array) -> NDArray[np.float64]:
    """Return A Bᵀ, (ka, kb) float64; see `reference.gram`."""
    n = _common_length(A, B)
    chunks = -(-n // CHUNK)
    partial = np.empty((chunks, A.shape[0], B.shape[0]))
    work = compiled(GRAM, A.dtype)
    same = A is B

    def task(begin: int, end: int) -> None:
        work(A, B, same, CHUNK, partial, begin, end)

    _run(task, n, n * A.shape[0] * B.shape[0])
    total: NDArray[np.float64] = partial[0] if chunks == 1 else partial.sum(axis=0)
    return total


def combine(C: Array, B: Array, out: Array, beta: float = 0.0) -> None:
    """Overwrite out with beta out + C B; see `reference.combine`."""
    n = _common_length(B, out)
    C = np.ascontiguousarray(C, dtype=np.float64)
    if C.shape != (out.shape[0], B.shape[0]):
        msg = f"C has shape {C.shape}; give {(out.shape[0], B.shape[0])}"
        raise ValueError(msg)
    work = compiled(COMBINE, B.dtype)

    def task(begin: int, end: int) -> None:
        work(C, B, beta, out, begin, end)

    _run(task, n, n * (C.size + len(C)))


def box_radius(w: Array, eps: float, out: Array) -> None:
    """Write eps (|w| + 1); see `reference.box_radius`."""
    n = _common_length(w, out)
    work = compiled(BOX_RADIUS, w.dtype)

    def task(begin: int, end: int) -> None:
        work(w, eps, out, begin, end)

    _run(task, n, n)


def box_step(
    w: Array, z: Array, d: Array, t: float, r: Array, z_out: Array, x_out: Array
) -> None:
    """Write clip(z + t d, -r, r) and w plus that; see `reference.box_step`."""
    n = _common_length(w, z, d, r, z_out, x_out)
    work = compiled(BOX_STEP, w.dtype)
    step = float(t) if abs(t) < _LARGEST[w.dtype] else math.copysign(math.inf, t)

    def task(begin: int, end: int) -> None:
        work(w, z, d, step, r, z_out, x_out, begin, end)

    _run(task, n, 4 * n)


def fill_signs(out: Array, seed: int, stream: int, offset: int) -> None:
    """Write random signs; see `reference.fill_signs`."""
    _fill(_native.fill_signs, out, seed, stream, offset)


def fill_normal(out: Array, seed: int, stream: int, offset: int) -> None:
    """Write standard normals, a few float32 ulps from `reference.fill_normal`."""
    _fill(_native.fill_normal, out, seed, stream, offset)


def _fill(
    fill: Callable[[Array, int, int, int], None],
    out: Array,
    seed: int,
    stream: int,
    offset: int,
) -> None:
    n = out.size

    def task(begin: int, end: int) -> None:
        fill(out[begin:end], seed, stream, offset + begin)

    _run(task, n, 8 * n)


def _run(task: Callable[[int, int], object], n: int, cost: int) -> None:
    """Call task(begin, end) on ranges of whole chunks that cover range(n)."""
    if cost <= _ALONE:
        task(0, n)
    else:
        parallel.run(
            lambda first, last: task(first * CHUNK, min(last * CHUNK, n)),
            -(-n // CHUNK),
        )


def _common_length(*arrays: Array) -> int:
    """Check what compiled code takes on trust; return the common length."""
    first = arrays[0]
    n: int = first.shape[-1]
    for a in arrays:
        if a.shape[-1] != n or a.dtype != first.dtype or a.ndim != first.ndim:
            msg = "the arrays differ in dtype or length: " + ", ".join(
                f"{b.dtype} {b.shape}" for b in arrays
            )
            raise ValueError(msg)
        if not a.flags.c_contiguous:
            msg = f"an array of shape {a.shape} is not C-contiguous"
            raise ValueError(msg)
    return n
