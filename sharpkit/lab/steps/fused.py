"""The steps of `plain`, each in one or two Numba passes over memory.

Rows are cut into chunks of a fixed size; column sums are kept per chunk and merged in
float64 in their order, so the bits do not depend on the number of threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from sharpkit._inputs.types import XpArray
from sharpkit._vectors import parallel
from sharpkit._vectors.compiling import jit
from sharpkit.lab.steps import check_labels

# Small enough for a chunk of a wide layer to stay in the second-level cache, large
# enough for float32 partial sums of so few rows to lose nothing that matters.
ROWS = 64
ELEMENTS = 32768
# Up to so many numbers one thread is faster than two: what they touch lies in the
# caches, and between two steps the BLAS's own threads still spin on the other cores.
ALONE = 1 << 21
_jit: Any = functools.partial(jit, nogil=True, error_model="numpy")


def _row_chunks(z: XpArray) -> int:
    return -(-len(z) // ROWS)


def _run(task: Callable[[int, int], object], chunks: int, numbers: int) -> None:
    if numbers <= ALONE:
        task(0, chunks)
    else:
        parallel.run(task, chunks)


@_jit
def _moments(first, last, z, means, squares):  # type: ignore[no-untyped-def]
    for chunk in range(first, last):
        mean, square = means[chunk], squares[chunk]
        mean[:] = 0
        square[:] = 0
        begin, end = chunk * ROWS, min((chunk + 1) * ROWS, len(z))
        for i in range(begin, end):
            row = z[i]
            for j in range(row.size):
                mean[j] += row[j]
        count = z.dtype.type(end - begin)
        for j in range(mean.size):
            mean[j] /= count
        for i in range(begin, end):
            row = z[i]
            for j in range(row.size):
                square[j] += (row[j] - mean[j]) * (row[j] - mean[j])


def column_statistics(z: XpArray) -> tuple[XpArray, XpArray]:
    """Return mean and biased variance of each column; see `plain`.

    Chunks are centred on their own mean and merged by the pairwise formula of Chan,
    Golub and LeVeque (1979), so nothing cancels when the mean is large.
    """
    chunks = _row_chunks(z)
    means = np.empty((chunks, z.shape[1]), z.dtype)
    squares = np.empty_like(means)
    _run(lambda a, b: _moments(a, b, z, means, squares), chunks, z.size)
    if chunks == 1:  # nothing to merge: small batches feel every NumPy call
        return means[0], squares[0] / z.dtype.type(len(z))
    counts = np.full((chunks, 1), ROWS, np.float64)
    counts[-1] = len(z) - (chunks - 1) * ROWS
    mean = (counts * means).sum(axis=0) / len(z)
    square = squares.sum(axis=0, dtype=np.float64)
    square += (counts * (means - mean) ** 2).sum(axis=0)
    return mean.astype(z.dtype), (square / len(z)).astype(z.dtype)


@_jit
def _scale_shift_relu(first, last, z, scale, shift, out):  # type: ignore[no-untyped-def]
    zero = z.dtype.type(0)
    for i in range(first * ROWS, min(last * ROWS, len(z))):
        row, result = z[i], out[i]
        for j in range(row.size):
            value = scale[j] * row[j] + shift[j]
            # written so that NaN passes through, as in np.maximum
            result[j] = zero if value < zero else value


def scale_shift_relu(z: XpArray, scale: XpArray, shift: XpArray, out: XpArray) -> None:
    """``out = max(scale z + shift, 0)``; see `plain`."""
    _run(
        lambda a, b: _scale_shift_relu(a, b, z, scale, shift, out),
        _row_chunks(z),
        z.size,
    )


@_jit
def _backward_sums(first, last, dh, z, scale, shift, mean, sums, moments):  # type: ignore[no-untyped-def]
    zero = z.dtype.type(0)
    for chunk in range(first, last):
        total, moment = sums[chunk], moments[chunk]
        total[:] = 0
        moment[:] = 0
        for i in range(chunk * ROWS, min((chunk + 1) * ROWS, len(z))):
            row, gradient = z[i], dh[i]
            for j in range(row.size):
                active = scale[j] * row[j] + shift[j] > zero
                da = gradient[j] if active else zero
                total[j] += da
                moment[j] += da * (row[j] - mean[j])


def relu_backward_sums(
    dh: XpArray, z: XpArray, scale: XpArray, shift: XpArray, mean: XpArray
) -> tuple[XpArray, XpArray]:
    """Return the column sums of ``da`` and of ``da (z - mean)``; see `plain`."""
    chunks = _row_chunks(z)
    sums = np.empty((chunks, z.shape[1]), z.dtype)
    moments = np.empty_like(sums)
    _run(
        lambda a, b: _backward_sums(a, b, dh, z, scale, shift, mean, sums, moments),
        chunks,
        z.size,
    )
    if chunks == 1:
        return sums[0], moments[0]
    return (
        sums.sum(axis=0, dtype=np.float64).astype(z.dtype),
        moments.sum(axis=0, dtype=np.float64).astype(z.dtype),
    )


@_jit
def _backward(first, last, dh, z, scale, shift, mean, slope, offset):  # type: ignore[no-untyped-def]
    zero = z.dtype.type(0)
    for i in range(first * ROWS, min(last * ROWS, len(z))):
        row, gradient = z[i], dh[i]
        for j in range(row.size):
            active = scale[j] * row[j] + shift[j] > zero
            da = gradient[j] if active else zero
            gradient[j] = scale[j] * da + slope[j] * (row[j] - mean[j]) + offset[j]


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
    _run(
        lambda a, b: _backward(a, b, dh, z, scale, shift, mean, slope, offset),
        _row_chunks(z),
        z.size,
    )


@_jit
def _cross_entropy(first, last, logits, labels, dlogits, scale, losses, right):  # type: ignore[no-untyped-def]
    for chunk in range(first, last):
        total = 0.0
        count = 0
        for i in range(chunk * ROWS, min((chunk + 1) * ROWS, len(logits))):
            row, label = logits[i], labels[i]
            best = 0
            for j in range(1, row.size):
                if row[j] > row[best]:
                    best = j
            mass = 0.0
            for j in range(row.size):
                mass += np.exp(np.float64(row[j] - row[best]))
            total += np.log(mass) - np.float64(row[label] - row[best])
            count += best == label
            if len(dlogits) > 0:
                gradient = dlogits[i]
                for j in range(row.size):
                    share = np.exp(np.float64(row[j] - row[best])) / mass
                    gradient[j] = scale * (share - (j == label))
        losses[chunk] = total
        right[chunk] = count


def softmax_cross_entropy(
    logits: XpArray, labels: XpArray, dlogits: XpArray | None, scale: float = 1.0
) -> tuple[float, int]:
    """Return the summed loss and the number of right rows; see `plain`."""
    # Compiled loops check no index: they would read whatever lies in memory there.
    check_labels(labels, *logits.shape)
    chunks = _row_chunks(logits)
    losses, right = np.empty(chunks), np.empty(chunks, np.int64)
    gradient = np.empty((0, 0), logits.dtype) if dlogits is None else dlogits
    _run(
        lambda a, b: _cross_entropy(
            a, b, logits, labels, gradient, float(scale), losses, right
        ),
        chunks,
        logits.size,
    )
    return float(losses.sum()), int(right.sum())


@_jit
def _adam(first, last, w, g, m, v, beta1, rest1, beta2, rest2, rate, root, eps):  # type: ignore[no-untyped-def]
    begin, end = first * ELEMENTS, min(last * ELEMENTS, len(w))
    w, g, m, v = w[begin:end], g[begin:end], m[begin:end], v[begin:end]
    for i in range(len(w)):
        m[i] = beta1 * m[i] + rest1 * g[i]
        v[i] = beta2 * v[i] + rest2 * g[i] * g[i]
        w[i] -= rate * m[i] / (np.sqrt(v[i]) * root + eps)


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
    real = w.dtype.type  # Numba would compute in float64 with Python's own floats
    scalars = [
        real(value)
        for value in (
            beta1,
            1 - beta1,
            beta2,
            1 - beta2,
            rate / (1 - beta1**step),
            (1 - beta2**step) ** -0.5,
            eps,
        )
    ]
    chunks = -(-len(w) // ELEMENTS)
    _run(lambda a, b: _adam(a, b, w, g, m, v, *scalars), chunks, len(w))


@_jit
def _momentum(first, last, w, g, velocity, rate, momentum):  # type: ignore[no-untyped-def]
    begin, end = first * ELEMENTS, min(last * ELEMENTS, len(w))
    w, g, velocity = w[begin:end], g[begin:end], velocity[begin:end]
    for i in range(len(w)):
        velocity[i] = momentum * velocity[i] + g[i]
        w[i] -= rate * velocity[i]


def momentum(
    w: XpArray, g: XpArray, velocity: XpArray, *, rate: float, momentum: float
) -> None:
    """One update of SGD with momentum in one pass; see `plain`."""
    real = w.dtype.type
    chunks = -(-len(w) // ELEMENTS)
    _run(
        lambda a, b: _momentum(a, b, w, g, velocity, real(rate), real(momentum)),
        chunks,
        len(w),
    )
