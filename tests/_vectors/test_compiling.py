import importlib
import os
from pathlib import Path

import numpy as np
import pytest
from numba.core import caching

import sharpkit
from sharpkit._inputs.warn import SharpkitWarning
from sharpkit._vectors import compiling


def double(x):
    return 2 * x


@pytest.fixture
def cacheless(monkeypatch):
    """A machine on which Numba finds no folder to write to."""
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])


def test_compiled_code_is_cached(tmp_path, monkeypatch):
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    assert compiling.jit(double, "float64(float64)")(1.5) == 3
    assert [name for _, _, files in os.walk(tmp_path) for name in files]


def test_it_compiles_without_a_folder_for_the_cache(cacheless):
    for signature in ([], ["float64(float64)"]):
        compiled = compiling.jit(double, *signature, nogil=True)
        assert compiled(1.5) == 3
        assert compiled.signatures
        assert compiled.targetoptions["nogil"]


def test_other_errors_come_through(monkeypatch):
    def broken(*_args):
        msg = "something else"
        raise RuntimeError(msg)

    monkeypatch.setattr(compiling, "_Cache", broken)
    with pytest.raises(RuntimeError, match="something else"):
        compiling.jit(double)


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("signature", [[], ["float64(float64)"]])
@pytest.mark.parametrize("damage", ["a bit", "cut short", "empty"])
def test_a_damaged_cache(tmp_path, monkeypatch, suffix, signature, damage):
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    assert compiling.jit(double, *signature)(1.5) == 3
    assert compiling.jit(double, *signature)(1.5) == 3
    [file] = tmp_path.rglob(f"*{suffix}")
    content = bytearray(file.read_bytes())
    if damage == "a bit":
        content[len(content) // 2] ^= 1
    file.write_bytes(content[: {"cut short": 40, "empty": 0}.get(damage)])
    match = r"Numba's cache in .* is damaged .*; double is compiled anew"
    with pytest.warns(SharpkitWarning, match=match):
        assert compiling.jit(double, *signature)(1.5) == 3
    again = compiling.jit(double, *signature)
    assert again(1.5) == 3
    hits = again.stats.cache_hits
    assert sum(hits.values()) == 1


def test_a_full_disk(tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    assert compiling.jit(double)(1.5) == 3


@pytest.mark.parametrize(
    "name", ["steps.fused", "training.augment", "data.pen", "data.painting"]
)
def test_the_lab_can_be_loaded_without_it(cacheless, name):
    known = importlib.import_module(f"sharpkit.lab.{name}")
    spec = importlib.util.spec_from_file_location("again", known.__file__)
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    if name == "steps.fused":
        mean, var = again.column_statistics(np.ones((3, 2)))
        np.testing.assert_array_equal([mean, var], [[1, 1], [0, 0]])


def test_every_cached_function_goes_through_here():
    root = Path(sharpkit.__file__).parent
    elsewhere = [
        path.name for path in root.rglob("*.py") if "cache=True" in path.read_text()
    ]
    assert elsewhere == []
