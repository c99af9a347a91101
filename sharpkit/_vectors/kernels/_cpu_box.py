"""The box: steps, walls and how far they are, bound by memory.

No sum is reordered and no product fused here, so that these kernels round as the
specification does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from sharpkit._inputs.types import Array
from sharpkit._vectors.kernels._jit import Worker, exact, vector

# Numbers handled at a time. Each piece passes through a buffer: outputs may be inputs,
# and LLVM would not vectorise a loop that writes what it reads. The shorter a piece,
# the better the processor goes on reading while it is written, and the more slices are
# made: the lengths were found by trial. No array is sliced under a condition or handed
# to a function, which would count its uses and cost more than the piece.
STEP_PIECE, FREE_PIECE, EXTREME_PIECE = 64, 2048, 256


def _radius(w: Array, eps: float, out: Array, begin: int, end: int) -> None:
    w, out = w[begin:end], out[begin:end]
    scale, one = w.dtype.type(eps), w.dtype.type(1)
    for i in range(len(out)):
        out[i] = scale * (abs(w[i]) + one)


def _step(
    w: Array,
    eps: float,
    z: Array,
    d: Array,
    t: float,
    z_out: Array,
    x_out: Array,
    begin: int,
    end: int,
) -> None:
    scale, one, step = w.dtype.type(eps), w.dtype.type(1), w.dtype.type(t)
    space = np.empty_like(w[:STEP_PIECE])
    for s in range(begin, end, STEP_PIECE):
        e = min(s + STEP_PIECE, end)
        ws, zs, ds, new = w[s:e], z[s:e], d[s:e], space[: e - s]
        for i in range(e - s):
            r = scale * (abs(ws[i]) + one)
            v = zs[i] + step * ds[i]
            v = r if v > r else v
            v = -r if v < -r else v
            new[i] = v if r == r else r  # so that a NaN half width shows
        # An output of length 0 is not wanted, and its slices are of length 0 too.
        z_row, x_row = z_out[s:e], x_out[s:e]
        for i in range(len(z_row)):
            z_row[i] = new[i]
        for i in range(len(x_row)):
            x_row[i] = ws[i] + new[i]


def _toward(
    w: Array,
    eps: float,
    z: Array,
    d: Array,
    share: float,
    z_out: Array,
    x_out: Array,
    begin: int,
    end: int,
) -> None:
    scale, one, zero = w.dtype.type(eps), w.dtype.type(1), w.dtype.type(0)
    space = np.empty_like(w[:STEP_PIECE])
    for s in range(begin, end, STEP_PIECE):
        e = min(s + STEP_PIECE, end)
        ws, zs, ds, new = w[s:e], z[s:e], d[s:e], space[: e - s]
        for i in range(e - s):
            r = scale * (abs(ws[i]) + one)
            corner = np.float64(r if ds[i] > zero else -r)
            v = w.dtype.type((1.0 - share) * zs[i] + share * corner)
            v = zs[i] if ds[i] == zero else v
            v = v if ds[i] == ds[i] else ds[i]
            v = r if v > r else v
            v = -r if v < -r else v
            new[i] = v if r == r else r
        # An output of length 0 is not wanted, and its slices are of length 0 too.
        z_row, x_row = z_out[s:e], x_out[s:e]
        for i in range(len(z_row)):
            z_row[i] = new[i]
        for i in range(len(x_row)):
            x_row[i] = ws[i] + new[i]


def _free(
    w: Array, eps: float, z: Array, v: Array, out: Array, begin: int, end: int
) -> None:
    scale, one, zero = w.dtype.type(eps), w.dtype.type(1), w.dtype.type(0)
    space = np.empty_like(w[:FREE_PIECE])
    for s in range(begin, end, FREE_PIECE):
        e = min(s + FREE_PIECE, end)
        ws, zs, vs, new = w[s:e], z[s:e], v[s:e], space[: e - s]
        for i in range(e - s):
            new[i] = zero if abs(zs[i]) >= scale * (abs(ws[i]) + one) else vs[i]
        row = out[s:e]
        for i in range(e - s):
            row[i] = new[i]


# The two extremes compare the bits of float64 numbers as integers: LLVM vectorises
# that, and NaN, whose size as an integer is beyond that of infinity, is not lost.
_SIZE = np.int64(0x7FFF_FFFF_FFFF_FFFF)
_INFINITY = np.int64(0x7FF0_0000_0000_0000)


@exact
def _largest(bits: Array) -> Any:
    """Return the largest size of the numbers with these bits."""
    found = np.int64(0)
    for i in range(len(bits)):
        found = max(found, bits[i] & _SIZE)
    return found


@exact
def _least(bits: Array) -> Any:
    """Return the least number, as an integer that is ordered like the number."""
    found = _SIZE
    for i in range(len(bits)):
        found = min(found, bits[i] ^ ((bits[i] >> 63) & _SIZE))
    return found


def _residual(
    w: Array,
    eps: float,
    z: Array,
    g: Array,
    chunk: int,
    partial: Array,
    begin: int,
    end: int,
) -> None:
    scale, one = w.dtype.type(eps), w.dtype.type(1)
    space = np.empty(EXTREME_PIECE)
    for c in range(begin // chunk, (end + chunk - 1) // chunk):
        worst = np.int64(0)
        stop = min((c + 1) * chunk, end)
        for s in range(c * chunk, stop, EXTREME_PIECE):
            e = min(s + EXTREME_PIECE, stop)
            ws, zs, gs, size = w[s:e], z[s:e], g[s:e], space[: e - s]
            for i in range(e - s):
                r = scale * (abs(ws[i]) + one)
                v = zs[i] + gs[i]
                v = r if v > r else v
                v = -r if v < -r else v
                size[i] = v - zs[i] if r == r else r
            worst = max(worst, _largest(size.view(np.int64)))
        partial[c : c + 1].view(np.int64)[0] = worst


def _reach(
    w: Array,
    eps: float,
    z: Array,
    d: Array,
    chunk: int,
    partial: Array,
    begin: int,
    end: int,
) -> None:
    scale, one = w.dtype.type(eps), w.dtype.type(1)
    space = np.empty(EXTREME_PIECE)
    for c in range(begin // chunk, (end + chunk - 1) // chunk):
        least, largest = _SIZE, np.int64(0)
        stop = min((c + 1) * chunk, end)
        for s in range(c * chunk, stop, EXTREME_PIECE):
            e = min(s + EXTREME_PIECE, stop)
            ws, zs, ds, room = w[s:e], z[s:e], d[s:e], space[: e - s]
            for i in range(e - s):
                r = np.float64(scale * (abs(ws[i]) + one))
                z8, d8 = np.float64(zs[i]), np.float64(ds[i])
                left = (r - z8 if d8 > 0.0 else r + z8) / abs(d8)
                still = np.inf if r + z8 == r + z8 else np.nan
                room[i] = still if d8 == 0.0 else left
            bits = room.view(np.int64)
            least, largest = min(least, _least(bits)), max(largest, _largest(bits))
        found = least ^ ((least >> 63) & _SIZE) if largest <= _INFINITY else largest
        partial[c : c + 1].view(np.int64)[0] = found


def _radius_types(t: Any) -> Any:
    n = types.intp
    return types.void(vector(t), types.float64, vector(t, False), n, n)


def _step_types(t: Any) -> Any:
    v, out, real, n = vector(t), vector(t, False), types.float64, types.intp
    return types.void(v, real, v, v, real, out, out, n, n)


def _free_types(t: Any) -> Any:
    v, n = vector(t), types.intp
    return types.void(v, types.float64, v, v, vector(t, False), n, n)


def _extreme_types(t: Any) -> Any:
    v, real, n = vector(t), types.float64, types.intp
    return types.void(v, real, v, v, n, vector(real, False), n, n)


RADIUS = Worker(_radius, _radius_types)
STEP = Worker(_step, _step_types)
TOWARD = Worker(_toward, _step_types)
FREE = Worker(_free, _free_types)
RESIDUAL = Worker(_residual, _extreme_types)
REACH = Worker(_reach, _extreme_types)
