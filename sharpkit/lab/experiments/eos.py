"""The edge of stability: full-batch descent sharpens up to where it is stable.

None of the claims here is the paper's: they are of Cohen et al., arXiv 2103.00065 and,
for Adam, 2207.14484. The rates and steps were chosen on other seeds, so that each run
comes to its threshold.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from sharpkit.lab.experiments.common import Findings, Found, Trial
from sharpkit.lab.experiments.study import Study
from sharpkit.lab.intervals import Values, paired, spread
from sharpkit.lab.jobs.descent import BETA1, MOMENTUM
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.outcome import (
    FAILS,
    OPEN,
    Axis,
    Chart,
    Claim,
    Series,
    Table,
    decide_within,
    floats,
)
from sharpkit.lab.store import Run

TITLE = "Edge of stability: full-batch descent hovers at its threshold"
NETWORKS = ("F1",)
ONLY = ("F1", "F2")
CONTROLS = False  # it has no small and large batch to compare

LOW, HIGH = 0.9, 1.15  # of the threshold: where a run hovers
RECORDS = 80
SAMPLES, LAYERS, UNITS = 300, 5, 512  # of the data; the paper's F1, without its kinks
POINTS, DEGREES, HIDDEN = 20, (3, 4, 5), (100, 100)  # of the polynomial


class Way(NamedTuple):
    """One way to descend: the method, its rate, and for how many steps."""

    method: str
    rate: float
    steps: int

    def __str__(self) -> str:
        return f"{SHOWN[self.method][0]}, η {self.rate:g}"


SHOWN = {
    "gd": ("GD", "2/η"),
    "polyak": (f"Polyak {MOMENTUM:g}", "(2+2β)/η"),
    "nesterov": (f"Nesterov {MOMENTUM:g}", "(2+2β)/(η(1+2β))"),
    "adam": ("Adam", f"{(2 + 2 * BETA1) / (1 - BETA1):.0f}/η"),
}
WAYS = {
    "polynomial": (
        Way("gd", 0.05, 6000),
        Way("gd", 0.1, 6000),
        Way("polyak", 0.05, 6000),
        Way("nesterov", 0.03, 6000),
        Way("adam", 5e-4, 6000),
    ),
    "data": (
        Way("gd", 0.1, 2000),
        Way("gd", 0.07, 2500),
        Way("polyak", 0.1, 1200),
        Way("nesterov", 0.08, 1600),
        Way("adam", 1e-3, 1600),
    ),
}


def trial(study: Study, seed: int) -> Trial:
    """Return the descents of one trial, from one start for each problem."""
    width = max(round(UNITS * study.width), 4)
    problems: dict[str, dict[str, Any]] = {
        "polynomial": {
            "degree": DEGREES[seed % len(DEGREES)],
            "points": POINTS,
            "hidden": list(HIDDEN),
        },
        "data": {
            "data": asdict(study.source),
            "samples": SAMPLES,
            "hidden": [width] * LAYERS,
        },
    }
    return {
        f"{problem}: {way}": Task(
            "descent",
            config | way._asdict() | {"every": max(way.steps // RECORDS, 1)},
            seed,
            cost=way.steps * (1 if problem == "polynomial" else 30) / 1000,
        )
        for problem, config in problems.items()
        for way in WAYS[problem]
    }


def described_settings(
    study: Study, trials: list[Found]
) -> tuple[tuple[str, str], ...]:
    """Return what was chosen, in words."""
    width = max(round(UNITS * study.width), 4)
    first, last = study.seeds[0], study.seeds[-1]
    degrees = ", ".join(map(str, DEGREES))
    return (
        (
            "polynomial",
            f"Chebyshev's of degree {degrees}, from trial to trial, at {POINTS} points",
        ),
        ("data", f"the first {SAMPLES} training samples, classes as unit vectors"),
        (
            "networks",
            f"tanh, hidden layers {' x '.join(map(str, HIDDEN))} for the polynomial, "
            f"{LAYERS} of {width} for the data; half the mean squared error, float64",
        ),
        ("batches", "all samples at each step"),
        ("seeds", f"{first} to {last}"),
    )


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the curves, and whether each way hovers at its threshold."""
    rows, claims, charts = [], [], []
    for problem, ways in WAYS.items():
        shown = study.source.name if problem == "data" else problem
        for way in ways:
            runs = [found[f"{problem}: {way}"] for found in trials]
            rows.append(_row(f"{shown}: {way}", way, runs))
            claims.append(_claim(f"{shown}: {way}", way, runs))
        for adam in (False, True):
            chosen = [way for way in ways if (way.method == "adam") == adam]
            charts.append(_chart(shown, problem, chosen, trials[0]))
    table = Table(
        "λ_max along the descent, over its threshold",
        ("", "threshold", "at first", "lowest", "last third", "there at step", "loss"),
        tuple(rows),
        f"Last third: the median, and from the smallest to the largest of all trials. "
        f"There: at {LOW:g} of the threshold for the first time. Adam: in its own "
        "metric.",
    )
    return Findings((table,), tuple(claims), tuple(charts))


def ratios(run: Run) -> Values:
    """Return the records over their threshold, not-a-number where there is none."""
    threshold = float(run.metrics["threshold"])
    return np.array(run.metrics["values"], np.float64) / threshold


def hovering(run: Run) -> Values:
    """Return the last third of what a whole descent records; not-a-number if cut."""
    found = ratios(run)
    whole = run.config["steps"] // run.config["every"]
    return found[-(whole // 3) :] if len(found) >= whole else np.array([np.nan])


def lowest(run: Run) -> float:
    """Return the smallest ratio before the last third."""
    found = ratios(run)
    return float(np.min(found[: max(len(found) - len(found) // 3, 1)]))


def _row(name: str, way: Way, runs: list[Run]) -> tuple[str, ...]:
    late = np.array([np.median(hovering(run)) for run in runs])
    hovers = spread(late) if np.isfinite(late).all() else "-"
    every = np.concatenate([hovering(run) for run in runs])
    there = []
    for run in runs:
        met = np.flatnonzero(ratios(run) >= LOW)
        there.append(run.metrics["steps"][met[0]] if len(met) else None)
    losses = np.array([run.metrics["losses"][-1] for run in runs])
    return (
        name,
        f"{SHOWN[way.method][1]} = {runs[0].metrics['threshold']:.4g}",
        spread([ratios(run)[0] for run in runs]),
        f"{min(map(lowest, runs)):.2f}",
        f"{hovers} ({every.min():.2f} to {every.max():.2f})",
        ", ".join("-" if step is None else str(step) for step in there),
        f"{losses.min():.2g} to {losses.max():.2g}",
    )


def _claim(name: str, way: Way, runs: list[Run]) -> Claim:
    late = np.array([np.median(hovering(run)) for run in runs])
    found = paired(late)
    detail = f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}] of the threshold"
    decision = decide_within(found, LOW, HIGH)
    if not np.isfinite(late).all():
        decision, detail = FAILS, "not every run kept finite weights"
    elif max(map(lowest, runs)) >= LOW:
        decision, detail = OPEN, f"{detail}, but it did not come from below"
    return Claim(
        f"{name}: λ_max rises to {SHOWN[way.method][1]} and hovers there",
        decision,
        detail,
        f"95 % Student interval of the mean over trials of the median of the last "
        f"third of the steps, within {LOW:g} to {HIGH:g}; before, it is below in each",
    )


def _chart(shown: str, problem: str, ways: list[Way], found: Found) -> Chart:
    """Return the curves of one trial, each with its threshold, dashed."""
    series: list[Series] = []
    for way in ways:
        metrics = found[f"{problem}: {way}"].metrics
        name, steps = f"{way}, {SHOWN[way.method][1]}", metrics["steps"]
        values = np.array(metrics["values"], np.float64)
        ends, limit = floats((steps[0], steps[-1])), metrics["threshold"]
        series += [
            Series(name, floats(steps), floats(values)),
            Series(name, ends, (limit, limit), dashed=True),
        ]
    what = "λ_max in Adam's metric" if ways[0].method == "adam" else "λ_max"
    return Chart(
        f"{shown}: {what} by step, first trial",
        Axis("step"),
        Axis(what),
        tuple(series),
        alt=f"{what} rises to the threshold of each method, dashed, and stays about "
        "there.",
    )
