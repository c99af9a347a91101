"""All that a CUDA device must show: ``python bench/device.py [part ...]``.

Within eight minutes: the kernels against the reference, the trainer's steps against
their plain lines, the measures and the trainer against the host, models of PyTorch and
JAX against dense matrices, shards over NCCL against whole models, and the speed of
kernels, training steps and epochs. Each part runs apart, and none stops the others. A
record goes to ``bench/results/<date>-<device>.json``; the exit status is 1 if a part
failed, if none passed, or if there is no device. ``--rehearse`` tries the parts on the
CPU, and collects their tests.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    # At the end: an installed sharpkit comes before the one that lies here.
    sys.path.append(str(ROOT))

import sharpkit  # noqa: E402
from bench import device_facts  # noqa: E402
from bench.environment import environment  # noqa: E402
from bench.parts import FAILED, PASSED, Outcome, Part, run  # noqa: E402

SECONDS = 480  # for all parts together
RESULTS = ROOT / "bench" / "results"
# What other libraries will cease to do is no fault of the device.
IGNORED = ("-W", "ignore::DeprecationWarning", "-W", "ignore::FutureWarning")
PYTEST = ("-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *IGNORED)
SPEED = ("-P", "bench/device_speed.py")


def _tests(name: str, *arguments: str, needs: tuple[str, ...] = ()) -> Part:
    return Part(name, (*PYTEST, *arguments), ("cupy", "pytest", "hypothesis", *needs))


CONFORMANCE = "tests/_vectors/kernels/test_conformance.py"
STEPS = "tests/lab/steps/test_{}conformance.py"
MEASURES = "tests/measures/test_{}_cuda.py"
PARTS = (
    _tests("conformance", CONFORMANCE, "-k", "cuda"),
    _tests("steps", *map(STEPS.format, ("", "product_")), "-k", "cuda"),
    _tests("solvers", *map(MEASURES.format, ("sharpness", "check"))),
    _tests("spectrum", *map(MEASURES.format, ("spectrum", "trace"))),
    _tests("trainer", "tests/lab/test_array_modules.py"),
    _tests("torch", "tests/torch/test_device.py", needs=("torch",)),
    _tests("jax", "tests/jax/test_device.py", needs=("jax",)),
    _tests("shards", "tests/torch/test_sharded_device.py", needs=("torch",)),
    Part("kernel speed", (*SPEED, "kernels"), ("cupy",)),
    Part("step speed", (*SPEED, "steps"), ("cupy", "torch")),
    Part("epoch speed", (*SPEED, "epochs"), ("cupy",)),
    _tests("compilers", "tests/_vectors/kernels/test_cuda_compile.py"),
)
# What a rehearsal leaves out, where the kernels are run thread by thread.
SMALL = {
    "conformance": ("-k", "cuda and f4 and (fill_signs or extremes)"),
    "steps": ("-k", "cuda and float32 and (backward or statistics) and 65"),
    "solvers": ("-k", "auto and f8 or bad"),
    "spectrum": ("-k", "f8 and (density or trace)"),
    "trainer": ("-k", "device or rescaling"),
    "torch": ("-k", "cpu and layer_norm and loss"),
    "jax": ("-k", "cpu and loss"),
    "shards": ("-k", "cpu"),
    "kernel speed": ("--rehearse",),
    "step speed": ("--rehearse",),
    "epoch speed": ("--rehearse",),
}


def rehearsed(part: Part) -> Part:
    """Return a small version of a part that needs no device, and no CuPy.

    Tests are only collected: they run among all others, too.
    """
    needs = tuple(name for name in part.needs if name != "cupy")
    arguments = (*part.arguments, *SMALL.get(part.name, ()))
    if "pytest" in arguments:
        arguments += ("--collect-only",)
    return replace(part, arguments=arguments, needs=needs)


def surroundings(*, rehearse: bool) -> dict[str, str]:
    """Return the environment of the parts: sharpkit, and a device demanded or hidden.

    The stand-in for CuPy is taken nowhere where a device is demanded.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTEST_") and name != "SHARPKIT_REQUIRE"
    }
    used = str(Path(sharpkit.__file__).resolve().parents[1])
    kept["PYTHONPATH"] = os.pathsep.join([used, *filter(None, sys.path)])
    kept |= {"PYTHONUNBUFFERED": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    if rehearse:
        return kept | {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    return kept | {"SHARPKIT_REQUIRE": "cuda"}


def run_parts(
    parts: Iterable[Part], environment: dict[str, str], *, seconds: float
) -> list[Outcome]:
    """Run one part after the other and say at once what became of each."""
    ends = time.perf_counter() + seconds
    outcomes = []
    for part in parts:
        found = run(part, environment, seconds=ends - time.perf_counter())
        print(f"{found.name:14} {found.outcome:8} {found.seconds:6.1f} s", end="  ")
        print(found.reason, *found.tail, sep="\n    ", flush=True)
        outcomes.append(found)
    return outcomes


def write(folder: Path, record: dict[str, Any]) -> Path:
    """Write a record under its date and device; one of the same day is replaced."""
    name = re.sub(r"[^a-z0-9]+", "-", record["device"]["name"].lower()).strip("-")
    path = folder / f"{record['environment']['date'][:10]}-{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return path


def main(arguments: list[str] | None = None) -> int:
    """Run the named parts, or all; return the exit status."""
    began = time.perf_counter()
    parts = {part.name: part for part in PARTS}
    parser = argparse.ArgumentParser(
        prog="bench/device.py",
        description="Run on a CUDA device what must be right and fast there.",
        epilog=f"parts: {', '.join(map(repr, parts))}",
    )
    parser.add_argument("part", nargs="*", help="which parts; none means all")
    parser.add_argument("--rehearse", action="store_true", help="run all on the CPU")
    parser.add_argument("--out", type=Path, help="folder of the record")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.part if name not in parts]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; give one of {', '.join(parts)}")
    try:
        device = {"name": "rehearsal"} if options.rehearse else device_facts.device()
    except device_facts.NoDeviceError as error:
        print(f"No CUDA device can be used here: {error}", file=sys.stderr)
        return 1
    versions = device_facts.versions()
    chosen = [parts[name] for name in options.part or parts]
    outcomes = run_parts(
        map(rehearsed, chosen) if options.rehearse else chosen,
        surroundings(rehearse=options.rehearse),
        seconds=SECONDS - (time.perf_counter() - began),
    )
    kinds = {found.outcome for found in outcomes}
    right = PASSED in kinds and FAILED not in kinds
    record = {
        "device": device,
        "right": right,
        "seconds": round(time.perf_counter() - began, 1),
        "versions": versions,
        "environment": environment(),
        "parts": [asdict(found) for found in outcomes],
    }
    default = Path(tempfile.gettempdir()) if options.rehearse else RESULTS
    print(f"{'right' if right else 'WRONG'}: {write(options.out or default, record)}")
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
