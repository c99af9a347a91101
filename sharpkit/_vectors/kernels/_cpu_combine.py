"""Linear combinations of rows: bound by memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from sharpkit._inputs.types import Array
from sharpkit._vectors.kernels._jit import Worker, block, inner

PIECE = 8192  # numbers handled at a time: a float64 piece fits in the first-level cache


@inner
def _scale(c: float, b: Array, out: Array) -> None:
    for x in range(len(out)):
        out[x] = c * b[x]


@inner
def _set_4(c: Array, b0: Array, b1: Array, b2: Array, b3: Array, out: Array) -> None:
    c0, c1, c2, c3 = c[0], c[1], c[2], c[3]
    for x in range(len(out)):
        out[x] = c0 * b0[x] + c1 * b1[x] + (c2 * b2[x] + c3 * b3[x])


@inner
def _mix_4(
    beta: float, c: Array, b0: Array, b1: Array, b2: Array, b3: Array, out: Array
) -> None:
    c0, c1, c2, c3 = c[0], c[1], c[2], c[3]
    for x in range(len(out)):
        new = c0 * b0[x] + c1 * b1[x] + (c2 * b2[x] + c3 * b3[x])
        out[x] = beta * out[x] + new


@inner
def _set_8(
    c: Array,
    b0: Array,
    b1: Array,
    b2: Array,
    b3: Array,
    b4: Array,
    b5: Array,
    b6: Array,
    b7: Array,
    out: Array,
) -> None:
    c0, c1, c2, c3, c4, c5, c6, c7 = c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
    for x in range(len(out)):
        new = c0 * b0[x] + c1 * b1[x] + (c2 * b2[x] + c3 * b3[x])
        out[x] = new + (c4 * b4[x] + c5 * b5[x] + (c6 * b6[x] + c7 * b7[x]))


# Two versions of one sum: LLVM would not vectorise the second with total for out.
@inner
def _add_8(
    c: Array,
    b0: Array,
    b1: Array,
    b2: Array,
    b3: Array,
    b4: Array,
    b5: Array,
    b6: Array,
    b7: Array,
    total: Array,
) -> None:
    c0, c1, c2, c3, c4, c5, c6, c7 = c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
    for x in range(len(total)):
        new = c0 * b0[x] + c1 * b1[x] + (c2 * b2[x] + c3 * b3[x])
        new += c4 * b4[x] + c5 * b5[x] + (c6 * b6[x] + c7 * b7[x])
        total[x] += new


@inner
def _finish_8(
    total: Array,
    c: Array,
    b0: Array,
    b1: Array,
    b2: Array,
    b3: Array,
    b4: Array,
    b5: Array,
    b6: Array,
    b7: Array,
    out: Array,
) -> None:
    c0, c1, c2, c3, c4, c5, c6, c7 = c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
    for x in range(len(out)):
        new = c0 * b0[x] + c1 * b1[x] + (c2 * b2[x] + c3 * b3[x])
        new += c4 * b4[x] + c5 * b5[x] + (c6 * b6[x] + c7 * b7[x])
        out[x] = total[x] + new


@inner
def _combine_few(
    c: Array, B: Array, s: int, e: int, beta: float, zeros: Array, row: Array
) -> None:
    """Set row to beta row + c B over columns s to e, for 1 to 4 rows of B."""
    kb = len(B)
    b0 = B[0, s:e]
    b1 = B[1, s:e] if kb > 1 else zeros
    b2 = B[2, s:e] if kb > 2 else zeros
    b3 = B[3, s:e] if kb > 3 else zeros
    if beta != 0.0:
        _mix_4(beta, c, b0, b1, b2, b3, row)
    elif kb > 1:
        _set_4(c, b0, b1, b2, b3, row)
    else:
        _scale(c[0], b0, row)


@inner
def _combine_many(
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

    Eight rows of B at a time, zeros where they have run out. The first eight set the
    total, the last eight go straight into the row.
    """
    kb = len(B)
    for j in range(0, kb, 8):
        b0 = B[j, s:e]
        b1 = B[j + 1, s:e] if j + 1 < kb else zeros
        b2 = B[j + 2, s:e] if j + 2 < kb else zeros
        b3 = B[j + 3, s:e] if j + 3 < kb else zeros
        b4 = B[j + 4, s:e] if j + 4 < kb else zeros
        b5 = B[j + 5, s:e] if j + 5 < kb else zeros
        b6 = B[j + 6, s:e] if j + 6 < kb else zeros
        b7 = B[j + 7, s:e] if j + 7 < kb else zeros
        final = j + 8 >= kb
        if final and (begun or j > 0):
            _finish_8(total, c[j:], b0, b1, b2, b3, b4, b5, b6, b7, row)
        elif final:
            _set_8(c, b0, b1, b2, b3, b4, b5, b6, b7, row)
        elif begun or j > 0:
            _add_8(c[j:], b0, b1, b2, b3, b4, b5, b6, b7, total)
        else:
            _set_8(c, b0, b1, b2, b3, b4, b5, b6, b7, total)


def _combine(C: Array, B: Array, beta: float, out: Array, begin: int, end: int) -> None:
    k, kb = len(out), len(B)
    padded = np.zeros((k, kb + 7))
    padded[:, :kb] = C
    zeros = np.zeros_like(out[0, :PIECE])
    space = np.empty(PIECE)
    for s in range(begin, end, PIECE):
        e = min(s + PIECE, end)
        total, none = space[: e - s], zeros[: e - s]
        for i in range(k):
            row, c = out[i, s:e], padded[i]
            if kb == 0:
                _scale(beta, row.copy() if beta != 0.0 else none, row)
            elif kb <= 4:
                _combine_few(c, B, s, e, beta, none, row)
            else:
                if beta != 0.0:
                    _scale(beta, row, total)
                _combine_many(c, B, s, e, beta != 0.0, none, total, row)


def _combine_types(t: Any) -> Any:
    real, n = types.float64, types.intp
    return types.void(block(real), block(t), real, block(t, False), n, n)


COMBINE = Worker(_combine, _combine_types)
