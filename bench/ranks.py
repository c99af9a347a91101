"""Programs on several ranks, as torchrun starts them, and what their reductions take.

A world of any size is simulated in one process, in which all ranks hold the same: what
is gathered are copies of its own row.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.table import CaseError
from sharpkit._vectors import groups
from sharpkit._vectors.ranks import ROW, Ranks
from sharpkit._vectors.space import Space
from sharpkit.measures import _sharded

ROOT = Path(__file__).resolve().parents[1]
# Ranks share the cores; what they free goes back to the system at once.
SURROUNDINGS = {
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
}
LAST_LINES = 15  # of what a program that failed has printed


def on_ranks(ranks: int, module: str, **options: Any) -> list[dict[str, Any]]:
    """Run ``module`` as a program on ranks of gloo; return what each has told.

    Its last arguments are the options as JSON, and the folder that `tell` writes to.
    """
    if importlib.util.find_spec("torch") is None:
        msg = "PyTorch is not installed: pip install torch"
        raise CaseError(msg)
    run = ["torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", *run, "-m", module, json.dumps(options), folder],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | SURROUNDINGS,
            check=False,
        )
        if done.returncode:
            own = done.stderr.rpartition("Traceback")[0]  # the last is torchrun's
            lines = own.strip().splitlines()[-LAST_LINES:]
            raise CaseError("\n".join([f"{module} on {ranks} ranks failed:", *lines]))
        return [
            json.loads((Path(folder) / str(rank)).read_text()) for rank in range(ranks)
        ]


def tell(rank: int, found: dict[str, Any]) -> None:
    """Tell what a rank has found."""
    (Path(sys.argv[2]) / str(rank)).write_text(json.dumps(found))


class Simulated(Ranks):
    """Ranks that all hold the same."""

    def gather(self, row: Any, patience: float | None = None) -> Any:
        """Return as many copies of the row as there are ranks."""
        return np.tile(row, (self.count, 1))

    def place(self, n: int, pieces: Any = None) -> None:
        """Leave this one the first, and the others alike."""

    def _require_alike(self, arguments: Any) -> None:
        """Believe it."""

    @classmethod
    def taken(
        cls, measure: Callable[..., Any], count: int, problem: Any, **options: Any
    ) -> Any:
        """Return what a measure gives on simulated ranks."""
        before, ranks = _sharded.ranks_of, cls(0, count)
        _sharded.ranks_of = lambda process_group, comm: ranks
        try:
            return measure(problem, comm=ranks, **options)
        finally:
            _sharded.ranks_of = before


class Reductions:
    """The gatherings of all measures from now on, and the passes over vectors.

    Waiting for slower ranks is part of the seconds of gatherings.
    """

    def __init__(self, kind: type[Ranks] = groups._TorchRanks) -> None:
        self.count, self.seconds = 0, 0.0
        self._spaces: list[Space] = []
        gather, init, spaces = kind.gather, Space.__init__, self._spaces

        def noted(space: Space, *args: Any, **options: Any) -> None:
            init(space, *args, **options)
            spaces.append(space)

        Space.__init__ = noted  # type: ignore[method-assign]

        def timed(ranks: Any, row: Any, *rest: Any) -> Any:
            began = time.perf_counter()
            found = gather(ranks, row, *rest)
            self.seconds += time.perf_counter() - began
            self.count += 1
            return found

        kind.gather = timed  # type: ignore[method-assign]

    def of(self, work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
        """Return what work returns, and what it took."""
        self._spaces.clear()
        before, began = (self.count, self.seconds), time.perf_counter()
        found = work()
        return found, {
            "seconds": time.perf_counter() - began,
            "reductions": self.count - before[0],
            "reducing": self.seconds - before[1],
            "passes": sum(map(_passes, self._spaces)),
        }


def _passes(space: Space) -> float:
    """Return how many vectors a space has read or written."""
    moved = sum(count.bytes for count in space.counts.values())
    return moved / max(space.n * space.dtype.itemsize, 1)


def seconds_of_one(ranks: Ranks, repeats: int = 200) -> float:
    """Return the median seconds of one gathering, with nothing to wait for."""
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        ranks.gather(np.zeros(ROW))
        found.append(time.perf_counter() - began)
    return float(np.median(found))
