"""The kernels on a CUDA device, for CuPy arrays.

What each does is written in `reference`. Work is queued on CuPy's current stream of the
current device, where the arrays must be; a function that returns numbers waits for
them.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from sharpkit._inputs.types import Matrix, Vector, XpArray
from sharpkit._vectors.launching import (
    THREADS,
    blocks_for,
    common_length,
    cupy,
    launch,
)

# LENGTH is the smallest number of columns in a chunk, CHUNKS the largest number of
# chunks: enough blocks to fill a GPU, few enough for one more block to add up. Many
# pairs of rows bring blocks of their own and need fewer chunks: at least FEWEST, and so
# many that there are PARTIAL sums at most. The bits of the sums depend on all four, so
# they never vary.
LENGTH, CHUNKS, FEWEST, PARTIAL = 2048, 1024, 64, 1 << 22
FILES = ("elementwise.h", "sums.cuh", "kernels.cu")

_launch = functools.partial(launch, FILES)
_int, _long = np.int32, np.uint64
empty = cupy.empty  # makes the arrays of whoever calls


def gram(A: XpArray, B: XpArray) -> Matrix:
    """Return A Bᵀ, (ka, kb) float64; see `reference.gram`."""
    n = common_length((), (A, B))
    ka, kb = len(A), len(B)
    if ka == 1 < kb:
        return gram(B, A).T
    if ka == kb == 1:
        return _sums("gram_single", n, 1, (1, 1), A, A, B)
    if kb == 1:
        return _sums("gram_column", n, -(-ka // 8), (ka, 1), A, A, _int(ka), B)
    same = A is B
    down, across = -(-ka // 4), -(-kb // 4)
    tiles = down * (down + 1) // 2 if same else down * across
    args = A, _int(ka), B, _int(kb), _int(same)
    return _sums("gram_square", n, tiles, (ka, kb), A, *args, symmetric=same)


def combine(C: XpArray, B: XpArray, out: XpArray, beta: float = 0.0) -> None:
    """Overwrite out with beta out + C B; see `reference.combine`.

    Raises
    ------
    ValueError
        If the shape of C is not that of the rows of out by the rows of B.
    """
    n = common_length((), (B, out))
    C = np.asarray(C, dtype=np.float64)
    k, kb = len(out), len(B)
    if C.shape != (k, kb):
        msg = f"C has shape {C.shape}; give {(k, kb)}"
        raise ValueError(msg)
    rows, width = (1, 4) if k == 1 else (8, 2)
    tiles = -(-k // rows)
    padded = np.zeros((kb, tiles * rows))
    padded[:, :k] = C.T
    blocks = tiles * -(-n // (width * THREADS))
    size = (_int(kb),) if k == 1 else (_int(k), _int(kb))
    args = cupy.asarray(padded), B, *size, np.float64(beta), out
    _launch("combine_one" if k == 1 else "combine_many", out, blocks, _long(n), *args)


def box_radius(w: XpArray, eps: float, out: XpArray) -> None:
    """Write eps (|w| + 1); see `reference.box_radius`."""
    n = common_length((w, out))
    _launch("box_radius", w, blocks_for(n), _long(n), w, _real(w, eps), out)


def box_step(
    w: XpArray,
    eps: float,
    z: XpArray,
    d: XpArray,
    t: float,
    z_out: XpArray | None,
    x_out: XpArray | None,
) -> None:
    """Write clip(z + t d, -r, r) and w plus that; see `reference.box_step`."""
    _move("box_step", w, eps, z, d, _real(w, t), z_out, x_out)


def box_toward(
    w: XpArray,
    eps: float,
    z: XpArray,
    d: XpArray,
    share: float,
    z_out: XpArray | None,
    x_out: XpArray | None,
) -> None:
    """Go a share of the way to a corner of the box; see `reference.box_toward`."""
    _move("box_toward", w, eps, z, d, np.float64(share), z_out, x_out)


def box_free(w: XpArray, eps: float, z: XpArray, v: XpArray, out: XpArray) -> None:
    """Keep v where z is strictly inside the box; see `reference.box_free`."""
    n = common_length((w, z, v, out))
    _launch("box_free", w, blocks_for(n), _long(n), w, _real(w, eps), z, v, out)


def box_residual(w: XpArray, eps: float, z: XpArray, g: XpArray) -> float:
    """Return max |clip(z + g, -r, r) - z|; see `reference.box_residual`."""
    return _extreme("box_residual", "finish_largest", 0.0, w, eps, z, g)


def box_reach(w: XpArray, eps: float, z: XpArray, d: XpArray) -> float:
    """Return the longest step that stays in the box; see `reference.box_reach`."""
    return _extreme("box_reach", "finish_smallest", math.inf, w, eps, z, d)


def path_gram(
    A: XpArray,
    w: XpArray,
    eps: float,
    z: XpArray,
    g: XpArray,
    ts: Vector,
) -> Matrix:
    """Return the dot products along the projected path; see `reference.path_gram`."""
    n = common_length((w, z, g), (A,))
    k, steps = len(A), len(ts)
    tiles = -(-(k + 1) // 4) * -(-2 * steps // 4)
    lengths = cupy.asarray(_real(w, ts))
    args = A, _int(k), w, _real(w, eps), z, g, lengths, _int(steps)
    total = _sums("path_gram", n, tiles, (k + 1, 2 * steps), w, *args)
    pairs = total.reshape(k + 1, steps, 2).transpose(1, 0, 2)
    return np.ascontiguousarray(pairs)


def free_gram(A: XpArray, w: XpArray, eps: float, z: XpArray) -> Matrix:
    """Return the dot products over the free coordinates; see `reference.free_gram`."""
    n = common_length((w, z), (A,))
    k = len(A)
    down = -(-k // 4)
    args = A, _int(k), w, _real(w, eps), z
    tiles = down * (down + 1) // 2
    return _sums("free_gram", n, tiles, (k, k), w, *args, symmetric=True)


def fill_signs(out: XpArray, seed: int, stream: int, offset: int) -> None:
    """Write random signs; see `reference.fill_signs`."""
    _fill("fill_signs", 128, out, seed, stream, offset)


def fill_normal(out: XpArray, seed: int, stream: int, offset: int) -> None:
    """Write standard normals, with the bits of `cpu.fill_normal`."""
    _fill("fill_normal", 4, out, seed, stream, offset)


def _move(
    name: str,
    w: XpArray,
    eps: float,
    z: XpArray,
    d: XpArray,
    amount: np.floating,
    z_out: XpArray | None,
    x_out: XpArray | None,
) -> None:
    outs = [out for out in (z_out, x_out) if out is not None]
    n = common_length((w, z, d, *outs))
    null = [0 if out is None else out for out in (z_out, x_out)]
    _launch(name, w, blocks_for(n), _long(n), w, _real(w, eps), z, d, amount, *null)


def _extreme(
    name: str,
    finish: str,
    start: float,
    w: XpArray,
    eps: float,
    z: XpArray,
    d: XpArray,
) -> float:
    n = common_length((w, z, d))
    if n == 0:
        return start
    length, chunks = _cut(n, 1)
    partial, result = cupy.empty(chunks), cupy.empty(1)
    args = w, _real(w, eps), z, d, partial
    _launch(name, w, chunks, _long(n), _long(length), *args)
    _launch(finish, w, 1, partial, _int(chunks), result)
    return float(result.get()[0])


def _sums(
    name: str,
    n: int,
    tiles: int,
    shape: tuple[int, int],
    like: XpArray,
    *args: XpArray | np.generic,
    symmetric: bool = False,
) -> Matrix:
    """Return sums over n numbers: per chunk by the kernel, then over the chunks."""
    pairs = math.prod(shape)
    if n == 0 or pairs == 0:
        return np.zeros(shape)
    length, chunks = _cut(n, pairs)
    partial, total = cupy.empty(pairs * chunks), cupy.empty(pairs)
    _launch(name, like, tiles * chunks, _long(n), _long(length), *args, partial)
    rows = _int(shape[0] if symmetric else 0)
    _launch("finish_sum", like, pairs, partial, _int(chunks), rows, total)
    result: Matrix = total.get().reshape(shape)
    return result


def _cut(n: int, pairs: int) -> tuple[int, int]:
    """Return length and number of the chunks for the sums of some pairs of rows."""
    most = max(FEWEST, min(CHUNKS, PARTIAL // pairs))
    length = max(LENGTH, -(-n // (most * THREADS)) * THREADS)
    return length, -(-n // length)


def _fill(
    name: str, per_block: int, out: XpArray, seed: int, stream: int, offset: int
) -> None:
    n = common_length((out,))
    # The first random block may lie partly before the offset.
    blocks = blocks_for(-(-(n + offset % per_block) // per_block)) if n else 0
    _launch(name, out, blocks, _long(n), out, *map(_long, (seed, stream, offset)))


def _real(like: XpArray, value: float | Vector) -> Any:
    """Return a number or numbers in the vectors' dtype; infinite beyond its range."""
    with np.errstate(over="ignore"):
        return np.asarray(value, dtype=np.float64).astype(like.dtype)[()]
