"""The steps of exact curvature products as one reads them, on any array module.

As in `plain`, blocks are ``(batch, features)`` and batch normalisation is the affine
map ``a = scale z + shift``. ``R{u}`` is the derivative of ``u`` along the direction of
the product (Pearlmutter, Neural Computation 6, 1994), written ``ru`` in the code. The
second derivative of the ReLU is 0, as its first one is at 0.
"""

from __future__ import annotations

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import XpArray
from sharpkit.lab.steps.plain import _active


def tangent_sums(
    z: XpArray, rz: XpArray, extra: XpArray | None, mean: XpArray
) -> tuple[XpArray, XpArray]:
    """``rz <- rz + extra``; return the column sums of ``rz`` and ``(z - mean) rz``."""
    if extra is not None:
        rz += extra
    return (
        rz.sum(axis=0, dtype=np.float64).astype(z.dtype),
        ((z - mean) * rz).sum(axis=0, dtype=np.float64).astype(z.dtype),
    )


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
    """``rz <- rz + extra``; ``out = R{h}`` of ``h = max(scale z + shift, 0)``.

    ``R{a} = scale rz + slope (z - mean) + offset`` where ``a > 0``, else 0.
    """
    if extra is not None:
        rz += extra
    out[...] = _active(scale * rz + slope * (z - mean) + offset, z, scale, shift)


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
    """``rdh <- rdh + extra``; return four column sums.

    Those of ``da``, of ``da (z - mean)``, and R of both: of ``rda`` and of
    ``rda (z - mean) + da (rz - rmean)``. ``da`` is ``dh`` where ``a > 0``, else 0;
    ``rda`` likewise.
    """
    rdh += extra
    da, rda = _active(dh, z, scale, shift), _active(rdh, z, scale, shift)
    centred = z - mean
    terms = da, da * centred, rda, rda * centred + da * (rz - rmean)
    first, second, third, fourth = (
        each.sum(axis=0, dtype=np.float64).astype(z.dtype) for each in terms
    )
    return first, second, third, fourth


def reverse(
    dh: XpArray,
    rdh: XpArray,
    z: XpArray,
    rz: XpArray,
    scale: XpArray,
    shift: XpArray,
    mean: XpArray,
    slope: XpArray,
    offset: XpArray,
    rscale: XpArray,
    rmean: XpArray,
    rslope: XpArray,
    roffset: XpArray,
) -> None:
    """Turn ``dh`` and ``rdh`` into ``dz`` and ``R{dz}``, in place.

    ``dz = scale da + slope (z - mean) + offset``, and by the product rule ``R{dz} =
    scale rda + rscale da + rslope (z - mean) + slope (rz - rmean) + roffset``. With
    fixed statistics ``slope``, ``offset`` and their R are zero.
    """
    da, rda = _active(dh, z, scale, shift), _active(rdh, z, scale, shift)
    centred = z - mean
    dh[...] = scale * da + slope * centred + offset
    rdh[...] = scale * rda + rscale * da
    rdh += rslope * centred + slope * (rz - rmean) + roffset


def softmax_hessian(
    logits: XpArray, tangent: XpArray, out: XpArray, scale: float
) -> None:
    """``out = scale H_L tangent``, ``H_L = diag(p) - p p^T``, ``p = softmax(logits)``.

    ``H_L`` is the Hessian of a row's cross-entropy with respect to its logits,
    whatever its label: ``out = scale p (tangent - sum(p tangent))``.
    """
    p = array_module(logits).exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    out[...] = scale * p * (tangent - (p * tangent).sum(axis=1, keepdims=True))
