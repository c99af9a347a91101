import numpy as np
import pytest

from sharpkit.lab.data import load_digits
from sharpkit.lab.data.digits import _embedded


def rows(data):
    """Every image with its label, as a sorted list: the order does not count."""
    x = np.concatenate((data.x_train, data.x_test))
    y = np.concatenate((data.y_train, data.y_test))
    return sorted(map(tuple, np.column_stack((y, x)).tolist()))


def test_shapes_types_and_range():
    data = load_digits()
    assert data.x_train.shape == (1000, 64)
    assert data.x_test.shape == (797, 64)
    assert data.shape == (8, 8)
    assert data.classes == 10
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert x.dtype == np.float32
        assert y.dtype == np.int64
        assert x.min() == 0
        assert x.max() == 1
        assert set(y.tolist()) == set(range(10))


def test_embedded_copy_is_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = _embedded()
    theirs = datasets.load_digits()
    np.testing.assert_array_equal(images, theirs.data)
    np.testing.assert_array_equal(labels, theirs.target)
    assert images.dtype == labels.dtype == np.uint8


def test_split_is_the_seeds_permutation():
    images, labels = _embedded()
    order = np.random.default_rng(3).permutation(1797)
    data = load_digits(train=200, seed=3)
    np.testing.assert_array_equal(data.x_train, images[order[:200]] / 16)
    np.testing.assert_array_equal(data.y_test, labels[order[200:]])
    assert data.seed == 3


def test_every_split_holds_the_same_images():
    assert rows(load_digits(seed=0)) == rows(load_digits(train=3, seed=1))


def test_same_seed_same_split_other_seed_other_split():
    one, again, other = (load_digits(seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.x_train, again.x_train)
    np.testing.assert_array_equal(one.y_test, again.y_test)
    assert (one.y_train != other.y_train).any()


@pytest.mark.parametrize("train", [0, -1, 1797])
def test_sizes_that_leave_a_part_empty_are_refused(train):
    with pytest.raises(ValueError, match=f"train is {train}; expected 1 to 1796"):
        load_digits(train=train)


def test_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed is -1; expected a whole number"):
        load_digits(seed=-1)
