"""Linear combinations of rows, and the box: bound by memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from sharpkit.kernels._jit import Array, Worker, block, inner, vector

PIECE = 4096  # numbers handled at a time: a float64 piece fits in the first-level cache


@inner
def _set_1(c: float, b: Array, out: Array) -> None:
    for x in range(len(out)):
        out[x] = c * b[x]


@inner
def _set_4(c: Array, b0: Array, b1: Array, b2: Array, b3: Array, out: Array) -> None:
    c0, c1, c2, c3 = c[0], c[1], c[2], c[3]
    for x in range(len(out)):
        out[x] = c0 * b0[x] + c1 * b1[x] + (c2 * b2[x] + c3 * b3[x])


@inner
def _mix_1(beta: float, out: Array, c: float, b: Array) -> None:
    for x in range(len(out)):
        out[x] = beta * out[x] + c * b[x]


# Two versions of one sum: LLVM would not vectorise the second with total for out.
@inner
def _add_4(c: Array, b0: Array, b1: Array, b2: Array, b3: Array, total: Array) -> None:
    c0, c1, c2, c3 = c[0], c[1], c[2], c[3]
    for x in range(len(total)):
        total[x] += c0 * b0[x] + c1 * b1[x] + (c2 * b2[x] + c3 * b3[x])


@inner
def _finish_4(
    total: Array, c: Array, b0: Array, b1: Array, b2: Array, b3: Array, out: Array
) -> None:
    c0, c1, c2, c3 = c[0], c[1], c[2], c[3]
    for x in range(len(out)):
        out[x] = total[x] + (c0 * b0[x] + c1 * b1[x] + (c2 * b2[x] + c3 * b3[x]))


@inner
def _combine_row(
    c: Array,
    B: Array,
    s: int,
    e: int,
    begun: bool,
    zeros: Array,
    total: Array,
    row: Array,
) -> None:
    """Set row to the sum of c B over columns s to e, plus total if that has begun.

    Four rows of B at a time, zeros where they have run out. The first four set the
    total, the last four go straight into the row.
    """
    kb = len(B)
    for j in range(0, kb, 4):
        b0 = B[j, s:e]
        b1 = B[j + 1, s:e] if j + 1 < kb else zeros
        b2 = B[j + 2, s:e] if j + 2 < kb else zeros
        b3 = B[j + 3, s:e] if j + 3 < kb else zeros
        final = j + 4 >= kb
        if final and (begun or j > 0):
            _finish_4(total, c[j:], b0, b1, b2, b3, row)
        elif final:
            _set_4(c, b0, b1, b2, b3, row)
        elif begun or j > 0:
            _add_4(c[j:], b0, b1, b2, b3, total)
        else:
            _set_4(c, b0, b1, b2, b3, total)


def _combine(C: Array, B: Array, beta: float, out: Array, begin: int, end: int) -> None:
    k, kb = len(out), len(B)
    padded = np.zeros((k, kb + 3))
    padded[:, :kb] = C
    zeros = np.zeros_like(out[0, :PIECE])
    space = np.empty(PIECE)
    for s in range(begin, end, PIECE):
        e = min(s + PIECE, end)
        total = space[: e - s]
        for i in range(k):
            row = out[i, s:e]
            if kb == 0:
                _set_1(beta, row.copy() if beta != 0.0 else zeros[: e - s], row)
            elif kb == 1 and beta == 0.0:
                _set_1(C[i, 0], B[0, s:e], row)
            elif kb == 1:
                _mix_1(beta, row, C[i, 0], B[0, s:e])
            else:
                if beta != 0.0:
                    _set_1(beta, row, total)
                c, none = padded[i], zeros[: e - s]
                _combine_row(c, B, s, e, beta != 0.0, none, total, row)


def _box_radius(w: Array, eps: float, out: Array, begin: int, end: int) -> None:
    w, out = w[begin:end], out[begin:end]
    scale, one = w.dtype.type(eps), w.dtype.type(1)
    for i in range(len(out)):
        out[i] = scale * (abs(w[i]) + one)


def _box_step(
    w: Array,
    z: Array,
    d: Array,
    t: float,
    r: Array,
    z_out: Array,
    x_out: Array,
    begin: int,
    end: int,
) -> None:
    step, zero = w.dtype.type(t), w.dtype.type(0)
    # Each piece passes through `space`: z_out may be z, and LLVM would not vectorise a
    # loop that writes what it reads.
    space = np.empty_like(w[:PIECE])
    for s in range(begin, end, PIECE):
        e = min(s + PIECE, end)
        zs, ds, rs, new = z[s:e], d[s:e], r[s:e], space[: e - s]
        for i in range(e - s):
            v = zs[i] + (zero if ds[i] == zero else step * ds[i])
            v = rs[i] if v > rs[i] else v
            v = -rs[i] if v < -rs[i] else v
            new[i] = v if rs[i] == rs[i] else rs[i]  # so that a NaN half width shows
        ws, z_row, x_row = w[s:e], z_out[s:e], x_out[s:e]
        for i in range(e - s):
            z_row[i] = new[i]
        for i in range(e - s):
            x_row[i] = ws[i] + new[i]


def _combine_types(t: Any) -> Any:
    real, n = types.float64, types.intp
    return types.void(block(real), block(t), real, block(t, False), n, n)


def _radius_types(t: Any) -> Any:
    return types.void(
        vector(t), types.float64, vector(t, False), types.intp, types.intp
    )


def _step_types(t: Any) -> Any:
    v, out, n = vector(t), vector(t, False), types.intp
    return types.void(v, v, v, types.float64, v, out, out, n, n)


COMBINE = Worker(_combine, _combine_types)
BOX_RADIUS = Worker(_box_radius, _radius_types)
BOX_STEP = Worker(_box_step, _step_types)
