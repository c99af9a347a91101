"""Table 6: data augmentation closes the gap in accuracy, not that in sharpness."""

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
    regime,
    sharpness,
    training,
    values,
)
from sharpkit.lab.experiments.study import EPSILONS, Study
from sharpkit.lab.outcome import Table, difference_claim, ratio_claim

TITLE = "Table 6: data augmentation"
NETWORKS = ("C1", "C2", "C3", "C4")
ONLY = NETWORKS  # a digit flipped is another digit, or none


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial."""
    found = controls(study, seed)
    sb = training(study, seed, regime(study, study.small, augment=True))
    lb = large(study, seed, augment=True)
    return found | {
        "SB augmented": sb,
        "LB augmented": lb,
        "SB augmented box": sharpness(study, sb),
        "LB augmented box": sharpness(study, lb),
    }


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the table beside the paper's, and what becomes of its claims."""
    theirs = paper.AUGMENTED.get(study.network, {})
    rows = []
    for name in ("SB", "LB", "SB augmented", "LB augmented"):
        batch, _, augmented = name.partition(" ")
        keys = [f"test-{batch}", *(f"{e:g}-{batch}" for e in EPSILONS)]
        paper_cells = [str(theirs.get(key, "-")) if augmented else "-" for key in keys]
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
        "Augmented: random flips, rotations up to 10 degrees and shifts up to 0.2 of "
        "the image; the loss is that of the samples themselves.",
    )
    before, after = (
        accuracies(trials, f"SB{how}") - accuracies(trials, f"LB{how}")
        for how in ("", " augmented")
    )
    claims = (
        difference_claim(
            "Augmentation narrows the gap in test accuracy (Appendix E.1): SB - LB, "
            "plain - augmented",
            before - after,
        ),
        *(
            ratio_claim(
                f"The augmented large batch is still sharper than the plain small one "
                f"(Table 6), ε = {epsilon:g}: LB augmented / SB",
                values(trials, "LB augmented box", epsilon),
                values(trials, "SB box", epsilon),
            )
            for epsilon in EPSILONS
        ),
    )
    names = ("SB", "LB", "SB augmented", "LB augmented")
    return Findings((table,), claims, notes=late(trials, names))
