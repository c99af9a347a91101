"""Figure 4: test accuracy and sharpness against the batch size."""

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
)

TITLE = "Figure 4: accuracy and sharpness against the batch size"
NETWORKS = ("F2", "C1")


def batches(study: Study) -> tuple[int, ...]:
    """Return batch sizes from the small one, doubled up to twice the large one."""
    sizes, size = [], study.small
    while size < 2 * study.large:
        sizes.append(size)
        size *= 2
    return tuple(sorted({*sizes, study.large}))


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial."""
    found = controls(study, seed)
    for size in batches(study):
        run = training(study, seed, regime(study, size))
        found |= {f"batch {size}": run, f"box {size}": sharpness(study, run)}
    return found


def find(study: Study, trials: list[Found]) -> Findings:
    """Return both curves, and whether they fall and rise as the paper's."""
    sizes = batches(study)
    test = np.array([accuracies(trials, f"batch {size}") for size in sizes]).T
    sharp = {
        epsilon: np.array([values(trials, f"box {size}", epsilon) for size in sizes]).T
        for epsilon in EPSILONS
    }
    table = Table(
        "Test accuracy and sharpness (auto, full space), %, by batch size",
        ("batch", "test", *(f"ε {epsilon:g}" for epsilon in EPSILONS)),
        tuple(
            (
                str(size),
                points(test[:, i]),
                *(spread(sharp[epsilon][:, i]) for epsilon in EPSILONS),
            )
            for i, size in enumerate(sizes)
        ),
    )
    doublings = np.log2(sizes)
    logs = log10(sharp[EPSILONS[0]])
    half = len(sizes) // 2 + 1
    lower, upper = (
        slopes(doublings[:half], logs[:, :half]),
        slopes(doublings[half - 1 :], logs[:, half - 1 :]),
    )
    claims = (
        difference_claim(
            "Test accuracy falls with the batch size (Figure 4): fall per doubling",
            -slopes(doublings, test),
        ),
        difference_claim(
            "Sharpness rises with the batch size (Figure 4): log10 per doubling, "
            f"ε = {EPSILONS[0]:g}",
            slopes(doublings, logs),
            unit="decades",
        ),
        difference_claim(
            "Its rise slows beyond a threshold (section 2.2.4): log10 per doubling, "
            "smaller half of the batch sizes - larger half",
            lower - upper,
            unit="decades",
        ),
    )
    names = tuple(f"batch {size}" for size in sizes)
    charts = _charts(study, np.array(sizes, float), test, sharp)
    return Findings((table,), claims, charts, late(trials, names))


def slopes(x: Values, y: Values) -> Values:
    """Return the least-squares slope of each row of y, (trials, points), over x."""
    centred = x - x.mean()
    return np.asarray(y @ centred / (centred @ centred), np.float64)


def _charts(
    study: Study, sizes: Values, test: Values, sharp: dict[float, Values]
) -> tuple[Chart, ...]:
    theirs = paper.figure(4, study.network) or {}
    shares = 100 * sizes / study.source.train
    accuracy = [band("test accuracy", shares, test)]
    boxes: list[Series] = [
        band(f"ε {epsilon:g}", shares, sharp[epsilon], logarithmic=True)
        for epsilon in EPSILONS
    ]
    for key, name, panel in (
        ("test_acc", "paper: test accuracy", accuracy),
        ("sharp_1e-3", "paper: ε 0.001", boxes),
        ("sharp_5e-4", "paper: ε 0.0005", boxes),
    ):
        if key in theirs:
            x = 100 * np.array(theirs[key]["batch"]) / paper.SAMPLES[study.network]
            y, dashed = floats(theirs[key]["value"]), key == "sharp_5e-4"
            panel.append(Series(name, floats(x), y, paper=True, dashed=dashed))
    batch = Axis("batch size, % of the training set", log=True)
    trials = f"mean and range of {len(test)} trials"
    return (
        Chart(
            f"{study.network}: test accuracy against batch size",
            batch,
            Axis("test accuracy, %"),
            tuple(accuracy),
            alt=f"Test accuracy at the matched loss, {trials}.",
        ),
        Chart(
            f"{study.network}: sharpness against batch size",
            batch,
            Axis("sharpness, %", log=True),
            tuple(boxes),
            alt=f"Sharpness in the full space at two sizes of the box, {trials}.",
        ),
    )
