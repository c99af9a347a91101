import importlib
import sys

import pytest

from sharpkit._inputs.extras import needs


@pytest.mark.parametrize("module", ["matplotlib", "matplotlib.pyplot"])
def test_what_is_missing_is_named_with_its_extra(module, monkeypatch):
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with (
        pytest.raises(ModuleNotFoundError) as caught,
        needs("a plot", "rich", "matplotlib", extra="plot"),
    ):
        importlib.import_module(module)
    assert str(caught.value) == "a plot needs matplotlib: pip install 'sharpkit[plot]'"
    assert caught.value.name == "matplotlib"


@pytest.mark.parametrize("module", ["kiwisolver", "matplotlibs", "_kiwisolver"])
def test_what_a_library_lacks_is_said_in_its_own_words(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with (
        pytest.raises(ModuleNotFoundError, match=f"import of {module} halted"),
        needs("a plot", "matplotlib", extra="plot"),
    ):
        importlib.import_module(module)


def test_an_error_without_a_name_comes_through():
    lost = ModuleNotFoundError("lost")
    with (
        pytest.raises(ModuleNotFoundError, match="lost"),
        needs("a plot", "matplotlib", extra="plot"),
    ):
        raise lost
