"""The steps of `plain_products`, each in one or two CUDA kernels, for CuPy arrays.

Sums are made as in `cuda`: the bits are the same on every device.
"""

from __future__ import annotations

import numpy as np

from sharpkit._inputs.types import XpArray
from sharpkit._vectors.launching import blocks_for
from sharpkit.lab.steps.cuda import _launch, _shape, _sums, _write


def tangent_sums(
    z: XpArray, rz: XpArray, extra: XpArray | None, mean: XpArray
) -> tuple[XpArray, XpArray]:
    """``rz <- rz + extra``; return two column sums; see `plain_products`."""
    total, moment = _sums("tangent_sums", 2, (z, rz, extra), (mean,))
    return total, moment


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
    vectors = scale, shift, mean, slope, offset
    _write("tangent_relu", (z, rz, extra, out), vectors)


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
    blocks, vectors = (dh, rdh, extra, z, rz), (scale, shift, mean, rmean)
    first, second, third, fourth = _sums("reverse_sums", 4, blocks, vectors)
    return first, second, third, fourth


def reverse(
    dh: XpArray,
    rdh: XpArray,
    z: XpArray,
    rz: XpArray,
    *vectors: XpArray,
) -> None:
    """Turn ``dh`` and ``rdh`` into ``dz`` and ``R{dz}``; see `plain_products`."""
    _write("reverse", (dh, rdh, z, rz), vectors)


def softmax_hessian(
    logits: XpArray, tangent: XpArray, out: XpArray, scale: float
) -> None:
    """``out = scale H_L tangent``; see `plain_products`."""
    blocks = logits, tangent, out
    rows, classes = _shape(blocks)
    sizes = np.uint64(rows), np.int32(classes)
    given = *sizes, *blocks, np.float64(scale)
    _launch("softmax_hessian", logits, blocks_for(rows), *given)
