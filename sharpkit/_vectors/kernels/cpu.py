"""The kernels on CPU threads: Numba where memory is the limit, C++ where arithmetic is.

What each does is written in `reference`. A worker handles a range of fixed chunks, and
sums are kept per chunk and added in order, so results have the same bits for every
number of threads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sharpkit._inputs.types import Array, Matrix, Vector
from sharpkit._vectors import parallel
from sharpkit._vectors.kernels import _cpu_box as box
from sharpkit._vectors.kernels._cpu_combine import COMBINE
from sharpkit._vectors.kernels._jit import Worker, compiled

try:
    import sharpkit._native as _native
except ImportError as error:
    msg = (
        "sharpkit's C++ extension is not built in this folder; run pip install . and "
        "start Python outside of the checkout, or run pip install -e ."
    )
    raise ImportError(msg) from error

# The numbers of a row in one chunk, a multiple of 128 and of the workers' pieces. The
# bits of the sums depend on it, so it never varies.
CHUNK = 32768
# Below so many multiplications (or numbers moved) a second thread costs more time than
# it saves: handing over takes some 20 microseconds.
_ALONE = 1 << 18


empty = np.empty  # makes the arrays of whoever calls


def gram(A: Array, B: Array) -> Matrix:
    """Return A Bᵀ, (ka, kb) float64; see `reference.gram`."""
    n = _common_length(A, B)
    chunks = -(-n // CHUNK)
    partial = np.empty((chunks, A.shape[0], B.shape[0]))
    same = A is B

    def task(begin: int, end: int) -> None:
        _native.gram(A, B, same, begin, end, CHUNK, partial)

    _run(task, n, n * A.shape[0] * B.shape[0])
    total: Matrix = partial[0] if chunks == 1 else partial.sum(axis=0)
    return total


def combine(C: Array, B: Array, out: Array, beta: float = 0.0) -> None:
    """Overwrite out with beta out + C B; see `reference.combine`.

    Raises
    ------
    ValueError
        If the shape of C is not that of the rows of out by the rows of B.
    """
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
    work = compiled(box.RADIUS, w.dtype)

    def task(begin: int, end: int) -> None:
        work(w, eps, out, begin, end)

    _run(task, n, n)


def box_step(
    w: Array,
    eps: float,
    z: Array,
    d: Array,
    t: float,
    z_out: Array | None,
    x_out: Array | None,
) -> None:
    """Write clip(z + t d, -r, r) and w plus that; see `reference.box_step`."""
    _move(box.STEP, w, eps, z, d, t, z_out, x_out)


def box_toward(
    w: Array,
    eps: float,
    z: Array,
    d: Array,
    share: float,
    z_out: Array | None,
    x_out: Array | None,
) -> None:
    """Go a share of the way to a corner of the box; see `reference.box_toward`."""
    _move(box.TOWARD, w, eps, z, d, share, z_out, x_out)


def box_free(w: Array, eps: float, z: Array, v: Array, out: Array) -> None:
    """Keep v where z is strictly inside the box; see `reference.box_free`."""
    n = _common_length(w, z, v, out)
    work = compiled(box.FREE, w.dtype)

    def task(begin: int, end: int) -> None:
        work(w, eps, z, v, out, begin, end)

    _run(task, n, 4 * n)


def box_residual(w: Array, eps: float, z: Array, g: Array) -> float:
    """Return max |clip(z + g, -r, r) - z|; see `reference.box_residual`."""
    return float(np.max(_extremes(box.RESIDUAL, w, eps, z, g), initial=0.0))


def box_reach(w: Array, eps: float, z: Array, d: Array) -> float:
    """Return the longest step that stays in the box; see `reference.box_reach`."""
    return float(np.min(_extremes(box.REACH, w, eps, z, d), initial=np.inf))


def path_gram(A: Array, w: Array, eps: float, z: Array, g: Array, ts: Vector) -> Matrix:
    """Return the dot products along the projected path; see `reference.path_gram`.

    Raises
    ------
    ValueError
        If the vectors are not as long as the block, or have another dtype.
    """
    n = _common_length(A, A)
    if _common_length(w, z, g) != n or w.dtype != A.dtype:
        msg = f"the vectors differ from the block, {A.dtype} {A.shape}"
        raise ValueError(msg)
    ts = np.ascontiguousarray(ts, dtype=np.float64)
    rows, columns = len(A) + 1, 2 * len(ts)
    partial = np.empty((-(-n // CHUNK), rows, columns))

    def task(begin: int, end: int) -> None:
        _native.path_gram(A, w, eps, z, g, ts, begin, end, CHUNK, partial)

    _run(task, n, n * rows * columns)
    total = partial.sum(axis=0).reshape(rows, len(ts), 2)
    return np.ascontiguousarray(total.transpose(1, 0, 2))


def free_gram(A: Array, w: Array, eps: float, z: Array) -> Matrix:
    """Return the dot products over the free coordinates; see `reference.free_gram`.

    Raises
    ------
    ValueError
        If the vectors are not as long as the block, or have another dtype.
    """
    n = _common_length(A, A)
    if _common_length(w, z) != n or w.dtype != A.dtype:
        msg = f"the vectors differ from the block, {A.dtype} {A.shape}"
        raise ValueError(msg)
    partial = np.empty((-(-n // CHUNK), len(A), len(A)))

    def task(begin: int, end: int) -> None:
        _native.free_gram(A, w, eps, z, begin, end, CHUNK, partial)

    _run(task, n, n * len(A) ** 2)
    total: Matrix = partial.sum(axis=0)
    return total


def _move(
    worker: Worker,
    w: Array,
    eps: float,
    z: Array,
    d: Array,
    t: float,
    z_out: Array | None,
    x_out: Array | None,
) -> None:
    n = _common_length(w, z, d, *(a for a in (z_out, x_out) if a is not None))
    none = np.empty(0, w.dtype)  # stands for an output that is not wanted
    z_out, x_out = (none if a is None else a for a in (z_out, x_out))
    work = compiled(worker, w.dtype)

    def task(begin: int, end: int) -> None:
        work(w, eps, z, d, t, z_out, x_out, begin, end)

    _run(task, n, 4 * n)


def _extremes(worker: Worker, w: Array, eps: float, z: Array, d: Array) -> Array:
    """Return each chunk's extreme."""
    n = _common_length(w, z, d)
    partial = np.empty(-(-n // CHUNK))
    work = compiled(worker, w.dtype)

    def task(begin: int, end: int) -> None:
        work(w, eps, z, d, CHUNK, partial, begin, end)

    _run(task, n, 4 * n)
    return partial


def fill_signs(out: Array, seed: int, stream: int, offset: int) -> None:
    """Write random signs; see `reference.fill_signs`."""
    _fill(_native.fill_signs, out, seed, stream, offset)


def fill_normal(out: Array, seed: int, stream: int, offset: int) -> None:
    """Write standard normals, a few float32 roundings from `reference.fill_normal`."""
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
    """Check what compiled code takes on trust; return the common length.

    Raises
    ------
    ValueError
        If the arrays differ in dtype, length or number of dimensions, or one of them is
        not contiguous.
    """
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
