import numpy as np
import pytest

from sharpkit.lab.data import Dataset


def make(**changes):
    fields = {
        "name": "toy",
        "x_train": np.zeros((3, 6), np.float32),
        "y_train": np.array([0, 1, 1]),
        "x_test": np.ones((2, 6), np.float32),
        "y_test": np.array([1, 0]),
        "classes": 2,
        "description": "made up",
        "shape": (2, 3),
        "seed": 5,
    }
    return Dataset(**(fields | changes))


def test_repr_says_what_it_is():
    text = "<Dataset toy: 3 train + 2 test samples of 2x3, 2 classes, seed 5>"
    assert repr(make()) == text
    assert repr(make(seed=None)) == text.replace(", seed 5", "")


def test_features_is_the_number_of_pixels():
    assert make().features == 6


def test_arrays_are_read_only_and_the_callers_stay_writable():
    mine = np.zeros((3, 6), np.float32)
    data = make(x_train=mine)
    for array in (data.x_train, data.y_train, data.x_test, data.y_test):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    mine[0] = 1


def test_fields_cannot_be_replaced():
    with pytest.raises(AttributeError, match="cannot assign"):
        make().name = "other"


def test_right_arrays_are_not_copied():
    mine = np.zeros((3, 6), np.float32)
    assert np.shares_memory(make(x_train=mine).x_train, mine)


def test_types_and_layout_are_made_right():
    data = make(x_train=np.asfortranarray(np.eye(3, 6)), y_train=[0, 1, 0])
    assert data.x_train.dtype == np.float32
    assert data.x_train.flags.c_contiguous
    assert data.y_train.dtype == np.int64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"x_train": np.zeros((3, 5))},
            r"x_train has shape \(3, 5\); expected \(samples, 6\) for samples of 2x3",
        ),
        ({"x_test": np.zeros(6)}, r"x_test has shape \(6,\)"),
        (
            {"y_train": [0, 1]},
            r"y_train has shape \(2,\); expected \(3,\), one per sample",
        ),
        ({"y_test": [0, 2]}, "y_test has labels from 0 to 2; expected 0 to 1"),
        ({"y_test": [-1, 0]}, "y_test has labels from -1 to 0; expected 0 to 1"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
