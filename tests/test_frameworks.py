"""`sharpkit.torch` and `sharpkit.jax`, loaded when asked for."""

from __future__ import annotations

import sys

import pytest

import sharpkit


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_framework_is_reached_by_its_name(name):
    pytest.importorskip(name)
    found = getattr(sharpkit, name)
    assert found.__name__ == f"sharpkit.{name}"
    assert callable(found.problem)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_missing_library_is_named(name, monkeypatch):
    ours = f"sharpkit.{name}"
    for module in [m for m in sys.modules if m.startswith(ours)]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(vars(sharpkit), name, raising=False)
    monkeypatch.setitem(sys.modules, name, None)
    message = rf"^{ours} needs {name}: pip install 'sharpkit\[{name}\]'$"
    with pytest.raises(ModuleNotFoundError, match=message):
        getattr(sharpkit, name)


def test_there_is_no_other():
    with pytest.raises(AttributeError, match="has no attribute 'tensorflow'"):
        _ = sharpkit.tensorflow
