import importlib
import re
import sys

import fake_cupy
import numpy as np
import pytest

import sharpkit
from sharpkit._vectors.backends import MODULES, backends, kernels_for

VERBS = [
    *("empty", "gram", "combine", "fill_signs", "fill_normal"),
    *("box_radius", "box_step", "box_toward", "box_free", "box_residual", "box_reach"),
    *("path_gram", "free_gram"),
]
W = np.ones(3)


def test_what_is_available_here():
    found = backends()
    assert list(found) == ["cpu", "cuda", "reference"]
    assert found["cpu"] == found["reference"] == "available"
    assert found["cuda"] == "available" or re.search("(?i)cupy", found["cuda"])
    assert sharpkit.backends is backends


@pytest.mark.parametrize("name", ["cpu", "reference"])
def test_a_backend_has_every_verb(name):
    found, kernels = kernels_for(name, W)
    assert found == name
    assert kernels is importlib.import_module(f"sharpkit._vectors.kernels.{name}")
    assert all(callable(getattr(kernels, verb)) for verb in VERBS)


def test_none_is_where_the_weights_live():
    assert kernels_for(None, W) == kernels_for("cpu", W)


def test_cupy_weights_choose_cuda():
    with fake_cupy.installed() as cupy:
        weights = cupy.ones(3)
        name, kernels = kernels_for(None, weights)
        assert name == "cuda"
        assert kernels_for("cuda", weights)[1] is kernels
        assert kernels.__name__ == "sharpkit._vectors.kernels.cuda"
        assert all(callable(getattr(kernels, verb)) for verb in VERBS)
        with pytest.raises(
            ValueError, match=r"'cuda', but weights is a NumPy array; g"
        ):
            kernels_for("cuda", W)
        for name in ("cpu", "reference"):
            with pytest.raises(
                ValueError, match=r"but weights is on a CUDA device; .*cupy\.asnumpy"
            ):
                kernels_for(name, weights)


@pytest.mark.parametrize("name", ["CPU", "", "gpu", 3, [], {}, set()])
def test_unknown_names(name):
    with pytest.raises(
        ValueError, match=r"backend=.*; give one of 'cpu', 'cuda', 'reference', or"
    ) as caught:
        kernels_for(name, W)
    assert f"backend={name!r}" in str(caught.value)


def test_a_backend_that_cannot_be_had(monkeypatch):
    monkeypatch.setitem(MODULES, "cpu", "sharpkit._vectors.kernels.missing")
    reason = "No module named 'sharpkit._vectors.kernels.missing'"
    assert backends()["cpu"] == reason
    with pytest.raises(RuntimeError, match=f"'cpu' cannot be used here: {reason}"):
        kernels_for(None, W)


def test_a_checkout_without_its_extension_says_what_to_do(monkeypatch):
    monkeypatch.delattr(sharpkit, "_native", raising=False)
    monkeypatch.setitem(sys.modules, "sharpkit._native", None)
    monkeypatch.delitem(sys.modules, "sharpkit._vectors.kernels.cpu", raising=False)
    monkeypatch.delattr(sharpkit._vectors.kernels, "cpu", raising=False)
    with pytest.raises(RuntimeError, match=r"not built in this folder; run pip inst"):
        kernels_for("cpu", W)
