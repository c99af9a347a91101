"""Random flips, turns and shifts of images: data augmentation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpkit._vectors import parallel
from sharpkit._vectors.compiling import nogil

ROTATION = 10.0  # degrees, most in each direction
SHIFT = 0.2  # of the image's height and width, most in each direction
_CHUNK = 64  # images


def augmented(
    x: Any, shape: tuple[int, ...], random: np.random.Generator
) -> NDArray[np.float32]:
    """Return each image flipped, turned and shifted at random.

    Left and right change places with probability 1/2; the image is then turned about
    its centre by an angle uniform in +-10 degrees, and shifted down and to the right by
    amounts uniform in +-0.2 of its height and width. All its channels move alike.
    Pixels are interpolated bilinearly; places outside the image take the colour of the
    nearest pixel of its edge.

    Parameters
    ----------
    x : ndarray, shape (rows, d), float32
        The images, one per row, flattened.
    shape : tuple of int
        The shape of an image, d numbers in all: ``(height, width)`` or ``(channels,
        height, width)``.
    random : numpy.random.Generator
        The generator, which yields four uniform numbers per row, whatever they turn out
        to be.

    Returns
    -------
    ndarray, shape (rows, d), float32
        A new array.

    Raises
    ------
    TypeError
        If ``x`` is not a NumPy array of float32.
    ValueError
        If the shape is not that of an image, or the rows are not of that shape.

    Notes
    -----
    Appendix E.1 of the paper names the three changes and their sizes, but neither the
    interpolation nor the fill: both are those of Keras at the time, whose
    ``ImageDataGenerator`` filled with the nearest pixel by default.
    """
    if not isinstance(x, np.ndarray):
        msg = f"x is a {type(x).__module__}.{type(x).__name__}; give a NumPy array"
        raise TypeError(msg)
    if x.dtype != np.float32:
        msg = f"x is of {x.dtype}; give float32"
        raise TypeError(msg)
    if len(shape) not in (2, 3) or min(shape) < 1:
        msg = (
            f"shape={shape}: only images can be augmented; give samples of "
            "(height, width) or (channels, height, width)"
        )
        raise ValueError(msg)
    if x.ndim != 2 or x.shape[1] != math.prod(shape):
        msg = f"x has shape {x.shape}; expected (rows, {math.prod(shape)}) for {shape}"
        raise ValueError(msg)
    rows, (height, width) = len(x), shape[-2:]
    channels = shape[0] if len(shape) == 3 else 1
    images = np.ascontiguousarray(x).reshape(rows, channels, height, width)
    sources = _sources(random.random((rows, 4)), height, width)
    moved = np.empty_like(images)

    def task(begin: int, end: int) -> None:
        _move(images, sources, moved, begin * _CHUNK, min(end * _CHUNK, rows))

    parallel.run(task, -(-rows // _CHUNK))
    return moved.reshape(x.shape)


def _sources(
    uniform: NDArray[np.float64], height: int, width: int
) -> NDArray[np.float64]:
    """Return the matrix and offset, (rows, 6), from a new pixel to its source.

    A row of them is a, b, c, d, e, f: the pixel of row i and column j comes from row
    ``a i + b j + e`` and column ``c i + d j + f``.
    """
    flip = np.where(uniform[:, 0] < 0.5, -1.0, 1.0)
    angle = np.deg2rad(ROTATION) * (2 * uniform[:, 1] - 1)
    down = SHIFT * height * (2 * uniform[:, 2] - 1)
    right = SHIFT * width * (2 * uniform[:, 3] - 1)
    cosine, sine = np.cos(angle), np.sin(angle)
    a, b, c, d = cosine, -sine, flip * sine, flip * cosine
    row, column = (height - 1) / 2, (width - 1) / 2
    e = row - a * (row + down) - b * (column + right)
    f = column - c * (row + down) - d * (column + right)
    return np.stack((a, b, c, d, e, f), axis=1)


@nogil
def _move(
    images: NDArray[np.float32],
    sources: NDArray[np.float64],
    moved: NDArray[np.float32],
    begin: int,
    end: int,
) -> None:
    _, channels, height, width = images.shape
    for i in range(begin, end):
        a, b, c, d, e, f = sources[i]
        for row in range(height):
            for column in range(width):
                y = min(height - 1.0, max(0.0, a * row + b * column + e))
                x = min(width - 1.0, max(0.0, c * row + d * column + f))
                top, left = int(y), int(x)
                below, beside = min(top + 1, height - 1), min(left + 1, width - 1)
                v, u = y - top, x - left
                for k in range(channels):
                    image = images[i, k]
                    upper = (1 - u) * image[top, left] + u * image[top, beside]
                    lower = (1 - u) * image[below, left] + u * image[below, beside]
                    moved[i, k, row, column] = (1 - v) * upper + v * lower
