import importlib
from pathlib import Path

import pytest

import sharpkit

ROOT = Path(__file__).parents[2]


@pytest.fixture
def load(monkeypatch):
    """Import a module of the bench, with sharpkit's threads put back afterwards."""
    monkeypatch.syspath_prepend(ROOT)
    before = sharpkit.get_num_threads()
    yield importlib.import_module
    sharpkit.set_num_threads(before)
