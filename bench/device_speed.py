"""Speed on a CUDA device: ``python bench/device_speed.py {kernels,steps,epochs}``.

``kernels`` are all vector kernels as shares of what the memory allows, in this run and
by its clock and bus; ``steps`` one Adam step of network F1 with sharpkit.lab, against
PyTorch's on the device; ``epochs`` one epoch of it with the fused steps, against the
plain array lines. Results are checked before anything is timed.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from bench.cases import kernels as cases, trainer  # noqa: E402
from bench.run import FILE_WIDTH, record, show  # noqa: E402
from bench.table import CaseError, Table  # noqa: E402
from bench.timing import interleaved, ratio  # noqa: E402
from sharpkit.lab.networks import mlp  # noqa: E402
from sharpkit.lab.networks.mlp import MLP  # noqa: E402
from sharpkit.lab.steps import plain  # noqa: E402
from sharpkit.lab.training import optimizers  # noqa: E402
from sharpkit.lab.training.loop import TrainingRun, train  # noqa: E402
from sharpkit.lab.training.regime import Regime  # noqa: E402

ROUNDS = 12
REHEARSED = 301, (12, 10, 8, 4)  # coordinates and a network for a run on the CPU
EPOCH_ROWS, EPOCH_ROUNDS = 12_000, 3
# Losses on a device: their products are summed in another order than PyTorch's.
CLOSE = 1e-5


def kernels(*, quick: bool) -> Table:
    """Return the table of the vector kernels."""
    places = [place for place in cases.places() if place.backend == "cuda"]
    if not places:
        msg = "the CUDA backend cannot be used"
        raise CaseError(msg)
    n = REHEARSED[0] if quick else cases.N["cuda"]
    cases.check("cuda", min(n, cases.CHECKED))
    data = [
        found
        for dtype in (np.float32, np.float64)
        for found in cases.measure(places[0], dtype, n=n, rounds=1 if quick else ROUNDS)
    ]
    known = importlib.import_module("cupy").cuda.Device().attributes
    # Kilohertz, two transfers for each, and bits; 0 where the device does not tell.
    peak = 2e3 * known.get("MemoryClockRate", 0) / 1e9
    peak *= known.get("GlobalMemoryBusWidth", 0) / 8
    for found in data:
        found["of_peak"] = found["gb_per_s"] / peak if peak else None
    shares = [
        f"{found['kernel']} {found['of_peak']:.0%}"
        for found in data
        if found["dtype"] == "float32" and peak
    ]
    note = f"of the memory's {peak:.0f} GB/s by clock and bus: {', '.join(shares)}"
    table = cases.table(data)
    more = table.data | {"peak_gb_per_s": peak or None}
    return dataclasses.replace(table, notes=(note, *table.notes), data=more)


def steps(*, quick: bool) -> Table:
    """Return the table of the training steps."""
    sizes, device = (REHEARSED[1], "cpu") if quick else (trainer.SIZES, "cuda")
    data, rows = [], []
    for batch in list(trainer.TARGETS)[: 1 if quick else None]:
        times = interleaved(
            _candidates(sizes, batch, device),
            rounds=1 if quick else ROUNDS,
            turn=trainer.TURN[batch],
            settle=1,
        )
        shares = [ratio(times[trainer.OURS], each) for each in times.values()]
        seconds = {name: timing.median for name, timing in times.items()}
        data.append({"batch": batch, "seconds": seconds, "shares": shares[1:]})
        shown = (*map(str, times.values()), *map("{:.2f}".format, shares[1:]))
        rows.append((str(batch), *shown))
    return Table(
        title=f"one Adam step, {'-'.join(map(str, sizes))}, float32, on the device",
        columns=("batch", *times, "of torch", "of fused"),
        rows=rows,
        notes=(
            "time: median ± half the distance of the quartiles, of a step and of its "
            "loss read: the host waits for the device after each",
            "of torch, of fused: ratio of medians",
            "checked first: one step gives the same losses and weights as PyTorch's",
        ),
        data={"steps": data},
    )


def _candidates(
    sizes: tuple[int, ...], batch: int, device: str
) -> dict[str, trainer.Step]:
    cupy, torch = map(importlib.import_module, ("cupy", "torch"))
    random = np.random.default_rng(batch)
    x = random.random((batch, sizes[0]), np.float32)
    y = random.integers(0, sizes[-1], batch)
    network = MLP(sizes)
    start = network.initial_weights(0)
    queued, weights = trainer.sharpkit_step(network, *map(cupy.asarray, (start, x, y)))

    def ours() -> float:
        return float(queued())

    (theirs, flat), (fused, _) = (
        trainer.torch_step(torch, network, start, x, y, fused=fused, device=device)
        for fused in (False, True)
    )
    trainer.check(
        network,
        trainer.Taken(ours(), cupy.asnumpy(weights), ours()),
        trainer.Taken(theirs(), flat(), theirs()),
        rtol=CLOSE,
    )
    return {trainer.OURS: ours, trainer.DEFAULT: theirs, trainer.FUSED: fused}


def epochs(*, quick: bool) -> Table:
    """Return the table of training epochs."""
    sizes = REHEARSED[1] if quick else trainer.SIZES
    data, rows = [], []
    for batch in list(trainer.TARGETS)[: 1 if quick else None]:
        checked = _epochs(sizes, batch, 3 * batch, "f8").values()
        if not np.allclose(*(train().weights.get() for train in checked), 1e-6, 1e-9):
            msg = f"an epoch in batches of {batch} ends at other weights"
            raise CaseError(msg)
        count = 3 * batch if quick else EPOCH_ROWS
        candidates = _epochs(sizes, batch, count, "f4")
        times = interleaved(candidates, rounds=1 if quick else EPOCH_ROUNDS)
        share = ratio(*times.values())
        seconds = {name: timing.median for name, timing in times.items()}
        data.append({"batch": batch, "rows": count, "seconds": seconds})
        rows.append((str(batch), *map(str, times.values()), f"{share:.2f}"))
    return Table(
        title=f"one epoch of Adam, {'-'.join(map(str, sizes))}, float32, on the device",
        columns=("batch", *times, "of plain"),
        rows=rows,
        notes=(
            f"of {count} rows; time: median ± half the distance of the quartiles",
            "of plain: ratio of medians",
            "checked first: an epoch in float64 gives the same weights",
        ),
        data={"epochs": data},
    )


def _epochs(
    sizes: tuple[int, ...], batch: int, rows: int, dtype: str
) -> dict[str, Callable[[], TrainingRun]]:
    """Return an epoch with the fused steps, and the same one with plain array lines."""
    cupy, random = importlib.import_module("cupy"), np.random.default_rng(batch)
    network, regime = MLP(sizes), Regime(batch_size=batch, max_epochs=1)
    given = network.initial_weights(0), random.random((rows, sizes[0]))
    start, x = (cupy.asarray(each.astype(dtype)) for each in given)
    y = cupy.asarray(random.integers(0, sizes[-1], rows))

    def fused() -> TrainingRun:
        return train(network, x, y, regime, start=start, seed=0)

    def lines() -> TrainingRun:
        with contextlib.ExitStack() as stack:
            for module in (mlp, optimizers):
                patch = mock.patch.object(module, "steps_for", _plain)
                stack.enter_context(patch)
            return fused()

    return {"fused steps": fused, "plain lines": lines}


def _plain(array: Any) -> ModuleType:
    return plain


def main(arguments: list[str] | None = None) -> int:
    """Print a table and one line of JSON; return the exit status."""
    tables = {"kernels": kernels, "steps": steps, "epochs": epochs}
    parser = argparse.ArgumentParser(prog="bench/device_speed.py")
    parser.add_argument("table", choices=tables)
    parser.add_argument("--rehearse", action="store_true", help="run it on the CPU")
    options = parser.parse_args(arguments)
    stand_in: Any = contextlib.nullcontext()
    if options.rehearse:
        sys.path.append(str(ROOT / "tests" / "helpers"))
        stand_in = importlib.import_module("fake_cupy").installed()
    began = time.perf_counter()
    try:
        with stand_in:
            table = tables[options.table](quick=options.rehearse)
    except CaseError as error:
        print(f"{options.table}: {error}", file=sys.stderr)
        return 1
    show(Console(width=FILE_WIDTH), options.table, table)
    seconds = time.perf_counter() - began
    print(record(options.table, table, quick=options.rehearse, seconds=seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
