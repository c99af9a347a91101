"""docs/runs.md: its lines hand over executors, whoever makes them."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from sharpkit.lab import reproduction

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "runs.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


class Made(ThreadPoolExecutor):
    """What Dask, submitit and mpi4py would make."""

    def __init__(self, *address, folder=None):
        super().__init__(1)

    def update_parameters(self, **parameters):
        assert "timeout_min" in parameters


@pytest.mark.parametrize("block", BLOCKS, ids=["dask", "submitit", "mpi4py"])
def test_the_lines_run(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "C1" in block:
        pytest.importorskip("torch")
    for name in ("dask.distributed", "submitit", "mpi4py.futures"):
        made = SimpleNamespace(Client=Made, AutoExecutor=Made, MPIPoolExecutor=Made)
        monkeypatch.setitem(sys.modules, name.partition(".")[0], made)
        monkeypatch.setitem(sys.modules, name, made)
    used = []

    def carry_out(tasks, folder, *, executor, advance):
        used.append((len(tasks), executor))
        return []

    monkeypatch.setattr(reproduction, "carry_out", carry_out)
    exec(block, {})
    [(count, executor)] = used
    assert count > 10
    assert isinstance(executor, Made)
