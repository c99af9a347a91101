"""The case `spectrum` as a table: what was found, and which targets it meets."""

from __future__ import annotations

from typing import Any

from bench import peers
from bench.exact_products import PRODUCTS
from bench.spectra import OURS, PLAIN, STEPS, TOL, K
from bench.table import Table
from bench.traces import SHARE

Record = dict[str, Any]

MIB = 2**20
MOST_PRODUCTS = 33
OF_PYHESSIAN = 0.5  # CPU time
OUTSIDE = 0.12  # of a density's CPU time
MEMORY = {OURS: 600 * MIB, PLAIN: 60 * MIB}  # of a density, at its peak
EXACT = 2.5  # losses with gradient
STEADY = 0.2  # the times of one method lie no further apart
TOP, DENSITY, TRACE, LAB = f"top {K}", "density", "trace", "lab"
COLUMNS = ("", "method", "products", "CPU s", "outside", "found", "target", "met")


def make_table(found: dict[str, Any]) -> Table:
    """Return the table of all that the case found."""
    targets = judged(found)
    network = found["network"]
    sizes = "-".join(map(str, network["sizes"]))
    return Table(
        title=f"Hessian of {sizes} ({network['n']} weights), {network['samples']} "
        "samples, float32, one thread",
        columns=COLUMNS,
        rows=[
            *(_eigenvalue_row(each, targets) for each in found["eigenvalues"]),
            *(_density_row(each, targets) for each in found["density"]),
            *_trace_rows(found["trace"]),
            *(row for each in found["exact"] for row in _exact_rows(each, targets)),
        ],
        notes=_notes(found, targets),
        data=found | {"targets": targets},
    )


def judged(found: dict[str, Any]) -> list[Record]:
    """Return every target with what was found; ``met`` is None where none can tell."""
    targets = _judged_eigenvalues(found["eigenvalues"])
    for record in found["density"]:
        method = record["method"]
        if method == OURS:
            share = record["outside"]
            shown = f"outside {share:.1%}, <= {OUTSIDE:.0%}"
            targets.append(_target(DENSITY, method, share, OUTSIDE, shown))
        if method in MEMORY:
            extra, most = record["bytes"], MEMORY[method]
            had = "not measured" if extra is None else f"{extra / MIB:.1f}"
            shown = f"{had} MiB, <= {most / MIB:.0f}"
            targets.append(_target(DENSITY, method, extra, most, shown))
    for record in found["exact"]:
        for name in PRODUCTS:
            shown = f"{record[name]:.2f} losses, <= {EXACT}"
            what = f"{name}, {record['mode']}"
            targets.append(_target(LAB, what, record[name], EXACT, shown))
    return targets


def _judged_eigenvalues(records: list[Record]) -> list[Record]:
    by_name = {record["method"]: record for record in records}
    ours, theirs = by_name[OURS], by_name[peers.PYHESSIAN]
    products, residual, share = ours["products"], ours["residual"], None
    compared = f"of PyHessian, <= {OF_PYHESSIAN}"
    if "missing" not in theirs:
        share = ours["cpu"] / theirs["cpu"]
        compared = f"{share:.2f} of PyHessian, <= {OF_PYHESSIAN}"
    return [
        _target(
            *(TOP, OURS, products, MOST_PRODUCTS),
            f"{products} products, <= {MOST_PRODUCTS}",
        ),
        _target(TOP, OURS, residual, TOL, f"residual {residual:.1e}, <= {TOL:.0e}"),
        _target(TOP, OURS, share, OF_PYHESSIAN, compared),
    ]


def _target(
    measure: str, method: str, found: float | None, target: float, shown: str
) -> Record:
    return {
        "measure": measure,
        "method": method,
        "found": found,
        "target": target,
        "met": None if found is None else bool(found <= target),
        "shown": shown,
    }


def verdict(target: Record) -> str:
    """Return the verdict in a word or two."""
    return {None: "not judged", True: "met", False: "MISSED"}[target["met"]]


def _cells(measure: str, method: str, targets: list[Record]) -> tuple[str, str]:
    """Return the last two cells of a row: its targets and its verdicts, a line each."""
    own = [t for t in targets if (t["measure"], t["method"]) == (measure, method)]
    return "\n".join(t["shown"] for t in own), "\n".join(map(verdict, own))


def _missing_row(measure: str, record: Record) -> tuple[str, ...]:
    return (measure, record["method"], *[""] * 3, record["missing"], "", "")


def _eigenvalue_row(record: Record, targets: list[Record]) -> tuple[str, ...]:
    if "missing" in record:
        return _missing_row(TOP, record)
    return (
        *(TOP, record["method"], str(record["products"])),
        f"{record['cpu']:.3g}",
        f"{record['cpu_outside']:.2g} s, {record['outside']:.1%}",
        f"residual {record['residual']:.1e}\nerror {record['error']:.1e}",
        *_cells(TOP, record["method"], targets),
    )


def _density_row(record: Record, targets: list[Record]) -> tuple[str, ...]:
    if "missing" in record:
        return _missing_row(DENSITY, record)
    extra = record["bytes"]
    memory = "not measured" if extra is None else f"{extra / MIB:.1f} MiB"
    return (
        *(DENSITY, record["method"], str(record["products"])),
        f"{record['cpu']:.3g}",
        f"{record['cpu_outside']:.2g} s, {record['outside']:.1%}",
        f"{memory}\nlargest {record['top']:.5g}",
        *_cells(DENSITY, record["method"], targets),
    )


def _trace_rows(trace: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for record in trace["curve"]:
        text = f"error {record['error']:.2%}\nreported {record['reported']:.2%}"
        rows.append(_trace_row(record, record["method"], str(record["products"]), text))
    theirs = trace["pyhessian"]
    if "missing" in theirs:
        return [*rows, _missing_row(TRACE, theirs)]
    counts = "-".join(map(str, sorted({*theirs["all_products"]})))
    text = f"error {theirs['error']:.2%}\nworst {theirs['worst']:.2%}"
    return [*rows, _trace_row(theirs, theirs["method"], counts, text)]


def _trace_row(
    record: Record, method: str, products: str, text: str
) -> tuple[str, ...]:
    seconds, outside = f"{record['cpu']:.3g}", f"{record['outside']:.1%}"
    return (TRACE, method, products, seconds, outside, text, "", "")


def _exact_rows(record: Record, targets: list[Record]) -> list[tuple[str, ...]]:
    rows = []
    for name in PRODUCTS:
        what = f"{name}, {record['mode']}"
        seconds = f"{record[name] * record['loss_cpu']:.3g}"
        off = f"error {record['off'][name]:.0e}"
        cells = _cells(LAB, what, targets)
        rows.append((LAB, what, "1", seconds, "", off, *cells))
    return rows


def _notes(found: dict[str, Any], targets: list[Record]) -> tuple[str, ...]:
    trace, network = found["trace"], found["network"]
    known = trace["reference"]
    busy = [
        record["method"] if "method" in record else record["mode"]
        for record in (*found["eigenvalues"], *found["exact"])
        if record.get("scatter", 0.0) > STEADY
    ]
    counts = [sum(t["met"] is met for t in targets) for met in (True, False, None)]
    notes = [
        "targets: {} met, {} missed, {} not judged".format(*counts),
        f"the largest eigenvalues: {', '.join(f'{x:.5g}' for x in found['truth'])}",
        f"trace {known['value']:.5g} ± {known['stderr']:.2g}, the mean of all runs "
        f"({known['products']} products): the errors above are from it",
        f"products for a standard error of {SHARE:.0%}: "
        + ", ".join(map(_needed, trace["needed"])),
        *_hows(found),
        f"residual: worst |H v - lambda v| of the {K} as a share of the largest "
        "eigenvalue, recomputed; error: worst of the values, as a share of each",
        "CPU s: of the process; outside: what passed outside the products",
        f"density: {STEPS} steps, one probe; MiB: what the call adds to the peak "
        f"resident memory of one product alone{_memory(found)}",
        "trace: root mean square over a few seeds of the error, and of the standard "
        "error that the method reports (PyHessian reports none)",
        "of PyHessian: CPU time as a share of PyHessian's; losses: CPU time as "
        "multiples of one loss with its gradient; lab: its exact products, and their "
        "distance from PyTorch's as a share",
        "checked first: losses, gradients and products agree, "
        + ", ".join(f"{name} to {off:.0e}" for name, off in network["off"].items()),
    ]
    named = [*found["eigenvalues"], *found["density"], trace["pyhessian"]]
    absent = sorted({record["package"] for record in named if "missing" in record})
    if absent:
        notes.insert(1, f"not installed: pip install {' '.join(absent)}")
    if not network["full"]:
        notes.insert(0, "a small network: its verdicts say nothing about the targets")
    if busy:
        notes.append(f"BUSY MACHINE: do not trust {'; '.join(busy)}: the times scatter")
    return tuple(notes)


def _memory(found: dict[str, Any]) -> str:
    memory = next((r["memory"] for r in found["density"] if r.get("memory")), None)
    if memory is None:
        return ": not measured, this system does not tell"
    return (
        f", on {memory['samples']} samples in a process of its own, which hands back "
        "memory at once; weights, network and graph are there before"
    )


def _needed(record: Record) -> str:
    about = "" if record["measured"] else "about "
    return f"{record['method']} {about}{record['products']}"


def _hows(found: dict[str, Any]) -> list[str]:
    trace = found["trace"]["pyhessian"]
    named = [
        *((TOP, record) for record in found["eigenvalues"]),
        *((DENSITY, record) for record in found["density"]),
        (TRACE, trace),
    ]
    return [
        f"{measure}, {record['method']}: {record['how']}"
        for measure, record in named
        if "how" in record
    ]
