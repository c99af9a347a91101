import gzip
import re
import struct

import numpy as np
import pytest

from sharpkit.lab.data import load_mnist

STEMS = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("t10k", "images"): "t10k-images-idx3-ubyte",
    ("t10k", "labels"): "t10k-labels-idx1-ubyte",
}
COUNTS = {"train": 5, "t10k": 3}
HEIGHT, WIDTH = 4, 3


def images_of(part):
    size = COUNTS[part] * HEIGHT * WIDTH
    pixels = np.linspace(0, 255, size).astype(np.uint8)
    return pixels.reshape(COUNTS[part], HEIGHT, WIDTH)


def labels_of(part):
    return np.arange(COUNTS[part], dtype=np.uint8)[::-1] + 5


def idx(array, magic=None):
    magic = 0x0800 + array.ndim if magic is None else magic
    return struct.pack(f">I{array.ndim}I", magic, *array.shape) + array.tobytes()


def put(folder, name, content, packed):
    if packed:
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    else:
        (folder / name).write_bytes(content)


@pytest.fixture(params=[False, True], ids=["raw", "gz"])
def packed(request):
    return request.param


@pytest.fixture
def folder(tmp_path, packed):
    for (part, kind), name in STEMS.items():
        array = images_of(part) if kind == "images" else labels_of(part)
        put(tmp_path, name, idx(array), packed)
    return tmp_path


def refused(folder, name, packed, message):
    """Expect an error whose message begins with the file's name."""
    path = folder / (f"{name}.gz" if packed else name)
    with pytest.raises(ValueError, match="^" + re.escape(str(path)) + message):
        load_mnist(folder)


def test_reads_every_image_and_label(folder):
    data = load_mnist(folder)
    for part, x, y in (
        ("train", data.x_train, data.y_train),
        ("t10k", data.x_test, data.y_test),
    ):
        expected = images_of(part).reshape(COUNTS[part], -1) / np.float32(255)
        np.testing.assert_array_equal(x, expected)
        np.testing.assert_array_equal(y, labels_of(part))
        assert x.dtype == np.float32
        assert y.dtype == np.int64
        assert x.min() == 0
        assert x.max() == 1
    assert data.shape == (HEIGHT, WIDTH)
    assert data.classes == 10
    assert data.seed is None
    assert str(folder) in data.description


def test_takes_a_folder_as_text(folder):
    assert len(load_mnist(str(folder)).x_train) == COUNTS["train"]


def test_other_spelling_with_a_dot(folder):
    for path in list(folder.iterdir()):
        path.rename(folder / re.sub(r"-(idx\d)", r".\1", path.name))
    assert len(load_mnist(folder).x_test) == COUNTS["t10k"]


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        load_mnist(tmp_path / "nowhere")


@pytest.mark.parametrize("missing", STEMS.values())
def test_missing_file_lists_the_names_tried(folder, missing, packed):
    (folder / (f"{missing}.gz" if packed else missing)).unlink()
    dotted = re.sub(r"-(idx\d)", r".\1", missing)
    names = f"{missing}, {missing}.gz, {dotted}, {dotted}.gz"
    message = re.escape(f"{folder} has none of {names}")
    with pytest.raises(FileNotFoundError, match=f"^{message}$"):
        load_mnist(folder)


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_wrong_magic(folder, part, packed):
    name = STEMS[part, "images"]
    put(folder, name, idx(images_of(part), magic=2052), packed)
    refused(folder, name, packed, ": expected the magic number 2051, found 2052$")


def test_images_in_place_of_labels(folder, packed):
    name = STEMS["train", "labels"]
    put(folder, name, idx(images_of("train")), packed)
    refused(folder, name, packed, ": expected the magic number 2049, found 2051$")


@pytest.mark.parametrize("length", [0, 3, 15])
def test_truncated_header(folder, packed, length):
    name = STEMS["train", "images"]
    put(folder, name, idx(images_of("train"))[:length], packed)
    message = f" is truncated: expected a header of 16 bytes, found {length}$"
    refused(folder, name, packed, message)


def test_truncated_data(folder, packed):
    name = STEMS["t10k", "images"]
    put(folder, name, idx(images_of("t10k"))[:-2], packed)
    message = r" is truncated: expected 52 bytes for the dimensions \(3, 4, 3\), "
    refused(folder, name, packed, message + "found 50$")


def test_too_long_data(folder, packed):
    name = STEMS["train", "labels"]
    put(folder, name, idx(labels_of("train")) + b"\0", packed)
    message = r" is too long: expected 13 bytes for the dimensions \(5,\), found 14$"
    refused(folder, name, packed, message)


def test_dimensions_of_an_absurd_size(folder, packed):
    name = STEMS["train", "images"]
    put(folder, name, struct.pack(">4I", 2051, *[2**32 - 1] * 3) + b"\0" * 9, packed)
    refused(folder, name, packed, f" is truncated: expected {(2**32 - 1) ** 3 + 16} ")


def test_no_images(folder, packed):
    name = STEMS["train", "images"]
    put(folder, name, idx(np.zeros((0, 4, 3), np.uint8)), packed)
    message = r" is empty: its header gives the dimensions \(0, 4, 3\)$"
    refused(folder, name, packed, message)


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_counts_that_differ(folder, part, packed):
    name = STEMS[part, "labels"]
    put(folder, name, idx(labels_of(part)[1:]), packed)
    count = COUNTS[part]
    message = rf"\S* holds {count} images but \S*{name}\S* holds {count - 1} labels$"
    with pytest.raises(ValueError, match=message):
        load_mnist(folder)


def test_label_out_of_range(folder, packed):
    name = STEMS["t10k", "labels"]
    put(folder, name, idx(np.array([9, 10, 3], np.uint8)), packed)
    refused(folder, name, packed, ": label 1 is 10; expected 0 to 9$")


def test_image_sizes_that_differ(folder, packed):
    put(folder, STEMS["t10k", "images"], idx(np.zeros((3, 2, 6), np.uint8)), packed)
    message = ": the train images are 4x3 pixels but the t10k images are 2x6$"
    with pytest.raises(ValueError, match=message):
        load_mnist(folder)


@pytest.mark.parametrize("damage", ["cut", "flipped", "raw", "checksum"])
def test_corrupt_gzip(tmp_path, damage):
    for (part, kind), name in STEMS.items():
        array = images_of(part) if kind == "images" else labels_of(part)
        put(tmp_path, name, idx(array), packed=True)
    path = tmp_path / f"{STEMS['train', 'images']}.gz"
    whole = path.read_bytes()
    damaged = {
        "cut": whole[:-9],
        "flipped": whole[:10] + bytes(255 - byte for byte in whole[10:-8]) + whole[-8:],
        "raw": idx(images_of("train")),
        "checksum": whole[:-8] + b"\0\0\0\0" + whole[-4:],
    }
    path.write_bytes(damaged[damage])
    refused(tmp_path, path.stem, True, " is not a complete gzip file: .+")
