import dataclasses
import gzip
import struct

import numpy as np
import pytest

from sharpkit.lab.data import draw_glyphs, load_digits, load_mnist
from sharpkit.lab.data.cifar import load_cifar10, load_cifar100
from sharpkit.lab.data.download import DOWNLOADED
from sharpkit.lab.data.frames import draw_frames
from sharpkit.lab.data.shapes import draw_shapes
from sharpkit.lab.data.source import NAMES, READ, Source
from sharpkit.lab.data.timit import load_timit

SEED = 1000
PARTS = ("x_train", "y_train", "x_test", "y_test")


def assert_same(found, expected):
    for name in PARTS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("name", "classes", "shape", "seed", "description"):
        assert getattr(found, name) == getattr(expected, name)


@pytest.fixture
def cifar(tmp_path):
    """A folder of 60 training and 20 test images; the red corner counts them."""
    for file, count in [(f"data_batch_{i}.bin", 12) for i in range(1, 6)] + [
        ("test_batch.bin", 20)
    ]:
        rows = np.zeros((count, 3073), np.uint8)
        first = 12 * (int(file[11]) - 1) if file[0] == "d" else 100
        rows[:, 1] = first + np.arange(count)
        rows[:, 0] = rows[:, 1] % 10
        (tmp_path / file).write_bytes(rows.tobytes())
    return tmp_path


def numbers(x):
    """The numbers of the images of `cifar`."""
    return np.rint(255 * x[:, 0]).astype(int)


def test_drawn_data_by_name():
    sizes = {"train": 30, "test": 20, "seed": SEED}
    digits = load_digits(train=30, seed=SEED)
    assert_same(Source("digits", 30, 20, seed=SEED).load(), digits)
    assert_same(Source("glyphs", 30, 20, seed=SEED).load(), draw_glyphs(**sizes))
    for name, draw in (("frames", draw_frames), ("shapes", draw_shapes)):
        for classes in (10, 20):
            found = Source(name, 30, 20, classes=classes, seed=SEED).load()
            assert_same(found, draw(classes=classes, **sizes))


def test_files_by_name(cifar):
    assert_same(Source("cifar10", 0, 0, folder=str(cifar)).load(), load_cifar10(cifar))


def test_every_name_of_files_has_its_reader():
    assert READ == {
        "mnist": load_mnist,
        "cifar10": load_cifar10,
        "cifar100": load_cifar100,
        "timit": load_timit,
    }
    assert set(NAMES) == {"digits", "glyphs", "frames", "shapes", *READ}


def test_mnist_by_name(tmp_path):
    for part, count in (("train", 4), ("t10k", 3)):
        for kind, shape in (("images-idx3", (count, 2, 2)), ("labels-idx1", (count,))):
            header = struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape)
            content = header + bytes(range(int(np.prod(shape))))
            (tmp_path / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
    found = Source("mnist", 0, 2, seed=SEED, folder=str(tmp_path)).load()
    assert len(found.x_train) == 4
    assert len(found.x_test) == 2


def test_unknown_name():
    message = "data='cifar'; give one of digits, glyphs, frames, shapes, mnist, cifar10"
    with pytest.raises(ValueError, match=message):
        Source("cifar", 10, 10)


@pytest.mark.parametrize("name", READ)
def test_files_need_a_folder(name):
    message = f"data='{name}' needs the original files: give their folder"
    with pytest.raises(ValueError, match=message):
        Source(name, 10, 10)


def test_what_cannot_be_downloaded_says_so():
    with pytest.raises(ValueError, match="'timit' cannot be downloaded: that goes for"):
        Source("timit", 10, 10, folder=DOWNLOADED)


def test_missing_files_are_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"lacks data_batch_1\.bin"):
        Source("cifar10", 0, 0, folder=str(tmp_path)).load()


def test_parts_are_random_subsets(cifar):
    whole = load_cifar10(cifar)
    found = Source("cifar10", 15, 7, seed=SEED, folder=str(cifar)).load()
    assert found.seed == SEED
    for x, y, all_of_it, count in (
        (found.x_train, found.y_train, whole.x_train, 15),
        (found.x_test, found.y_test, whole.x_test, 7),
    ):
        chosen = numbers(x)
        assert len(set(chosen)) == len(chosen) == count
        assert set(chosen) < set(numbers(all_of_it))
        np.testing.assert_array_equal(y, chosen % 10)  # each image kept its label
    other = Source("cifar10", 15, 7, seed=SEED + 1, folder=str(cifar)).load()
    assert set(numbers(other.x_train)) != set(numbers(found.x_train))
    assert set(numbers(found.x_train)) != set(range(15))


def test_a_larger_part_begins_with_the_smaller_one(cifar):
    few, more = (
        Source("cifar10", count, 0, seed=SEED, folder=str(cifar)).load()
        for count in (10, 25)
    )
    np.testing.assert_array_equal(more.x_train[:10], few.x_train)
    assert len(few.x_test) == 20  # 0 is all there are


def test_parts_do_not_depend_on_each_other(cifar):
    one, other = (
        Source("cifar10", count, 7, seed=SEED, folder=str(cifar)).load()
        for count in (0, 25)
    )
    np.testing.assert_array_equal(one.x_test, other.x_test)


@pytest.mark.parametrize("count", [60, 1000])
def test_asking_for_all_or_more_gives_the_files_as_they_are(cifar, count):
    found = Source("cifar10", count, count, seed=SEED, folder=str(cifar)).load()
    assert_same(found, load_cifar10(cifar))


def test_a_process_loads_a_source_once():
    source = Source("frames", 30, 20, classes=5, seed=SEED)
    assert source.load() is dataclasses.replace(source).load()
    assert source.load() is not dataclasses.replace(source, seed=SEED + 1).load()
