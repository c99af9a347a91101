"""Dot products of rows: register tiles over pieces that stay in the caches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from sharpkit.kernels._jit import Array, Worker, block, inner

# Pieces of rows stay in the caches while all their products are formed. Few rows can
# be cut into longer pieces, which the processor fetches ahead of time.
SHORT, LONG, FEW = 1024, 4096, 32


@inner
def _dot(A: Array, i: int, B: Array, j: int, s: int, e: int) -> float:
    a, b = A[i, s:e], B[j, s:e]
    total = 0.0
    for x in range(e - s):
        total += np.float64(a[x]) * b[x]
    return total


@inner
def _dots_1x4(
    A: Array, i: int, B: Array, j: int, s: int, e: int
) -> tuple[float, float, float, float]:
    a = A[i, s:e]
    b0, b1, b2, b3 = B[j, s:e], B[j + 1, s:e], B[j + 2, s:e], B[j + 3, s:e]
    t0 = t1 = t2 = t3 = 0.0
    for x in range(e - s):
        p = np.float64(a[x])
        t0 += p * b0[x]
        t1 += p * b1[x]
        t2 += p * b2[x]
        t3 += p * b3[x]
    return t0, t1, t2, t3


@inner
def _dots_4x4(A: Array, i: int, B: Array, j: int, s: int, e: int, total: Array) -> None:
    a0, a1, a2, a3 = A[i, s:e], A[i + 1, s:e], A[i + 2, s:e], A[i + 3, s:e]
    b0, b1, b2, b3 = B[j, s:e], B[j + 1, s:e], B[j + 2, s:e], B[j + 3, s:e]
    t00 = t01 = t02 = t03 = t10 = t11 = t12 = t13 = 0.0
    t20 = t21 = t22 = t23 = t30 = t31 = t32 = t33 = 0.0
    for x in range(e - s):
        p0, p1 = np.float64(a0[x]), np.float64(a1[x])
        p2, p3 = np.float64(a2[x]), np.float64(a3[x])
        q0, q1 = np.float64(b0[x]), np.float64(b1[x])
        q2, q3 = np.float64(b2[x]), np.float64(b3[x])
        t00 += p0 * q0
        t01 += p0 * q1
        t02 += p0 * q2
        t03 += p0 * q3
        t10 += p1 * q0
        t11 += p1 * q1
        t12 += p1 * q2
        t13 += p1 * q3
        t20 += p2 * q0
        t21 += p2 * q1
        t22 += p2 * q2
        t23 += p2 * q3
        t30 += p3 * q0
        t31 += p3 * q1
        t32 += p3 * q2
        t33 += p3 * q3
    for y, row in enumerate(
        (
            (t00, t01, t02, t03),
            (t10, t11, t12, t13),
            (t20, t21, t22, t23),
            (t30, t31, t32, t33),
        )
    ):
        for x in range(4):
            total[i + y, j + x] += row[x]


@inner
def _gram_block(A: Array, B: Array, same: bool, s: int, e: int, total: Array) -> None:
    """Add the products over columns s to e: tiles of 4 x 4, then what they leave."""
    ka, kb = len(A), len(B)
    ka4, kb4 = ka - ka % 4, kb - kb % 4
    for i in range(0, ka4, 4):
        for j in range(i if same else 0, kb4, 4):
            _dots_4x4(A, i, B, j, s, e, total)
    for j in range(kb4, kb):
        for i in range(0, ka4, 4):
            dots = _dots_1x4(B, j, A, i, s, e)
            for x in range(4):
                total[i + x, j] += dots[x]
    if not same:
        for i in range(ka4, ka):
            for j in range(0, kb4, 4):
                dots = _dots_1x4(A, i, B, j, s, e)
                for x in range(4):
                    total[i, j + x] += dots[x]
    for i in range(ka4, ka):
        for j in range(i if same else kb4, kb):
            total[i, j] += _dot(A, i, B, j, s, e)


def _gram(
    A: Array, B: Array, same: bool, chunk: int, partial: Array, begin: int, end: int
) -> None:
    length = LONG if len(A) + len(B) <= FEW else SHORT
    for c in range(begin // chunk, (end + chunk - 1) // chunk):
        total = partial[c]
        total[:] = 0.0
        stop = min((c + 1) * chunk, end)
        for s in range(c * chunk, stop, length):
            _gram_block(A, B, same, s, min(s + length, stop), total)
        if same:
            for i in range(len(total)):
                for j in range(i):
                    total[i, j] = total[j, i]


def _signature(t: Any) -> Any:
    partial = types.Array(types.float64, 3, "C")
    n = types.intp
    return types.void(block(t), block(t), types.boolean, n, partial, n, n)


GRAM = Worker(_gram, _signature)
