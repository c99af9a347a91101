"""What a search may have missed, by what it saw itself: the calibration of `auto`.

Boxes of trained networks, other ones than those of the case ``solvers``: 160, and 40
random subspaces. Each is searched with several budgets and seeds, and the values are
compared with the best that long searches found, which is kept (`bench.known`).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from functools import partial
from typing import Any

import numpy as np

from bench.boxes import DIGITS, EPSILONS, GLYPHS, Box, Source, minimisers
from bench.known import LONG, QUICK, Searches, best_known, in_processes
from bench.table import Table
from sharpkit import SharpnessResult
from sharpkit._box.agreement import CLOSE
from sharpkit._diagnosis.missing import (
    SPACES,
    Evidence,
    missing,
    rows_of,
    tabulate,
)
from sharpkit.results.common import finite

# Fixed before looking, and used for nothing else.
DATA_SEED, TRAINING_SEEDS = 500, tuple(range(500, 510))
FRESH_DATA_SEED, FRESH_SEEDS = 600, (600, 601, 602)  # what the chances are held against
QUICK_SEED = 21  # has been looked at
SOLVER_SEEDS = (0, 1)
BUDGETS: dict[str, dict[str, Any]] = {
    **{f"{budget}": {"max_evaluations": budget} for budget in (25, 50, 100, 200)},
    "default": {},
}
SEEN = {True: "another start agrees", False: "no other start agrees"}


def run(*, quick: bool) -> Table:
    if quick:
        sources = minimisers(
            (DIGITS,), (QUICK_SEED,), QUICK_SEED, epsilons=EPSILONS[:1]
        )
    else:
        sources = boxes_of(TRAINING_SEEDS, DATA_SEED)
    work = partial(measure, searches=QUICK if quick else LONG)
    runs = in_processes(sources, work, "missing")
    if quick:
        return table(runs)
    fresh = boxes_of(FRESH_SEEDS, FRESH_DATA_SEED)
    return table(runs, in_processes(fresh, work, "missing, fresh boxes"))


def boxes_of(seeds: tuple[int, ...], data_seed: int) -> list[Source]:
    """Return the minimisers whose boxes are searched."""
    sources = minimisers((GLYPHS,), seeds, data_seed)
    return sources + minimisers((DIGITS,), seeds, data_seed, subspaces=True)


def measure(source: Source, searches: Searches) -> list[dict[str, Any]]:
    """Search every box of a source with every budget and seed."""
    return [run for box in source.boxes() for run in runs_of(box, searches)]


def runs_of(box: Box, searches: Searches) -> list[dict[str, Any]]:
    """Return a record of every run on a box."""
    results = {
        (budget, seed): box.measure(seed=seed, **settings)
        for budget, settings in BUDGETS.items()
        for seed in SOLVER_SEEDS
    }
    values = {
        f"auto {budget}, seed {seed}": result.value
        for (budget, seed), result in results.items()
    }
    known = best_known(box, searches, values)
    return [
        {
            "case": box.name,
            "family": box.family,
            "space": SPACES[box.family == "subspaces"],
            "budget": budget,
            "seed": seed,
            "best": known.value,
            "best_by": known.by,
            **_seen(result, known.value),
        }
        for (budget, seed), result in results.items()
    ]


def _seen(result: SharpnessResult, best: float) -> dict[str, Any]:
    return {
        "share": result.value / best,
        "evaluations": result.evaluations,
        "starts": list(result.starts),
        "kin": list(result.kin),
        "outside": result.outside,
        "gap": finite(result.gap),
        "status": result.status.name,
    }


def evidence(run: dict[str, Any], *others: dict[str, Any]) -> Evidence:
    """Return what a run saw, which reached higher than the others on its box."""
    return Evidence(
        run["evaluations"],
        tuple(run["starts"]),
        tuple(run["kin"]),
        tuple(each["share"] for each in (run, *others)),
        run["space"] == "subspace",
    )


def tabulated(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the table that the library looks up: of single runs, and of all seeds."""
    repeats = defaultdict(list)
    for run in runs:
        repeats[run["case"], run["budget"]].append(run)
    best_first = [
        sorted(each, key=lambda run: -run["share"]) for each in repeats.values()
    ]
    seen = [[run] for run in runs] + [each for each in best_first if len(each) > 1]
    return tabulate(
        [(evidence(*each), each[0]["share"]) for each in seen if each[0]["share"] > 0],
        f"{len({run['case'] for run in runs})} boxes, seeds {SOLVER_SEEDS}",
    )


def grouped(runs: list[dict[str, Any]]) -> dict[tuple[str, str, str], list[float]]:
    """Return the shares by search space, budget and what the run saw, in words."""
    found: dict[tuple[str, str, str], list[float]] = {
        group: [] for group in itertools.product(SPACES, BUDGETS, SEEN.values())
    }
    for run in runs:
        found[run["space"], run["budget"], SEEN[evidence(run).starts_agree]].append(
            run["share"]
        )
    return {group: shares for group, shares in found.items() if shares}


def checked(fresh: list[dict[str, Any]], made: dict[str, Any]) -> list[dict[str, Any]]:
    """Return for each group of fresh runs the chances stated, and what they reached."""
    rows, found = rows_of(made), defaultdict(list)
    for run in fresh:
        seen = evidence(run)
        stated = missing(seen, rows)
        if stated is not None:
            found[seen.groups()[0]].append((stated, run["share"]))
    return [
        group._asdict()
        | {"runs": len(each)}
        | {
            f"{what} {name}": float(np.mean(values))
            for name, least in (("within_95", 0.95), ("within_80", 0.80))
            for what, values in (
                ("stated", [getattr(stated, name) for stated, _ in each]),
                ("found", [share >= least for _, share in each]),
            )
        }
        for group, each in sorted(found.items(), key=str)
    ]


def table(
    runs: list[dict[str, Any]], fresh: list[dict[str, Any]] | None = None
) -> Table:
    """Return one row for each group."""
    groups = [
        {"space": space, "budget": budget, "seen": seen, **figures(shares)}
        for (space, budget, seen), shares in grouped(runs).items()
    ]
    rows = [
        (
            *(group["space"], group["budget"], group["seen"], f"{group['runs']}"),
            *(f"{group[name]:.2f}" for name in ("reach 0.95", "reach 0.80")),
            *(f"{group[name]:.1%}" for name in ("missing", "missing, 95th")),
        )
        for group in groups
    ]
    spent = [run["evaluations"] for run in runs if run["budget"] == "default"]
    boxes = len({run["case"] for run in runs})
    made = tabulated(runs)
    check = checked(fresh or [], made)
    return Table(
        title=f"what runs missed, {boxes} boxes, {len(SOLVER_SEEDS)} seeds",
        columns=(
            *("space", "evaluations", "seen by the run", "runs"),
            *("P(>= 0.95)", "P(>= 0.80)", "missing, mean", "missing, 95th"),
        ),
        rows=rows,
        notes=(
            "shares of the best known; missing is 1 minus the share",
            f"the default spent {np.mean(spent):.0f} evaluations on average",
            "agrees: a start that is no kin of others, nor the best one, ended "
            f"within {CLOSE:.0%} of the best",
            "runs on one box are not independent",
            *(_said(each) for each in check),
        ),
        data={
            **{"runs": runs, "fresh": fresh or [], "groups": groups},
            **{"table": made, "checked": check},
        },
    )


def _said(group: dict[str, Any]) -> str:
    chances = ", ".join(
        f"P(>= {least}) stated {group[f'stated {name}']:.2f}, "
        f"found {group[f'found {name}']:.2f}"
        for name, least in (("within_95", "0.95"), ("within_80", "0.80"))
    )
    return (
        f"fresh boxes, {group['space']}, from {group['evaluations']} evaluations, "
        f"{SEEN[group['agreed']]}, {group['runs']} runs: {chances}"
    )


def figures(shares: list[float]) -> dict[str, Any]:
    """Return what the shares of a group of runs come to."""
    found = np.array(shares)
    return {
        "runs": len(shares),
        "reach 0.95": float(np.mean(found >= 0.95)),
        "reach 0.80": float(np.mean(found >= 0.80)),
        "missing": float(np.mean(1 - found)),
        "missing, 95th": float(np.percentile(1 - found, 95)),
    }
