"""A profile of network F1 against its measures called one by one, side by side.

Every measure that the profile takes is called at its own defaults, with as many
searches for the sharpness. The profile has fewer probes of the density, displacements
and evaluations for the radius than the calls: its errors are shown beside theirs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import sharpkit
from bench.network import SAMPLES, SIZES, trained_f1
from bench.table import Table
from bench.timing import Timing, in_turns

REPEATS = 3
TARGET = 0.6  # of the time of the measures one by one


def run(*, quick: bool) -> Table:
    sizes, samples = ((784, 64, 64, 10), 500) if quick else (SIZES, SAMPLES)
    weights, problem = trained_f1(epochs=8, samples=samples, sizes=sizes)
    whole = sharpkit.Problem(weights, problem, hvp=problem.hvp)
    found: dict[str, Any] = {}

    def profile() -> None:
        found["profile"] = sharpkit.profile(whole, repeats=REPEATS, progress=False)

    def one_by_one() -> None:
        found["one by one"] = {
            "sharpness": sharpkit.sharpness(whole, repeats=REPEATS, progress=False),
            "subspace_sharpness": sharpkit.sharpness(
                whole, subspace=100, progress=False
            ),
            "eigenvalues": sharpkit.eigenvalues(whole, progress=False),
            "trace": sharpkit.trace(whole, progress=False),
            "spectral_density": sharpkit.spectral_density(whole, progress=False),
            **_family(whole),
        }

    turns = {
        "one by one": partial(_seconds, one_by_one),
        "profile": partial(_seconds, profile),
    }
    # The median of three rounds is of none that compiled, and a long one hardly is.
    taken = in_turns(turns, 3 if quick else 1)
    times = {name: Timing(tuple(seconds)) for name, seconds in taken.items()}
    ratio = times["profile"].median / times["one by one"].median
    return Table(
        title=f"a profile of network F1, {samples} samples, n = {weights.size:,}",
        columns=("measure", "one by one", "error", "profile", "error", "products"),
        rows=_rows(found["one by one"], found["profile"]),
        notes=(
            *(f"{name}: {timing}" for name, timing in times.items()),
            f"the profile takes {ratio:.2f} of the CPU time; the target is {TARGET}",
        ),
        data={"ratio": ratio, "seconds": {n: t.seconds for n, t in times.items()}},
    )


def _seconds(call: Callable[[], None]) -> float:
    """Return the CPU time of a call, which other work on the machine leaves alone."""
    began = time.process_time()
    call()
    return time.process_time() - began


def _family(whole: sharpkit.Problem) -> dict[str, Any]:
    """Return balls, noise, the radius and what lies along the gradient, at defaults."""
    found: dict[str, Any] = {}
    kinds: dict[str, Any] = {"": {}, "adaptive_": {"radius": 0.5, "adaptive": True}}
    for kind, relative in kinds.items():
        for name, method in (("ball", "search"), ("one_step", "one_step")):
            found[f"{kind}{name}_sharpness"] = sharpkit.ball_sharpness(
                whole, method=method, progress=False, **relative
            )
        found[f"{kind}average_sharpness"] = sharpkit.average_sharpness(
            whole, adaptive=bool(kind), progress=False
        )
    found["flatness_radius"] = sharpkit.flatness_radius(
        whole, of="loss", progress=False
    )
    found["directional_sharpness"] = sharpkit.directional_sharpness(whole)
    found["critical_sharpness"] = sharpkit.critical_sharpness(whole, progress=False)
    return found


def _rows(alone: dict[str, Any], report: sharpkit.Report) -> list[tuple[str, ...]]:
    """Return value, error and products of each measure, both ways."""
    rows = []
    for name, result in alone.items():
        value, error = _figures(name, result)
        shared = report.results[name]
        other, other_error = _figures(name, shared)
        rows.append(
            (
                name.replace("_", " "),
                f"{value:.5g}",
                f"{error:.2g}",
                f"{other:.5g}",
                f"{other_error:.2g}",
                f"{result.products} / {shared.products}",
            )
        )
    return rows


def _figures(name: str, result: Any) -> tuple[float, float]:
    """Return the number and the error that stand for a measure."""
    if name == "spectral_density":  # the mean size of an eigenvalue
        size = result.mean(np.abs)
        return size.value, size.stderr
    return float(result), result.error
