"""How the sharpness goes along a training, for both batch sizes: not of the paper.

The paper compares the points where both trainings end. Here the largest eigenvalue and
the critical sharpness are taken on the way, of the loss over all training samples: with
running batch-norm statistics, as the paper's sharpness is measured, and with those of
all samples, which is the loss that large batches are trained on, about.
"""

from __future__ import annotations

import numpy as np

from sharpkit.lab.experiments.common import Findings, Found, Trial, large, late, small
from sharpkit.lab.experiments.study import Study
from sharpkit.lab.intervals import Values, log10, spread
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.outcome import (
    Axis,
    Chart,
    Claim,
    Series,
    Table,
    band,
    floats,
    ratio_claim,
)
from sharpkit.lab.store import Run

TITLE = "Catapult: the sharpness along the training of both batch sizes"
NETWORKS = ("F1",)
ONLY = ("F1", "F2")  # whose products are exact
CONTROLS = False  # they are beside the sharpness at the ends

MEASURES = {
    "running": ["lambda_max"],
    "batch": ["lambda_max", "critical_sharpness"],
}
LAMBDA, RUNNING = "lambda_max, batch", "lambda_max, running"
CRITICAL = "critical_sharpness, batch"
SHOWN = {
    RUNNING: "λ_max, running statistics",
    LAMBDA: "λ_max, batch statistics",
    CRITICAL: "critical sharpness, batch statistics",
}
RECORDS = 60
BATCHES = ("SB", "LB")
SHARES = np.linspace(0, 1, 61)  # of a run, at which runs are compared
HALF = len(SHARES) // 2


def trial(study: Study, seed: int) -> Trial:
    """Return both trainings, and each once more, watched."""
    found = {"SB": small(study, seed), "LB": large(study, seed)}
    config = {"measures": MEASURES, "records": RECORDS}
    watched = {
        f"{name} watched": Task("watch", config, seed, (run,), cost=2 * run.cost)
        for name, run in found.items()
    }
    return found | watched


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the curves, and what both batches have in common and what not."""
    watched = [trial[f"{name} watched"] for trial in trials for name in BATCHES]
    notes = late(trials, BATCHES)
    other = sum(not run.metrics["same"] for run in watched)
    if other:
        notes += (
            f"{other} of {len(watched)} watched runs ended at other weights than those "
            "that were not: another machine or version.",
        )
    table = Table(
        "The sharpness along the run",
        ("", "at first", "largest", "after epochs", "last"),
        tuple(_row(trials, name, measure) for measure in SHOWN for name in BATCHES),
        f"Of the loss over all training samples, about {RECORDS} times a run; critical "
        "sharpness along the updates, per unit of the rate, where the loss falls along "
        "them. Running statistics begin as zeros and ones, and follow the weights "
        "late.",
    )
    charts = tuple(_chart(study, trials, measure) for measure in SHOWN)
    return Findings((table,), _claims(trials), charts, notes)


def curve(run: Run, measure: str) -> tuple[Values, Values]:
    """Return the epochs of a run's records, and what was recorded, where it is known.

    It is not where the loss over all samples did not fall along the update of a batch.
    """
    found, metrics = run.metrics["curves"][measure], run.metrics
    values, errors = (np.array(found[name], float) for name in ("values", "errors"))
    known = np.isfinite(values) & np.isfinite(errors)
    epochs = np.array(found["steps"]) * metrics["epochs"] / metrics["updates"]
    return epochs[known], values[known]


def at(run: Run, measure: str, epochs: Values) -> Values:
    """Return a run's curve at some epochs, from line to line of its logarithm."""
    own, values = curve(run, measure)
    return np.asarray(10 ** np.interp(epochs, own, log10(values)), np.float64)


def _claims(trials: list[Found]) -> tuple[Claim, ...]:
    """Compare both runs, point by point at equal shares of their length."""
    found = {
        (name, measure): np.array(
            [_by_share(trial[f"{name} watched"], measure) for trial in trials]
        )
        for name in BATCHES
        for measure in (RUNNING, LAMBDA)
    }
    claims: list[Claim] = []
    for measure in (RUNNING, LAMBDA):
        small, large = (found[name, measure] for name in BATCHES)
        what = SHOWN[measure]
        claims += [
            ratio_claim(
                f"The large batch ends with the larger {what}: LB / SB",
                large[:, -1],
                small[:, -1],
            ),
            ratio_claim(
                f"It has the larger {what}, on the way, too: LB / SB, geometric means "
                "over the second half of the runs",
                *(10 ** log10(each[:, HALF:]).mean(axis=1) for each in (large, small)),
            ),
        ]
    for name in BATCHES:
        curves = found[name, LAMBDA]
        most = at_peak(curves)
        claims += [
            ratio_claim(
                f"{name}: λ_max rises at first (batch statistics): peak / first",
                most,
                curves[:, 0],
                least=1.1,
            ),
            ratio_claim(
                f"{name}: it falls from its peak: peak / last",
                most,
                curves[:, -1],
                least=2.0,
            ),
        ]
    return tuple(claims)


def at_peak(curves: Values) -> Values:
    """Return the number of each trial where the others' geometric mean is largest.

    A trial's own largest would be above its first and its last by luck alone.
    """
    logs = log10(curves)
    others = logs.sum(axis=0) - logs
    return np.asarray(curves[np.arange(len(curves)), others.argmax(axis=1)], np.float64)


def _by_share(run: Run, measure: str) -> Values:
    """Return a curve at the `SHARES` of its run."""
    return at(run, measure, SHARES * curve(run, measure)[0][-1])


def _row(trials: list[Found], name: str, measure: str) -> tuple[str, ...]:
    found = [curve(trial[f"{name} watched"], measure) for trial in trials]
    peaks = [int(np.argmax(values)) for _, values in found]
    return (
        f"{name}, {SHOWN[measure]}",
        spread([values[0] for _, values in found]),
        spread([values.max() for _, values in found]),
        spread([epochs[i] for (epochs, _), i in zip(found, peaks, strict=True)]),
        spread([values[-1] for _, values in found]),
    )


def _chart(study: Study, trials: list[Found], measure: str) -> Chart:
    """Return both curves by epoch, as far as all trials go, and the threshold."""
    series: list[Series] = []
    for name in BATCHES:
        runs = [trial[f"{name} watched"] for trial in trials]
        ends = [curve(run, measure)[0] for run in runs]
        begin = max(each[0] for each in ends)
        epochs = begin + (min(each[-1] for each in ends) - begin) * SHARES
        values = np.array([at(run, measure, epochs) for run in runs])
        series.append(band(name, epochs, values, logarithmic=True))
    if measure == CRITICAL:
        end = max(each.x[-1] for each in series)
        limit = 2 / study.rate
        series.append(Series("2/η", floats((0, end)), (limit, limit), dashed=True))
    what = SHOWN[measure]
    return Chart(
        f"{study.network}: {what} along the training",
        Axis("epoch"),
        Axis(what, log=True),
        tuple(series),
        alt=f"{what} by epoch of SB and LB, geometric mean and range of "
        f"{len(trials)} trials.",
    )
