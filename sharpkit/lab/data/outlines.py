"""Ten closed outlines as polygons, each between a lean and a full form.

The box is [-1, 1] x [-1, 1], x to the right, y down. Every outline is its own mirror
image, so flipping an image left to right leaves its class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
_ARC = 16  # vertices of a round line: within 0.2 pixels of it in a 32x32 image


class Outlines(NamedTuple):
    """All outlines as flat tables that a compiled kernel can read.

    Attributes
    ----------
    lean, full : ndarray, shape (P, 2), float64
        Every vertex in both forms.
    following : ndarray, shape (P,), int64
        The vertex at the other end of the edge that leaves each vertex.
    first : ndarray, shape (O + 1,), int64
        Outline o owns the vertices ``first[o]`` to ``first[o + 1] - 1``.
    """

    lean: F64
    full: F64
    following: NDArray[np.int64]
    first: NDArray[np.int64]


def outlines() -> Outlines:
    """Return the tables of `NAMES`, in that order."""
    lean: list[F64] = []
    full: list[F64] = []
    following: list[int] = []
    first = [0]
    for build in _BUILD.values():
        lean += build(0.0)
        for loop in build(1.0):
            full.append(loop)
            begin = len(following)
            following += [*range(begin + 1, begin + len(loop)), begin]
        first.append(len(following))
    return Outlines(
        np.concatenate(lean),
        np.concatenate(full),
        np.array(following),
        np.array(first),
    )


def _polar(radius: F64 | float, angle: NDArray[np.floating]) -> F64:
    """Angles run clockwise from the top."""
    return np.stack((radius * np.sin(angle), -radius * np.cos(angle)), axis=1)


def _circle(radius: float) -> F64:
    return _polar(radius, 2 * np.pi / _ARC * np.arange(_ARC))


def _mirrored(right: list[tuple[float, float]]) -> list[F64]:
    """Close an outline of which the right half is given, from top to bottom."""
    left = [(-x, y) for x, y in reversed(right) if x]
    return [np.array(right + left)]


def _star(fullness: float) -> list[F64]:
    radius = np.tile([1.0, 0.34 + 0.16 * fullness], 5)
    return [_polar(radius, np.pi / 5 * np.arange(10))]


def _cross(fullness: float) -> list[F64]:
    arm = 0.2 + 0.16 * fullness
    return _mirrored(
        [(arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm), (arm, 1)]
    )


def _heart(fullness: float) -> list[F64]:
    # The familiar curve of sines; a fuller heart has a shallower notch.
    t = 2 * np.pi / _ARC * np.arange(_ARC)
    notch = 6.0 - 2.0 * fullness
    y = 13 * np.cos(t) - notch * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [np.stack((16 * np.sin(t) ** 3, -y - 2.5), axis=1) / 16]


def _crescent(fullness: float) -> list[F64]:
    angle = np.linspace(np.pi * 0.42, np.pi * 1.58, _ARC)
    outer = _polar(1.0, angle)
    tips, depth = outer[0, 1], 0.25 + 0.3 * (1 - fullness)
    inner = outer[-2:0:-1].copy()
    inner[:, 1] = tips + depth * (inner[:, 1] - tips)
    return [np.concatenate((outer, inner)) - [0.0, 0.35]]


def _arrow(fullness: float) -> list[F64]:
    shaft, head = 0.16 + 0.16 * fullness, 0.05 - 0.2 * fullness
    return _mirrored([(0, -1), (0.85, head), (shaft, head), (shaft, 1)])


def _letter(fullness: float) -> list[F64]:
    """Return an H."""
    bar, post = 0.13 + 0.12 * fullness, 0.4 - 0.14 * fullness
    return _mirrored(
        [(post, -bar), (post, -1), (0.8, -1), (0.8, 1), (post, 1), (post, bar)]
    )


_BUILD: dict[str, Callable[[float], list[F64]]] = {
    "disc": lambda _: [_circle(0.9)],
    "ring": lambda fullness: [_circle(0.95), _circle(0.65 - 0.25 * fullness)],
    "square": lambda _: _mirrored([(0.8, -0.8), (0.8, 0.8)]),
    "triangle": lambda _: _mirrored([(0, -0.95), (1, 0.8)]),
    "star": _star,
    "cross": _cross,
    "heart": _heart,
    "crescent": _crescent,
    "arrow": _arrow,
    "letter": _letter,
}
NAMES = tuple(_BUILD)
