"""The specification: each kernel in the plainest NumPy that is right.

A block is a C-contiguous (k, n) array; w, z, d, r, out of the box and fill kernels are
(n,) vectors. All arrays of one call share a dtype, float32 or float64. Numbers of size
k, on the host, are float64. NaN in gives NaN out, always.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_MASK = np.uint64(0xFFFFFFFF)


def gram(A: Array, B: Array) -> NDArray[np.float64]:
    """Return the dot products of the rows of two blocks.

    G = A Bᵀ, summed in float64.

    Parameters
    ----------
    A, B : (ka, n) and (kb, n) blocks

    Returns
    -------
    G : (ka, kb) float64, on the host; exactly symmetric when ``A is B``
    """
    A8 = A.astype(np.float64)
    return A8 @ (A8 if A is B else B.astype(np.float64)).T


def combine(C: Array, B: Array, out: Array, beta: float = 0.0) -> None:
    """Overwrite a block with a linear combination.

    out <- beta out + C B, summed in float64 and rounded once. With beta = 0 the old
    content of out does not matter, NaN included.

    Parameters
    ----------
    C : (k, kb) float64, on the host
    B : (kb, n) block
    out : (k, n) block; shares no memory with B
    """
    total = C @ B.astype(np.float64)
    if beta != 0:
        total += beta * out.astype(np.float64)
    with np.errstate(over="ignore"):
        out[...] = total


def box_radius(w: Array, eps: float, out: Array) -> None:
    """Write the half widths of the box of Keskar et al. (2017), definition 2.1.

    out = eps (|w| + 1)

    Parameters
    ----------
    w : (n,) weights
    out : (n,); may be w
    """
    np.multiply(w.dtype.type(eps), np.abs(w) + w.dtype.type(1), out=out)


def box_step(
    w: Array, z: Array, d: Array, t: float, r: Array, z_out: Array, x_out: Array
) -> None:
    """Take a step within the box, and give the weights there.

    z_out = clip(z + t d, -r, r), x_out = w + z_out, in the vectors' own arithmetic.
    A sign step is asked for by |t| >= the dtype's largest number: then z_out is r or -r
    exactly wherever d is not 0, however small, and z where it is.

    Parameters
    ----------
    w, z, d, r : (n,) weights, displacement, direction, half widths (not negative)
    t : step length
    z_out : (n,); may be z or d
    x_out : (n,); shares no memory with the others
    """
    dtype = w.dtype.type
    largest = float(np.finfo(dtype).max)
    step = dtype(t) if abs(t) < largest else dtype(np.copysign(np.inf, t))
    with np.errstate(over="ignore", invalid="ignore"):
        move = np.where(d == 0, dtype(0), step * d)
        z_out[...] = np.clip(z + move, -r, r)
        np.add(w, z_out, out=x_out)


def fill_signs(out: Array, seed: int, stream: int, offset: int) -> None:
    """Write random signs, a hash of (seed, stream, global index).

    out[i] = +1 or -1 by bit g mod 128 of Philox block g div 128, g = offset + i.

    Parameters
    ----------
    out : (n,)
    seed, stream, offset : from 0 to 2**64 - 1
    """
    index = np.uint64(offset) + np.arange(out.size, dtype=np.uint64)
    block = philox4x32(seed, stream, index // np.uint64(128))
    bit = index % np.uint64(128)
    word = np.choose((bit // np.uint64(32)).astype(np.intp), block)
    out[...] = np.where(word >> (bit % np.uint64(32)) & np.uint64(1), 1, -1)


def fill_normal(out: Array, seed: int, stream: int, offset: int) -> None:
    """Write standard normals, a hash of (seed, stream, global index).

    Words a, b, c, d of Philox block m give normals 4m .. 4m + 3: the cosine and sine of
    2 pi u(b) times sqrt(-2 log u(a)), then the same of d and c, with
    u(x) = (x + 1/2) / 2**32 (Box and Muller 1958). Rounded to float32 for every dtype,
    so that float32 and float64 weights see the same numbers; |out| < 6.77. Signs and
    normals of one stream come from the same bits: give each use its own stream.

    Parameters
    ----------
    out : (n,)
    seed, stream, offset : from 0 to 2**64 - 1
    """
    index = np.uint64(offset) + np.arange(out.size, dtype=np.uint64)
    block = philox4x32(seed, stream, index // np.uint64(4))
    place = (index % np.uint64(4)).astype(np.intp)
    u, v = ((np.where(place < 2, *p) + 0.5) / 2**32 for p in (block[::2], block[1::2]))
    trig = np.where(place % 2 == 0, np.cos(2 * np.pi * v), np.sin(2 * np.pi * v))
    out[...] = (np.sqrt(-2 * np.log(u)) * trig).astype(np.float32)


def philox4x32(seed: int, stream: int, index: NDArray[np.uint64]) -> list[Array]:
    """Return the four words of Philox4x32-10 for each block index.

    Key = the seed's two 32-bit halves, counter = those of the index and of the stream,
    low half first. Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3".
    """
    half = np.uint64(32)
    key, high = (np.uint64(seed) & _MASK, np.uint64(seed) >> half)
    a, b = index & _MASK, index >> half
    c = np.full_like(index, np.uint64(stream) & _MASK)
    d = np.full_like(index, np.uint64(stream) >> half)
    for _ in range(10):
        p, q = np.uint64(0xD2511F53) * a, np.uint64(0xCD9E8D57) * c
        a, b, c, d = (q >> half) ^ b ^ key, q & _MASK, (p >> half) ^ d ^ high, p & _MASK
        key = (key + np.uint64(0x9E3779B9)) & _MASK
        high = (high + np.uint64(0xBB67AE85)) & _MASK
    return [a, b, c, d]
