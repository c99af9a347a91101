"""Figure 5: warm starts, large-batch training from the iterates of a small batch."""

from __future__ import annotations

import numpy as np

from sharpkit.lab import paper
from sharpkit.lab.experiments.common import (
    Findings,
    Found,
    Trial,
    accuracies,
    controls,
    late,
    regime,
    sharpness,
    training,
    values,
)
from sharpkit.lab.experiments.fig4 import slopes
from sharpkit.lab.experiments.study import EPSILONS, Study
from sharpkit.lab.intervals import Values, log10, points, spread
from sharpkit.lab.outcome import (
    Axis,
    Chart,
    Series,
    Table,
    band,
    difference_claim,
    floats,
    ratio_claim,
)

TITLE = "Figure 5: warm starts of the large batch"
NETWORKS = ("F2", "C1")
EPOCHS = (0, 1, 4, 16, 32)  # of the small batch; the paper has all up to 100


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial."""
    found = controls(study, seed)
    how = regime(
        study, study.small, until_loss=None, patience=None, max_epochs=EPOCHS[-1]
    )
    base = training(study, seed, how, epochs=EPOCHS)
    found["base"] = base
    large = regime(study, study.large)
    for epoch in EPOCHS:
        run = training(study, seed, large, start=(base, f"epoch-{epoch}"))
        found |= {f"from {epoch}": run, f"box {epoch}": sharpness(study, run)}
    return found


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the three curves, and whether late warm starts are flat and accurate."""
    before = np.array([_accuracies_of_base(trial) for trial in trials])
    after = np.array([accuracies(trials, f"from {epoch}") for epoch in EPOCHS]).T
    sharp = {
        epsilon: np.array([values(trials, f"box {e}", epsilon) for e in EPOCHS]).T
        for epsilon in EPSILONS
    }
    table = Table(
        "Large-batch training from small-batch iterates: test accuracy, sharpness, %",
        ("SB epochs", "SB test", "then LB", *(f"ε {each:g}" for each in EPSILONS)),
        tuple(
            (
                str(epoch),
                points(before[:, i]),
                points(after[:, i]),
                *(spread(sharp[epsilon][:, i]) for epsilon in EPSILONS),
            )
            for i, epoch in enumerate(EPOCHS)
        ),
    )
    x = np.log2(1 + np.array(EPOCHS, float))
    claims = (
        difference_claim(
            "The later the warm start, the flatter the large batch's minimiser "
            f"(Figure 5): fall of log10 of the sharpness per doubling, "
            f"ε = {EPSILONS[0]:g}",
            -slopes(x, log10(sharp[EPSILONS[0]])),
            unit="decades",
        ),
        ratio_claim(
            f"After {EPOCHS[-1]} small-batch epochs it is at least ten times flatter "
            "than from the start (Figure 5)",
            sharp[EPSILONS[0]][:, 0],
            sharp[EPSILONS[0]][:, -1],
            least=10.0,
        ),
        difference_claim(
            "It is then at least as accurate as the small-batch iterate (Figure 5): "
            "LB - SB, against -0.5",
            after[:, -1] - before[:, -1],
            least=-0.5,
        ),
    )
    charts = _charts(study, before, after, sharp)
    names = tuple(f"from {epoch}" for epoch in EPOCHS)
    return Findings((table,), claims, charts, late(trials, names))


def _accuracies_of_base(trial: Found) -> list[float]:
    points = {each["name"]: each for each in trial["base"].metrics["snapshots"]}
    return [100 * points[f"epoch-{epoch}"]["test"]["accuracy"] for epoch in EPOCHS]


def _charts(
    study: Study, before: Values, after: Values, sharp: dict[float, Values]
) -> tuple[Chart, ...]:
    epochs = np.array(EPOCHS, float)
    theirs = paper.figure(5, study.network) or {}
    accuracy = [
        band("small batch, test", epochs, before, dashed=True),
        band("then large batch, test", epochs, after),
    ]
    boxes: list[Series] = [
        band(f"ε {epsilon:g}", epochs, sharp[epsilon], logarithmic=True)
        for epsilon in EPSILONS
    ]
    for key, name, panel in (
        ("SB_test_acc", "paper: small batch, test", accuracy),
        ("piggyLB_test_acc", "paper: then large batch, test", accuracy),
        ("piggy_sharp_1e-3", "paper: ε 0.001", boxes),
        ("piggy_sharp_5e-4", "paper: ε 0.0005", boxes),
    ):
        if key in theirs:
            dashed = key in ("SB_test_acc", "piggy_sharp_5e-4")
            x, y = floats(theirs["epoch"]), floats(theirs[key])
            panel.append(Series(name, x, y, paper=True, dashed=dashed))
    trials = f"mean and range of {len(before)} trials"
    epoch = Axis("epochs of the small batch before the warm start")
    return (
        Chart(
            f"{study.network}: test accuracy of warm starts",
            epoch,
            Axis("test accuracy, %"),
            tuple(accuracy),
            alt=f"Accuracy of the small-batch iterate and after large-batch training "
            f"from it; {trials}.",
        ),
        Chart(
            f"{study.network}: sharpness of warm starts",
            epoch,
            Axis("sharpness, %", log=True),
            tuple(boxes),
            alt=f"Sharpness after large-batch training from each iterate; {trials}.",
        ),
    )
