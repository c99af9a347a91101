import pickle
import re

import numpy as np
import pytest

from sharpkit.lab.data.cifar import load_cifar10, load_cifar100

KINDS = {
    "cifar10": (
        load_cifar10,
        [f"data_batch_{part}.bin" for part in range(1, 6)],
        "test_batch.bin",
        "cifar-10-batches-bin",
        1,
        10,
    ),
    "cifar100": (load_cifar100, ["train.bin"], "test.bin", "cifar-100-binary", 2, 100),
}


class Case:
    """One distribution of random images, written to a folder."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.load, self.train, self.test, self.subfolder, self.labels, self.classes = (
            KINDS[name]
        )
        random = np.random.default_rng(1000)
        self.rows = {}
        for file in (*self.train, self.test):
            rows = random.integers(0, 256, (3, self.labels + 3072), np.uint8)
            rows[:, : self.labels] %= min(self.classes, 20)
            rows[0, self.labels - 1] = self.classes - 1
            self.rows[file] = rows
            self.put(file, rows.tobytes())

    def put(self, file, content):
        (self.folder / file).write_bytes(content)


@pytest.fixture(params=KINDS)
def case(request, tmp_path):
    return Case(request.param, tmp_path)


def obvious(rows, labels):
    """Pixel by pixel: the colour's plane, then the row, then the column."""
    x = np.empty((len(rows), 3, 32, 32), np.float32)
    for i, row in enumerate(rows):
        for colour in range(3):
            for y in range(32):
                begin = labels + 1024 * colour + 32 * y
                x[i, colour, y] = row[begin : begin + 32] / np.float32(255)
    return x.reshape(len(rows), 3072)


def test_reads_every_image_and_label_in_order(case):
    data = case.load(case.folder)
    train = np.concatenate([case.rows[file] for file in case.train])
    for x, y, rows in (
        (data.x_train, data.y_train, train),
        (data.x_test, data.y_test, case.rows[case.test]),
    ):
        np.testing.assert_array_equal(x, obvious(rows, case.labels))
        np.testing.assert_array_equal(y, rows[:, case.labels - 1])
        assert x.dtype == np.float32
        assert y.dtype == np.int64
    assert data.shape == (3, 32, 32)
    assert data.classes == case.classes
    assert data.name == case.name
    assert data.seed is None
    assert str(case.folder) in data.description


def test_labels_of_cifar100_are_the_fine_ones(tmp_path):
    row = np.zeros(3074, np.uint8)
    row[:2] = 3, 77
    for file in ("train.bin", "test.bin"):
        (tmp_path / file).write_bytes(row.tobytes())
    assert load_cifar100(tmp_path).y_train.tolist() == [77]


def test_takes_a_folder_as_text(case):
    assert len(case.load(str(case.folder)).x_test) == 3


def test_finds_the_usual_subfolder(case):
    expected = case.load(case.folder).x_train
    inner = case.folder / case.subfolder
    inner.mkdir()
    for file in case.rows:
        (case.folder / file).rename(inner / file)
    data = case.load(case.folder)
    np.testing.assert_array_equal(data.x_train, expected)
    assert str(inner) in data.description


def test_missing_folder(case):
    message = "nowhere is not a folder; give the one that holds CIFAR-1.*'s binary"
    with pytest.raises(FileNotFoundError, match=message):
        case.load(case.folder / "nowhere")


def test_missing_file_is_named_with_the_version_wanted(case):
    for file in (case.train[-1], case.test):
        (case.folder / file).unlink()
    message = re.escape(f"{case.folder} lacks {case.train[-1]}, {case.test} of ")
    with pytest.raises(FileNotFoundError, match=f"^{message}.* binary version") as got:
        case.load(case.folder)
    assert "pickle" not in str(got.value)


@pytest.mark.parametrize("subfolder", [False, True])
def test_pickles_are_never_read(case, subfolder):
    for file in case.rows:
        (case.folder / file).unlink()
    home = case.folder
    if subfolder:
        home /= {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}[
            case.name
        ]
        home.mkdir()
    for file in ("data_batch_1", "train"):
        (home / file).write_bytes(pickle.dumps({b"labels": [1]}))
    message = "; it holds the Python version, whose pickles are never read$"
    with pytest.raises(FileNotFoundError, match=message):
        case.load(case.folder)


@pytest.mark.parametrize("cut", [1, 3072])
def test_truncated_file(case, cut):
    for file in (case.train[-1], case.test):
        content = case.rows[file].tobytes()
        case.put(file, content[:-cut])
        message = re.escape(
            f"{case.folder / file} is truncated or of another kind: expected rows of "
            f"{case.labels + 3072} bytes, found {len(content) - cut} bytes"
        )
        with pytest.raises(ValueError, match=f"^{message}$"):
            case.load(case.folder)
        case.put(file, content)


def test_empty_file(case):
    case.put(case.test, b"")
    with pytest.raises(ValueError, match=r"found 0 bytes$"):
        case.load(case.folder)


def test_label_out_of_range(case):
    rows = case.rows[case.test].copy()
    rows[2, case.labels - 1] = case.classes
    case.put(case.test, rows.tobytes())
    message = f"{case.test}: label 2 is {case.classes}; expected 0 to "
    with pytest.raises(ValueError, match=f"{re.escape(message)}{case.classes - 1}$"):
        case.load(case.folder)
