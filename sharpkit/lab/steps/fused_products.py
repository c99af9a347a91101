"""The steps of `plain_products`, each in one or two Numba passes over memory.

Rows are cut and sums are merged as in `fused`: the bits do not depend on the number of
threads.
"""

from __future__ import annotations

import numpy as np

from sharpkit._inputs.types import XpArray
from sharpkit.lab.steps.fused import ROWS, _jit, _row_chunks, _run


def _or_empty(extra: XpArray | None, like: XpArray) -> XpArray:
    # Numba compiles a function anew for None; an array without rows is of one type.
    return np.empty((0, 0), like.dtype) if extra is None else extra


def _merged(sums: XpArray) -> XpArray:
    """Return ``(kinds, chunks, columns)`` partial sums, added up over the chunks."""
    return sums.sum(axis=1, dtype=np.float64).astype(sums.dtype)


@_jit
def _tangent_sums(first, last, z, rz, extra, mean, sums, moments):  # type: ignore[no-untyped-def]
    for chunk in range(first, last):
        total, moment = sums[chunk], moments[chunk]
        total[:] = 0
        moment[:] = 0
        for i in range(chunk * ROWS, min((chunk + 1) * ROWS, len(z))):
            row, tangent = z[i], rz[i]
            if len(extra) > 0:
                other = extra[i]
                for j in range(row.size):
                    tangent[j] += other[j]
            for j in range(row.size):
                total[j] += tangent[j]
                moment[j] += (row[j] - mean[j]) * tangent[j]


def tangent_sums(
    z: XpArray, rz: XpArray, extra: XpArray | None, mean: XpArray
) -> tuple[XpArray, XpArray]:
    """``rz <- rz + extra``; return two column sums; see `plain_products`."""
    chunks, other = _row_chunks(z), _or_empty(extra, z)
    sums = np.empty((2, chunks, z.shape[1]), z.dtype)
    _run(
        lambda a, b: _tangent_sums(a, b, z, rz, other, mean, *sums),
        chunks,
        z.size,
    )
    total, moment = _merged(sums)
    return total, moment


@_jit
def _tangent_relu(  # type: ignore[no-untyped-def]
    first, last, z, rz, extra, scale, shift, mean, slope, offset, out
):
    zero = z.dtype.type(0)
    for i in range(first * ROWS, min(last * ROWS, len(z))):
        row, tangent, result = z[i], rz[i], out[i]
        if len(extra) > 0:
            other = extra[i]
            for j in range(row.size):
                tangent[j] += other[j]
        for j in range(row.size):
            active = scale[j] * row[j] + shift[j] > zero
            moved = scale[j] * tangent[j] + slope[j] * (row[j] - mean[j]) + offset[j]
            result[j] = moved if active else zero


def tangent_relu(
    z: XpArray,
    rz: XpArray,
    extra: XpArray | None,
    scale: XpArray,
    shift: XpArray,
    mean: XpArray,
    slope: XpArray,
    offset: XpArray,
    out: XpArray,
) -> None:
    """``rz <- rz + extra``; ``out = R{h}``; see `plain_products`."""
    other = _or_empty(extra, z)
    _run(
        lambda a, b: _tangent_relu(
            a, b, z, rz, other, scale, shift, mean, slope, offset, out
        ),
        _row_chunks(z),
        z.size,
    )


@_jit
def _reverse_sums(  # type: ignore[no-untyped-def]
    first, last, dh, rdh, extra, z, rz, scale, shift, mean, rmean, sums
):
    zero = z.dtype.type(0)
    for chunk in range(first, last):
        total, moment = sums[0, chunk], sums[1, chunk]
        rtotal, rmoment = sums[2, chunk], sums[3, chunk]
        sums[:, chunk] = 0
        for i in range(chunk * ROWS, min((chunk + 1) * ROWS, len(z))):
            row, tangent, gradient, moved = z[i], rz[i], dh[i], rdh[i]
            other = extra[i]
            for j in range(row.size):
                moved[j] += other[j]
            for j in range(row.size):
                active = scale[j] * row[j] + shift[j] > zero
                da = gradient[j] if active else zero
                rda = moved[j] if active else zero
                centred = row[j] - mean[j]
                total[j] += da
                moment[j] += da * centred
                rtotal[j] += rda
                rmoment[j] += rda * centred + da * (tangent[j] - rmean[j])


def reverse_sums(
    dh: XpArray,
    rdh: XpArray,
    extra: XpArray,
    z: XpArray,
    rz: XpArray,
    scale: XpArray,
    shift: XpArray,
    mean: XpArray,
    rmean: XpArray,
) -> tuple[XpArray, XpArray, XpArray, XpArray]:
    """``rdh <- rdh + extra``; return four column sums; see `plain_products`."""
    chunks = _row_chunks(z)
    sums = np.empty((4, chunks, z.shape[1]), z.dtype)
    _run(
        lambda a, b: _reverse_sums(
            a, b, dh, rdh, extra, z, rz, scale, shift, mean, rmean, sums
        ),
        chunks,
        z.size,
    )
    total, moment, rtotal, rmoment = _merged(sums)
    return total, moment, rtotal, rmoment


@_jit
def _reverse(  # type: ignore[no-untyped-def]
    first, last, dh, rdh, z, rz, scale, shift, mean, slope, offset, rscale, rmean,
    rslope, roffset,
):  # fmt: skip
    zero = z.dtype.type(0)
    for i in range(first * ROWS, min(last * ROWS, len(z))):
        row, tangent, gradient, moved = z[i], rz[i], dh[i], rdh[i]
        for j in range(row.size):
            active = scale[j] * row[j] + shift[j] > zero
            da = gradient[j] if active else zero
            rda = moved[j] if active else zero
            centred = row[j] - mean[j]
            gradient[j] = scale[j] * da + slope[j] * centred + offset[j]
            moved[j] = (
                scale[j] * rda
                + rscale[j] * da
                + rslope[j] * centred
                + slope[j] * (tangent[j] - rmean[j])
                + roffset[j]
            )


def reverse(
    dh: XpArray,
    rdh: XpArray,
    z: XpArray,
    rz: XpArray,
    *vectors: XpArray,
) -> None:
    """Turn ``dh`` and ``rdh`` into ``dz`` and ``R{dz}``; see `plain_products`."""
    _run(
        lambda a, b: _reverse(a, b, dh, rdh, z, rz, *vectors),
        _row_chunks(z),
        z.size,
    )


@_jit
def _softmax_hessian(first, last, logits, tangent, out, scale):  # type: ignore[no-untyped-def]
    for i in range(first * ROWS, min(last * ROWS, len(logits))):
        row, moved, result = logits[i], tangent[i], out[i]
        best = row[0]
        for j in range(1, row.size):
            best = max(best, row[j])
        mass = 0.0
        mean = 0.0
        for j in range(row.size):
            share = np.exp(np.float64(row[j] - best))
            mass += share
            mean += share * moved[j]
        mean /= mass
        for j in range(row.size):
            share = np.exp(np.float64(row[j] - best)) / mass
            result[j] = scale * share * (moved[j] - mean)


def softmax_hessian(
    logits: XpArray, tangent: XpArray, out: XpArray, scale: float
) -> None:
    """``out = scale H_L tangent``; see `plain_products`."""
    _run(
        lambda a, b: _softmax_hessian(a, b, logits, tangent, out, float(scale)),
        _row_chunks(logits),
        logits.size,
    )
