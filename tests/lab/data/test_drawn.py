"""What holds of every data set that is drawn: glyphs, shapes of two kinds, frames."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from sharpkit._vectors import parallel
from sharpkit.lab.data import draw_glyphs
from sharpkit.lab.data.frames import draw_frames
from sharpkit.lab.data.shapes import draw_shapes

SEED = 1000  # results of the project use seeds below 100
PARTS = ("x_train", "y_train", "x_test", "y_test")
TRAIN, TEST = 900, 600


class Kind(NamedTuple):
    draw: Callable
    shape: tuple
    classes: int
    steps: int  # to which values are rounded, in a whole
    most: int | None  # classes that there can be


KINDS = {
    "glyphs": Kind(draw_glyphs, (28, 28), 10, 255, None),
    "shapes": Kind(draw_shapes, (3, 32, 32), 10, 255, 100),
    "fine": Kind(
        functools.partial(draw_shapes, classes=100), (3, 32, 32), 100, 255, None
    ),
    "frames": Kind(functools.partial(draw_frames, classes=30), (360,), 30, 1024, 1973),
}


@functools.cache
def drawn(name):
    return KINDS[name].draw(train=TRAIN, test=TEST, seed=SEED)


@pytest.fixture(params=KINDS)
def name(request):
    return request.param


@pytest.fixture
def kind(name):
    return KINDS[name]


@pytest.fixture
def data(name):
    return drawn(name)


@pytest.fixture
def threads():
    before = parallel.get_num_threads()
    yield parallel.set_num_threads
    parallel.set_num_threads(before)


def test_sizes_types_and_range(kind, data):
    features = np.prod(kind.shape)
    assert data.x_train.shape == (TRAIN, features)
    assert data.x_test.shape == (TEST, features)
    assert (data.shape, data.classes, data.seed) == (kind.shape, kind.classes, SEED)
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert x.flags.c_contiguous
        assert len(kind.shape) == 1 or (x.min(), x.max()) == (0, 1)
    steps = kind.steps * data.x_train.astype(np.float64)
    off = 0 if kind.steps == 1024 else 1e-4  # a 1024th is a number, a 255th is not
    np.testing.assert_allclose(steps, np.rint(steps), rtol=0, atol=off)


def test_labels_are_balanced_and_shuffled(kind, data):
    for y in (data.y_train, data.y_test):
        rounds = y.reshape(-1, kind.classes)
        each_once = [range(kind.classes)] * len(rounds)
        np.testing.assert_array_equal(np.sort(rounds), each_once)
    rounds = {tuple(one) for one in data.y_train.reshape(-1, kind.classes).tolist()}
    assert len(rounds) > 0.9 * TRAIN / kind.classes


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_same_seed_draws_the_same_on_any_number_of_threads(
    kind, data, threads, count
):
    threads(count)
    again = kind.draw(train=TRAIN, test=TEST, seed=SEED)
    for part in PARTS:
        np.testing.assert_array_equal(getattr(again, part), getattr(data, part))


@pytest.mark.parametrize("sizes", [(1, 1), (63, 65), (255, 257), (256, 7), (31, 512)])
def test_larger_sets_begin_with_smaller_ones(kind, data, sizes):
    few = kind.draw(train=sizes[0], test=sizes[1], seed=SEED)
    for part in PARTS:
        small, large = getattr(few, part), getattr(data, part)
        assert len(small) == sizes["test" in part]
        np.testing.assert_array_equal(small, large[: len(small)])


@pytest.mark.parametrize("seed", [SEED + 1, SEED + 2**32])
def test_other_seeds_draw_others(kind, data, seed):
    # Words of a seed padded with zeros must not run into the number of the part.
    other = kind.draw(train=TRAIN, test=TEST, seed=seed)
    for x in (other.x_train, other.x_test):
        assert (x[:TEST] != data.x_train[:TEST]).any(axis=1).all()
        assert (x[:TEST] != data.x_test).any(axis=1).all()
    assert (other.y_train != data.y_train).any()


def test_nothing_is_drawn_twice(data):
    both = np.concatenate((data.x_train, data.x_test))
    assert len(np.unique(both, axis=0)) == len(both)
    assert (data.y_train[:TEST] != data.y_test).any()


def test_impossible_sizes_are_refused(kind):
    wrong = [("train", 0, 1), ("test", -3, 1), ("seed", -1, 0)]
    for size, value, least in wrong:
        message = f"{size} is {value}; expected a whole number of at least {least}"
        with pytest.raises(ValueError, match=message):
            kind.draw(**{size: value})
    for classes in (1, kind.most + 1) if kind.most else ():
        message = f"classes is {classes}; expected 2 to {kind.most}"
        with pytest.raises(ValueError, match=message):
            kind.draw(classes=classes)
