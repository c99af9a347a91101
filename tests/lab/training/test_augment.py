import re

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from sharpkit._vectors import parallel
from sharpkit.lab.training.augment import augmented

SHAPES = [(28, 28), (3, 32, 32), (1, 6, 9), (2, 9, 5), (4, 1), (1, 1, 7)]


class Fixed:
    """A generator whose next numbers are known."""

    def __init__(self, *rows):
        self.rows = np.array(rows, np.float64)

    def random(self, size):
        assert size == self.rows.shape
        return self.rows


STILL = (0.7, 0.5, 0.5, 0.5)  # no flip, no turn, no shift


def images(rows, shape, seed=0):
    random = np.random.default_rng(seed)
    return random.random((rows, int(np.prod(shape))), dtype=np.float32)


def slow(image, flip, turn, down, right):
    """One channel, step by step: mirror, turn about the centre, shift."""
    image = image.astype(np.float64)
    if flip < 0.5:
        image = image[:, ::-1]
    height, width = image.shape
    angle = np.deg2rad(10 * (2 * turn - 1))
    # Keras: new coordinates to old ones, rows first, about the centre.
    back = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    shift = np.array([0.2 * height * (2 * down - 1), 0.2 * width * (2 * right - 1)])
    offset = centre - back @ (centre + shift)
    return affine_transform(image, back, offset, order=1, mode="nearest")


@pytest.mark.parametrize("shape", SHAPES)
def test_is_what_scipy_makes_of_the_same_numbers(shape):
    x, rows = images(40, shape), 40
    found = augmented(x, shape, np.random.default_rng(3))
    numbers = np.random.default_rng(3).random((rows, 4))
    expected = [
        [slow(channel, *numbers[i]) for channel in x[i].reshape(-1, *shape[-2:])]
        for i in range(rows)
    ]
    assert found.dtype == np.float32
    assert found.shape == x.shape
    np.testing.assert_allclose(
        found, np.reshape(expected, (rows, -1)), rtol=0, atol=2e-7
    )


def test_without_flip_turn_and_shift_nothing_moves():
    x = images(2, (3, 8, 6))
    still = augmented(x, (3, 8, 6), Fixed(STILL, STILL))
    np.testing.assert_allclose(still, x, rtol=0, atol=1e-6)
    assert still is not x


def test_a_flip_changes_left_and_right():
    x = images(1, (2, 4, 7))
    flipped = augmented(x, (2, 4, 7), Fixed((0.3, 0.5, 0.5, 0.5)))
    np.testing.assert_allclose(
        flipped.reshape(2, 4, 7), x.reshape(2, 4, 7)[:, :, ::-1], rtol=0, atol=1e-6
    )


def test_a_shift_repeats_the_edge():
    x = images(1, (10, 5))
    # Two pixels down, one to the left: the ends of the range.
    moved = augmented(x, (10, 5), Fixed((0.7, 0.5, 1.0, 0.0))).reshape(10, 5)
    rows, columns = [0, 0, *range(8)], [1, 2, 3, 4, 4]
    np.testing.assert_allclose(
        moved, x.reshape(10, 5)[np.ix_(rows, columns)], rtol=0, atol=1e-6
    )


def test_a_turn_is_by_ten_degrees():
    image = np.zeros((101, 101), np.float32)
    image[50, 90] = 1  # 40 pixels to the right of the centre
    image = image.reshape(1, -1)
    for number, side in ((0.0, -1), (1.0, 1)):  # first against the clock
        turned = augmented(image, (101, 101), Fixed((0.7, number, 0.5, 0.5)))
        turned = turned.reshape(101, 101).astype(np.float64)
        row, column = np.array(np.nonzero(turned)) @ turned[np.nonzero(turned)]
        mass = turned.sum()
        assert row / mass == pytest.approx(
            50 + side * 40 * np.sin(np.deg2rad(10)), abs=0.3
        )
        assert column / mass == pytest.approx(50 + 40 * np.cos(np.deg2rad(10)), abs=0.3)


def test_half_the_images_are_flipped():
    x = np.tile(np.arange(9, dtype=np.float32), (2000, 9))
    slopes = np.gradient(
        augmented(x, (9, 9), np.random.default_rng(0)).reshape(-1, 9, 9)[:, 4], axis=1
    ).mean(axis=1)
    # Five deviations of a fair coin thrown 2000 times.
    assert abs((slopes > 0).mean() - 0.5) < 5 * 0.5 / np.sqrt(2000)


def test_a_row_depends_on_its_own_four_numbers_alone():
    x, shape = images(300, (3, 8, 8)), (3, 8, 8)
    whole = augmented(x, shape, np.random.default_rng(1))
    random = np.random.default_rng(1)
    parts = [augmented(part, shape, random) for part in np.split(x, [1, 65, 200])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_threads_do_not_matter(count):
    x, shape = images(200, (3, 8, 8)), (3, 8, 8)
    before = parallel.get_num_threads()
    first = augmented(x, shape, np.random.default_rng(1))
    try:
        parallel.set_num_threads(count)
        again = augmented(x, shape, np.random.default_rng(1))
    finally:
        parallel.set_num_threads(before)
    np.testing.assert_array_equal(again, first)


def test_the_samples_themselves_stay():
    x = images(5, (4, 4))
    before = x.copy()
    x.flags.writeable = False
    augmented(x, (4, 4), np.random.default_rng(0))
    np.testing.assert_array_equal(x, before)


def test_rows_that_are_not_contiguous():
    x = images(6, (4, 4))
    found = augmented(x[::2], (4, 4), np.random.default_rng(0))
    expected = augmented(x[::2].copy(), (4, 4), np.random.default_rng(0))
    np.testing.assert_array_equal(found, expected)


def test_no_rows_no_images():
    none = augmented(images(0, (3, 4, 4)), (3, 4, 4), np.random.default_rng(0))
    assert none.shape == (0, 48)


@pytest.mark.parametrize(
    ("rows", "shape"), [(5, (48,)), (5, (2, 2, 3, 4)), (0, (0, 4))]
)
def test_only_images(rows, shape):
    x = np.zeros((rows, int(np.prod(shape))), np.float32)
    message = re.escape(f"shape={shape}: only images can be augmented; give samples")
    with pytest.raises(ValueError, match=message):
        augmented(x, shape, np.random.default_rng(0))


def test_rows_of_another_size():
    message = re.escape("x has shape (5, 47); expected (rows, 48) for (3, 4, 4)")
    with pytest.raises(ValueError, match=message):
        augmented(np.zeros((5, 47), np.float32), (3, 4, 4), np.random.default_rng(0))


def test_other_arrays():
    with pytest.raises(TypeError, match=r"x is a builtins\.list; give a NumPy array"):
        augmented([[0.0] * 16], (4, 4), np.random.default_rng(0))
    with pytest.raises(TypeError, match="x is of float64; give float32"):
        augmented(np.zeros((1, 16)), (4, 4), np.random.default_rng(0))
