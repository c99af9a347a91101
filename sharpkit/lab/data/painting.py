"""The compiled painter: outlines and surfaces in, colour pixels out.

Each pixel is looked up once: its place on the bent and turned shape says how far inside
the outline it lies and which of the surface's two colours it has. Edges are soft, about
a pixel wide, so nothing needs to be drawn at a higher resolution.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sharpkit._vectors.compiling import nogil
from sharpkit.lab.data.outlines import Outlines

F64 = NDArray[np.float64]

SIDE = 32  # pixels
PIXELS = SIDE * SIDE
PATTERNS = (
    "plain",
    "lying stripes",
    "standing stripes",
    "chequers",
    "dots",
    "rings",
    "grid",
    "zigzag",
    "halves",
    "wedges",
)


class Scene(NamedTuple):
    """What n images show: a row per image, float64 where not said, in pixels.

    Attributes
    ----------
    outline, pattern : ndarray, shape (n,), int64
        Of the shape; the pattern is a place in `PATTERNS`.
    fullness : ndarray, shape (n,)
        Between the outline's lean form, 0, and its full one, 1.
    affine : ndarray, shape (n, 6)
        a, b, c, d, x, y: the pixel (x + p, y + q) lies at (a p + b q, c p + d q) of the
        outline's box.
    waves : ndarray, shape (n, waves, 5)
        Wave vector, phase, shift in x and in y of each wave of the bending field.
    surface : ndarray, shape (n, 4)
        Period of the pattern in boxes, its shifts in periods, contrast of its colours.
    colours : ndarray, shape (n, 3, 3)
        Red, green and blue of the shape, of its pattern and of the background.
    gradient : ndarray, shape (n, 5)
        Direction x, y in which the background changes, and by how much red, green and
        blue do so per pixel.
    clutter : ndarray, shape (n, pieces, 9)
        Capsules behind the shape: ends x0, y0, x1, y1, radius, red, green, blue,
        opacity.
    cover : ndarray, shape (n, 9)
        One more of them before the shape.
    """

    outline: NDArray[np.int64]
    pattern: NDArray[np.int64]
    fullness: F64
    affine: F64
    waves: F64
    surface: F64
    colours: F64
    gradient: F64
    clutter: F64
    cover: F64


@nogil
def paint(
    outlines: Outlines,
    scene: Scene,
    noise: float,
    out: NDArray[np.float32],
    begin: int,
    end: int,
) -> None:
    """Paint the images ``begin`` to ``end - 1``.

    ``out``, shape (n, 3072), holds noise of unit size, here scaled by ``noise``, and is
    overwritten by the images, channel by channel.
    """
    image = np.empty((SIDE, SIDE, 3))
    for i in range(begin, end):
        _background(scene.colours[i, 2], scene.gradient[i], image)
        for piece in range(scene.clutter.shape[1]):
            _capsule(scene.clutter[i, piece], image)
        first, beyond = (
            outlines.first[scene.outline[i]],
            outlines.first[scene.outline[i] + 1],
        )
        full = scene.fullness[i]
        vertices = (1 - full) * outlines.lean[first:beyond]
        vertices += full * outlines.full[first:beyond]
        _shape(
            vertices,
            outlines.following[first:beyond] - first,
            scene.pattern[i],
            scene.affine[i],
            scene.waves[i],
            scene.surface[i],
            scene.colours[i],
            image,
        )
        _capsule(scene.cover[i], image)
        _develop(image, noise, out[i])


@nogil
def _develop(image: F64, noise: float, out: NDArray[np.float32]) -> None:
    """Add noise and round: row, column, channel in, channel, row, column out."""
    for channel in range(3):
        for row in range(SIDE):
            for column in range(SIDE):
                at = PIXELS * channel + SIDE * row + column
                value = image[row, column, channel] + noise * out[at]
                value = min(1.0, max(0.0, value))
                # Steps of 1/255, as a camera has: a last bit that differs between two
                # machines' mathematics libraries hardly ever shows in the image.
                out[at] = np.float32(math.floor(255 * value + 0.5) / 255)


@nogil
def _background(colour: F64, gradient: F64, image: F64) -> None:
    middle = (SIDE - 1) / 2
    for row in range(SIDE):
        for column in range(SIDE):
            along = gradient[0] * (column - middle) + gradient[1] * (row - middle)
            for channel in range(3):
                image[row, column, channel] = (
                    colour[channel] + along * gradient[2 + channel]
                )


@nogil
def _capsule(piece: F64, image: F64) -> None:
    """Lay a thick line with round ends over the image."""
    x0, y0, radius, opacity = piece[0], piece[1], piece[4], piece[8]
    if opacity == 0:
        return
    dx, dy = piece[2] - x0, piece[3] - y0
    scale = 1 / max(1e-12, dx * dx + dy * dy)
    for row in range(SIDE):
        for column in range(SIDE):
            t = ((column - x0) * dx + (row - y0) * dy) * scale
            t = min(1.0, max(0.0, t))
            ex, ey = x0 + t * dx - column, y0 + t * dy - row
            share = opacity * _edge(radius - math.sqrt(ex * ex + ey * ey))
            if share > 0:
                _blend(piece[5:8], share, image[row, column])


@nogil
def _shape(
    vertices: F64,
    following: NDArray[np.int64],
    pattern: int,
    affine: F64,
    waves: F64,
    surface: F64,
    colours: F64,
    image: F64,
) -> None:
    """Lay the shape over the image."""
    a, b, c, d = affine[0], affine[1], affine[2], affine[3]
    pixels = 1 / math.sqrt(abs(a * d - b * c))  # per unit of the outline's box
    colour = np.empty(3)
    for row in range(SIDE):
        for column in range(SIDE):
            p, q = column - affine[4], row - affine[5]
            dx, dy = 0.0, 0.0
            for w in range(waves.shape[0]):
                height = math.sin(waves[w, 0] * p + waves[w, 1] * q + waves[w, 2])
                dx += waves[w, 3] * height
                dy += waves[w, 4] * height
            u, v = a * (p + dx) + b * (q + dy), c * (p + dx) + d * (q + dy)
            if max(abs(u), abs(v)) > 1.25:
                continue
            share = _edge(pixels * _inside(u, v, vertices, following))
            if share == 0:
                continue
            mark = surface[3] * _edge(2 * _pattern(u, v, pattern, surface))
            for channel in range(3):
                first, second = colours[0, channel], colours[1, channel]
                colour[channel] = first + mark * (second - first)
            _blend(colour, share, image[row, column])


@nogil
def _inside(u: float, v: float, vertices: F64, following: NDArray[np.int64]) -> float:
    """Return the distance from the outline, positive inside (even-odd rule)."""
    nearest, inside = 1e9, False
    for i in range(len(vertices)):
        x0, y0 = vertices[i, 0], vertices[i, 1]
        x1, y1 = vertices[following[i], 0], vertices[following[i], 1]
        dx, dy, px, py = x1 - x0, y1 - y0, u - x0, v - y0
        t = (px * dx + py * dy) / max(1e-12, dx * dx + dy * dy)
        t = min(1.0, max(0.0, t))
        ex, ey = px - t * dx, py - t * dy
        nearest = min(nearest, ex * ex + ey * ey)
        if (y0 > v) != (y1 > v) and px < dx * py / dy:
            inside = not inside
    distance = math.sqrt(nearest)
    return distance if inside else -distance


@nogil
def _pattern(u: float, v: float, pattern: int, surface: F64) -> float:
    """Return how far a place lies in the pattern's second colour, -1 to 1."""
    turn = 2 * math.pi / surface[0]
    s = math.sin(turn * u + 2 * math.pi * surface[1])
    t = math.sin(turn * v + 2 * math.pi * surface[2])
    if pattern == 0:
        return -1.0
    if pattern == 1:
        return t
    if pattern == 2:
        return s
    if pattern == 3:
        return math.copysign(math.sqrt(abs(s * t)), s * t)
    if pattern == 4:
        return s + t - 0.7
    if pattern == 5:
        return math.sin(turn * math.hypot(u, v) + 2 * math.pi * surface[1])
    if pattern == 6:
        return max(s, t) - 0.65
    if pattern == 7:
        rise = 2 * math.asin(s)  # a triangle wave, half a period high
        return math.sin(turn * v + rise + 2 * math.pi * surface[2])
    if pattern == 8:
        return v * 8
    return 1.5 * math.sin(4 * math.atan2(u, v) + 2 * math.pi * surface[1])


@nogil
def _blend(colour: F64, share: float, pixel: F64) -> None:
    for channel in range(3):
        pixel[channel] += share * (colour[channel] - pixel[channel])


@nogil
def _edge(inside: float) -> float:
    """Rise smoothly from 0 at -1/2 to 1 at 1/2."""
    t = min(1.0, max(0.0, inside + 0.5))
    return t * t * (3 - 2 * t)
