import gzip
import struct

import numpy as np
import pytest

from sharpkit.lab.demo.settings import DATA, PRESETS, setting
from sharpkit.lab.networks.mlp import MLP


def _write_mnist(folder, train, test):
    rng = np.random.default_rng(0)
    for prefix, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        header = struct.pack(">IIII", 2051, count, 28, 28)
        name = folder / f"{prefix}-images-idx3-ubyte.gz"
        name.write_bytes(gzip.compress(header + images.tobytes()))
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        name = folder / f"{prefix}-labels-idx1-ubyte"
        name.write_bytes(struct.pack(">II", 2049, count) + labels.tobytes())


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_setting_compares_a_small_batch_with_a_tenth_of_the_data(data, preset):
    chosen = setting(data, preset, folder="somewhere")
    assert chosen.name == f"{preset} {data}"
    assert chosen.large * 10 == chosen.train
    assert chosen.small * 10 <= chosen.large


def test_the_papers_preset_is_network_f1():
    chosen = setting("mnist", "paper", folder="somewhere")
    assert (chosen.small, chosen.large) == (256, 6000)
    sizes = (784, *(chosen.width,) * 5, 10)
    assert MLP(sizes).n_weights == 1_462_794


def test_sizes_follow_the_data():
    chosen = setting("digits")
    data = chosen.load()
    assert chosen.sizes(data) == (64, 128, 128, 128, 128, 128, 10)
    assert (len(data.x_train), len(data.x_test)) == (1000, 797)


@pytest.mark.parametrize(("data", "preset"), [("cifar", "quick"), ("digits", "huge")])
def test_unknown_names(data, preset):
    with pytest.raises(ValueError, match="digits, glyphs, mnist and preset one of"):
        setting(data, preset)


def test_mnist_needs_a_folder():
    with pytest.raises(ValueError, match="needs the folder"):
        setting("mnist")


def test_mnist_takes_a_seeded_part_of_the_training_set(tmp_path):
    _write_mnist(tmp_path, 2100, 30)
    one, two, other = (
        setting("mnist", data_seed=seed, folder=str(tmp_path)).load()
        for seed in (0, 0, 1)
    )
    assert one.x_train.shape == (2000, 784)
    assert len(one.x_test) == 30
    np.testing.assert_array_equal(one.y_train, two.y_train)
    assert (one.y_train != other.y_train).any()


def test_mnist_with_too_few_samples(tmp_path):
    _write_mnist(tmp_path, 40, 10)
    with pytest.raises(ValueError, match=r"has 40 samples, fewer than .* 200"):
        setting("mnist", folder=str(tmp_path)).load()
