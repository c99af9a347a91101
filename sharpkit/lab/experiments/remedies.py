"""Remedies for the large batch: the paper's, and what came later."""

from __future__ import annotations

import math
from typing import Any

from sharpkit.lab.experiments.common import (
    Findings,
    Found,
    Trial,
    accuracies,
    cells,
    controls,
    large,
    late,
    metric,
    regime,
    sharpness,
    training,
    values,
)
from sharpkit.lab.experiments.study import EPSILONS, Study
from sharpkit.lab.intervals import spread
from sharpkit.lab.networks import NETWORKS
from sharpkit.lab.outcome import Claim, Table, difference_claim, ratio_claim

__all__ = ["NETWORKS", "TITLE", "find", "trial"]

TITLE = "Remedies for the large batch"
ADVERSARIAL = 0.02  # of samples in [0, 1]; the paper names none
RHO = 0.05  # the default of Foret et al.
GROW_AT = (3, 6)  # epochs: the batch grows to the middle size, then to the large one
LONGER = ("F1", "F2")  # as many updates as the small batch take too long elsewhere


def remedies(study: Study) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return what each remedy is and how it changes the regime of the large batch."""
    share = study.large / study.small
    middle = round(math.sqrt(study.small * study.large))
    growth = ((GROW_AT[0], middle), (GROW_AT[1], study.large))
    return {
        "dynamic sampling": (
            f"batch {study.small}, from epoch {GROW_AT[0]} on {middle}, from "
            f"{GROW_AT[1]} on {study.large} (Appendix E.4)",
            {"batch_size": study.small, "growth": growth},
        ),
        "adversarial": (
            f"half the loss at samples moved by {ADVERSARIAL:g} along the sign of the "
            "gradient (Appendix E.3; arXiv 1412.6572)",
            {"adversarial": ADVERSARIAL},
        ),
        "SAM": (f"ρ = {RHO:g} (arXiv 2010.01412)", {"sam": RHO}),
        "ghost batch norm": (
            f"chunks of {study.small} (arXiv 1705.08741)",
            {"ghost": study.small},
        ),
        "scaled rate": (
            f"rate times √(LB/SB) = {math.sqrt(share):.3g} (arXiv 1705.08741)",
            {"rate": study.rate * math.sqrt(share)},
        ),
    }


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial."""
    found = controls(study, seed)
    for name, (_, changes) in remedies(study).items():
        found[name] = large(study, seed, **changes)
    if study.network in LONGER:
        share = math.sqrt(study.large / study.small)
        how = regime(study, study.large, ghost=study.small, rate=study.rate * share)
        found["longer"] = training(study, seed, how, as_many_updates=found["SB"])
    for name in _names(study):
        found[f"{name} box"] = sharpness(study, found[name])
    return found


def _names(study: Study) -> list[str]:
    return [*remedies(study), *(["longer"] if study.network in LONGER else [])]


def find(study: Study, trials: list[Found]) -> Findings:
    """Return what each remedy does to accuracy and sharpness of the large batch."""
    described = {name: words for name, (words, _) in remedies(study).items()}
    described["longer"] = (
        "as many updates as the small batch, scaled rate and ghost batch norm "
        "(regime adaptation, arXiv 1705.08741)"
    )
    names = _names(study)
    rows = []
    for name in ("SB", "LB", "LB fast", *names):
        updates = spread(metric(trials, name, "updates"))
        rows.append((name, *cells(trials, name), updates))
    table = Table(
        "Test accuracy and sharpness (auto, full space), %",
        ("", "test", *(f"ε {e:g}" for e in EPSILONS), "updates"),
        tuple(rows),
        "; ".join(f"{name}: {described[name]}" for name in names) + ".",
    )
    claims = tuple(claim for name in names for claim in _claims(trials, name))
    stopped = tuple(name for name in ("SB", "LB", *names) if name != "longer")
    return Findings((table,), claims, notes=late(trials, stopped))


def _claims(trials: list[Found], name: str) -> tuple[Claim, Claim]:
    """Say of a remedy whether it helps accuracy and whether it flattens."""
    epsilon = EPSILONS[0]
    return (
        difference_claim(
            f"{name.capitalize() if name.islower() else name} makes the large batch "
            "generalise better: test accuracy, remedy - plain LB",
            accuracies(trials, name) - accuracies(trials, "LB"),
        ),
        ratio_claim(
            f"{name}: flatter than plain, ε = {epsilon:g}: plain LB / remedy",
            values(trials, "LB box", epsilon),
            values(trials, f"{name} box", epsilon),
        ),
    )
