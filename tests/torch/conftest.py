"""Shared by the tests of PyTorch models."""

import sys
from pathlib import Path

import pytest

# `torch_cases` and others stand beside this file.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def one_thread():
    from torch_required import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def watch():
    """``watch(module)``: all of it, and the random state, must be as now at the end."""
    from torch_untouched import assert_same, fingerprint, randomness

    watched = []

    def begin(module):
        watched.append((module, fingerprint(module), randomness()))
        return module

    yield begin
    assert watched, "the test watched no module"
    for module, before, state in watched:
        assert_same(fingerprint(module), before)
        assert randomness() == state
