import os

import numpy as np
import pytest
from numba.core import caching

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

    monkeypatch.setattr(caching, "FunctionCache", broken)
    monkeypatch.setattr("numba.core.dispatcher.FunctionCache", broken)
    with pytest.raises(RuntimeError, match="something else"):
        compiling.jit(double)


def test_the_steps_of_training_can_be_loaded_without_it(cacheless):
    import importlib

    from sharpkit.lab.steps import fused

    spec = importlib.util.spec_from_file_location("fused_again", fused.__file__)
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    z = np.ones((3, 2))
    mean, var = again.column_statistics(z)
    np.testing.assert_array_equal([mean, var], [[1, 1], [0, 0]])
