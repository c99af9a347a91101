"""Table 7: conservative training of the large batch."""

from __future__ import annotations

from sharpkit.lab import paper
from sharpkit.lab.experiments.common import (
    Findings,
    Found,
    Trial,
    accuracies,
    cells,
    controls,
    large,
    late,
    sharpness,
    values,
)
from sharpkit.lab.experiments.study import EPSILONS, Study
from sharpkit.lab.networks import NETWORKS
from sharpkit.lab.outcome import Table, difference_claim, ratio_claim

__all__ = ["NETWORKS", "TITLE", "find", "trial"]

TITLE = "Table 7: conservative training"
LAMBDA = 1e-3  # the paper's
STEPS = 3  # of Adam for each sub-problem, the paper's


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial."""
    run = large(study, seed, conservative=LAMBDA, inner_steps=STEPS)
    box = sharpness(study, run)
    return controls(study, seed) | {"LB conservative": run, "LB conservative box": box}


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the table beside the paper's, and what becomes of its claims."""
    theirs = paper.CONSERVATIVE[study.network]
    rows = []
    for name, batch in (("SB", "SB"), ("LB", ""), ("LB conservative", "LB")):
        keys = [f"test-{batch}", *(f"{e:g}-{batch}" for e in EPSILONS)]
        paper_cells = [str(theirs.get(key, "-")) for key in keys]
        rows.append((name, *cells(trials, name), *paper_cells))
    table = Table(
        "Test accuracy and sharpness (auto, full space), %",
        (
            "",
            "test",
            *(f"ε {e:g}" for e in EPSILONS),
            "paper: test",
            *(f"paper: ε {e:g}" for e in EPSILONS),
        ),
        tuple(rows),
        f"λ = {LAMBDA:g}, {STEPS} steps of the optimiser for each sub-problem, whose "
        "state is kept from one to the next.",
    )
    claims = (
        difference_claim(
            "Conservative training improves the large batch's test accuracy (Appendix "
            "E.2): conservative - plain",
            accuracies(trials, "LB conservative") - accuracies(trials, "LB"),
        ),
        *(
            ratio_claim(
                f"It is still sharper than the small batch (Table 7), ε = "
                f"{epsilon:g}: LB conservative / SB",
                values(trials, "LB conservative box", epsilon),
                values(trials, "SB box", epsilon),
            )
            for epsilon in EPSILONS
        ),
    )
    return Findings(
        (table,), claims, notes=late(trials, ("SB", "LB", "LB conservative"))
    )
