"""Figure 2: training and test accuracy after every epoch."""

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
    metric,
)
from sharpkit.lab.experiments.study import Study
from sharpkit.lab.intervals import Values, points, spread
from sharpkit.lab.outcome import (
    OPEN,
    Axis,
    Chart,
    Claim,
    Series,
    Table,
    band,
    below_claim,
    floats,
)

TITLE = "Figure 2: accuracy against epochs"
NETWORKS = ("F2", "C1")
DROP = 1.0  # points: a test curve off which less is to be gained has not turned down

_CURVES = {"train": "running_accuracies", "test": "test_accuracies"}


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial."""
    return controls(study, seed)


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the curves and whether a test curve turns down."""
    table = Table(
        "Test accuracy, %: at the end, and what early stopping would have gained",
        ("", "last", "gain", "epochs"),
        tuple(
            (
                name,
                points(accuracies(trials, name)),
                points(gains) if (gains := _gains(trials, name)) is not None else "-",
                spread(metric(trials, name, "epochs")),
            )
            for name in ("SB", "LB")
        ),
        "gain: each half of the test samples chooses an epoch, by which the other is "
        "judged; mean of both ways.",
    )
    claims = tuple(
        _claim(words, _gains(trials, name))
        for name, words in (("SB", "small"), ("LB", "large"))
    )
    charts = (_chart(study, trials),)
    return Findings((table,), claims, charts, late(trials, ("SB", "LB")))


def _claim(words: str, gains: Values | None) -> Claim:
    text = (
        f"The test curve of the {words} batch does not turn down, so that early "
        "stopping would not help (section 2.2.1): accuracy at the epoch that the other "
        "half of the test samples chooses - at the last"
    )
    if gains is not None:
        return below_claim(text, gains, most=DROP)
    missing = "halves of the test set not kept"
    return Claim(text, OPEN, missing, "none: the 95 % interval needs these accuracies")


def _gains(trials: list[Found], name: str) -> Values | None:
    """Return what early stopping would have gained, in points, one per trial.

    The best epoch of a curve is never below its last, the more so the noisier it is: so
    the samples that choose it are none of those that judge it. None for a record from
    before the halves were kept.
    """
    curves = [trial[name].metrics.get("test_halves") for trial in trials]
    if None in curves:
        return None
    return np.array([gain(np.array(halves)) for halves in curves])


def gain(halves: Values) -> float:
    """Return the gain by the epoch that the other half chooses, of (2, epochs)."""
    chosen = halves.argmax(axis=1)[::-1]
    return float(100 * np.mean(halves[[0, 1], chosen] - halves[:, -1]))


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
