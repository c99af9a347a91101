"""Handwritten-looking digits of 28x28 pixels, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharpkit._vectors import parallel
from sharpkit.lab.data.dataset import Dataset, Images, Labels
from sharpkit.lab.data.pen import F64, SIDE, Hand, draw
from sharpkit.lab.data.strokes import Skeletons, skeletons

_CHUNK = 64  # images
_WAVES = 3  # plane waves in the field that bends an image's strokes
_NO_SMUDGE = -2.0  # pixels: so small a radius spares even the patch's centre


@dataclass(frozen=True)
class Strengths:
    """How far the drawn digits stray from their skeletons, in pixels if not said.

    The defaults leave a network something to learn: five batch-normalised hidden layers
    of 100 units, trained by Adam on 2000 digits to a loss of 1e-3, read about 90 % of
    the test digits after batches of 20 and about 77 % after batches of 200. Shifts and
    thin strokes widen that gap; noise in the pixels closes it.
    """

    height: float = 19.0  # of an undistorted digit
    scale: float = 0.08  # deviation of the logarithms of height and width
    rotation: float = 0.10  # deviation, radians
    shear: float = 0.10  # deviation, sideways shift per height
    shift: float = 1.8  # deviation, each direction
    jitter: float = 0.04  # deviation of each control point, heights
    bend: float = 0.4  # deviation of the smooth field
    wavelength: tuple[float, float] = (14.0, 30.0)  # of that field, least and most
    radius: tuple[float, float] = (0.65, 1.15)  # of the pen
    soft: tuple[float, float] = (0.8, 1.2)  # width of a stroke's edge
    dark: tuple[float, float] = (0.8, 1.0)  # ink of a stroke, 1 is black
    smudges: float = 0.04  # share of the digits that lack a patch of ink
    smudge: tuple[float, float] = (1.0, 2.6)  # radius of that patch
    strays: float = 0.02  # share of the digits crossed by a stray line
    stray: tuple[float, float] = (3.0, 9.0)  # length of that line
    noise: float = 0.02  # deviation of the noise of each pixel, 1 is black


STRENGTHS = Strengths()
_LIMIT = 2.5  # deviations: normal variables are cut there, against extreme draws


def draw_glyphs(*, train: int = 2000, test: int = 2000, seed: int = 0) -> Dataset:
    """Return digits drawn by a simulated hand, as many as asked for.

    The i-th image depends on the seed, its part (train or test) and i alone: a larger
    set begins with the smaller one, and the number of threads does not matter. Each
    ten consecutive images hold each digit once, in random order.

    Parameters
    ----------
    train, test : int
        The number of images of each part, at least 1.
    seed : int
        The seed of every random choice, at least 0.

    Returns
    -------
    Dataset
        ``x`` of shape (images, 784), float32 in [0, 1] in steps of 1/255, 1 is ink;
        ``y`` int64 in 0..9.

    Raises
    ------
    ValueError
        If a size is below 1 or the seed is negative.

    Notes
    -----
    Made for sharpkit, as a stand-in of adjustable size for MNIST: stroke skeletons in
    several styles per digit (`strokes`), a random affine map and a smooth random field
    in the manner of P. Simard, D. Steinkraus and J. Platt, *Best practices for
    convolutional neural networks applied to visual document analysis* (ICDAR 2003), a
    pen of random width and ink, smudges, stray lines and noise (`Strengths`).
    """
    for name, value, least in (
        ("train", train, 1),
        ("test", test, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            msg = f"{name} is {value}; expected a whole number of at least {least}"
            raise ValueError(msg)
    x_train, y_train = _draw_part(train, seed, 0)
    x_test, y_test = _draw_part(test, seed, 1)
    return Dataset(
        name="glyphs",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=10,
        description="digits drawn by a simulated hand",
        shape=(SIDE, SIDE),
        seed=seed,
    )


def _draw_part(
    count: int, seed: int, part: int, strengths: Strengths = STRENGTHS
) -> tuple[Images, Labels]:
    # A stream per kind of variable, each filled a row per image: an image's numbers
    # stand at the same place of every stream whatever the number of images.
    root = np.random.SeedSequence(seed).spawn(2)[part]
    choice, even, normal, grain = map(np.random.default_rng, root.spawn(4))
    labels = _labels(count, choice)
    tables = skeletons()
    hand = _hand(labels, tables, even, normal, strengths)
    images = np.empty((count, SIDE * SIDE), np.float32)
    grain.standard_normal(dtype=np.float32, out=images)

    def task(begin: int, end: int) -> None:
        last = min(end * _CHUNK, count)
        draw(tables, hand, strengths.noise, images, begin * _CHUNK, last)

    parallel.run(task, -(-count // _CHUNK))
    return images, labels


def _labels(count: int, stream: np.random.Generator) -> Labels:
    tens = -(-count // 10)
    order: NDArray[np.int64] = stream.random((tens, 10)).argsort(axis=1)
    return order.reshape(-1)[:count]


def _hand(
    labels: Labels,
    tables: Skeletons,
    even: np.random.Generator,
    normal: np.random.Generator,
    strengths: Strengths,
) -> Hand:
    count, most = len(labels), int(np.diff(tables.first).max())
    # Per image: 1 uniform number for the style, 12 for the marks, 3 for each wave; 6
    # normal ones for the affine map, 2 for each wave, 2 for each control point.
    u = even.random((count, 13 + 3 * _WAVES))
    z = normal.standard_normal((count, 6 + 2 * _WAVES + 2 * most))
    np.clip(z, -_LIMIT, _LIMIT, out=z)
    style, marks, wave = np.split(u, (1, 13), axis=1)
    affine, bend, jitter = np.split(z, (6, 6 + 2 * _WAVES), axis=1)
    first, beyond = tables.styles[labels], tables.styles[labels + 1]
    chosen = first + (style[:, 0] * (beyond - first)).astype(np.int64)
    pen, smudge, stray = _marks(marks, strengths)
    return Hand(
        span=np.stack((tables.first[chosen], tables.first[chosen + 1]), axis=1),
        jitter=strengths.jitter * jitter.reshape(count, most, 2),
        affine=_affine(affine, strengths),
        waves=_waves(wave, bend, strengths),
        pen=pen,
        smudge=smudge,
        stray=stray,
    )


def _affine(normal: F64, strengths: Strengths) -> F64:
    """Return a, b, c, d, tx, ty of each image; ``normal`` has six columns."""
    turn = strengths.rotation * normal[:, 0]
    slant = strengths.shear * normal[:, 1]
    wide = strengths.height * np.exp(strengths.scale * normal[:, 2])
    high = strengths.height * np.exp(strengths.scale * normal[:, 3])
    cosine, sine = np.cos(turn), np.sin(turn)
    centre = (SIDE - 1) / 2
    return np.stack(
        (
            wide * cosine,
            high * (-slant * cosine - sine),
            wide * sine,
            high * (-slant * sine + cosine),
            centre + strengths.shift * normal[:, 4],
            centre + strengths.shift * normal[:, 5],
        ),
        axis=1,
    )


def _waves(uniform: F64, normal: F64, strengths: Strengths) -> F64:
    """Return the wave vector, phase and shifts of each image's plane waves."""
    direction, length, phase = np.moveaxis(uniform.reshape(-1, _WAVES, 3), 2, 0)
    wave = 2 * np.pi / _between(length, strengths.wavelength)
    # A sum of _WAVES sines of unit height has the variance _WAVES / 2.
    shift = strengths.bend * np.sqrt(2 / _WAVES) * normal.reshape(-1, _WAVES, 2)
    return np.stack(
        (
            wave * np.cos(2 * np.pi * direction),
            wave * np.sin(2 * np.pi * direction),
            2 * np.pi * phase,
            shift[:, :, 0],
            shift[:, :, 1],
        ),
        axis=2,
    )


def _marks(uniform: F64, strengths: Strengths) -> tuple[F64, F64, F64]:
    """Return each image's pen, smudge and stray line; ``uniform`` has 12 columns."""
    u = uniform.T
    pen = np.stack(
        (
            _between(u[0], strengths.radius),
            _between(u[1], strengths.soft),
            _between(u[2], strengths.dark),
        ),
        axis=1,
    )
    # Patches lie where the digits do: elsewhere there is no ink to lack.
    smudge = np.stack(
        (
            _between(u[3], (6.0, 22.0)),
            _between(u[4], (4.0, 24.0)),
            np.where(
                u[5] < strengths.smudges, _between(u[6], strengths.smudge), _NO_SMUDGE
            ),
        ),
        axis=1,
    )
    x, y = SIDE * u[7], SIDE * u[8]
    angle, length = 2 * np.pi * u[9], _between(u[10], strengths.stray)
    stray = np.stack(
        (x, y, x + length * np.cos(angle), y + length * np.sin(angle)), axis=1
    )
    stray[u[11] >= strengths.strays] = np.nan
    return pen, smudge, stray


def _between(uniform: F64, ends: tuple[float, float]) -> F64:
    return ends[0] + (ends[1] - ends[0]) * uniform
