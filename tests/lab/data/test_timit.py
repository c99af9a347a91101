import re
import textwrap

import numpy as np
import pytest

from sharpkit.lab.data import timit
from sharpkit.lab.data.timit import load_timit

FRAMES = {"train": 6, "test": 4}


@pytest.fixture
def arrays():
    random = np.random.default_rng(1000)
    return {
        part: {
            "x": random.standard_normal((count, 360)).astype(np.float32),
            "y": random.integers(0, 1973, count),
        }
        for part, count in FRAMES.items()
    }


@pytest.fixture
def write(tmp_path, arrays):
    """``write(part, y=...)``: the files, one of them with some arrays replaced."""

    def written(changed=None, **changes):
        for part, held in arrays.items():
            content = held | (changes if part == changed else {})
            content = {
                key: value for key, value in content.items() if value is not None
            }
            np.savez(tmp_path / f"timit-{part}.npz", **content)
        return tmp_path

    return written


@pytest.fixture(params=FRAMES)
def part(request):
    return request.param


def refused(folder, part, message):
    path = re.escape(str(folder / f"timit-{part}.npz"))
    with pytest.raises(ValueError, match=f"^{path}{message}"):
        load_timit(folder)


def test_reads_every_frame_as_it_is(write, arrays):
    folder = write()
    data = load_timit(folder)
    for part, x, y in (
        ("train", data.x_train, data.y_train),
        ("test", data.x_test, data.y_test),
    ):
        np.testing.assert_array_equal(x, arrays[part]["x"])
        np.testing.assert_array_equal(y, arrays[part]["y"])
        assert x.dtype == np.float32
        assert y.dtype == np.int64
    assert data.shape == (360,)
    assert data.classes == 1973
    assert data.name == "timit"
    assert data.seed is None
    assert str(folder) in data.description


def test_takes_a_folder_as_text_and_the_path_of_a_file(write, part):
    folder = write()
    for place in (str(folder), folder / f"timit-{part}.npz"):
        assert len(load_timit(place).x_train) == FRAMES["train"]


def test_other_types_are_converted(write, arrays):
    narrow = {
        "x": arrays["train"]["x"].astype(np.float64),
        "y": arrays["train"]["y"].astype(np.uint16),
    }
    data = load_timit(write("train", **narrow))
    np.testing.assert_array_equal(data.x_train, arrays["train"]["x"])
    assert data.y_train.dtype == np.int64


def test_a_file_may_say_how_many_classes(write, part):
    folder = write(part, classes=np.array(2100), y=np.full(FRAMES[part], 2099))
    data = load_timit(folder)
    assert data.classes == 2100
    assert {"train": data.y_train, "test": data.y_test}[part].max() == 2099


def test_files_that_differ_in_classes(write, arrays):
    arrays["train"]["classes"] = np.array(1973)
    with pytest.raises(ValueError, match=r"the files differ in classes: .*1973.*2000"):
        load_timit(write("test", classes=np.array(2000)))


@pytest.mark.parametrize("classes", [0, 2.5, [1973, 1973]])
def test_impossible_classes(write, part, classes):
    message = ": classes=.*; expected a positive integer$"
    refused(write(part, classes=np.array(classes)), part, message)


def test_missing_folder(tmp_path):
    message = "nowhere is not a folder; give the one that holds timit-train.npz and "
    with pytest.raises(FileNotFoundError, match=message):
        load_timit(tmp_path / "nowhere")


def test_missing_file(write, part):
    folder = write()
    (folder / f"timit-{part}.npz").unlink()
    message = re.escape(f"{folder} has no timit-{part}.npz; export it from Kaldi")
    with pytest.raises(FileNotFoundError, match=f"^{message}"):
        load_timit(folder)


@pytest.mark.parametrize("key", ["x", "y"])
def test_missing_array(write, part, key):
    other = {"x": "y", "y": "x"}[key]
    message = f" has no array '{key}'; found {other}$"
    refused(write(part, **{key: None}), part, message)


def test_an_array_of_objects_is_not_unpickled(write, part):
    y = np.array([1] * FRAMES[part], object)
    refused(write(part, y=y), part, " is not an .npz file of plain arrays: Object arr")


@pytest.mark.parametrize("damage", ["text", "cut", "empty", "npy"])
def test_no_npz_file(write, part, damage):
    folder = write()
    path = folder / f"timit-{part}.npz"
    if damage == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
        refused(folder, part, " has no array 'x'; found no names$")
        return
    content = {"text": b"1 2 3", "cut": path.read_bytes()[:-40], "empty": b""}
    path.write_bytes(content[damage])
    refused(folder, part, " is not an .npz file of plain arrays: ")


@pytest.mark.parametrize("shape", [(0, 360), (4, 359), (4, 9, 40), (360,)])
def test_wrong_width(write, part, shape):
    message = rf": x has shape {re.escape(str(shape))}; expected \(frames, 360\)$"
    refused(write(part, x=np.zeros(shape, np.float32)), part, message)


def test_wrong_number_of_labels(write, part):
    count = FRAMES[part]
    message = rf": y has shape \({count - 1},\); expected \({count},\), one per frame$"
    refused(write(part, y=np.zeros(count - 1, np.int64)), part, message)


def test_wrong_types(write, part):
    count = FRAMES[part]
    integers = np.zeros((count, 360), np.int32)
    refused(write(part, x=integers), part, ": x has the type int32; expected float32$")
    refused(
        write(part, y=np.zeros(count)),
        part,
        ": y has the type float64; expected integers$",
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(write, arrays, part, value):
    arrays[part]["x"][2, 359] = value
    refused(write(), part, ": x has a value that is not finite in row 2$")


@pytest.mark.parametrize("label", [-1, 1973])
def test_label_out_of_range(write, arrays, part, label):
    arrays[part]["y"][3] = label
    refused(write(), part, f": label 3 is {label}; expected 0 to 1972$")


def test_documented_export(tmp_path, monkeypatch):
    """Run the documented snippet on text archives as Kaldi writes them."""
    snippet = timit.__doc__.split("1973)::\n")[1].split("\nUtterances")[0]
    random = np.random.default_rng(1001)
    expected = {}
    for part in ("train", "test"):
        features = {name: random.standard_normal((n, 360)) for name, n in SPOKEN}
        states = {name: random.integers(0, 1973, n) for name, n in SPOKEN}
        with (tmp_path / f"timit-{part}-x.txt").open("w") as file:
            for name, rows in features.items():
                lines = [" ".join(f"{value:.7g}" for value in row) for row in rows]
                file.write(f"{name}  [\n  " + " \n  ".join(lines) + " ]\n")
        with (tmp_path / f"timit-{part}-y.txt").open("w") as file:
            for name, row in states.items():
                if name != "unaligned":
                    file.write(f"{name} {' '.join(map(str, row))} \n")
        kept = [name for name, _ in SPOKEN if name != "unaligned"]
        expected[part] = (
            np.concatenate([features[name] for name in kept]),
            np.concatenate([states[name] for name in kept]),
        )
    monkeypatch.chdir(tmp_path)
    exec(textwrap.dedent(snippet), {})
    data = load_timit(tmp_path)
    np.testing.assert_allclose(data.x_train, expected["train"][0], rtol=1e-6)
    np.testing.assert_array_equal(data.y_train, expected["train"][1])
    np.testing.assert_allclose(data.x_test, expected["test"][0], rtol=1e-6)
    np.testing.assert_array_equal(data.y_test, expected["test"][1])
    assert data.classes == 1973


SPOKEN = (("FAKS0_SI1573", 3), ("unaligned", 2), ("FAKS0_SX43", 1), ("MDAB0_SX49", 4))
