"""The best known maximum of a box: by searches longer than any judged, kept in files.

The files lie where the environment variable ``SHARPKIT_BENCH_CACHE`` says, else in
``sharpkit/bench`` of the user's cache folder.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

import sharpkit
from bench.boxes import Box, Source
from bench.table import CaseError
from sharpkit import LBFGSB, ScipyLBFGSB

FOLDER = "SHARPKIT_BENCH_CACHE"
PROCESSES = 2
# What is kept is found again only under the same searches.
Searches = tuple[tuple[str, dict[str, Any]], ...]
# At least 2000 evaluations are meant; some searches end early.
BUDGETS = {11: 800, 12: 600, 13: 300, 14: 200, 15: 200, 17: 200}  # by seed
LONG: Searches = (
    *(
        (f"auto {budget}, seed {seed}", dict(max_evaluations=budget, seed=seed))
        for seed, budget in BUDGETS.items()
    ),
    ("auto 200 inside", dict(max_evaluations=200, seed=16, stay_inside=True)),
    ("lbfgsb 100 scaled", dict(solver=LBFGSB(100, rescale=True))),
    ("scipy 50 scaled", dict(solver=ScipyLBFGSB(50, rescale=True))),
)
QUICK: Searches = (LONG[2], LONG[7])  # 400 evaluations


@dataclass(frozen=True)
class Known:
    """The highest value known, in per cent, what found it, and what that cost."""

    value: float
    by: str
    evaluations: int


def best_known(box: Box, searches: Searches, found: dict[str, float]) -> Known:
    """Return the best of a box's long searches and of the values just ``found``.

    The searches run unless they did before; what is higher than they are is kept.

    Raises
    ------
    CaseError
        If there is no rise at all.
    """
    if box.exact is not None:
        return Known(box.exact, "exact", 0)
    path = cache_folder() / f"{box.fingerprint(searches)}.json"
    before = known = _read(path)
    if known is None:
        results = {name: box.measure(**settings) for name, settings in searches}
        by = max(results, key=lambda name: results[name].value)
        spent = sum(result.evaluations for result in results.values())
        known = Known(results[by].value, by, spent)
    by = max(found, key=found.__getitem__)
    if found[by] > known.value:
        known = Known(found[by], by, known.evaluations)
    if not known.value > 0:
        msg = f"{box.name}: no solver found any rise of the loss"
        raise CaseError(msg)
    if known != before:
        _write(path, known, box.name)
    return known


def cache_folder() -> Path:
    """Return where best known values are kept."""
    if os.environ.get(FOLDER):
        return Path(os.environ[FOLDER])
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "sharpkit", "bench")


def _read(path: Path) -> Known | None:
    if not path.exists():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    return Known(stored["value"], stored["by"], stored["evaluations"])


def _write(path: Path, known: Known, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps({"box": name, **asdict(known)}), encoding="utf-8")
    partial.replace(path)


def in_processes(
    sources: Sequence[Source],
    work: Callable[[Source], list[dict[str, Any]]],
    label: str,
) -> list[dict[str, Any]]:
    """Return what the work on each source gives, in order: in processes of one thread.

    Evaluations are compared, not seconds.
    """
    began, found = time.perf_counter(), {}
    with ProcessPoolExecutor(
        PROCESSES, multiprocessing.get_context("spawn"), _one_thread
    ) as pool:
        futures = {pool.submit(work, each): each for each in sources}
        for future in as_completed(futures):
            found[futures[future]] = future.result()
            print(
                f"{label}: {futures[future]} done, {len(found)} of {len(sources)}, "
                f"{time.perf_counter() - began:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    return [record for each in sources for record in found[each]]


def _one_thread() -> None:
    sharpkit.set_num_threads(1)
    threadpool_limits(limits=1)  # until the process ends
