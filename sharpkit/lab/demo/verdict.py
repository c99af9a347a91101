"""What the trials say, computed: means, ratios and paired confidence intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sharpkit.lab.intervals import TINY, Interval, Values, log10, paired, power

Record = dict[str, Any]


def sharpness_values(
    trials: list[Record], name: str, *, epsilon: float, full: bool, solver: str
) -> Values:
    """Return one sharpness per trial, per cent."""
    return np.array(
        [_entry(trial, name, epsilon, full, solver)["value"] for trial in trials]
    )


def accuracies(trials: list[Record], name: str, part: str) -> Values:
    """Return one accuracy per trial, per cent; ``part`` is "train" or "test"."""
    return np.array(
        [100 * trial["minimisers"][name][part]["accuracy"] for trial in trials]
    )


def distances(trials: list[Record], name: str) -> Values:
    """Return the distance of each trial's minimiser from its starting point."""
    return np.array([trial["minimisers"][name]["distance"] for trial in trials])


def largest_eigenvalues(trials: list[Record], name: str) -> Values:
    """Return the largest eigenvalue of the Hessian, one per trial."""
    return np.array(
        [each["eigenvalues"]["values"][0] for each in _curved(trials, name)]
    )


def rate_eigenvalues(trials: list[Record], name: str) -> Values:
    """Return the largest eigenvalue times the rate of a minimiser that was trained."""
    rates = np.array([trial["minimisers"][name]["rate"] for trial in trials])
    return rates * largest_eigenvalues(trials, name)


def traces(trials: list[Record], name: str) -> Values:
    """Return the trace of the Hessian, one per trial."""
    return np.array([each["trace"]["value"] for each in _curved(trials, name)])


def predicted_values(trials: list[Record], name: str, *, epsilon: float) -> Values:
    """Return one sharpness of the quadratic model per trial, per cent, full space."""
    return np.array(
        [
            entry["value"]
            for each in _curved(trials, name)
            for entry in each["predicted"]
            if entry["epsilon"] == epsilon
        ]
    )


def beyond_quadratic(trials: list[Record], name: str, *, epsilon: float) -> Values:
    """Return the sharpness as a multiple of that of the quadratic model.

    1 where the Hessian explains all of the rise. Full space, default solver.
    """
    measured = sharpness_values(trials, name, epsilon=epsilon, full=True, solver="auto")
    predicted = predicted_values(trials, name, epsilon=epsilon)
    return measured / np.maximum(predicted, TINY)


def all_reached(trials: list[Record], name: str) -> bool:
    """Return whether every trial of a minimiser reached the loss threshold."""
    return all(trial["minimisers"][name]["reached"] for trial in trials)


def ratio_interval(
    trials: list[Record],
    upper: str,
    lower: str,
    *,
    epsilon: float,
    full: bool,
    solver: str,
) -> Interval:
    """Return the log10 of the sharpness ratio of two minimisers, paired by trial.

    A value below its noise counts as its noise, so that a zero has a logarithm.
    """

    def logs(name: str) -> Values:
        entries = [_entry(trial, name, epsilon, full, solver) for trial in trials]
        return np.log10([max(e["value"], e["noise"], TINY) for e in entries])

    return paired(logs(upper) - logs(lower))


@dataclass(frozen=True)
class Verdict:
    """One claim of the paper, what was found, and the figures for it.

    A claim holds (or is reversed) where the 95 % interval over the trials, paired by
    starting point, leaves out zero.
    """

    claim: str
    outcome: str  # "holds", "reversed" or "not decided"
    detail: str


def verdicts(trials: list[Record], epsilons: tuple[float, ...]) -> list[Verdict]:
    """Judge the paper's two claims on these trials, by the default solver."""
    gap = paired(accuracies(trials, "SB", "test") - accuracies(trials, "LB", "test"))
    found = [
        Verdict(
            "LB generalises worse, points",
            _outcome(gap),
            f"SB - LB = {gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]",
        )
    ]
    for epsilon in epsilons:
        for full in (True, False):
            where = "full" if full else "subspace"
            log = ratio_interval(
                trials, "LB", "SB", epsilon=epsilon, full=full, solver="auto"
            )
            found.append(_larger(f"LB sharper, ε {epsilon:g}, {where}", log))
    return found


def curvature_verdicts(
    trials: list[Record], epsilons: tuple[float, ...]
) -> list[Verdict]:
    """Say whether the Hessian carries the contrast between the batches.

    "Quadratic" is the sharpness of the quadratic model, and "beyond it" the loss's own
    as a multiple of that. The rule is that of `verdicts`, but none of these counts in
    the `summary`: the paper measures sharpness by the box.
    """
    compared: list[tuple[str, Callable[[str], Values]]] = [
        ("LB larger λ_max", partial(largest_eigenvalues, trials)),
        ("LB larger trace", partial(traces, trials)),
    ]
    for what, values in (
        ("LB sharper, quadratic", predicted_values),
        ("LB further beyond it", beyond_quadratic),
    ):
        compared += [
            (f"{what}, ε {epsilon:g}", partial(values, trials, epsilon=epsilon))
            for epsilon in epsilons
        ]
    return [
        _larger(claim, paired(log10(values("LB")) - log10(values("SB"))))
        for claim, values in compared
    ]


def summary(trials: list[Record], epsilons: tuple[float, ...]) -> str:
    """Return the verdict in a sentence or two; it follows from the intervals alone."""
    first, *sharper = verdicts(trials, epsilons)
    outcomes = {verdict.outcome for verdict in sharper}
    if outcomes == {"holds"}:
        sharp = "the large batch is sharper in every measure"
    elif "holds" in outcomes:
        count = sum(verdict.outcome == "holds" for verdict in sharper)
        sharp = f"the large batch is sharper in {count} of {len(sharper)} measures"
    else:
        sharp = "the large batch is not shown to be sharper"
    gap = {
        "holds": "The generalisation gap appears",
        "reversed": "The generalisation gap is reversed: the large batch does better",
        "not decided": "No generalisation gap is shown",
    }[first.outcome]
    return f"{gap} ({first.detail} points); {sharp}. {_control(trials)}"


def _control(trials: list[Record]) -> str:
    """Say what the learning-rate control does to the gap in test accuracy."""
    faster = paired(
        accuracies(trials, "LB fast", "test") - accuracies(trials, "LB", "test")
    )
    left = paired(
        accuracies(trials, "SB", "test") - accuracies(trials, "LB fast", "test")
    )
    remains = f"SB - LB is then {left.mean:+.2f} [{left.low:+.2f}, {left.high:+.2f}]"
    if faster.sign > 0:
        return f"At 8x the learning rate the large batch does better: {remains}."
    if faster.sign < 0:
        return f"At 8x the learning rate the large batch does worse: {remains}."
    return f"At 8x the learning rate no change is shown: {remains}."


def _larger(claim: str, log: Interval) -> Verdict:
    """Judge by the log10 of the ratio LB/SB that LB has the larger value."""
    return Verdict(
        claim,
        _outcome(log),
        f"LB/SB = {power(log.mean)} [{power(log.low)}, {power(log.high)}]",
    )


def _outcome(interval: Interval) -> str:
    return {1: "holds", -1: "reversed", 0: "not decided"}[interval.sign]


def _curved(trials: list[Record], name: str) -> list[Record]:
    return [trial["minimisers"][name]["curvature"] for trial in trials]


def _entry(trial: Record, name: str, epsilon: float, full: bool, solver: str) -> Record:
    for entry in trial["minimisers"][name]["sharpness"]:
        if (
            entry["epsilon"] == epsilon
            and (entry["subspace"] is None) == full
            and entry["solver"] == solver
        ):
            found: Record = entry
            return found
    msg = f"no sharpness of {name} at epsilon={epsilon}, solver={solver} in the record"
    raise KeyError(msg)
