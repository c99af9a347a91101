"""Runs to store, the check that a store is whole, and scripts that use them."""

import hashlib
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from sharpkit.lab.store import Run, Store

WEIGHTS = 20_000


def arrays_of(seed, n=WEIGHTS):
    weights = np.random.default_rng(seed).normal(size=n).astype(np.float32)
    return {"final/weights": weights, "final/means": weights[:3].astype(np.float64)}


def run_of(seed, **changes):
    made = Run(
        key=hashlib.sha256(f"train {seed}".encode()).hexdigest(),
        kind="train",
        config={
            "network": {"name": "F1", "width": 128},
            "data": {"name": "glyphs", "train": 5000, "seed": 0, "folder": None},
            "regime": {"batch_size": 32, "optimizer": "adam", "rate": 0.001},
        },
        seed=seed,
        metrics={
            "epochs": 40 + seed,
            "reached": True,
            "train": {"loss": 0.125, "accuracy": 1.0},
            "test": {"loss": 0.5, "accuracy": 0.9375},
            "losses": [2.5, 0.125],
        },
        versions={"sharpkit": "0.1.0", "python": "3.11.7"},
        seconds=1.5,
    )
    return replace(made, **changes)


def assert_whole(folder, at_least=()):
    """Everything listed is what was put, and nothing that was reported is missing."""
    with closing(sqlite3.connect(Path(folder) / "runs.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Store(folder, create=False) as store:
        found = {run.seed: run for run in store.runs()}
        assert set(at_least) <= set(found)
        for seed, run in found.items():
            filled_in = {"created": run.created, "weights": f"weights/{run.key}.npz"}
            assert run == run_of(seed, **filled_in)
            stored, wanted = store.arrays(run.key), arrays_of(seed)
            assert list(stored) == list(wanted)
            for name, array in wanted.items():
                assert stored[name].dtype == array.dtype
                np.testing.assert_array_equal(stored[name], array)
    return set(found)


def start(source, *arguments):
    """Start a script that may import from this module."""
    before = os.environ.get("PYTHONPATH")
    paths = [str(Path(__file__).parent), *([before] if before else [])]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", source, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """Return what a script printed; it must have ended well and without complaint."""
    printed, complaint = process.communicate(timeout=120)
    assert (process.returncode, complaint) == (0, ""), complaint
    return printed
