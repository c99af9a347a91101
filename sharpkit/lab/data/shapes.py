"""Colour images of 32x32 pixels with one shape each, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sharpkit._vectors import parallel
from sharpkit.lab.data.dataset import Dataset, Images, Labels
from sharpkit.lab.data.outlines import NAMES, outlines
from sharpkit.lab.data.painting import F64, PATTERNS, PIXELS, SIDE, Scene, paint

MOST = len(NAMES) * len(PATTERNS)
_CHUNK = 64  # images
_WAVES = 2  # plane waves in the field that bends a shape
_PIECES = 6  # of clutter
_LIMIT = 2.5  # deviations: the bending field is cut there, against extreme draws


@dataclass(frozen=True)
class Strengths:
    """How far the painted shapes stray from their outlines, in pixels if not said.

    The defaults leave a network something to learn: the paper's C1 with 16 filters,
    trained by Adam on 1000 images of ten classes to a loss of 1e-2, is right on about
    78 % of the test images after batches of 20 and about 72 % after batches of 100 (two
    trials each). Larger shifts and turns make it much harder.
    """

    size: tuple[float, float] = (10.0, 13.5)  # half the height of a shape's box
    aspect: float = 0.2  # most logarithm of width over height
    rotation: float = 0.28  # most, radians
    shift: float = 2.8  # most, each direction
    bend: float = 0.4  # deviation of the smooth field
    wavelength: tuple[float, float] = (12.0, 30.0)  # of that field
    period: tuple[float, float] = (0.6, 0.8)  # of a pattern, halves of the box
    contrast: tuple[float, float] = (0.5, 1.0)  # of all colours
    marks: tuple[float, float] = (0.8, 1.0)  # of a pattern's second colour
    gradient: float = 0.015  # most, per pixel
    pieces: float = 0.4  # share of the clutter that is there
    length: tuple[float, float] = (0.0, 16.0)  # of a piece
    thickness: tuple[float, float] = (0.5, 3.0)  # radius of a piece
    covers: float = 0.25  # share of the images with a piece before the shape
    noise: float = 0.03  # deviation of the noise of each pixel, 1 is white


STRENGTHS = Strengths()


def draw_shapes(
    *, train: int = 2000, test: int = 2000, classes: int = 10, seed: int = 0
) -> Dataset:
    """Return colour images with one shape each, as many as asked for.

    Up to ten classes are the outlines (`outlines.NAMES`), and their surface patterns
    (`painting.PATTERNS`) are chance; with more, class c has outline ``c % 10`` and
    pattern ``c // 10``. All colours are chance: none tells anything about the class.
    Flips, turns by 10 degrees and shifts leave the class: every class is its own mirror
    image, and shapes are turned by no more than 16 degrees, so that lying stripes stay
    apart from standing ones.

    The i-th image depends on the seed, the classes, its part (train or test) and i
    alone: a larger set begins with the smaller one, and the number of threads does not
    matter. Each ``classes`` consecutive images hold each class once, in random order.

    Parameters
    ----------
    train, test : int
        The number of images of each part, at least 1.
    classes : int
        The number of classes, 2 to 100; 10 stands in for CIFAR-10, 100 for CIFAR-100.
    seed : int
        The seed of every random choice, at least 0.

    Returns
    -------
    Dataset
        ``x`` of shape (images, 3072), float32 in [0, 1] in steps of 1/255, channel by
        channel; ``y`` int64 in ``range(classes)``.

    Raises
    ------
    ValueError
        If a size is below 1, the seed negative or the number of classes not 2 to 100.

    Notes
    -----
    Made for sharpkit: polygons between a lean and a full form, turned, bent by a smooth
    random field, covered by a pattern, before a gradient with clutter, behind a stray
    piece, under noise (`Strengths`).
    """
    for name, value, least in (
        ("train", train, 1),
        ("test", test, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            msg = f"{name} is {value}; expected a whole number of at least {least}"
            raise ValueError(msg)
    if not 2 <= classes <= MOST:
        msg = f"classes is {classes}; expected 2 to {MOST}"
        raise ValueError(msg)
    x_train, y_train = _draw_part(train, classes, seed, 0)
    x_test, y_test = _draw_part(test, classes, seed, 1)
    return Dataset(
        name="shapes",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=classes,
        description="painted shapes in clutter",
        shape=(3, SIDE, SIDE),
        seed=seed,
    )


def _draw_part(
    count: int, classes: int, seed: int, part: int, strengths: Strengths = STRENGTHS
) -> tuple[Images, Labels]:
    # A stream per kind of variable, each filled a row per image: an image's numbers
    # stand at the same place of every stream whatever the number of images.
    root = np.random.SeedSequence(seed).spawn(2)[part]
    choice, even, normal, grain = map(np.random.default_rng, root.spawn(4))
    labels = _labels(count, classes, choice)
    scene = _scene(labels, classes, even, normal, strengths)
    tables = outlines()
    images = np.empty((count, 3 * PIXELS), np.float32)
    grain.standard_normal(dtype=np.float32, out=images)

    def task(begin: int, end: int) -> None:
        last = min(end * _CHUNK, count)
        paint(tables, scene, strengths.noise, images, begin * _CHUNK, last)

    parallel.run(task, -(-count // _CHUNK))
    return images, labels


def _labels(count: int, classes: int, stream: np.random.Generator) -> Labels:
    rounds = -(-count // classes)
    order: Labels = stream.random((rounds, classes)).argsort(axis=1)
    return order.reshape(-1)[:count]


def _scene(
    labels: Labels,
    classes: int,
    even: np.random.Generator,
    normal: np.random.Generator,
    strengths: Strengths,
) -> Scene:
    count = len(labels)
    u = even.random((count, 23 + 3 * _WAVES + 10 * (_PIECES + 1)))
    z = normal.standard_normal((count, 2 * _WAVES)).clip(-_LIMIT, _LIMIT)
    ends = np.cumsum([2, 5, 4, 8, 4, 3 * _WAVES])
    kind, place, surface, colour, slope, wave, piece = np.split(u, ends, axis=1)
    # Up to ten classes are the outlines, and their patterns are chance.
    any_pattern = (len(PATTERNS) * kind[:, 0]).astype(np.int64)
    affine = _affine(place, strengths)
    pieces = piece.reshape(count, _PIECES + 1, 10)
    return Scene(
        outline=labels % len(NAMES),
        pattern=labels // len(NAMES) if classes > len(NAMES) else any_pattern,
        fullness=kind[:, 1].copy(),
        affine=affine,
        waves=_waves(wave, z, strengths),
        surface=_surface(surface, strengths),
        colours=_colours(colour, strengths),
        gradient=_gradient(slope, strengths),
        clutter=_pieces(pieces[:, 1:], strengths.pieces, strengths),
        cover=_cover(pieces[:, :1], affine[:, 4:], strengths),
    )


def _affine(u: F64, strengths: Strengths) -> F64:
    size = _between(u[:, 0], strengths.size)
    aspect = np.exp(strengths.aspect * (u[:, 1] - 0.5))
    turn = strengths.rotation * (2 * u[:, 2] - 1)
    wide, high = size * aspect, size / aspect
    cosine, sine = np.cos(turn), np.sin(turn)
    centre = (SIDE - 1) / 2 + strengths.shift * (2 * u[:, 3:5] - 1)
    return np.stack(
        (cosine / wide, sine / wide, -sine / high, cosine / high, *centre.T), axis=1
    )


def _waves(uniform: F64, normal: F64, strengths: Strengths) -> F64:
    direction, length, phase = np.moveaxis(uniform.reshape(-1, _WAVES, 3), 2, 0)
    wave = 2 * np.pi / _between(length, strengths.wavelength)
    # A sum of _WAVES sines of unit height has the variance _WAVES / 2.
    shift = strengths.bend * np.sqrt(2 / _WAVES) * normal.reshape(-1, _WAVES, 2)
    angle = 2 * np.pi * direction
    return np.stack(
        (
            wave * np.cos(angle),
            wave * np.sin(angle),
            2 * np.pi * phase,
            shift[..., 0],
            shift[..., 1],
        ),
        axis=2,
    )


def _surface(u: F64, strengths: Strengths) -> F64:
    period = _between(u[:, :1], strengths.period)
    marks = _between(u[:, 3:], strengths.marks)
    return np.concatenate((period, u[:, 1:3], marks), axis=1)


def _colours(u: F64, strengths: Strengths) -> F64:
    """Return the colours of shape, pattern and background; ``u`` has eight columns."""
    # A third of a circle apart in every channel, in either order: the three differ
    # always, and none tells anything about the class.
    step = np.where(u[:, 3:6] < 0.5, 1, -1)[:, None] * np.arange(3)[:, None]
    colours = (u[:, None, :3] + step / 3) % 1
    contrast = _between(u[:, 6, None, None], strengths.contrast)
    middle = 0.5 + (1 - contrast) * (u[:, 7, None, None] - 0.5)
    return middle + contrast * (colours - 0.5)


def _gradient(u: F64, strengths: Strengths) -> F64:
    angle = 2 * np.pi * u[:, 0]
    change = strengths.gradient * (2 * u[:, 1:] - 1)
    return np.stack((np.cos(angle), np.sin(angle), *change.T), axis=1)


def _pieces(u: F64, share: float, strengths: Strengths) -> F64:
    """Return capsules, of which about ``share`` are there; ``u`` has ten columns."""
    start = SIDE * u[..., :2]
    length, angle = _between(u[..., 2], strengths.length), 2 * np.pi * u[..., 3]
    end = start + np.stack((length * np.cos(angle), length * np.sin(angle)), axis=-1)
    radius = _between(u[..., 4:5], strengths.thickness)
    opacity = np.where(u[..., 9:] < share, _between(u[..., 8:9], (0.5, 1.0)), 0.0)
    return np.concatenate((start, end, radius, u[..., 5:8], opacity), axis=-1)


def _cover(u: F64, centre: F64, strengths: Strengths) -> F64:
    cover = _pieces(u, strengths.covers, strengths)[:, 0]
    # Where the shape is: elsewhere there is nothing to hide.
    start = centre + 0.45 * (cover[:, :2] - SIDE / 2)
    cover[:, 2:4] += start - cover[:, :2]
    cover[:, :2] = start
    cover[:, 8] = np.ceil(cover[:, 8])
    return cover


def _between(uniform: F64, ends: tuple[float, float]) -> F64:
    return ends[0] + (ends[1] - ends[0]) * uniform
