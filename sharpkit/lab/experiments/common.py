"""What experiments share: the runs of a trial, the measurements, the controls.

An experiment names the tasks of one trial; equal tasks of several experiments are the
same work and done once. So are the controls, which stand beside every verdict.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from sharpkit.lab.experiments.study import EPSILONS, FAST, PATIENCE, SUBSPACE, Study
from sharpkit.lab.intervals import Values, log10, paired, points, spread
from sharpkit.lab.jobs.minimisers import END
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.outcome import Chart, Claim, Plane, Table, ratio_text
from sharpkit.lab.store import Run
from sharpkit.lab.training.regime import Regime

Trial = dict[str, Task]
Found = dict[str, Run]

# Training losses at which the weights are kept: for Figure 6.
LADDER = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
FULL = tuple(
    {"epsilon": epsilon, "subspace": None, "solver": "auto"} for epsilon in EPSILONS
)
# Tables 3 and 4: both boxes, both spaces, the default solver and the paper's recipe.
TABLES = tuple(
    {"epsilon": epsilon, "subspace": subspace, "solver": solver}
    for subspace in (None, SUBSPACE)
    for epsilon in EPSILONS
    for solver in ("auto", "lbfgsb")
)
UNEQUAL = 0.05  # a loss that ends further below its threshold is told of
# Where a trial measures, and what a table calls it: the ends of both runs, of the large
# batch at a higher rate, and of both with equal layer norms.
POINTS = {
    "SB": "SB",
    "LB": "LB",
    "LB fast": f"LB, {FAST}x rate",
    "SB equal": "SB, equal norms",
    "LB equal": "LB, equal norms",
}


class Findings(NamedTuple):
    """What an experiment makes of its finished trials.

    Attributes
    ----------
    tables, claims, charts : tuple
        What is shown, in this order.
    notes : tuple of str
        What a reader must know besides.
    """

    tables: tuple[Table, ...]
    claims: tuple[Claim, ...]
    charts: tuple[Chart | Plane, ...] = ()
    notes: tuple[str, ...] = ()


def regime(study: Study, batch: int, **changes: Any) -> Regime:
    """Return the study's way to train at a batch size, with changes."""
    plain = Regime(
        batch,
        optimizer=study.optimizer,
        rate=study.rate,
        until_loss=study.until_loss,
        patience=PATIENCE if study.until_loss is None else None,
        max_epochs=study.max_epochs,
        loss_within=study.loss_within,
    )
    return replace(plain, **changes)


def training(
    study: Study,
    seed: int,
    how: Regime,
    *,
    epochs: tuple[int, ...] = (),
    start: tuple[Task, str] | None = None,
    as_many_updates: Task | None = None,
) -> Task:
    """Return the task of training one network.

    Parameters
    ----------
    study, seed, how
        The study, the seed of the trial and the way to train.
    epochs
        The epochs after which the weights are kept, besides the `LADDER`.
    start
        The run to start from and the name of one of its points; None stands for the
        uniform draw.
    as_many_updates
        The run as many of whose updates are done, whatever the loss.
    """
    config = {
        "network": {
            "name": study.network,
            "width": study.width,
            "definition": study.definition,
        },
        "data": asdict(study.source),
        "regime": how.to_dict(),
        "snapshots": {"epochs": list(epochs), "losses": list(LADDER)},
        "curves": True,
        "start": None if start is None else start[1],
        "as_many_updates": as_many_updates is not None,
        **study.place,
    }
    needs = [each for each in (start and start[0], as_many_updates) if each is not None]
    # An epoch costs by its samples, and small batches need about as many epochs.
    slow = 3.0 if how.batch_size == study.small else 1.0
    cost = slow * study.source.train * study.width / 100
    return Task("train", config, seed, tuple(needs), cost=cost)


def small(study: Study, seed: int) -> Task:
    """Return the small-batch run, SB."""
    return training(study, seed, regime(study, study.small))


def large(study: Study, seed: int, **changes: Any) -> Task:
    """Return the large-batch run, LB, perhaps with changes to the regime."""
    return training(study, seed, regime(study, study.large, **changes))


def sharpness(
    study: Study,
    run: Task,
    measure: tuple[dict[str, Any], ...] = FULL,
    *,
    at: str = END,
    norms_with: Task | None = None,
) -> Task:
    """Return the task of measuring a point of a run.

    Parameters
    ----------
    study, run
        The study and the run.
    measure
        What is measured: epsilon, subspace and solver of each.
    at
        The name of the point.
    norms_with
        Another run. Both are given the geometric mean of their layer norms first.
    """
    config = {"at": at, "measure": list(measure), "batch_norm": study.batch_norm}
    needs = (run,) if norms_with is None else (run, norms_with)
    cost = len(measure) * study.source.train * study.width / 100
    return Task("sharpness", config, run.seed, needs, cost=cost)


def controls(study: Study, seed: int) -> Trial:
    """Return the runs that stand beside every verdict, SB and LB among them."""
    sb, lb = small(study, seed), large(study, seed)
    runs = {"SB": sb, "LB": lb, "LB fast": large(study, seed, rate=FAST * study.rate)}
    # The demonstration's record has all its points in full.
    beside = TABLES if study.preset == "demo" else FULL
    return runs | {
        f"{point} box": sharpness(
            study,
            runs[run_of(point)],
            TABLES if point in ("SB", "LB") else beside,
            norms_with=other_run(runs, point),
        )
        for point in POINTS
    }


def run_of(point: str) -> str:
    """Return the run that ends at one of the `POINTS`, before its norms are changed."""
    return point.removesuffix(" equal")


def other_run(runs: Trial, point: str) -> Task | None:
    """Return the run with which one of the `POINTS` shares its layer norms, if any."""
    return {"SB equal": runs["LB"], "LB equal": runs["SB"]}.get(point)


def values(
    trials: list[Found],
    name: str,
    epsilon: float,
    *,
    subspace: int | None = None,
    solver: str = "auto",
) -> Values:
    """Return one sharpness per trial, per cent; its noise where it is below that."""
    return np.array(
        [box_value(trial[name], epsilon, subspace, solver) for trial in trials]
    )


def box_value(
    run: Run, epsilon: float, subspace: int | None = None, solver: str = "auto"
) -> float:
    """Return a measured sharpness, not-a-number where the point was not reached."""
    for entry in run.metrics["sharpness"]:
        if (entry["epsilon"], entry["subspace"], entry["solver"]) == (
            epsilon,
            subspace,
            solver,
        ):
            return float(max(entry["value"], entry["noise"] or 0.0))
    return float("nan")


def accuracies(trials: list[Found], name: str, part: str = "test") -> Values:
    """Return one accuracy per trial, per cent, at the end of a run."""
    return np.array([100 * trial[name].metrics[part]["accuracy"] for trial in trials])


def metric(trials: list[Found], name: str, key: str) -> Values:
    """Return one number per trial of a training run."""
    return np.array([float(trial[name].metrics[key]) for trial in trials])


def cells(trials: list[Found], run: str, box: str | None = None) -> tuple[str, ...]:
    """Return a run's test accuracy and its sharpness in both boxes, for a table."""
    boxes = (values(trials, box or f"{run} box", epsilon) for epsilon in EPSILONS)
    return (points(accuracies(trials, run)), *map(spread, boxes))


def loss_shares(trials: list[Found], name: str) -> Values:
    """Return the losses at which a run ended, as shares of the one to stop at."""
    runs = [trial[name] for trial in trials]
    limits = [run.config["regime"]["until_loss"] or math.nan for run in runs]
    losses = np.array([run.metrics["train"]["loss"] for run in runs], np.float64)
    return np.asarray(losses / limits, np.float64)


def late(trials: list[Found], names: tuple[str, ...]) -> tuple[str, ...]:
    """Say which runs did not end at the loss at which they were to stop."""
    found = []
    for name in names:
        missed = [trial[name] for trial in trials if not trial[name].metrics["reached"]]
        if missed:
            losses = [run.metrics["train"]["loss"] for run in missed]
            found.append(
                f"{name}: {len(missed)} of {len(trials)} runs did not reach the loss "
                f"threshold (they ended at {min(losses):.2g} to {max(losses):.2g}); "
                "the losses are not matched."
            )
        shares = loss_shares(trials, name)
        if shares.min() < 1 - UNEQUAL:
            found.append(
                f"{name}: runs ended at {shares.min():.2g} to {shares.max():.2g} of "
                "the loss threshold; the losses are not equal."
            )
    return tuple(found)


def control_table(trials: list[Found]) -> Table:
    """Return the controls: the rate of the large batch, and equal layer norms."""
    rows = []
    for point, shown in POINTS.items():
        shares = loss_shares(trials, run_of(point))
        ended = spread(shares) if np.isfinite(shares).all() else "-"
        own = cells(trials, run_of(point), f"{point} box")
        rows.append((shown, *own, ended))
    epsilon = EPSILONS[0]
    ratios = [
        ratio_text(
            paired(
                log10(values(trials, upper, epsilon))
                - log10(values(trials, lower, epsilon))
            )
        )
        for upper, lower in (
            ("LB box", "SB box"),
            ("LB fast box", "SB box"),
            ("LB equal box", "SB equal box"),
        )
    ]
    return Table(
        "Controls: test accuracy and sharpness (auto, full space), %",
        ("", "test", *(f"ε {each:g}" for each in EPSILONS), "loss / limit"),
        tuple(rows),
        "loss / limit: the training loss at the end over that at which to stop. "
        f"Geometric mean ratio to SB at ε {epsilon:g} [95 %]: LB {ratios[0]}, "
        f"LB at {FAST}x the rate {ratios[1]}, at equal layer norms {ratios[2]}.",
    )
