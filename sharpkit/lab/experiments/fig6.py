"""Figure 6: sharpness against the training loss, along both runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpkit.lab import paper
from sharpkit.lab.experiments.common import (
    LADDER,
    Findings,
    Found,
    Trial,
    box_value,
    controls,
    late,
    sharpness,
)
from sharpkit.lab.experiments.study import EPSILONS, Study
from sharpkit.lab.intervals import TINY, Values, log10, spread
from sharpkit.lab.outcome import (
    Axis,
    Chart,
    Claim,
    Series,
    Table,
    band,
    equivalence_claim,
    floats,
    ratio_claim,
)

TITLE = "Figure 6: sharpness along the run"
NETWORKS = ("F2", "C1")


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial."""
    found = controls(study, seed)
    for name in ("SB", "LB"):
        for loss in LADDER:
            box = sharpness(study, found[name], at=f"loss-{loss:g}")
            found[f"{name} at {loss:g}"] = box
    return found


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the curves, and whether they part as the loss falls."""
    sharp = {
        (name, epsilon): _sharpness(trials, name, epsilon)
        for name in ("SB", "LB")
        for epsilon in EPSILONS
    }
    rows = []
    for i, loss in enumerate(LADDER):
        cells = [sharp[name, e][:, i] for e in EPSILONS for name in ("SB", "LB")]
        shown = [_spread(cell) for cell in cells]
        rows.append((f"{loss:g}", *shown))
    columns = [f"{name}, ε {e:g}" for e in EPSILONS for name in ("SB", "LB")]
    table = Table(
        "Sharpness (auto, full space), %, at equal training loss",
        ("loss", *columns),
        tuple(rows),
        "Read off at each loss between the ends of epochs above and below it, along a "
        "line in logarithms. Left out: losses above that after the first epoch, and "
        "those never reached; * not all trials.",
    )
    small, large = (sharp[name, EPSILONS[0]] for name in ("SB", "LB"))
    common = np.flatnonzero(np.isfinite(small + large).all(axis=0))
    notes = late(trials, ("SB", "LB"))
    claims: tuple[Claim, ...] = ()
    if len(common) > 1:
        claims = _claims(small, large, common)
        ends = f"{LADDER[common[0]]:g} and {LADDER[common[-1]]:g}"
        notes = (f"Losses that every run came to, first and last: {ends}.", *notes)
    charts = (_chart(study, trials, sharp), _by_update(study, trials[0], sharp))
    return Findings((table,), claims, charts, notes)


def _sharpness(trials: list[Found], name: str, epsilon: float) -> Values:
    """Return (trials, losses), not-a-number where a run did not pass a loss."""
    found = []
    for trial in trials:
        own = _passed(trial, name)
        boxes = {loss: box_value(trial[f"{name} at {loss:g}"], epsilon) for loss in own}
        found.append(_read_off(own, boxes))
    return np.array(found)


def _passed(trial: Found, name: str) -> dict[float, dict[str, Any]]:
    """Return the points of a run, each once, by the least of the losses it fell below.

    It is somewhere below that loss: an epoch may fall below several at once.
    """
    kept = {each["name"]: each for each in trial[name].metrics["snapshots"]}
    there = {loss: kept[key] for loss in LADDER if (key := f"loss-{loss:g}") in kept}
    last = {each["epoch"]: loss for loss, each in there.items()}
    return {loss: there[loss] for loss in last.values()}


def _read_off(own: dict[float, dict[str, Any]], found: dict[float, float]) -> Values:
    """Return numbers of a run's points, read off at each loss of the `LADDER`."""
    known = sorted(
        (own[loss]["loss"], value) for loss, value in found.items() if value == value
    )
    if not known:
        return np.full(len(LADDER), np.nan)
    losses, numbers = np.array(known).T
    at = np.interp(
        log10(np.array(LADDER)), log10(losses), log10(numbers), np.nan, np.nan
    )
    return np.asarray(10**at, np.float64)


def _claims(
    small: Values, large: Values, common: NDArray[np.int64]
) -> tuple[Claim, ...]:
    """Judge by the largest and the smallest loss that every run came to."""
    first, last = common[0], common[-1]
    where = "first and last loss in common"
    return (
        equivalence_claim(
            "At a large loss both batches are equally sharp (section 2.2.5): LB / SB "
            "at the first loss in common",
            large[:, first],
            small[:, first],
        ),
        ratio_claim(
            f"The large batch's sharpness grows as the loss falls ({where}): last / "
            "first",
            large[:, last],
            large[:, first],
        ),
        ratio_claim(
            f"The small batch's falls ({where}): first / last",
            small[:, first],
            small[:, last],
            least=2.0,
        ),
        ratio_claim(
            "The contrast grows as the loss falls (section 2.2.5): LB / SB, last / "
            "first",
            large[:, last] / np.maximum(small[:, last], TINY),
            large[:, first] / np.maximum(small[:, first], TINY),
        ),
    )


def _spread(values: Values) -> str:
    """Return mean and spread of the trials that came so far."""
    reached = values[np.isfinite(values)]
    if not len(reached):
        return "-"
    return spread(reached) + ("" if len(reached) == len(values) else " *")


def _chart(
    study: Study, trials: list[Found], sharp: dict[tuple[str, float], Values]
) -> Chart:
    theirs = paper.figure(6, study.network) or {}
    series: list[Series] = []
    for (name, epsilon), found in sharp.items():
        reached = np.isfinite(found).all(axis=0)
        if not reached.any():
            continue
        label, ladder = f"{name}, ε {epsilon:g}", np.array(LADDER)[reached]
        curve = band(label, ladder, found[:, reached], logarithmic=True)
        series.append(replace(curve, dashed=epsilon == EPSILONS[1]))
    for name, curve in theirs.items():
        batch, size = name.split("_")
        series.append(
            Series(
                f"paper: {batch}, ε {float(size):g}",
                floats(curve["xent"]),
                floats(curve["sharp"]),
                paper=True,
                dashed=size == "5e-4",
            )
        )
    return Chart(
        f"{study.network}: sharpness against training loss",
        Axis("training loss", log=True, reverse=True),
        Axis("sharpness, %", log=True),
        tuple(series),
        alt=f"Sharpness at each training loss; geometric mean and range of "
        f"{len(trials)} trials.",
    )


def _by_update(
    study: Study, trial: Found, sharp: dict[tuple[str, float], Values]
) -> Chart:
    """Return the first trial's sharpness and loss by update of the weights."""
    series: list[Series] = []
    for name in ("SB", "LB"):
        metrics, found = trial[name].metrics, sharp[name, EPSILONS[0]][0]
        per_epoch = metrics["updates"] / metrics["epochs"]
        own = _passed(trial, name)
        at = _read_off(own, {loss: own[loss]["epoch"] for loss in own})
        passed = np.isfinite(found)
        losses = np.array(metrics["losses"])
        after = per_epoch * np.arange(1, len(losses) + 1)
        series += [
            Series(name, floats(per_epoch * at[passed]), floats(found[passed])),
            Series(name, floats(after), floats(losses), right=True, dashed=True),
        ]
    return Chart(
        f"{study.network}: sharpness and loss by update, first trial",
        Axis("update", log=True),
        Axis(f"sharpness, ε {EPSILONS[0]:g}, %", log=True),
        tuple(series),
        y_right=Axis("training loss", log=True),
        alt="Sharpness at each training loss, and the loss, by update of the weights, "
        "for SB and LB.",
    )
