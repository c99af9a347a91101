"""What Figures 3 and 7 share: loss and accuracy on a path through both minimisers."""

from __future__ import annotations

from typing import Any

import numpy as np

from sharpkit.lab import paper
from sharpkit.lab.experiments.common import Findings, Found, Trial, controls, late
from sharpkit.lab.experiments.study import Study
from sharpkit.lab.intervals import Values, spread
from sharpkit.lab.jobs.path import ALPHAS
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.outcome import (
    Axis,
    Chart,
    Series,
    Table,
    band,
    difference_claim,
    floats,
)

NEAR = 0.25  # how far beyond a minimiser the rise of the loss is read off


def path_trial(study: Study, seed: int, path: str) -> Trial:
    """Return the tasks of one trial: the path besides the controls."""
    found = controls(study, seed)
    config = {"path": path}
    found["path"] = between(study, "path", config, found, len(ALPHAS))
    return found


def between(
    study: Study, kind: str, config: dict[str, Any], runs: Trial, points: int
) -> Task:
    """Return the task of evaluating points between the small and the large batch."""
    ends = (runs["SB"], runs["LB"])
    cost = points * study.source.train * study.width / 300
    return Task(kind, config, ends[0].seed, ends, cost=cost)


def findings(
    study: Study, trials: list[Found], *, number: int, formula: str
) -> Findings:
    """Return the chart with the paper's curves behind, and the claim of the figure."""
    rises = {name: rise(trials, name) for name in ("SB", "LB")}
    table = Table(
        f"Rise of the training loss {NEAR:g} beyond each minimiser on the path",
        ("", "SB, before α = 0", "LB, beyond α = 1"),
        (("ours", spread(rises["SB"]), spread(rises["LB"])),),
    )
    theirs = paper.figure(number, study.network)
    if theirs is not None:
        table = Table(
            table.title, table.columns, (*table.rows, ("paper", *_paper_rises(theirs)))
        )
    # A difference, not a ratio: at a threshold that is no minimum a rise may be a fall.
    claim = difference_claim(
        f"The loss rises more steeply beyond the large-batch minimiser (Figure "
        f"{number}): rise beyond LB - rise before SB",
        rises["LB"] - rises["SB"],
        unit="of the loss",
    )
    return Findings(
        (table,),
        (claim,),
        (_chart(study, trials, number, formula),),
        late(trials, ("SB", "LB")),
    )


def rise(trials: list[Found], name: str) -> Values:
    """Return the rise of the training loss just outside one end of the path."""
    outside, end = {"SB": (-NEAR, 0.0), "LB": (1 + NEAR, 1.0)}[name]
    found = []
    for trial in trials:
        path = trial["path"].metrics
        losses = dict(zip(path["alpha"], path["train_loss"], strict=True))
        found.append(losses[outside] - losses[end])
    return np.array(found)


def _paper_rises(theirs: paper.Curve) -> tuple[str, str]:
    losses = dict(zip(theirs["alpha"], theirs["train_loss"], strict=True))
    before, beyond = (
        losses[outside] - losses[end]
        for outside, end in ((-NEAR, 0.0), (1 + NEAR, 1.0))
    )
    return f"{before:.2f}", f"{beyond:.2f}"


def _chart(study: Study, trials: list[Found], number: int, formula: str) -> Chart:
    alpha = np.array(trials[0]["path"].metrics["alpha"])
    series: list[Series] = []
    for part in ("train", "test"):
        for what, scale, right in (("loss", 1.0, False), ("accuracy", 100.0, True)):
            values = [trial["path"].metrics[f"{part}_{what}"] for trial in trials]
            series.append(
                band(
                    f"{what}, {part}",
                    alpha,
                    scale * np.array(values),
                    right=right,
                    dashed=part == "test",
                )
            )
    theirs = paper.figure(number, study.network)
    for part in ("train", "test") if theirs is not None else ():
        for what, key, right in (("loss", "loss", False), ("accuracy", "acc", True)):
            assert theirs is not None
            series.append(
                Series(
                    f"paper: {what}, {part}",
                    floats(theirs["alpha"]),
                    floats(theirs[f"{part}_{key}"]),
                    right=right,
                    paper=True,
                    dashed=part == "test",
                )
            )
    return Chart(
        f"{study.network}: loss and accuracy on {formula}",
        Axis("α (0: small batch, 1: large batch)"),
        Axis("cross-entropy"),
        tuple(series),
        Axis("accuracy, %"),
        f"Loss and accuracy at 25 points from α = -1 to 2; mean over {len(trials)} "
        "trials, band from the smallest to the largest.",
    )
