"""Speed of every kernel as a share of what memory allows, on each backend.

The limits are taken in the same run, by the same threads: copy, triad, read-only sum
and fill. Bytes are those that `sharpkit._vectors.space` counts: vectors that must be
read or written, none for fetching a line before it is written.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

import sharpkit
from bench.stream import device_limits, limits
from bench.table import CaseError, Table
from bench.timing import Timing, interleaved, ratio
from bench.vectors import Call, Vectors
from sharpkit._vectors.backends import MODULES
from sharpkit._vectors.kernels import reference
from sharpkit._vectors.parallel import available_cores
from sharpkit._vectors.space import Space

N = {"cpu": 10**7, "cuda": 5 * 10**7}  # beyond the caches
ROUNDS, QUICK_ROUNDS = 12, 2
QUEUED = 10  # calls that a device is given at once
CHECKED = 100_003  # coordinates; several chunks, and a rest
STEADY = 0.2  # the quartiles of a time worth reading are no further apart
# Relative to the largest number of a result: sums in another order, and normals that
# agree to a few roundings of float32.
CLOSE, CLOSE_NORMALS = 1e-12, 1e-6


@dataclass(frozen=True)
class Place:
    """A backend, and how time passes there."""

    backend: str
    threads: int | None  # None: not a matter of threads
    clock: Callable[[], float]
    queued: int
    cupy: ModuleType | None = None

    @property
    def name(self) -> str:
        """How it is shown."""
        if self.threads is None:
            return self.backend
        return f"{self.backend}, {self.threads}"


def run(*, quick: bool) -> Table:
    before, found = sharpkit.get_num_threads(), places()
    if quick:
        found = found[-1:]
    for backend in dict.fromkeys(place.backend for place in found):
        check(backend)
    try:
        data = [
            record
            for place in found
            for dtype in ((np.float32,) if quick else (np.float32, np.float64))
            for record in measure(
                place,
                dtype,
                n=N[place.backend],
                rounds=QUICK_ROUNDS if quick else ROUNDS,
            )
        ]
    finally:
        sharpkit.set_num_threads(before)
    return table(data)


def places() -> list[Place]:
    """Return the backends that can be had, the CPU with one and with all threads."""
    threads = sorted({1, available_cores()})
    found = [Place("cpu", each, time.perf_counter, 1) for each in threads]
    if sharpkit.backends().get("cuda") == "available":
        cupy = importlib.import_module("cupy")
        found.append(Place("cuda", None, _waiting_clock(cupy), QUEUED, cupy))
    return found


def _waiting_clock(cupy: ModuleType) -> Callable[[], float]:
    """Return a clock that first waits for whatever the device has been given."""

    def clock() -> float:
        cupy.cuda.get_current_stream().synchronize()
        return time.perf_counter()

    return clock


def check(backend: str, n: int = CHECKED) -> None:
    """Raise unless every call gives what the specification gives, in float64."""
    ours = Vectors(Space(importlib.import_module(MODULES[backend]), n, np.float64))
    theirs = Vectors(Space(reference, n, np.float64))
    for name in ("w", "z", "d", "out", "x", "block", "more"):
        # The normals of the backends differ by roundings; the kernels get equal ones.
        made = getattr(theirs, name)
        if backend == "cuda":
            made = importlib.import_module("cupy").asarray(made)
        getattr(ours, name)[...] = made
    expected = theirs.calls()
    for name, call in ours.calls().items():
        compare(f"{backend} {name}", call.run(), expected[name].run())


def compare(name: str, found: Any, expected: Any) -> None:
    """Raise unless two results agree."""
    for here, there in zip(_parts(found), _parts(expected), strict=True):
        off = float(np.max(np.abs(here - there), initial=0.0))
        close = CLOSE_NORMALS if "normal" in name else CLOSE
        if not off <= close * float(np.max(np.abs(there), initial=0.0)):
            msg = f"{name} differs from the specification by {off:.3g}"
            raise CaseError(msg)


def _parts(result: Any) -> list[np.ndarray]:
    parts = result if isinstance(result, tuple) else (result,)
    return [np.asarray(p.get() if hasattr(p, "get") else p) for p in parts]


def measure(place: Place, dtype: Any, *, n: int, rounds: int) -> list[dict[str, Any]]:
    """Time limits and calls in turns; return one record for each."""
    if place.threads is not None:
        sharpkit.set_num_threads(place.threads)
    kernels = importlib.import_module(MODULES[place.backend])
    vectors = Vectors(Space(kernels, n, dtype))
    calls, space = vectors.calls(), vectors.space
    arrays = vectors.w, vectors.d, vectors.out, vectors.more.ravel()
    bounds = device_limits(place.cupy, *arrays) if place.cupy else limits(*arrays)
    candidates = {f"limit {name}": limit.run for name, limit in bounds.items()}
    candidates |= {name: call.run for name, call in calls.items()}
    moved = {f"limit {name}": limit.bytes for name, limit in bounds.items()}
    for name, call in calls.items():
        space.counts.clear()
        call.run()
        moved[name] = sum(count.bytes for count in space.counts.values())
    times = interleaved(
        {name: _times(run, place.queued) for name, run in candidates.items()},
        rounds=rounds,
        clock=place.clock,
    )
    where = {
        "place": place.name,
        "backend": place.backend,
        "threads": place.threads,
        "dtype": np.dtype(dtype).name,
        "n": n,
    }
    return [
        where | _record(name, calls.get(name), n, moved, times, place.queued)
        for name in candidates
    ]


def _times(run: Callable[[], object], count: int) -> Callable[[], object]:
    if count == 1:
        return run

    def repeated() -> None:
        for _ in range(count):
            run()

    return repeated


def _record(
    name: str,
    call: Call | None,
    n: int,
    moved: dict[str, int],
    times: dict[str, Timing],
    queued: int,
) -> dict[str, Any]:
    timing = times[name]
    seconds = timing.median / queued
    record: dict[str, Any] = {
        "kernel": name,
        "seconds": seconds,
        "spread": timing.spread,
        "bytes": moved[name],
        "gb_per_s": moved[name] / seconds / 1e9,
    }
    if call is None:
        return record
    limit = f"limit {call.limit}"
    share = moved[name] / moved[limit] / ratio(timing, times[limit])
    return record | {
        "limit": call.limit,
        "share": share,
        "target": call.target,
        "met": None if call.target is None else share >= call.target,
        "busy": max(timing.spread, times[limit].spread) > STEADY,
        "gfma_per_s": n * call.work / seconds / 1e9 if call.work else None,
        "numbers_per_s": n / seconds if call.drawn else None,
    }


def table(data: list[dict[str, Any]]) -> Table:
    """Return one row per kernel and dtype, with columns for each place."""
    found = list(dict.fromkeys(record["place"] for record in data))
    rows: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for record in data:
        key = record["kernel"], record["dtype"]
        rows.setdefault(key, {})[record["place"]] = record
    sizes = sorted({record["n"] for record in data})
    return Table(
        title=f"GB/s (backend, threads), n = {', '.join(f'{n:.0e}' for n in sizes)}",
        columns=(
            "kernel",
            "dtype",
            *(head for place in found for head in (f"{place}: GB/s", "of limit")),
            "rate",
            "target",
            "met",
        ),
        rows=[_row(*key, [by.get(p) for p in found]) for key, by in rows.items()],
        notes=_notes(data),
        data={"kernels": data},
    )


def _row(
    kernel: str, dtype: str, records: list[dict[str, Any] | None]
) -> tuple[str, ...]:
    cells: list[str] = []
    for record in records:
        if record is None:
            cells += ["", ""]
            continue
        cells += [f"{record['gb_per_s']:.1f} ±{50 * record['spread']:.0f} %"]
        cells += [f"{record['share']:.0%}" if "share" in record else ""]
    known = [record for record in records if record is not None]
    target, limit = known[0].get("target"), known[0].get("limit")
    verdicts = dict.fromkeys(_verdict(record) for record in known)
    return (
        kernel,
        dtype,
        *cells,
        _rates(known),
        f">= {target:.0%} {limit}" if target else limit or "",
        " / ".join(verdicts) if target else "",
    )


def _verdict(record: dict[str, Any]) -> str:
    if record.get("met") is None:
        return ""
    return ("yes" if record["met"] else "NO") + ("?" if record["busy"] else "")


def _rates(records: list[dict[str, Any]]) -> str:
    for key, unit, name in (
        ("numbers_per_s", 1e6, "M/s"),
        ("gfma_per_s", 1, "GFMA/s"),
    ):
        found = [record[key] / unit for record in records if record.get(key)]
        if found:
            return f"{' / '.join(f'{rate:.3g}' for rate in found)} {name}"
    return ""


def _notes(data: list[dict[str, Any]]) -> tuple[str, ...]:
    judged = [record for record in data if record.get("target") is not None]
    busy = [record for record in data if record.get("busy")]
    notes = [
        f"{sum(record['met'] for record in judged)} of {len(judged)} targets met; yes, "
        "NO and rates: for each place in order, equal verdicts once",
        "GB/s: median, ± half the distance of the quartiles; all take turns",
        "of limit: against triad (kernels that write), read-only sum (that do not) or "
        "fill (random numbers), of the same dtype, threads and run",
        "bytes: vectors that must be read or written; the limits are counted alike",
        "checked first: every call agrees with the specification, in float64",
    ]
    if busy:
        notes.insert(
            1,
            f"BUSY MACHINE: do not trust {len(busy)} of {len(data)} rows, marked ? "
            "where they have a target; their times or those of their limit scatter",
        )
    if not any(record["backend"] == "cuda" for record in data):
        reason = sharpkit.backends().get("cuda", "no such backend")
        notes.append(f"no CUDA device: {reason}")
    return tuple(notes)
