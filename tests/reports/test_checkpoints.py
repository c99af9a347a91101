import io
import json
import os
import pickle
import struct
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from sharpkit.problem import Problem
from sharpkit.reports.checkpoints import CheckpointError, load
from sharpkit.reports.compare import compare

ARRAYS = {"layer.weight": np.arange(6.0).reshape(2, 3), "layer.bias": np.ones(2, "f4")}


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def trap(tmp_path):
    """``spring(path)``: a pickle there that makes ``trap``, if anyone loads it."""
    made = tmp_path / "trap"
    pickle.loads(pickle.dumps(Touch(made)))
    assert made.exists(), "the trap does not work"
    made.rmdir()
    yield Touch(made)
    assert not made.exists(), "the pickle was executed"


def same(found, expected=ARRAYS):
    assert list(found) == list(expected)
    for name, value in expected.items():
        here = np.asarray(found[name])
        np.testing.assert_array_equal(here, value)
        assert here.dtype == value.dtype


@pytest.mark.parametrize("as_text", [str, lambda path: path])
def test_npz(tmp_path, as_text):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    same(load(as_text(tmp_path / "a.npz")))


def test_npy_is_one_vector(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(5.0))
    same(load(tmp_path / "a.npy"), {"weights": np.arange(5.0)})


def test_the_suffix_in_capitals(tmp_path):
    with (tmp_path / "A.NPZ").open("wb") as file:
        np.savez(file, **ARRAYS)
    same(load(tmp_path / "A.NPZ"))


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_numpy_never_unpickles(tmp_path, trap, suffix):
    file = tmp_path / f"a{suffix}"
    with file.open("wb") as opened:
        pickle.dump(trap, opened)
    with pytest.raises(ValueError, match="pickled objects are never loaded"):
        load(file)
    array = np.array([trap], dtype=object)
    np.savez(file, w=array) if suffix == ".npz" else np.save(file, array)
    with pytest.raises(ValueError, match="pickled objects are never loaded"):
        load(file)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut short"])
@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_a_damaged_numpy_file(tmp_path, content, suffix):
    file = tmp_path / f"a{suffix}"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.np.' cannot be read: .*numpy\.savez"):
        load(file)


def test_a_bit_that_flipped(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", w=np.arange(1000.0))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read: it is no whole NumPy file"):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        ("none.npz", FileNotFoundError, r"none\.npz' does not exist; give a file"),
        ("folder", IsADirectoryError, "is a folder; give a file: .npz, .npy, .safe"),
        ("a.txt", ValueError, r"has the suffix '\.txt'; give one of \.npz"),
        ("a", ValueError, "has the suffix ''"),
    ],
)
def test_no_checkpoint(tmp_path, name, error, match):
    (tmp_path / "folder").mkdir()
    for other in ("a.txt", "a"):
        (tmp_path / other).write_text("text")
    with pytest.raises(error, match=match):
        load(tmp_path / name)


@pytest.mark.parametrize(
    ("suffix", "library"), [(".safetensors", "safetensors"), (".pt", "torch")]
)
def test_a_library_that_is_missing(tmp_path, monkeypatch, suffix, library):
    monkeypatch.setitem(sys.modules, library, None)
    file = tmp_path / f"a{suffix}"
    file.write_bytes(b"content")
    match = rf"a{suffix}' needs {library}: pip install 'sharpkit\[{library}\]'"
    with pytest.raises(ModuleNotFoundError, match=match):
        load(file)


def test_safetensors(tmp_path):
    files = pytest.importorskip("safetensors.numpy")
    files.save_file(ARRAYS, tmp_path / "a.safetensors")
    found = load(tmp_path / "a.safetensors")
    same({name: found[name] for name in ARRAYS})
    (tmp_path / "b.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"b\.safetensors' cannot be read: .*again"):
        load(tmp_path / "b.safetensors")


def test_safetensors_of_bfloat16_are_tensors(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    files = pytest.importorskip("safetensors.torch")
    file = tmp_path / "a.safetensors"
    tensors = {"a": torch.full((3,), 1.5, dtype=torch.bfloat16), "b": torch.ones(2)}
    files.save_file(tensors, file)
    found = load(file)
    assert {name: each.dtype for name, each in found.items()} == {
        name: each.dtype for name, each in tensors.items()
    }
    assert found["a"].tolist() == [1.5] * 3
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "safetensors.torch")
    with pytest.raises(ModuleNotFoundError, match="needs torch"):
        load(file)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def state(torch):
    return {name: torch.from_numpy(value.copy()) for name, value in ARRAYS.items()}


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict"])
def test_torch(tmp_path, torch, state, suffix, wrapper):
    file = tmp_path / f"a{suffix}"
    beside = {"epoch": 3, "optimizer": {"state": {}, "lr": 0.1}}
    torch.save(state if wrapper is None else beside | {wrapper: state}, file)
    same(load(file))


def test_the_state_of_a_module(tmp_path, torch):
    norm = torch.nn.BatchNorm1d(3)
    torch.save(norm.state_dict(), tmp_path / "a.pt")
    assert list(load(tmp_path / "a.pt")) == list(norm.state_dict())


def test_one_tensor(tmp_path, torch):
    torch.save(torch.arange(3.0), tmp_path / "a.pt")
    assert load(tmp_path / "a.pt")["weights"].tolist() == [0, 1, 2]


def test_torch_never_unpickles(tmp_path, torch, trap, state):
    file = tmp_path / "a.pt"
    for held in (trap, state | {"x": trap}, {"state_dict": state, "args": trap}):
        torch.save(held, file)
        with pytest.raises(ValueError, match=r"weights_only.*model\.state_dict\(\)"):
            load(file)
    file.write_bytes(pickle.dumps(trap, protocol=2))
    with pytest.raises(ValueError, match=r"refused.*could run any code"):
        load(file)


def test_a_whole_module_is_refused(tmp_path, torch):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt' is refused.*model\.state_dict\(\)"):
        load(tmp_path / "a.pt")


def test_torchscript_is_never_run(tmp_path, torch):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/constants.pkl", b"")
    with pytest.raises(ValueError, match=r"TorchScript program.*state_dict\(\)"):
        load(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_a_damaged_torch_file(tmp_path, torch, content):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ValueError, match="is refused: it is damaged, or holds"):
        load(tmp_path / "a.pt")


def test_what_is_no_tensor_is_named(tmp_path, torch, state):
    file = tmp_path / "a.pt"
    for held, match in (
        (state | {"epoch": 3}, "holds 'epoch' of type int, which is no tensor"),
        ([1, 2], "holds a list, which is no tensor"),
        ({"state_dict": np.ones(2)}, "'state_dict' of type NumPy or Python, which is"),
    ):
        torch.save(held, file)
        with pytest.raises(ValueError, match=match):
            load(file)


def npy_header(shape, dtype="<f8"):
    made = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(made, header)
    return made.getvalue()


HUGE = 10**13  # bytes: ten terabytes


def huge_npy(file):
    file.write_bytes(npy_header((HUGE // 8,)) + bytes(80))


def huge_npz(file):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", npy_header((HUGE // 8,)) + bytes(80))


def huge_safetensors(file):
    entry = {"dtype": "F32", "shape": [HUGE // 4], "data_offsets": [0, HUGE]}
    header = json.dumps({"w": entry}).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header + bytes(80))


def huge_torch(file, zipped=True):
    torch = pytest.importorskip("torch")
    tensor = torch.arange(10.0)
    torch.save({"w": tensor}, file, _use_new_zipfile_serialization=zipped)
    content = file.read_bytes()
    told = pickle.dumps(10, 2)[2:-1]  # K, then one byte
    more = pickle.dumps(HUGE, 2)[2:-1]
    if not zipped:  # in the storage that is declared
        at = content.index(b"cpu") + len(b"cpuq\x00")
        at = content.index(told, at)
        file.write_bytes(content[:at] + more + content[at + len(told) :])
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in parts.items():
            archive.writestr(
                name, part.replace(told, more) if name.endswith("data.pkl") else part
            )


def huge_old_torch(file):
    huge_torch(file, zipped=False)


def huge_view(file):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.ones(1).expand(HUGE)}, file)


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        (".npy", huge_npy),
        (".npz", huge_npz),
        (".safetensors", huge_safetensors),
        (".pt", huge_torch),
        (".pt", huge_old_torch),
        (".pt", huge_view),
    ],
)
def test_a_declared_size_is_never_believed(tmp_path, suffix, write):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    file = tmp_path / f"a{suffix}"
    write(file)
    match = rf"checkpoint .*a\{suffix}' (cannot be read|is refused|declares)"
    load_once(file)  # imports
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=match):
        load(file)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def load_once(file):
    with pytest.raises(CheckpointError):
        load(file)


def test_a_packed_file_larger_than_the_model(tmp_path):
    file = tmp_path / "a.npz"
    np.savez_compressed(file, weights=np.zeros(2_000_000))
    problem = Problem(np.zeros(3), lambda w: (float(w @ w), 2 * w))
    match = (
        r"a\.npz' declares 2,000,000 numbers \('weights' has the shape \(2000000,\)\), "
        "more than the file or the model can hold; give a checkpoint of this model"
    )
    with pytest.raises(CheckpointError, match=match):
        compare(file, file, problem)
    assert load(file)["weights"].size == 2_000_000


def test_torch_parts_that_are_packed(tmp_path, torch, state):
    torch.save(state, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    with pytest.raises(CheckpointError, match="its parts are packed; save it with"):
        load(tmp_path / "a.pt")


def test_torch_without_checksums(tmp_path, torch, state):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    same(load(tmp_path / "a.pt"))


def test_numpy_is_not_called(tmp_path, torch, state, monkeypatch):
    beside = {"best": np.float64(0.5), "losses": np.arange(3.0)}
    torch.save({"state_dict": state} | beside, tmp_path / "a.pt")

    def called(*_args):
        raise AssertionError

    for name in ("scalar", "_reconstruct"):
        monkeypatch.setattr(np._core.multiarray, name, called)
    same(load(tmp_path / "a.pt"))


def write_sound(file, suffix, torch, state):
    if suffix == ".npz":
        np.savez(file, **ARRAYS)
    elif suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(state, file)
    else:
        torch.save(
            {"state_dict": state, "best": np.float64(0.5)},
            file,
            _use_new_zipfile_serialization=suffix == ".pt",
        )


@pytest.mark.filterwarnings("ignore")  # of the libraries, about what they cannot read
@pytest.mark.parametrize("suffix", [".npz", ".pt", ".pth", ".safetensors"])
def test_bits_that_flip(tmp_path, torch, state, suffix):
    file = tmp_path / f"a{suffix}"
    write_sound(file, suffix, torch, state)
    content, refused = file.read_bytes(), 0
    random = np.random.default_rng(5)
    for place in random.integers(8 * len(content), size=150):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << (place % 8)
        file.write_bytes(damaged[: random.integers(1, len(content)) or None])
        with pytest.raises(ValueError, match=rf"checkpoint '.*a\{suffix}'"):
            load(file)
        file.write_bytes(damaged)
        try:
            found = load(file)
        except CheckpointError as error:
            assert f"a{suffix}'" in str(error)  # noqa: PT017
            refused += 1
        else:  # in what nobody reads; these two formats have no checksums
            if suffix in (".npz", ".pt"):
                same({name: found[name] for name in ARRAYS})
    assert refused > 20
