"""How much of the best known sharpness each solver finds, in boxes of many kinds.

Boxes of trained networks, in the full space and in random subspaces, and of made-up
losses, some with known maxima. Networks are trained here; what long searches find is
kept between runs (`bench.known`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from bench.boxes import (
    DIGITS,
    EPSILONS,
    GLYPHS,
    MNIST,
    NETWORKS,
    UNTIL_LOSS,
    Box,
    Source,
    minimisers,
    missing_sources,
    torch_models,
)
from bench.known import LONG, QUICK, Searches, best_known, in_processes
from bench.synthetic import synthetic_boxes
from bench.table import Table
from sharpkit import LBFGSB, ScipyLBFGSB

# Fixed before looking, and used for nothing else.
DATA_SEED, SEEDS, SYNTHETIC_SEEDS = 411, (411, 412, 413), tuple(range(411, 417))
QUICK_SEED = 21  # has been looked at
SOLVER_SEED = 0

RECIPE, OURS, SAME = "scipy 10", "lbfgsb 10", "auto as scipy 10"
BUDGETS = (25, 50, 100, 200)
SOLVERS: dict[str, dict[str, Any]] = {
    RECIPE: {"solver": ScipyLBFGSB(10)},
    OURS: {"solver": LBFGSB(10)},
    **{f"auto {budget}": {"max_evaluations": budget} for budget in BUDGETS},
    "default": {},
}
COLUMNS = (
    RECIPE,
    OURS,
    SAME,
    *(name for name in SOLVERS if name not in (RECIPE, OURS)),
)
SHOWN = tuple(name for name in COLUMNS if name != OURS)  # which is the recipe again
ALL = "all networks"
FAMILIES = (
    *(ALL, *NETWORKS, "subspaces", "MNIST", "torch"),
    *("convex", "indefinite", "interior", "chained"),
)
LOW, LISTED = "auto 100", 5  # of which solver the lowest boxes are listed, how many
FIGURES = ("worst", "5th", "median", "mean", "below 0.8", "below 0.95")
# Family, solver and figure; at least so much, of "below" at most so much.
TARGETS = (
    (ALL, "auto 25", "mean", 0.92),
    (ALL, "auto 100", "5th", 0.90),
    (ALL, "auto 100", "mean", 0.98),
    (ALL, "auto 100", "below 0.95", 0.10),
    (ALL, "auto 200", "worst", 0.90),
    ("subspaces", "auto 25", "mean", 0.89),
)


def run(*, quick: bool) -> Table:
    lacking = missing_sources()
    work = partial(measure, searches=QUICK if quick else LONG)
    records = in_processes(sources(lacking, quick=quick), work, "solvers")
    return table(records, lacking)


def sources(lacking: dict[str, str], *, quick: bool) -> list[Source]:
    """Return what makes the boxes, the slowest to train first."""
    if quick:
        of_digits = minimisers(
            (DIGITS,), (QUICK_SEED,), QUICK_SEED, epsilons=EPSILONS[:1]
        )
        return [*of_digits, *synthetic_boxes((QUICK_SEED,))]
    found: list[Source] = []
    if "torch" not in lacking:
        found += torch_models(SEEDS[:1])
    if MNIST.name not in lacking:
        found += minimisers((MNIST,), SEEDS[:1], DATA_SEED)
    found += minimisers((GLYPHS,), SEEDS, DATA_SEED)
    found += minimisers((DIGITS,), SEEDS, DATA_SEED, subspaces=True)
    return found + synthetic_boxes(SYNTHETIC_SEEDS)


def measure(source: Source, searches: Searches) -> list[dict[str, Any]]:
    """Let every solver measure every box of a source."""
    return [_record(box, searches) for box in source.boxes()]


def _record(box: Box, searches: Searches) -> dict[str, Any]:
    results = {
        name: box.measure(**{"seed": SOLVER_SEED} | settings)
        for name, settings in SOLVERS.items()
    }
    # The recipe may stop at once; less than one evaluation off the centre is nothing.
    most = max(results[RECIPE].evaluations, 3)
    results[SAME] = box.measure(max_evaluations=most, seed=SOLVER_SEED)
    values = {name: result.value for name, result in results.items()}
    known = best_known(box, searches, values)
    return {
        "case": box.name,
        "family": box.family,
        "epsilon": box.epsilon,
        "dimensions": box.weights.size,
        "loss": results[RECIPE].loss,
        "best": known.value,
        "best_by": known.by,
        "known_evaluations": known.evaluations,
        "fractions": {name: value / known.value for name, value in values.items()},
        "evaluations": {name: each.evaluations for name, each in results.items()},
        "status": {name: each.status.name for name, each in results.items()},
    }


def table(records: list[dict[str, Any]], lacking: dict[str, str]) -> Table:
    """Return one row for each family and solver."""
    summary = summarise(records)
    rows = [
        (
            family if name == COLUMNS[0] else "",
            name,
            f"{found['boxes']}",
            f"{found['evaluations']:.0f}",
            *(f"{found[figure]:.3f}" for figure in FIGURES[:4]),
            *(f"{found[figure]:.0%}" for figure in FIGURES[4:]),
        )
        for family, by_solver in summary["families"].items()
        for name, found in by_solver.items()
        if name in SHOWN
    ]
    return Table(
        title=f"fraction of the best known sharpness, {len(records)} boxes",
        columns=("family", "solver", "boxes", "evaluations", *FIGURES),
        rows=rows,
        notes=_notes(records, summary, lacking),
        data={"cases": records, "summary": summary, "lacking": lacking},
    )


def summarise(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return figures by family and solver, the targets met, and the violations."""
    families = {}
    for family in FAMILIES:
        members = NETWORKS if family == ALL else (family,)
        of_family = [each for each in records if each["family"] in members]
        if of_family:
            families[family] = {name: figures(of_family, name) for name in COLUMNS}
    targets = []
    for family, name, figure, bound in TARGETS:
        if family in families:
            found = families[family][name][figure]
            met = found <= bound if figure.startswith("below") else found >= bound
            target = {"family": family, "solver": name, "of": figure}
            targets.append(target | {"target": bound, "found": found, "met": met})
    # Where both find the maximum they differ by rounding.
    below = [
        each["case"]
        for each in records
        if each["fractions"][SAME] < each["fractions"][RECIPE] * (1 - 1e-6)
    ]
    return {"families": families, "targets": targets, "below_recipe": below}


def figures(records: list[dict[str, Any]], name: str) -> dict[str, float]:
    """Return what the fractions of one solver come to."""
    found = np.array([each["fractions"][name] for each in records])
    spent = [each["evaluations"][name] for each in records]
    return {
        "boxes": len(records),
        "evaluations": float(np.mean(spent)),
        "worst": float(found.min()),
        "5th": float(np.percentile(found, 5)),
        "median": float(np.median(found)),
        "mean": float(found.mean()),
        "below 0.8": float(np.mean(found < 0.8)),
        "below 0.95": float(np.mean(found < 0.95)),
    }


def _notes(
    records: list[dict[str, Any]], summary: dict[str, Any], lacking: dict[str, str]
) -> tuple[str, ...]:
    below = summary["below_recipe"]
    trained = [each for each in records if each["family"] in NETWORKS]
    apart = [abs(r["fractions"][OURS] - r["fractions"][RECIPE]) for r in trained]
    lowest = sorted(records, key=lambda each: each["fractions"][LOW])[:LISTED]
    spent = [r["known_evaluations"] for r in records if r["best_by"] != "exact"]
    return (
        *(
            f"{each['family']}, {each['solver']}, {each['of']}: {each['found']:.4f}, "
            f"target {'<=' if each['of'].startswith('below') else '>='} "
            f"{each['target']:.2f}: {'met' if each['met'] else 'NOT MET'}"
            for each in summary["targets"]
        ),
        f"{SAME} (the same number of evaluations) below the paper's recipe in "
        f"{len(below)} of {len(records)} boxes (target: 0)"
        + (f": {', '.join(below)}" if below else ""),
        f"{OURS} and {RECIPE} differ by at most {max(apart, default=0):.1g} of the "
        "best known in all networks (float32 places, whose rounding grows)",
        "best known: exact where it can be, else the most that the columns or long "
        f"searches of {min(spent, default=0)} to {max(spent, default=0)} evaluations "
        "found, now or before",
        "evaluations include two at the centre; the paper's recipe is scipy 10",
        f"training: Adam to a whole-set loss of {UNTIL_LOSS:g}; the networks have at "
        f"most {max((r['loss'] for r in trained), default=0):.2g} at their weights",
        *(f"lowest of {LOW}: {r['case']}, {r['fractions'][LOW]:.3f}" for r in lowest),
        *(f"no {family} boxes: {why}" for family, why in lacking.items()),
        "checked: every reported point lies in the box and has the loss it claims",
    )
