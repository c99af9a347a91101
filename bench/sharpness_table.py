"""The case `sharpness` as a table: what was found, and which targets it meets."""

from __future__ import annotations

from typing import Any

import sharpkit
from bench.memory import SUBSPACE
from bench.network import SAMPLES
from bench.solving import AUTO, ITERATIONS, LEAN, OURS, SCIPY
from bench.table import Table

Record = dict[str, Any]

# CPU time outside the loss, as a share of SciPy's: for ten iterations, per evaluation.
SHARES = {OURS: 1 / 20, AUTO: 1 / 40}
OWN_SHARE = 0.05  # of a measurement of network F1
BYTES = {OURS: 110, AUTO: 32, LEAN: 24}  # per weight, float32
SUBSPACE_BYTES = 2 * 2**30
FIRST_CALL = 1.0  # seconds
STEADY = 0.2  # the times of one method lie no further apart
COLUMNS = (
    *("problem", "n", "method", "iter", "evals", "total s", "loss s", "own s"),
    *("own CPU s", "ns/weight", "of SciPy", "B/weight"),
)


def make_table(found: dict[str, list[Record]]) -> Table:
    """Return the table of all that the case found."""
    timed = [*found["quadratics"], *found["growth"], *found["device"]]
    timed += found["network"]
    targets = judged(found)
    return Table(
        title=f"sharpkit and SciPy's L-BFGS-B, {ITERATIONS} iterations, float32",
        columns=COLUMNS,
        rows=[*map(_row, timed), *map(_memory_row, found["memory"])],
        notes=_notes(found, timed, targets),
        data=found | {"targets": targets},
    )


def judged(found: dict[str, list[Record]]) -> list[Record]:
    """Return every target with what was found; only the largest sizes are judged."""
    largest = max(record["n"] for record in found["quadratics"])
    targets = []
    for record in found["quadratics"]:
        method, share = record["method"], record["of_scipy"]
        if method in SHARES and record["n"] == largest:
            what = f"{method}, {record['problem']}, n = {largest:.0e}: CPU time outside"
            target = SHARES[method]
            shown = f"1/{1 / share:.1f}, <= 1/{1 / target:.0f}"
            targets.append(_target(what, share, target, shown))
    for record in found["network"]:
        if record["method"] in SHARES and record["problem"] == f"F1, {SAMPLES}":
            share = record["own_share"]
            what = f"{record['method']}, {record['problem']}: share outside the loss"
            shown = f"{share:.1%}, <= {OWN_SHARE:.0%}"
            targets.append(_target(what, share, OWN_SHARE, shown))
    targets += [_memory(each) for each in found["memory"] if each["method"] != SCIPY]
    for record in found["first_call"]:
        what, seconds = f"{record['method']}, first call", record["overhead"]
        parts = (f"{name} {record[name]:.2f}" for name in ("import", "first", "second"))
        shown = f"{seconds:.2f} s ({', '.join(parts)}), <= {FIRST_CALL:.0f} s"
        targets.append(_target(what, seconds, FIRST_CALL, shown))
    return targets


def _memory(record: Record) -> Record:
    what = f"{record['method']}, memory at n = {record['n']:.0e}"
    if record["method"] == SUBSPACE:
        shown = f"{record['bytes'] / 2**30:.2f} GiB, <= {SUBSPACE_BYTES / 2**30:.0f}"
        return _target(what, record["bytes"], SUBSPACE_BYTES, shown)
    target = BYTES[record["method"]]
    shown = f"{record['bytes_per_weight']:.3f} bytes per weight, <= {target}"
    return _target(what, record["bytes_per_weight"], target, shown)


def _target(what: str, found: float, target: float, shown: str) -> Record:
    met = found <= target
    return {"what": what, "found": found, "target": target, "met": met, "shown": shown}


def _row(record: Record) -> tuple[str, ...]:
    share = record.get("of_scipy")
    return (
        record["problem"],
        f"{record['n']:.4g}".replace("e+0", "e"),
        record["method"],
        str(record["iterations"] or ""),
        str(record["evaluations"]),
        *(f"{record[key]:.3g}" for key in ("wall", "wall_inside", "wall_outside")),
        f"{record['cpu_outside']:.3g} ±{50 * record['scatter']:.0f}%",
        f"{1e9 * record['per_weight']:.3g}",
        f"1/{1 / share:.1f}" if share and record["method"] != SCIPY else "",
        "",
    )


def _memory_row(record: Record) -> tuple[str, ...]:
    return (
        "memory",
        f"{record['n']:.4g}".replace("e+0", "e"),
        record["method"],
        *("", ""),
        f"{record['seconds']:.3g}",
        *[""] * 5,
        f"{record['bytes_per_weight']:.1f}",
    )


def _notes(
    found: dict[str, list[Record]], timed: list[Record], targets: list[Record]
) -> tuple[str, ...]:
    busy = [
        f"{record['problem']} {record['n']:.0e} {record['method']}"
        for record in timed
        if record["scatter"] > STEADY
    ]
    theirs = next(each for each in found["network"] if each["method"] == SCIPY)
    notes = [
        f"{each['what']}: {each['shown']}: {'met' if each['met'] else 'NOT MET'}"
        for each in targets
    ]
    if busy:
        notes.append(
            f"BUSY MACHINE: do not trust {'; '.join(busy)}, whose times scatter"
        )
    notes += [
        f"SciPy's share of the time of F1: {theirs['own_share']:.0%}; there BLAS has "
        "all its threads, elsewhere SciPy's has one, which costs it less CPU time",
        _growth(found),
        *map(_profile, found["profiles"]),
        "own: outside the loss; median of turns, ± half the distance of the extremes; "
        "CPU: of all threads; ns/weight: own CPU time, per evaluation",
        "of SciPy: own CPU time, per evaluation; evals: calls of the loss with its "
        "gradient, two of them at the weights, for all methods; F1, M: on M samples",
        "SciPy's time is that of minimize alone; rounding its point to float32 counts "
        "as the loss's",
        "memory: peak resident bytes less those before the call, loss and weights "
        "allocated, in a process of its own",
        "checked first: lbfgsb and SciPy find the same, in float64 with the same "
        "evaluations; no method more than the known maximum, auto all of it (convex)",
    ]
    if not found["device"]:
        reason = sharpkit.backends().get("cuda", "no such backend")
        notes.append(f"no CUDA device: {reason}")
    return tuple(notes)


def _growth(found: dict[str, list[Record]]) -> str:
    steps = [
        f"n = {record['n']:.0e}: {1e9 * record['per_weight']:.3g}"
        for record in (*found["quadratics"], *found["growth"])
        if record["problem"] == "concave" and record["method"] == AUTO
    ]
    return (
        "auto, concave, ns outside the loss per evaluation and weight (constant if the "
        f"cost is linear): {', '.join(steps)}"
    )


def _profile(record: Record) -> str:
    method, kernels = record["method"], record["kernels"]
    unit = "iteration" if method == OURS else "evaluation"
    per = record[f"{unit}s"]
    parts = [
        f"{name} {each['vectors'] / per:.1f} ({each['calls']} calls, "
        f"{each['seconds']:.2f} s)"
        for name, each in sorted(kernels.items(), key=lambda item: -item[1]["seconds"])
    ]
    total = sum(each["vectors"] for each in kernels.values()) / per
    return (
        f"{method}, concave, n = {record['n']:.0e}: vectors read or written per "
        f"{unit}: {total:.1f}: {', '.join(parts)}"
    )
