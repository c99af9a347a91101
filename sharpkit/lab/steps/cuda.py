"""The steps of `plain`, each in one or two CUDA kernels, for CuPy arrays.

Nothing here waits for the device. Sums run in float64 over chunks of rows whose length
depends on the sizes alone: the bits are the same on every device.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from sharpkit._inputs.types import XpArray
from sharpkit._vectors.launching import blocks_for, common_length, cupy, launch

FILES = ("elementwise.h", "sums.cuh", "steps.cu")
WIDE = 32  # columns of a block, as in steps.cu
# Rows of a block: FEW where it only writes; ROWS or more where it adds up, so that at
# most CHUNKS sums are joined. The bits of the sums depend on ROWS and CHUNKS.
FEW, ROWS, CHUNKS = 8, 32, 1024

_launch = functools.partial(launch, FILES)
_int, _long = np.int32, np.uint64


def column_statistics(z: XpArray) -> tuple[XpArray, XpArray]:
    """Return mean and biased variance of each column; see `plain`."""
    rows, columns = _shape((z,))
    length, chunks = _cut(rows)
    partial = cupy.empty((2, chunks, columns))
    mean, var = cupy.empty(columns, z.dtype), cupy.empty(columns, z.dtype)
    sizes = _long(rows), _int(columns), _long(length)
    _launch("column_moments", z, chunks * _tiles(columns), *sizes, z, partial)
    args = *sizes, _long(chunks), partial, mean, var
    _launch("finish_moments", z, _tiles(columns), *args)
    return mean, var


def scale_shift_relu(z: XpArray, scale: XpArray, shift: XpArray, out: XpArray) -> None:
    """``out = max(scale z + shift, 0)``; see `plain`."""
    _write("scale_shift_relu", (z, out), (scale, shift))


def relu_backward_sums(
    dh: XpArray, z: XpArray, scale: XpArray, shift: XpArray, mean: XpArray
) -> tuple[XpArray, XpArray]:
    """Return the column sums of ``da`` and of ``da (z - mean)``; see `plain`."""
    total, moment = _sums("relu_backward_sums", 2, (dh, z), (scale, shift, mean))
    return total, moment


def relu_backward(
    dh: XpArray,
    z: XpArray,
    scale: XpArray,
    shift: XpArray,
    mean: XpArray,
    slope: XpArray,
    offset: XpArray,
) -> None:
    """``dh <- scale da + slope (z - mean) + offset``, in place; see `plain`."""
    _write("relu_backward", (dh, z), (scale, shift, mean, slope, offset))


def softmax_cross_entropy(
    logits: XpArray, labels: XpArray, dlogits: XpArray | None, scale: float = 1.0
) -> tuple[Any, Any]:
    """Return the summed loss and the number of right rows; see `plain`.

    A label of no class makes the loss NaN: an error would wait for the device.

    Raises
    ------
    IndexError
        If there is not one label for each row.
    """
    rows, classes = _shape((logits, dlogits))
    labels = cupy.ascontiguousarray(labels, np.int64)
    if labels.shape != (rows,):
        msg = f"labels have shape {labels.shape}; give ({rows},), one per row"
        raise IndexError(msg)
    blocks = blocks_for(rows)
    partial = cupy.empty((2, blocks))
    loss, right = cupy.empty(()), cupy.empty((), np.int64)
    gradient, share = 0 if dlogits is None else dlogits, np.float64(scale)
    given = _int(classes), logits, labels, gradient, share, partial
    _launch("cross_entropy", logits, blocks, _long(rows), *given)
    _launch("finish_cross_entropy", logits, 1, _long(blocks), partial, loss, right)
    return loss, right


def adam(
    w: XpArray,
    g: XpArray,
    m: XpArray,
    v: XpArray,
    *,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
) -> None:
    """One update of Adam in one pass: 28 bytes per float32 weight; see `plain`."""
    corrections = 1 - beta1**step, 1 - beta2**step
    scalars = (beta1, 1 - beta1, beta2, 1 - beta2, *corrections, rate, eps)
    _update("adam", (w, g, m, v), scalars)


def momentum(
    w: XpArray, g: XpArray, velocity: XpArray, *, rate: float, momentum: float
) -> None:
    """One update of SGD with momentum in one pass; see `plain`."""
    _update("momentum", (w, g, velocity), (rate, momentum))


def _update(name: str, vectors: Sequence[XpArray], scalars: Sequence[float]) -> None:
    n, real = common_length(vectors), vectors[0].dtype.type
    _launch(name, vectors[0], blocks_for(n), _long(n), *vectors, *map(real, scalars))


def _write(
    name: str, blocks: Sequence[XpArray | None], vectors: Sequence[XpArray]
) -> None:
    """Launch a kernel that writes in matrices, number by number; None is no matrix."""
    rows, columns = _shape(blocks, vectors)
    sizes = _long(rows), _int(columns), _long(FEW)
    grid = -(-rows // FEW) * _tiles(columns)
    _launch(name, vectors[0], grid, *sizes, *_or_null(blocks), *vectors)


def _sums(
    name: str, kinds: int, blocks: Sequence[XpArray | None], vectors: Sequence[XpArray]
) -> XpArray:
    """Return so many sums of each column: by chunks of rows, then over the chunks."""
    rows, columns = _shape(blocks, vectors)
    length, chunks = _cut(rows)
    like, tiles = vectors[0], _tiles(columns)
    partial = cupy.empty((kinds, chunks, columns))
    result = cupy.empty((kinds, columns), like.dtype)
    sizes = _long(rows), _int(columns), _long(length)
    _launch(name, like, chunks * tiles, *sizes, *_or_null(blocks), *vectors, partial)
    args = _long(kinds), _int(columns), _long(chunks), partial, result
    _launch("finish_columns", like, kinds * tiles, *args)
    return result


def _shape(
    blocks: Sequence[XpArray | None], vectors: Sequence[XpArray] = ()
) -> tuple[int, int]:
    """Check what compiled code takes on trust; return the shape of the matrices."""
    there = [a for a in blocks if a is not None]
    columns = common_length(vectors, there)
    if len({a.shape for a in there}) > 1:
        msg = f"the matrices have shapes {[a.shape for a in there]}; give one shape"
        raise ValueError(msg)
    return len(there[0]), columns


def _or_null(blocks: Sequence[XpArray | None]) -> list[XpArray | int]:
    return [0 if a is None else a for a in blocks]


def _cut(rows: int) -> tuple[int, int]:
    """Return length and number of the chunks of rows for sums."""
    length = max(ROWS, -(-rows // CHUNKS))
    return length, -(-rows // length)


def _tiles(columns: int) -> int:
    return -(-columns // WIDE)
