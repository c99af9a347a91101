import dataclasses

import numpy as np
import pytest

from sharpkit._vectors import parallel
from sharpkit.lab.data import draw_glyphs, glyphs
from sharpkit.lab.data.strokes import STYLES, skeletons

SEED = 100  # results of the project use seeds below 100


@pytest.fixture(scope="module")
def data():
    return draw_glyphs(train=1000, test=500, seed=SEED)


@pytest.fixture
def threads():
    before = parallel.get_num_threads()
    yield parallel.set_num_threads
    parallel.set_num_threads(before)


def test_shapes_types_and_range(data):
    assert data.x_train.shape == (1000, 784)
    assert data.x_test.shape == (500, 784)
    assert data.shape == (28, 28)
    assert data.seed == SEED
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert x.dtype == np.float32
        assert y.dtype == np.int64
        assert x.flags.c_contiguous
        assert x.min() == 0
        assert x.max() == 1


def test_grey_comes_in_steps_of_a_byte(data):
    steps = 255 * data.x_train.astype(np.float64)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)


def test_every_image_has_ink_and_paper(data):
    for x in (data.x_train, data.x_test):
        assert (x > 0.4).sum(axis=1).min() > 10
        assert (x < 0.2).sum(axis=1).min() > 400


def test_labels_are_balanced_and_shuffled(data):
    for y in (data.y_train, data.y_test):
        np.testing.assert_array_equal(
            np.sort(y.reshape(-1, 10)), [range(10)] * (len(y) // 10)
        )
    assert len({tuple(ten) for ten in data.y_train.reshape(-1, 10).tolist()}) > 90


def test_labels_of_a_size_that_tens_do_not_divide():
    counts = np.bincount(draw_glyphs(train=37, test=1, seed=SEED).y_train, minlength=10)
    assert counts.min() == 3
    assert counts.max() == 4


def test_same_seed_same_images(data):
    again = draw_glyphs(train=1000, test=500, seed=SEED)
    np.testing.assert_array_equal(again.x_train, data.x_train)
    np.testing.assert_array_equal(again.y_train, data.y_train)
    np.testing.assert_array_equal(again.x_test, data.x_test)
    np.testing.assert_array_equal(again.y_test, data.y_test)


@pytest.mark.parametrize(("train", "test"), [(1, 1), (63, 65), (64, 7), (333, 128)])
def test_larger_sets_begin_with_smaller_ones(data, train, test):
    few = draw_glyphs(train=train, test=test, seed=SEED)
    np.testing.assert_array_equal(few.x_train, data.x_train[:train])
    np.testing.assert_array_equal(few.y_train, data.y_train[:train])
    np.testing.assert_array_equal(few.x_test, data.x_test[:test])
    np.testing.assert_array_equal(few.y_test, data.y_test[:test])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_threads_do_not_matter(data, threads, count):
    threads(count)
    again = draw_glyphs(train=1000, test=500, seed=SEED)
    np.testing.assert_array_equal(again.x_train, data.x_train)
    np.testing.assert_array_equal(again.x_test, data.x_test)


def test_other_seeds_draw_other_images(data):
    other = draw_glyphs(train=1000, test=500, seed=SEED + 1)
    assert (other.x_train != data.x_train).any(axis=1).all()
    assert (other.y_train != data.y_train).any()


def test_no_image_is_drawn_twice(data):
    both = np.concatenate((data.x_train, data.x_test))
    assert len(np.unique(both, axis=0)) == len(both)
    assert (data.y_train[:500] != data.y_test).any()


def test_seeds_beyond_32_bits_have_streams_of_their_own():
    # Words of a seed padded with zeros must not run into the number of the part.
    one = draw_glyphs(train=10, test=10, seed=SEED)
    other = draw_glyphs(train=10, test=10, seed=SEED + 2**32)
    for x in (other.x_train, other.x_test):
        assert (x != one.x_train).any(axis=1).all()
        assert (x != one.x_test).any(axis=1).all()


def test_nearest_neighbour_reads_the_digits(data):
    x, seen = data.x_test, data.x_train
    distances = (seen**2).sum(axis=1) - 2 * x @ seen.T
    read = data.y_train[distances.argmin(axis=1)]
    assert (read == data.y_test).mean() > 0.6


def test_undistorted_digits_are_read_almost_all():
    still = {
        field.name: 0.0
        for field in dataclasses.fields(glyphs.Strengths)
        if isinstance(field.default, float) and field.name != "height"
    }
    strengths = glyphs.Strengths(**still)
    x, y = glyphs._draw_part(300, SEED, 0, strengths)
    shown, of = glyphs._draw_part(100, SEED, 1, strengths)
    distances = (x**2).sum(axis=1) - 2 * shown @ x.T
    assert (y[distances.argmin(axis=1)] == of).mean() > 0.98


def test_smudges_take_ink_and_stray_lines_add_it():
    plain = dataclasses.replace(glyphs.STRENGTHS, smudges=0.0, strays=0.0)
    base, _ = glyphs._draw_part(50, SEED, 0, plain)
    smudged, _ = glyphs._draw_part(
        50, SEED, 0, dataclasses.replace(plain, smudges=1.0, smudge=(8.0, 8.0))
    )
    crossed, _ = glyphs._draw_part(50, SEED, 0, dataclasses.replace(plain, strays=1.0))
    assert (smudged <= base).all()
    assert smudged.sum() < 0.8 * base.sum()
    assert (crossed >= base).all()
    assert crossed.sum() > 1.05 * base.sum()


def test_noise_has_the_strength_asked_for():
    quiet = dataclasses.replace(glyphs.STRENGTHS, noise=0.0)
    loud = dataclasses.replace(glyphs.STRENGTHS, noise=0.1)
    base, _ = glyphs._draw_part(100, SEED, 0, quiet)
    noisy, _ = glyphs._draw_part(100, SEED, 0, loud)
    grey = (base > 0.45) & (base < 0.55)
    assert np.std((noisy - base)[grey]) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"train": 0}, "train is 0; expected a whole number of at least 1"),
        ({"test": -3}, "test is -3; expected a whole number of at least 1"),
        ({"seed": -1}, "seed is -1; expected a whole number of at least 0"),
    ],
)
def test_impossible_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        draw_glyphs(**sizes)


def test_skeletons_hold_every_style():
    tables = skeletons()
    assert np.diff(tables.styles).tolist() == [len(digit) for digit in STYLES]
    assert min(len(digit) for digit in STYLES) >= 3
    assert tables.first[-1] == len(tables.points) == len(tables.corner)
    assert tables.starts[tables.first[:-1]].all()
    assert abs(tables.points).max() <= 0.5


def test_strokes_have_two_points_at_least():
    starts = skeletons().starts
    assert not (starts[1:] & starts[:-1]).any()
    assert not starts[-1]
