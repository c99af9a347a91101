"""Dot products of rows: register tiles over pieces that stay in the caches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from sharpkit.kernels._jit import Array, Worker, block, exact, inner, vector

# Pieces of rows stay in the second-level cache while all their products are formed.
# Few rows can be cut into longer pieces, which the processor fetches ahead of time.
SHORT, LONG, FEW = 2048, 16384, 32


# Rows are sliced where they are summed: a slice handed over costs a count of its uses.
@inner
def _dot(A: Array, s: int, B: Array, j: int, t: int, n: int) -> float:
    a, b = A[len(A) - 1, s : s + n], B[j, t : t + n]
    total = 0.0
    for x in range(n):
        total += np.float64(a[x]) * b[x]
    return total


@inner
def _dots_2x4(
    A: Array, i: int, s: int, B: Array, j: int, t: int, n: int
) -> tuple[float, float, float, float, float, float, float, float]:
    i1, last = min(i + 1, len(A) - 1), len(B) - 1
    a0, a1 = A[i, s : s + n], A[i1, s : s + n]
    b0, b1 = B[j, t : t + n], B[min(j + 1, last), t : t + n]
    b2, b3 = B[min(j + 2, last), t : t + n], B[min(j + 3, last), t : t + n]
    t00 = t01 = t02 = t03 = t10 = t11 = t12 = t13 = 0.0
    for x in range(n):
        p0, p1 = np.float64(a0[x]), np.float64(a1[x])
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
    return t00, t01, t02, t03, t10, t11, t12, t13


@inner
def _add_4x4(
    A: Array, i: int, s: int, B: Array, j: int, t: int, n: int, total: Array
) -> None:
    u, v = len(A) - 1, len(B) - 1
    a0, a1 = A[i, s : s + n], A[min(i + 1, u), s : s + n]
    a2, a3 = A[min(i + 2, u), s : s + n], A[min(i + 3, u), s : s + n]
    b0, b1 = B[j, t : t + n], B[min(j + 1, v), t : t + n]
    b2, b3 = B[min(j + 2, v), t : t + n], B[min(j + 3, v), t : t + n]
    t00 = t01 = t02 = t03 = t10 = t11 = t12 = t13 = 0.0
    t20 = t21 = t22 = t23 = t30 = t31 = t32 = t33 = 0.0
    for x in range(n):
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
def _add_products(
    A: Array, s: int, B: Array, t: int, n: int, same: bool, total: Array
) -> None:
    """Add the products of n columns of A from s and of B from t.

    By tiles of 4 x 4 and 2 x 4. Where rows run out a tile takes the last one again;
    total has room for what comes of it: three rows and columns more than the products.
    """
    ka, kb = len(A), len(B)
    for j in range(0, kb, 4):
        for i in range(0, j + 1 if same else ka, 4):
            if ka - i == 1 and kb - j == 1:
                total[i, j] += _dot(A, s, B, j, t, n)
            elif ka - i <= 2:
                dots = _dots_2x4(A, i, s, B, j, t, n)
                for x in range(8):
                    total[i + x // 4, j + x % 4] += dots[x]
            elif kb - j <= 2:
                dots = _dots_2x4(B, j, t, A, i, s, n)
                for x in range(8):
                    total[i + x % 4, j + x // 4] += dots[x]
            else:
                _add_4x4(A, i, s, B, j, t, n, total)


@exact
def _mirror(total: Array) -> None:
    for i in range(len(total)):
        for j in range(i):
            total[i, j] = total[j, i]


def _gram(
    A: Array, B: Array, same: bool, chunk: int, partial: Array, begin: int, end: int
) -> None:
    length = LONG if len(A) + len(B) <= FEW else SHORT
    total = np.empty((len(A) + 3, len(B) + 3))
    for c in range(begin // chunk, (end + chunk - 1) // chunk):
        total[:] = 0.0
        stop = min((c + 1) * chunk, end)
        for s in range(c * chunk, stop, length):
            _add_products(A, s, B, s, min(length, stop - s), same, total)
        partial[c] = total[: len(A), : len(B)]
        if same:
            _mirror(partial[c])


@exact
def _walk(
    w: Array, eps: float, z: Array, g: Array, t: float, v_row: Array, u_row: Array
) -> None:
    """Write the rows v and u of a piece of the projected path at t."""
    scale, one, zero = w.dtype.type(eps), w.dtype.type(1), w.dtype.type(0)
    step = w.dtype.type(t)
    for x in range(len(w)):
        r = scale * (abs(w[x]) + one)
        ahead = z[x] + step * g[x]
        towards = ahead if g[x] > zero else -ahead
        v_row[x] = zero if towards >= r else g[x]
        ahead = r if ahead > r else ahead
        ahead = -r if ahead < -r else ahead
        u_row[x] = (ahead if r == r else r) - z[x]


def _path(
    A: Array,
    w: Array,
    eps: float,
    z: Array,
    g: Array,
    ts: Array,
    chunk: int,
    partial: Array,
    begin: int,
    end: int,
) -> None:
    k, columns = len(A), 2 * len(ts)
    G = g.reshape(1, len(g))
    space = np.empty((columns, SHORT), w.dtype)
    total = np.empty((k + 3 + 4, columns + 3))  # of A, then of g
    for c in range(begin // chunk, (end + chunk - 1) // chunk):
        total[:] = 0.0
        stop = min((c + 1) * chunk, end)
        for s in range(c * chunk, stop, SHORT):
            n = min(SHORT, stop - s)
            ws, zs, gs = w[s : s + n], z[s : s + n], g[s : s + n]
            for y in range(len(ts)):
                _walk(ws, eps, zs, gs, ts[y], space[2 * y, :n], space[2 * y + 1, :n])
            _add_products(A, s, space, 0, n, False, total)
            _add_products(G, s, space, 0, n, False, total[k + 3 :])
        partial[c, :k] = total[:k, :columns]
        partial[c, k] = total[k + 3, :columns]


def _free(
    A: Array,
    w: Array,
    eps: float,
    z: Array,
    chunk: int,
    partial: Array,
    begin: int,
    end: int,
) -> None:
    scale, one, zero = w.dtype.type(eps), w.dtype.type(1), w.dtype.type(0)
    k = len(A)
    space = np.empty((k, SHORT), w.dtype)
    stuck = np.empty(SHORT, w.dtype)
    total = np.empty((k + 3, k + 3))
    for c in range(begin // chunk, (end + chunk - 1) // chunk):
        total[:] = 0.0
        stop = min((c + 1) * chunk, end)
        for s in range(c * chunk, stop, SHORT):
            e = min(s + SHORT, stop)
            ws, zs, walls = w[s:e], z[s:e], stuck[: e - s]
            for x in range(e - s):
                walls[x] = one if abs(zs[x]) >= scale * (abs(ws[x]) + one) else zero
            for i in range(k):
                row, into = A[i, s:e], space[i, : e - s]
                for x in range(e - s):
                    kept = row[x]
                    into[x] = zero if walls[x] == one else kept
            _add_products(space, 0, space, 0, e - s, True, total)
        partial[c] = total[:k, :k]
        _mirror(partial[c])


def _gram_types(t: Any) -> Any:
    partial, n = types.Array(types.float64, 3, "C"), types.intp
    return types.void(block(t), block(t), types.boolean, n, partial, n, n)


def _path_types(t: Any) -> Any:
    v, real, n = vector(t), types.float64, types.intp
    partial = types.Array(real, 3, "C")
    return types.void(block(t), v, real, v, v, vector(real), n, partial, n, n)


def _free_types(t: Any) -> Any:
    v, real, n = vector(t), types.float64, types.intp
    partial = types.Array(real, 3, "C")
    return types.void(block(t), v, real, v, n, partial, n, n)


GRAM = Worker(_gram, _gram_types)
PATH = Worker(_path, _path_types)
FREE = Worker(_free, _free_types)
