from __future__ import annotations

import importlib

import pytest

import sharpkit
from sharpkit.backends import MODULES, backends, kernels_for

VERBS = ["gram", "combine", "box_radius", "box_step", "fill_signs", "fill_normal"]


def test_all_are_available_here():
    assert backends() == {"cpu": "available", "reference": "available"}
    assert sharpkit.backends is backends


@pytest.mark.parametrize("name", ["cpu", "reference"])
def test_a_backend_has_every_verb(name):
    found, kernels = kernels_for(name)
    assert found == name
    assert kernels is importlib.import_module(f"sharpkit.kernels.{name}")
    assert all(callable(getattr(kernels, verb)) for verb in VERBS)


def test_none_is_where_the_weights_live():
    assert kernels_for(None) == kernels_for("cpu")


@pytest.mark.parametrize("name", ["CPU", "", "cuda", 3])
def test_unknown_names(name):
    with pytest.raises(
        ValueError, match=r"backend=.*; give one of 'cpu', 'reference', or None to"
    ) as caught:
        kernels_for(name)
    assert f"backend={name!r}" in str(caught.value)


def test_a_backend_that_cannot_be_had(monkeypatch):
    monkeypatch.setitem(MODULES, "cpu", "sharpkit.kernels.missing")
    reason = "No module named 'sharpkit.kernels.missing'"
    assert backends() == {"cpu": reason, "reference": "available"}
    with pytest.raises(RuntimeError, match=f"'cpu' cannot be used here: {reason}"):
        kernels_for(None)
