from dataclasses import replace

import pytest
from tasks_here import work
from tiny_study import TINY

from sharpkit.lab.jobs.task import with_needs
from sharpkit.lab.store import Store


@pytest.fixture
def tiny():
    return TINY


@pytest.fixture
def other(tiny):
    """A study whose large-batch run diverges at once."""
    return replace(tiny, rate=1e30)


@pytest.fixture
def carried_out(tmp_path):
    """``carried_out(task)``: do it in this process; return its run and arrays."""

    def do(task):
        for each in with_needs([task]):
            work(each, tmp_path)
        with Store(tmp_path) as store:
            return store.get(task.key), store.arrays(task.key)

    return do
