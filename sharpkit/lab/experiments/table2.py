"""Table 2: accuracy after training with small and with large batches."""

from __future__ import annotations

from sharpkit.lab import paper
from sharpkit.lab.experiments.common import (
    Findings,
    Found,
    Trial,
    accuracies,
    controls,
    late,
    metric,
)
from sharpkit.lab.experiments.study import FAST, Study
from sharpkit.lab.intervals import points, spread
from sharpkit.lab.networks import NETWORKS
from sharpkit.lab.outcome import Table, difference_claim, equal_claim

__all__ = ["NETWORKS", "TITLE", "find", "trial"]

TITLE = "Table 2: accuracy of small and large batches"


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial."""
    return controls(study, seed)


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the table beside the paper's, and what becomes of its claims."""
    theirs = paper.ACCURACY[study.network]
    rows = [
        (
            name,
            *(points(accuracies(trials, name, part)) for part in ("train", "test")),
            *(str(theirs[f"{part}-{name}"]) for part in ("train", "test")),
            spread(metric(trials, name, "updates")),
        )
        for name in ("SB", "LB")
    ]
    fast = (points(accuracies(trials, "LB fast", part)) for part in ("train", "test"))
    updates = spread(metric(trials, "LB fast", "updates"))
    rows.append((f"LB, {FAST}x rate", *fast, "-", "-", updates))
    table = Table(
        "Accuracy, %",
        ("", "train", "test", "paper: train", "paper: test", "updates"),
        tuple(rows),
    )
    train, test = (
        accuracies(trials, "SB", part) - accuracies(trials, "LB", part)
        for part in ("train", "test")
    )
    claims = (
        equal_claim(
            "Both batches fit the training set equally well (Table 2): SB - LB",
            train,
            within=1.0,
        ),
        difference_claim(
            "The large batch generalises worse (Table 2): test accuracy, SB - LB", test
        ),
        difference_claim(
            f"Not of the paper, a control: at {FAST}x the rate the large batch still "
            "generalises worse: SB - LB",
            accuracies(trials, "SB") - accuracies(trials, "LB fast"),
        ),
    )
    return Findings((table,), claims, notes=late(trials, ("SB", "LB", "LB fast")))
