"""Figure 2: training and test accuracy after every epoch."""

from __future__ import annotations

import numpy as np

from sharpkit.lab import paper
from sharpkit.lab.experiments.common import Findings, Found, Trial, controls, late
from sharpkit.lab.experiments.study import Study
from sharpkit.lab.intervals import Values, points, spread
from sharpkit.lab.outcome import Axis, Chart, Series, Table, band, below_claim, floats

TITLE = "Figure 2: accuracy against epochs"
NETWORKS = ("F2", "C1")
DROP = 1.0  # points: a test curve that falls by less has not turned down

_CURVES = {"train": "running_accuracies", "test": "test_accuracies"}


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial."""
    return controls(study, seed)


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the curves and whether a test curve turns down."""
    drops = {
        name: np.array([_drop(trial[name].metrics) for trial in trials])
        for name in ("SB", "LB")
    }
    table = Table(
        "Test accuracy, %: the best of any epoch, and how far the last lies below it",
        ("", "best", "fallen by", "epochs"),
        tuple(
            (
                name,
                points([_best(each[name].metrics) for each in trials]),
                points(drops[name]),
                spread([each[name].metrics["epochs"] for each in trials]),
            )
            for name in ("SB", "LB")
        ),
    )
    claims = tuple(
        below_claim(
            f"The test curve of the {words} batch does not turn down, so that early "
            "stopping would not help (section 2.2.1): best - last accuracy",
            drops[name],
            most=DROP,
        )
        for name, words in (("SB", "small"), ("LB", "large"))
    )
    charts = (_chart(study, trials),)
    return Findings((table,), claims, charts, late(trials, ("SB", "LB")))


def _best(metrics: dict[str, list[float]]) -> float:
    return 100 * max(metrics[_CURVES["test"]])


def _drop(metrics: dict[str, list[float]]) -> float:
    return _best(metrics) - 100 * metrics[_CURVES["test"]][-1]


def _chart(study: Study, trials: list[Found]) -> Chart:
    series: list[Series] = []
    theirs = paper.figure(2, study.network)
    for name in ("SB", "LB"):
        for part, key in _CURVES.items():
            curves = _padded([trial[name].metrics[key] for trial in trials])
            epochs = np.arange(1, curves.shape[1] + 1)
            shown = band(f"{name}, {part}", epochs, 100 * curves, dashed=part == "test")
            series.append(shown)
            if theirs is not None:
                series.append(
                    Series(
                        f"paper: {name}, {part}",
                        floats(theirs[f"epoch_{name}_{part}"]),
                        floats(theirs[f"{name}_{part}"]),
                        paper=True,
                        dashed=part == "test",
                    )
                )
    return Chart(
        f"{study.network}: accuracy against epochs",
        Axis("epoch"),
        Axis("accuracy, %"),
        tuple(series),
        alt="Training accuracy as it went, in training mode, and test accuracy after "
        f"each epoch; mean and range of {len(trials)} trials, each held at its last "
        "value once it has stopped.",
    )


def _padded(curves: list[list[float]]) -> Values:
    """Return the curves, (trials, epochs), each held at its last value."""
    longest = max(map(len, curves))
    return np.array([each + each[-1:] * (longest - len(each)) for each in curves])
