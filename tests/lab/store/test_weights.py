import io
import re

import numpy as np
import pytest

from sharpkit.lab.store import StoreError
from sharpkit.lab.store.weights import checksum, load, to_npz

ARRAYS = {
    "final/weights": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "file": np.array(2.5),
    "allow_pickle": np.zeros((0, 4), np.int16),
    "arr_0": np.arange(10.0)[::3].astype(">f8"),
    "a b.c/Größe": np.array([True, False]),
    "text": np.array(["a", "bc"]),
    "complex": np.array([[1 + 2j]]),
}


def same(found, wanted):
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


def test_any_arrays_and_names_come_back(tmp_path):
    made = to_npz(ARRAYS)
    (tmp_path / "a.npz").write_bytes(made)
    same(load(tmp_path / "a.npz", checksum(made)), ARRAYS)
    with np.load(io.BytesIO(made), allow_pickle=False) as loaded:
        same(dict(loaded), ARRAYS)


def test_the_same_bytes_for_the_same_arrays():
    assert to_npz(ARRAYS) == to_npz({k: a.copy("K") for k, a in ARRAYS.items()})


@pytest.mark.parametrize("name", ["", "a.npy", "a\0b", "a\nb"])
def test_names_that_would_not_come_back(name):
    with pytest.raises(StoreError, match=re.escape(f"arrays: name {name!r}; give a")):
        to_npz({name: np.ones(1)})


def test_objects_are_refused():
    with pytest.raises(StoreError, match="holds Python objects; give an array of num"):
        to_npz({"ragged": np.array([[1], [1, 2]], dtype=object)})


def test_another_file(tmp_path):
    (tmp_path / "a.npz").write_bytes(to_npz(ARRAYS))
    with pytest.raises(StoreError, match=r"a\.npz is damaged: it is not the file"):
        load(tmp_path / "a.npz", checksum(b""))
