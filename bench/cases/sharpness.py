"""Time and memory that a sharpness costs beside the loss, against SciPy's L-BFGS-B.

Both are called as a user would call them and get the same scaling of the loss, so that
the work is the same: ten iterations, and as many evaluations. What is compared is the
CPU time outside the loss.
"""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

import sharpkit
from bench.fresh import in_fresh_process
from bench.memory import SUBSPACE, measurable
from bench.network import SAMPLES, trained_f1
from bench.problems import Quadratic
from bench.sharpness_table import make_table
from bench.solving import (
    AUTO,
    LEAN,
    METHODS,
    OURS,
    SCIPY,
    Outcome,
    middle,
    profile,
    solve,
)
from bench.table import CaseError, Table
from bench.timing import in_turns

KINDS = ("convex", "concave")
CHECKED = 40_003  # coordinates; more than one chunk of a kernel's work
# Turns of each method at each size, the largest last: it is judged there.
TURNS = {10**5: 5, 10**6: 3, 10**7: 2}
QUICK_TURNS = {10**5: 2}
GROWTH = 10**8  # for "auto" alone
DEVICE_SIZES = (10**6, 10**7, 10**8)
# Epochs, samples and turns of the network.
NETWORK, QUICK_NETWORK = (5, SAMPLES, 2), (1, 600, 1)
# Where memory is measured: sharpkit's solvers in the full space, and the slow ones.
MEMORY, QUICK_MEMORY = (10**7, 10**7), (10**7, 3 * 10**5)
STARTS = 3  # processes whose first call is timed
ROUNDED = 1e-4  # float32: the box, the weights in it and the loss's terms are rounded


def run(*, quick: bool) -> Table:
    check()
    turns = QUICK_TURNS if quick else TURNS
    found = {
        "quadratics": [
            record
            for n, rounds in turns.items()
            for kind in KINDS
            for record in compare(kind, n, rounds)
        ],
        "profiles": profiles(max(turns)),
        "network": network(*(QUICK_NETWORK if quick else NETWORK)),
        "growth": [] if quick else growth(GROWTH),
        "device": device(),
        "memory": memory(*(QUICK_MEMORY if quick else MEMORY)),
        "first_call": first_calls(1 if quick else STARTS),
    }
    return make_table(found)


def check(n: int = CHECKED) -> None:
    """Raise unless all methods find what they should.

    L-BFGS-B finds what SciPy's does, in float64 with the same evaluations; no method
    more than the known maximum, and sign steps all of it where the loss is convex.
    """
    for dtype, rounded in ((np.float64, 1e-9), (np.float32, ROUNDED)):
        for kind in KINDS:
            problem = Quadratic(n, dtype, kind)
            found = {name: solve(name, problem.w, problem) for name in METHODS}
            compare_found(f"{kind}, {np.dtype(dtype)}", found, problem, rounded)
            ours, theirs = found[OURS].evaluations, found[SCIPY].evaluations
            if dtype == np.float64 and ours != theirs:
                msg = f"{kind}: lbfgsb took {ours} evaluations, SciPy {theirs}"
                raise CaseError(msg)


def compare_found(
    name: str, found: dict[str, Outcome], problem: Quadratic, rounded: float
) -> None:
    """Raise unless the values fit each other and the known maximum."""
    most = problem.maximum
    for method, outcome in found.items():
        if not outcome.value <= most * (1 + rounded):
            msg = f"{name}: {method} found {outcome.value} of {most}"
            raise CaseError(msg)
    ours, theirs = found[OURS].value, found[SCIPY].value
    if not np.isclose(ours, theirs, rtol=max(rounded, 1e-6)):
        msg = f"{name}: lbfgsb found {ours}, SciPy {theirs}"
        raise CaseError(msg)
    auto = found[AUTO].value
    if problem.kind == "convex" and not np.isclose(auto, most, rtol=rounded):
        msg = f"{name}: auto found {auto} of {most}"
        raise CaseError(msg)


def compare(kind: Any, n: int, rounds: int) -> list[dict[str, Any]]:
    """Return each method's record on a quadratic; the methods take turns."""
    problem = Quadratic(n, np.float32, kind)
    return _records(kind, problem.w, problem, rounds, most=problem.maximum)


def network(epochs: int, samples: int, rounds: int) -> list[dict[str, Any]]:
    """Return each method's record on network F1, with all BLAS threads."""
    weights, problem = trained_f1(epochs=epochs, samples=samples)
    return _records(f"F1, {samples}", weights, problem, rounds, blas=None)


def growth(n: int) -> list[dict[str, Any]]:
    """Return the record of sign steps on a very large quadratic."""
    problem = Quadratic(n, np.float32, "concave")
    # The first run also waits for the system to hand over so much memory.
    outcomes = [solve(AUTO, problem.w, problem) for _ in range(2)][1:]
    return [_record("concave", outcomes, problem.maximum)]


def device() -> list[dict[str, Any]]:
    """Return sharpkit's records on a CUDA device, if there is one."""
    if sharpkit.backends().get("cuda") != "available":
        return []
    cupy = importlib.import_module("cupy")
    found = []
    for n in DEVICE_SIZES:
        problem = Quadratic(n, np.float32, "concave", xp=cupy)
        methods = _methods((AUTO, OURS), problem.w, problem, None)
        in_turns(methods, 1)  # compiles
        for outcomes in in_turns(methods, 3).values():
            found.append(_record("concave, cuda", outcomes, problem.maximum))
    return found


def _methods(
    names: tuple[str, ...], weights: Any, loss: Any, blas: int | None
) -> dict[str, Callable[[], Outcome]]:
    def bound(name: str) -> Callable[[], Outcome]:
        return lambda: solve(name, weights, loss, blas=blas)

    return {name: bound(name) for name in names}


def _records(
    name: str,
    weights: Any,
    loss: Any,
    rounds: int,
    *,
    most: float | None = None,
    blas: int | None = 1,
) -> list[dict[str, Any]]:
    taken = in_turns(_methods(METHODS, weights, loss, blas), rounds)
    records = [_record(name, outcomes, most) for outcomes in taken.values()]
    theirs = next(each for each in records if each["method"] == SCIPY)
    for record in records:
        if record["method"] == OURS:
            # as many iterations as SciPy: the profile's run counts them
            record["iterations"] = profile(OURS, weights, loss)["iterations"]
        record["of_scipy"] = (record["cpu_outside"] / record["evaluations"]) / (
            theirs["cpu_outside"] / theirs["evaluations"]
        )
    return records


def _record(name: str, outcomes: list[Outcome], most: float | None) -> dict[str, Any]:
    found = middle(outcomes)
    if most is not None and found.value > most * (1 + ROUNDED):
        msg = f"{found.method}, {name}, n = {found.n}: {found.value} is above {most}"
        raise CaseError(msg)
    outside = [each.cpu_outside for each in outcomes]
    return {
        "problem": name,
        **asdict(found),
        "maximum": most,
        "wall_outside": found.wall_outside,
        "cpu_outside": found.cpu_outside,
        "per_weight": found.per_weight,
        "own_share": found.own_share,
        "turns": len(outcomes),
        "scatter": (max(outside) - min(outside)) / statistics.median(outside),
    }


def profiles(n: int) -> list[dict[str, Any]]:
    """Return where sharpkit's own time goes, kernel by kernel."""
    problem = Quadratic(n, np.float32, "concave")
    return [profile(method, problem.w, problem) for method in (AUTO, OURS)]


def memory(n: int, slow: int) -> list[dict[str, Any]]:
    """Return the peak memory of each method, in a process of its own."""
    if not measurable():
        return []
    sizes = {AUTO: n, LEAN: n, OURS: n, SCIPY: slow, SUBSPACE: slow}
    return [
        in_fresh_process("bench.memory", "peak", method=method, n=size)
        for method, size in sizes.items()
    ]


def first_calls(starts: int) -> list[dict[str, Any]]:
    """Return the medians of what first calls cost; `check` has cached the kernels."""
    found = []
    for solver in (AUTO, OURS):
        taken = [
            in_fresh_process("bench.first_call", "overhead", solver=solver)
            for _ in range(starts)
        ]
        medians = {
            key: statistics.median(each[key] for each in taken) for key in taken[0]
        }
        found.append({"method": solver, **medians})
    return found
