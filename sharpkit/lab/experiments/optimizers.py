"""Section 2.2: other optimisers show the same gap."""

from __future__ import annotations

from dataclasses import replace

from sharpkit.lab.experiments.common import (
    Findings,
    Found,
    Trial,
    accuracies,
    cells,
    controls,
    late,
    metric,
    regime,
    sharpness,
    training,
    values,
)
from sharpkit.lab.experiments.study import EPSILONS, Study
from sharpkit.lab.intervals import spread
from sharpkit.lab.outcome import Claim, Table, difference_claim, ratio_claim
from sharpkit.lab.training.regime import OptimizerName

TITLE = "Other optimisers (section 2.2)"
NETWORKS = ("F1", "F2")
# Rates at which both batch sizes train; the paper gives none.
RATES: dict[OptimizerName, float] = {"sgd": 0.1, "momentum": 0.02, "adagrad": 0.01}


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial."""
    found = controls(study, seed)
    for name, rate in RATES.items():
        own = replace(study, optimizer=name, rate=rate)
        for batch, size in (("SB", study.small), ("LB", study.large)):
            run = training(own, seed, regime(own, size))
            found |= {
                f"{batch} {name}": run,
                f"{batch} {name} box": sharpness(own, run),
            }
    return found


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the gap in accuracy and sharpness for each optimiser."""
    names = [f"{batch} {name}" for name in RATES for batch in ("SB", "LB")]
    rows = []
    for name in ("SB", "LB", *names):
        updates = spread(metric(trials, name, "updates"))
        rows.append((name, *cells(trials, name), updates))
    table = Table(
        "Test accuracy and sharpness (auto, full space), %",
        ("", "test", *(f"ε {e:g}" for e in EPSILONS), "updates"),
        tuple(rows),
        "Rates: "
        + ", ".join(f"{name} {rate:g}" for name, rate in RATES.items())
        + f"; the first two rows are {study.optimizer} at {study.rate:g}.",
    )
    claims = tuple(claim for name in RATES for claim in _claims(trials, name))
    return Findings((table,), claims, notes=late(trials, tuple(names)))


def _claims(trials: list[Found], name: str) -> tuple[Claim, Claim]:
    epsilon = EPSILONS[0]
    small, large = f"SB {name}", f"LB {name}"
    return (
        difference_claim(
            f"With {name} the large batch generalises worse, too (section 2.2): test "
            "accuracy, SB - LB",
            accuracies(trials, small) - accuracies(trials, large),
        ),
        ratio_claim(
            f"With {name} it is sharper, too, ε = {epsilon:g}: LB / SB",
            values(trials, f"{large} box", epsilon),
            values(trials, f"{small} box", epsilon),
        ),
    )
