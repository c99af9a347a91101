"""The compiled pen: control points in, grey pixels out.

For each image the pen bends and shifts the control points, follows a smooth curve
through them in short straight steps and keeps, for each pixel near a step, the distance
to the nearest one. Ink is a soft-edged function of that distance.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sharpkit._vectors.compiling import nogil
from sharpkit.lab.data.strokes import Skeletons

F64 = NDArray[np.float64]

SIDE = 28  # pixels
_STEPS = 6  # straight steps between two control points
_FAR = 1e9


class Hand(NamedTuple):
    """How n images are written: one row per image, float64 where not said, in pixels.

    Attributes
    ----------
    span : ndarray, shape (n, 2), int64
        First and last + 1 control point of the image's skeleton.
    jitter : ndarray, shape (n, most points of a skeleton, 2)
        Shift of each control point, in heights.
    affine : ndarray, shape (n, 6)
        a, b, c, d, tx, ty of the map from the skeleton to the image.
    waves : ndarray, shape (n, waves, 5)
        Wave vector, phase, shift in x and in y of each wave of the bending field.
    pen : ndarray, shape (n, 3)
        Radius, width of the soft edge, darkness (1 is black).
    smudge : ndarray, shape (n, 3)
        Centre and radius of a patch without ink; a radius of -2 for none.
    stray : ndarray, shape (n, 4)
        The two ends of a stray line, not a number for none.
    """

    span: NDArray[np.int64]
    jitter: F64
    affine: F64
    waves: F64
    pen: F64
    smudge: F64
    stray: F64


@nogil
def draw(
    skeletons: Skeletons,
    hand: Hand,
    noise: float,
    out: NDArray[np.float32],
    begin: int,
    end: int,
) -> None:
    """Draw the images ``begin`` to ``end - 1``.

    ``out``, shape (n, 784), holds noise of unit size, here scaled by ``noise``, and is
    overwritten by the images.
    """
    nearest = np.empty((SIDE, SIDE))
    places = np.empty((hand.jitter.shape[1], 2))
    for i in range(begin, end):
        nearest[:] = _FAR
        first, count = hand.span[i, 0], hand.span[i, 1] - hand.span[i, 0]
        affine = hand.affine[i]
        for p in range(count):
            u = skeletons.points[first + p, 0] + hand.jitter[i, p, 0]
            v = skeletons.points[first + p, 1] + hand.jitter[i, p, 1]
            places[p, 0] = affine[0] * u + affine[1] * v + affine[4]
            places[p, 1] = affine[2] * u + affine[3] * v + affine[5]
        reach = hand.pen[i, 0] + hand.pen[i, 1]
        corner = skeletons.corner[first : first + count]
        starts = skeletons.starts[first : first + count]
        for p in range(1, count):
            if not starts[p]:
                _curve(places, corner, starts, p, hand.waves[i], reach, nearest)
        ends = hand.stray[i]
        if not math.isnan(ends[0]):
            _line(ends[0], ends[1], ends[2], ends[3], reach, nearest)
        _ink(nearest, hand.pen[i], hand.smudge[i], noise, out[i])


@nogil
def _curve(
    places: F64,
    corner: NDArray[np.bool_],
    starts: NDArray[np.bool_],
    p: int,
    waves: F64,
    reach: float,
    nearest: F64,
) -> None:
    """Follow the cubic Hermite curve from control point ``p - 1`` to ``p``."""
    x0, y0, x1, y1 = places[p - 1, 0], places[p - 1, 1], places[p, 0], places[p, 1]
    # Tangents of Catmull and Rom; straight towards the neighbour at corners and ends.
    ax, ay = x1 - x0, y1 - y0
    bx, by = ax, ay
    if not (corner[p - 1] or starts[p - 1]):
        ax, ay = 0.5 * (x1 - places[p - 2, 0]), 0.5 * (y1 - places[p - 2, 1])
    last = p + 1 == len(starts) or starts[p + 1]
    if not (corner[p] or last):
        bx, by = 0.5 * (places[p + 1, 0] - x0), 0.5 * (places[p + 1, 1] - y0)
    px, py = _bend(x0, y0, waves)
    for step in range(1, _STEPS + 1):
        t = step / _STEPS
        h1 = t * t * (3 - 2 * t)
        h2, h3 = t * (1 - t) * (1 - t), t * t * (t - 1)
        qx, qy = _bend(
            (1 - h1) * x0 + h1 * x1 + h2 * ax + h3 * bx,
            (1 - h1) * y0 + h1 * y1 + h2 * ay + h3 * by,
            waves,
        )
        _line(px, py, qx, qy, reach, nearest)
        px, py = qx, qy


@nogil
def _bend(x: float, y: float, waves: F64) -> tuple[float, float]:
    """Shift a place by the smooth random field, a sum of plane waves."""
    dx, dy = 0.0, 0.0
    for w in range(waves.shape[0]):
        height = math.sin(waves[w, 0] * x + waves[w, 1] * y + waves[w, 2])
        dx += waves[w, 3] * height
        dy += waves[w, 4] * height
    return x + dx, y + dy


@nogil
def _line(
    x0: float, y0: float, x1: float, y1: float, reach: float, nearest: F64
) -> None:
    """Lower the squared distances of the pixels within ``reach`` of a straight step."""
    dx, dy = x1 - x0, y1 - y0
    length2 = dx * dx + dy * dy
    scale = 1 / length2 if length2 > 1e-12 else 0.0
    left = max(0, math.ceil(min(x0, x1) - reach))
    right = min(SIDE - 1, math.floor(max(x0, x1) + reach))
    top = max(0, math.ceil(min(y0, y1) - reach))
    bottom = min(SIDE - 1, math.floor(max(y0, y1) + reach))
    for row in range(top, bottom + 1):
        for column in range(left, right + 1):
            t = ((column - x0) * dx + (row - y0) * dy) * scale
            t = min(1.0, max(0.0, t))
            ex, ey = x0 + t * dx - column, y0 + t * dy - row
            nearest[row, column] = min(nearest[row, column], ex * ex + ey * ey)


@nogil
def _ink(
    nearest: F64, pen: F64, smudge: F64, noise: float, image: NDArray[np.float32]
) -> None:
    """Turn squared distances into grey pixels, on top of the noise in ``image``."""
    radius, soft, dark = pen[0], pen[1], pen[2]
    for row in range(SIDE):
        for column in range(SIDE):
            ink = 0.0
            distance2 = nearest[row, column]
            if distance2 < _FAR:
                ink = _edge((radius - math.sqrt(distance2)) / soft)
                away = math.hypot(column - smudge[0], row - smudge[1])
                ink *= dark * _edge(away - smudge[2])
            at = SIDE * row + column
            grey = min(1.0, max(0.0, ink + noise * image[at]))
            # Steps of 1/255, as a scanner has: a last bit that differs between the
            # mathematics libraries of two machines hardly ever shows in the image.
            image[at] = np.float32(math.floor(255 * grey + 0.5) / 255)


@nogil
def _edge(inside: float) -> float:
    """Rise smoothly from 0 at -1/2 to 1 at 1/2."""
    t = min(1.0, max(0.0, inside + 0.5))
    return t * t * (3 - 2 * t)
