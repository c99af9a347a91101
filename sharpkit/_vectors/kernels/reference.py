"""The specification: each kernel in the plainest NumPy that is right.

A block is a C-contiguous (k, n) array, k rows of n numbers; w, z, d, g and out of the
box and fill kernels are (n,) vectors. The box is |z| <= r = eps (|w| + 1); its half
widths r are computed where they are needed, which costs nothing beside reading w, and
are never stored. A coordinate is free where |z| < r, and lies on a wall where |z| = r.
All arrays of one call share a dtype, float32 or float64. Numbers of size k, on the
host, are float64. NaN in gives NaN out, but for the kernels that look only at free
coordinates: there NaN in w or z makes a coordinate free, and what lies on a wall is not
looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.types import Array, Matrix, Vector

_MASK = np.uint64(0xFFFFFFFF)


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an uninitialised array where this backend's arrays live."""
    return np.empty(shape, dtype)


def gram(A: Array, B: Array) -> Matrix:
    """Return the dot products of the rows of two blocks.

    G = A Bᵀ, summed in float64.

    Parameters
    ----------
    A, B : (ka, n), (kb, n)
        The two blocks; they may be the same.

    Returns
    -------
    (ka, kb) float64, on the host
        The products G; exactly symmetric when ``A is B``.
    """
    A8 = A.astype(np.float64)
    return A8 @ (A8 if A is B else B.astype(np.float64)).T


def combine(C: Array, B: Array, out: Array, beta: float = 0.0) -> None:
    """Overwrite a block with a linear combination of itself and of another one's rows.

    out <- beta out + C B, summed in float64 and rounded once. With beta = 0 the old
    content of out does not matter, NaN included.

    Parameters
    ----------
    C : (k, kb) float64, on the host
        The factors of the rows of B, one row for each row of out.
    B : (kb, n)
        The block whose rows are combined.
    out : (k, n)
        The block that is overwritten; it shares no memory with B.
    beta
        The factor of what is in out.
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
    w : (n,)
        The weights, the centre of the box.
    eps
        The size of the box relative to ``|w| + 1``.
    out : (n,)
        The vector that is written to; it may be w.
    """
    np.multiply(w.dtype.type(eps), np.abs(w) + w.dtype.type(1), out=out)


def box_step(
    w: Array,
    eps: float,
    z: Array,
    d: Array,
    t: float,
    z_out: Array | None,
    x_out: Array | None,
) -> None:
    """Take a step within the box, and give the weights there.

    z_out = clip(z + t d, -r, r), x_out = w + z_out, with r = eps (|w| + 1), all in the
    vectors' own arithmetic.

    Parameters
    ----------
    w, eps
        The weights and the size of the box, as in `box_radius`.
    z, d : (n,)
        The displacement from the weights, and the direction of the step.
    t
        The length of the step, finite.
    z_out : (n,)
        The vector that the new displacement is written to; it may be z or d. None if
        that is not wanted.
    x_out : (n,)
        The vector that the weights there are written to; it may be d, and shares no
        memory with the others. None if they are not wanted.
    """
    step = w.dtype.type(t)
    with np.errstate(over="ignore", invalid="ignore"):
        _write(w, _clip(w, eps, z + step * d), z_out, x_out)


def box_toward(
    w: Array,
    eps: float,
    z: Array,
    d: Array,
    share: float,
    z_out: Array | None,
    x_out: Array | None,
) -> None:
    """Go a share of the way to the corner that a direction points to.

    z_out = (1 - share) z + share r sign(d), and z where d = 0; in float64, rounded once
    and kept within the box. x_out = w + z_out. With share = 1 z_out is r or -r exactly
    wherever d is not 0, however small.

    Parameters
    ----------
    w, eps, z, d, z_out, x_out
        As in `box_step`; d points to the corner.
    share
        The share of the way, from 0 to 1.
    """
    r8, z8 = _radius(w, eps).astype(np.float64), z.astype(np.float64)
    with np.errstate(invalid="ignore"):
        moved = (1 - share) * z8 + share * np.copysign(r8, d)
        moved = np.where(np.isnan(d), d, np.where(d == 0, z8, moved))
        _write(w, _clip(w, eps, moved.astype(w.dtype)), z_out, x_out)


def box_free(w: Array, eps: float, z: Array, v: Array, out: Array) -> None:
    """Keep a vector where a displacement is strictly inside the box.

    out = v where |z| < r, else 0

    Parameters
    ----------
    w, eps, z
        The box and a displacement, as in `box_step`.
    v : (n,)
        Any vector.
    out : (n,)
        The vector that is written to; it may be v.
    """
    out[...] = np.where(_free(w, eps, z), v, v.dtype.type(0))


def box_residual(w: Array, eps: float, z: Array, g: Array) -> float:
    """Return how far a displacement is from a stationary point of the box.

    max |clip(z + g, -r, r) - z|; 0 for empty vectors, NaN if any number is NaN.

    Parameters
    ----------
    w, eps, z
        The box and a displacement, as in `box_step`.
    g : (n,)
        The gradient of the loss, the direction of ascent.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        moved = np.abs(_clip(w, eps, z + g) - z)
    return float(np.max(moved, initial=0.0))


def box_reach(w: Array, eps: float, z: Array, d: Array) -> float:
    """Return the longest step that stays in the box.

    The largest t with |z + t d| <= r: min (r - z sign(d)) / |d| in float64 over the
    coordinates where d is not 0; infinite if there are none, NaN if any number is NaN.

    Parameters
    ----------
    w, eps, z, d
        The box, a displacement inside it and a direction, as in `box_step`.
    """
    r8, z8, d8 = (a.astype(np.float64) for a in (_radius(w, eps), z, d))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        room = (r8 - z8 * np.sign(d8)) / np.abs(d8)
    room = np.where(d8 == 0, np.where(np.isnan(r8 + z8), np.nan, np.inf), room)
    return float(np.min(room, initial=np.inf))


def path_gram(A: Array, w: Array, eps: float, z: Array, g: Array, ts: Vector) -> Matrix:
    """Return the dot products along the projected gradient path.

    At t the path z(t) = clip(z + t g, -r, r) has moved by u = z(t) - z, and goes on
    along v = g on the coordinates that have not hit a wall they move towards, else 0.
    The result has [A; g] v and [A; g] u for each t, summed in float64; u and v in the
    vectors' own arithmetic. (The piecewise quadratic of Byrd, Lu, Nocedal and Zhu 1995,
    section 4, at any t at once instead of from wall to wall.)

    Parameters
    ----------
    A : (k, n)
        The block whose rows are multiplied with v and u.
    w, eps, z, g
        The box, a displacement and the gradient, as in `box_residual`.
    ts : (T,) float64, on the host
        The places on the path; none is negative.

    Returns
    -------
    (T, k + 1, 2) float64, on the host
        The products with v and with u at each place; the last row is that of g.
    """
    rows = np.concatenate([A, g[None]]).astype(np.float64)
    found = np.empty((len(ts), len(rows), 2))
    r = _radius(w, eps)
    for index, t in enumerate(ts):
        with np.errstate(over="ignore", invalid="ignore"):
            ahead = z + w.dtype.type(t) * g
            stuck = ((g > 0) & (ahead >= r)) | ((g < 0) & (ahead <= -r))
            u = _clip(w, eps, ahead) - z
        v = np.where(stuck, g.dtype.type(0), g)
        found[index] = rows @ np.stack([v, u], axis=1).astype(np.float64)
    return found


def free_gram(A: Array, w: Array, eps: float, z: Array) -> Matrix:
    """Return the dot products of the rows of a block over the free coordinates.

    G = A F Aᵀ with F = 1 where |z| < r, else 0; summed in float64, exactly symmetric.

    Parameters
    ----------
    A : (k, n)
        The block.
    w, eps, z
        The box and a displacement, as in `box_step`.

    Returns
    -------
    (k, k) float64, on the host
        The products G.
    """
    A8 = np.where(_free(w, eps, z), A.astype(np.float64), 0.0)
    return A8 @ A8.T


def _radius(w: Array, eps: float) -> Array:
    r = np.empty_like(w)
    box_radius(w, eps, r)
    return r


def _clip(w: Array, eps: float, z: Array) -> Array:
    """Return clip(z, -r, r), NaN where z or r is NaN."""
    r = _radius(w, eps)
    return np.asarray(np.clip(z, -r, r))


def _free(w: Array, eps: float, z: Array) -> Array:
    # Written so that NaN counts as free, and shows in whatever is summed over it.
    return ~(np.abs(z) >= _radius(w, eps))


def _write(w: Array, z: Array, z_out: Array | None, x_out: Array | None) -> None:
    if z_out is not None:
        z_out[...] = z
    if x_out is not None:
        np.add(w, z, out=x_out)


def fill_signs(out: Array, seed: int, stream: int, offset: int) -> None:
    """Write random signs, a hash of (seed, stream, global index).

    out[i] = +1 or -1 by bit g mod 128 of Philox block g div 128, g = offset + i.

    Parameters
    ----------
    out : (n,)
        The vector that is written to.
    seed : 0 to 2**64 - 1
        The seed of the measurement.
    stream : 0 to 2**64 - 1
        The number of the random vector; see `Stream`.
    offset : 0 to 2**64 - 1
        The global index of the first number in ``out``.
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
    out, seed, stream, offset
        As in `fill_signs`.
    """
    index = np.uint64(offset) + np.arange(out.size, dtype=np.uint64)
    block = philox4x32(seed, stream, index // np.uint64(4))
    place = (index % np.uint64(4)).astype(np.intp)
    u, v = ((np.where(place < 2, *p) + 0.5) / 2**32 for p in (block[::2], block[1::2]))
    trig = np.where(place % 2 == 0, np.cos(2 * np.pi * v), np.sin(2 * np.pi * v))
    out[...] = (np.sqrt(-2 * np.log(u)) * trig).astype(np.float32)


def philox4x32(seed: int, stream: int, index: NDArray[np.uint64]) -> list[Array]:
    """Return the four words of Philox4x32-10 for each index of a block.

    The key is the two 32-bit halves of the seed, the counter those of the index and of
    the stream, low half first. Salmon et al. (2011), "Parallel random numbers: as easy
    as 1, 2, 3".
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
