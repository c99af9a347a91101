"""The compiled painter against whole-image NumPy, written without it."""

import numpy as np
import pytest

from sharpkit.lab.data import painting, shapes
from sharpkit.lab.data.outlines import outlines
from sharpkit.lab.data.painting import PATTERNS, paint

ROWS, COLUMNS = np.mgrid[:32, :32].astype(np.float64)
WAVE = 2 * np.pi


def edge(inside):
    t = np.clip(inside + 0.5, 0, 1)
    return 3 * t**2 - 2 * t**3


def segment(x, y, x0, y0, x1, y1):
    """Distances of places from a segment, by its ends and its perpendicular."""
    along, length = np.array([x1 - x0, y1 - y0]), np.hypot(x1 - x0, y1 - y0)
    ends = np.minimum(np.hypot(x - x0, y - y0), np.hypot(x - x1, y - y1))
    if length < 1e-9:
        return ends
    t = ((x - x0) * along[0] + (y - y0) * along[1]) / length
    across = np.abs((x - x0) * along[1] - (y - y0) * along[0]) / length
    return np.where((t > 0) & (t < length), across, ends)


def distance(u, v, vertices, following):
    """Signed: inside where the loops' angles around a place add up to one turn."""
    nearest, turns = np.full(u.shape, np.inf), np.zeros(u.shape)
    for (x0, y0), (x1, y1) in zip(vertices, vertices[following], strict=True):
        nearest = np.minimum(nearest, segment(u, v, x0, y0, x1, y1))
        one, other = (x0 - u) + 1j * (y0 - v), (x1 - u) + 1j * (y1 - v)
        turns += np.angle(other / one)
    return np.where(np.rint(turns / WAVE) % 2 == 1, nearest, -nearest)


def pattern(u, v, kind, surface):
    period, first, second, _ = surface
    s = np.sin(WAVE * (u / period + first))
    t = np.sin(WAVE * (v / period + second))
    zigzag = v / period + second + np.arcsin(s) / np.pi
    return {
        "plain": np.full(u.shape, -1.0),
        "lying stripes": t,
        "standing stripes": s,
        "chequers": np.sign(s * t) * np.sqrt(np.abs(s * t)),
        "dots": s + t - 0.7,
        "rings": np.sin(WAVE * (np.hypot(u, v) / period + first)),
        "grid": np.maximum(s, t) - 0.65,
        "zigzag": np.sin(WAVE * zigzag),
        "halves": 8 * v,
        "wedges": 1.5 * np.sin(4 * np.angle(v + 1j * u) + WAVE * first),
    }[PATTERNS[kind]]


def lay(image, colour, share):
    return image + share[..., None] * (colour - image)


def capsule(image, piece):
    away = segment(COLUMNS, ROWS, *piece[:4])
    return lay(image, piece[5:8], piece[8] * edge(piece[4] - away))


def slow(scene, i):
    """Paint an image, row, column, channel, without noise and rounding."""
    tables = outlines()
    x, y, *change = scene.gradient[i]
    along = x * (COLUMNS - 15.5) + y * (ROWS - 15.5)
    image = scene.colours[i, 2] + along[..., None] * np.array(change)
    for piece in scene.clutter[i]:
        image = capsule(image, piece)
    a, b, c, d, x, y = scene.affine[i]
    place = np.stack((COLUMNS - x, ROWS - y))
    for wx, wy, phase, *shift in scene.waves[i]:
        bend = np.sin(wx * (COLUMNS - x) + wy * (ROWS - y) + phase)
        place += np.array(shift)[:, None, None] * bend
    u, v = np.tensordot([[a, b], [c, d]], place, axes=1)
    own = slice(*tables.first[scene.outline[i] : scene.outline[i] + 2])
    vertices = tables.lean[own] + scene.fullness[i] * (tables.full - tables.lean)[own]
    following = tables.following[own] - own.start
    pixels = np.abs(np.linalg.det([[a, b], [c, d]])) ** -0.5
    share = edge(pixels * distance(u, v, vertices, following))
    mark = scene.surface[i, 3] * edge(
        2 * pattern(u, v, scene.pattern[i], scene.surface[i])
    )
    surface = scene.colours[i, 0] + mark[..., None] * (
        scene.colours[i, 1] - scene.colours[i, 0]
    )
    image = image + share[..., None] * (surface - image)
    return capsule(image, scene.cover[i])


@pytest.fixture(scope="module")
def scene():
    streams = [np.random.default_rng([1000, i]) for i in range(2)]
    return shapes._scene(np.arange(100), 100, *streams, shapes.STRENGTHS)


def test_every_outline_and_pattern_is_painted_as_slowly(scene):
    random = np.random.default_rng(0)
    grain = random.standard_normal((100, 3072), np.float32)
    images = grain.copy()
    paint(outlines(), scene, 0.03, images, 0, 100)
    for i in range(100):
        noise = 0.03 * grain[i].reshape(3, 32, 32).astype(np.float64)
        expected = np.clip(slow(scene, i).transpose(2, 0, 1) + noise, 0, 1)
        steps = 255 * images[i].reshape(3, 32, 32).astype(np.float64)
        # Rounded to the nearest step, hence half a step off at most.
        np.testing.assert_allclose(steps, 255 * expected, rtol=0, atol=0.5 + 1e-4)


def test_only_the_images_asked_for_are_painted(scene):
    images = np.full((100, 3072), -7, np.float32)
    paint(outlines(), scene, 0.0, images, 20, 30)
    assert (images[:20] == -7).all()
    assert (images[20:30] >= 0).all()
    assert (images[30:] == -7).all()


@pytest.mark.parametrize("kind", range(len(PATTERNS)))
def test_patterns_are_mirror_images_of_themselves_with_another_shift(kind):
    random = np.random.default_rng(kind)
    for _ in range(200):
        u, v = random.uniform(-1, 1, 2)
        period, first, second = random.uniform((0.5, 0, 0), (0.8, 1, 1))
        here = np.array([period, first, second, 1.0])
        mirrored = 1.5 - first if PATTERNS[kind] != "rings" else first
        there = np.array([period, mirrored, second, 1.0])
        assert painting._pattern(u, v, kind, here) == pytest.approx(
            painting._pattern(-u, v, kind, there), abs=1e-6
        )


@pytest.mark.parametrize("kind", range(1, len(PATTERNS)))
def test_patterns_show_both_colours(kind):
    u, v = np.random.default_rng(0).uniform(-1, 1, (2, 4000))
    for first in (0.0, 0.3, 0.8):
        marked = pattern(u, v, kind, (0.7, first, 0.1, 1.0)) > 0
        assert 0.15 < marked.mean() < 0.6
