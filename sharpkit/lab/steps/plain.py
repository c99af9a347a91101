"""The steps of training as one reads them in a textbook, on any array module.

Blocks are ``(batch, features)``, one row per sample; all arrays of one call share one
dtype. ``scale`` and ``shift`` are batch normalisation as an affine map:
``gamma (z - mean) / sqrt(var + eps) + beta = scale z + shift``
(Ioffe and Szegedy, arXiv 1502.03167, Algorithm 1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import XpArray


def column_statistics(z: XpArray) -> tuple[XpArray, XpArray]:
    """Return mean and biased variance of each column, float64 inside, z's dtype out."""
    mean = z.mean(axis=0, dtype=np.float64)
    centred = z - mean  # z.var would not do: CuPy's takes the mean in z's own dtype
    var = (centred * centred).mean(axis=0)
    return mean.astype(z.dtype), var.astype(z.dtype)


def scale_shift_relu(z: XpArray, scale: XpArray, shift: XpArray, out: XpArray) -> None:
    """``out = max(scale z + shift, 0)``."""
    out[...] = array_module(z).maximum(z * scale + shift, 0)


def relu_backward_sums(
    dh: XpArray, z: XpArray, scale: XpArray, shift: XpArray, mean: XpArray
) -> tuple[XpArray, XpArray]:
    """Return the column sums of ``da`` and of ``da (z - mean)``.

    ``da = dh where scale z + shift > 0 else 0`` is the gradient before the ReLU.
    """
    da = _active(dh, z, scale, shift)
    return (
        da.sum(axis=0, dtype=np.float64).astype(z.dtype),
        (da * (z - mean)).sum(axis=0, dtype=np.float64).astype(z.dtype),
    )


def relu_backward(
    dh: XpArray,
    z: XpArray,
    scale: XpArray,
    shift: XpArray,
    mean: XpArray,
    slope: XpArray,
    offset: XpArray,
) -> None:
    """``dh <- scale da + slope (z - mean) + offset``, in place.

    With batch statistics ``slope`` and ``offset`` carry the gradient that flows
    through the mean and the variance; with fixed statistics they are zero.
    """
    da = _active(dh, z, scale, shift)
    dh[...] = scale * da + slope * (z - mean) + offset


def _active(dh: XpArray, z: XpArray, scale: XpArray, shift: XpArray) -> XpArray:
    # Chosen, not multiplied by 0 or 1: an inactive unit passes no infinity on either.
    return array_module(z).where(z * scale + shift > 0, dh, dh.dtype.type(0))


def softmax_cross_entropy(
    logits: XpArray, labels: XpArray, dlogits: XpArray | None, scale: float = 1.0
) -> tuple[Any, Any]:
    """Return the sum of ``-log softmax(logits)[label]`` and the number of right rows.

    ``dlogits`` receives the gradient of ``scale`` times that sum; None skips it. A row
    is right where its label's logit is the first largest one. Both numbers stay where
    the logits live: a device is not waited for.
    """
    xp = array_module(logits)
    rows = xp.arange(len(logits))
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = xp.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)
    losses = xp.log(total[:, 0]) - shifted[rows, labels]
    if dlogits is not None:
        dlogits[...] = exponentials / total
        dlogits[rows, labels] -= 1
        dlogits *= scale
    right = logits.argmax(axis=1) == labels
    return losses.sum(dtype=np.float64), right.sum()


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
    """One update of Adam, in place; ``step`` counts from 1.

    ``m <- beta1 m + (1 - beta1) g``, ``v <- beta2 v + (1 - beta2) g^2``,
    ``w <- w - rate mhat / (sqrt(vhat) + eps)``
    (Kingma and Ba, arXiv 1412.6980, Algorithm 1).
    """
    m[...] = beta1 * m + (1 - beta1) * g
    v[...] = beta2 * v + (1 - beta2) * g * g
    mhat = m / (1 - beta1**step)
    vhat = v / (1 - beta2**step)
    w -= rate * mhat / (array_module(w).sqrt(vhat) + eps)


def momentum(
    w: XpArray, g: XpArray, velocity: XpArray, *, rate: float, momentum: float
) -> None:
    """``velocity <- momentum velocity + g``, ``w <- w - rate velocity``, in place."""
    velocity[...] = momentum * velocity + g
    w -= rate * velocity
