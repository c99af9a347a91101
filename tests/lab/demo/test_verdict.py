import math

import numpy as np
import pytest

from sharpkit.lab.demo.gap import MINIMISERS, SOLVERS
from sharpkit.lab.demo.settings import EPSILONS
from sharpkit.lab.demo.verdict import (
    all_reached,
    beyond_quadratic,
    curvature_verdicts,
    predicted_values,
    rate_eigenvalues,
    ratio_interval,
    summary,
    verdicts,
)
from sharpkit.lab.intervals import paired


def _trial(seed, accuracy, value, reached=True):
    """Return a record with test accuracies and sharpness by minimiser."""
    return {
        "seed": seed,
        "minimisers": {
            name: {
                "train": {"loss": 0.0, "accuracy": 1.0},
                "test": {"loss": 1.0, "accuracy": accuracy[name.split()[0]]},
                "reached": reached,
                "distance": 1.0,
                "sharpness": [
                    {
                        "epsilon": epsilon,
                        "subspace": subspace,
                        "solver": solver,
                        "value": value[name.split()[0]],
                        "noise": 1e-6,
                    }
                    for epsilon in EPSILONS
                    for subspace in (None, {"columns": 100})
                    for solver in SOLVERS
                ],
            }
            for name in MINIMISERS
        },
    }


def _trials(gap, ratio, noise=0.01):
    rng = np.random.default_rng(0)
    return [
        _trial(
            seed,
            {"SB": 0.9, "LB": 0.9 - gap + noise * gap * rng.normal()},
            {"SB": 1.0, "LB": ratio * math.exp(noise * rng.normal())},
        )
        for seed in range(5)
    ]


def test_interval_is_students():
    found = paired(np.array([1.0, 2.0, 3.0]))
    reach = 4.302652729911275 / math.sqrt(3)  # t quantile .975 with 2 degrees
    assert (found.mean, found.low, found.high) == pytest.approx(
        (2, 2 - reach, 2 + reach)
    )
    assert found.sign == 0
    assert paired(np.array([5.0, 5.1, 4.9])).sign == 1
    assert paired(-np.array([5.0, 5.1, 4.9])).sign == -1


def test_one_trial_decides_nothing():
    assert paired(np.array([7.0])).sign == 0


def test_a_clear_gap_holds():
    found = verdicts(_trials(0.05, 20.0), EPSILONS)
    assert [verdict.outcome for verdict in found] == ["holds"] * 5
    assert "LB/SB = 20" in found[1].detail
    words = summary(_trials(0.05, 20.0), EPSILONS)
    assert "gap appears" in words
    assert "sharper in every measure" in words


def test_a_reversed_gap_says_so():
    found = verdicts(_trials(-0.05, 0.1), EPSILONS)
    assert {verdict.outcome for verdict in found} == {"reversed"}
    words = summary(_trials(-0.05, 0.1), EPSILONS)
    assert "reversed" in words
    assert "not shown to be sharper" in words


def test_no_gap_is_not_claimed():
    trials = _trials(0.0, 1.0, noise=0.0)
    for trial, shift in zip(trials, (1, -1, 1, -1, 0), strict=True):
        trial["minimisers"]["LB"]["test"]["accuracy"] += 0.01 * shift
    assert verdicts(trials, EPSILONS)[0].outcome == "not decided"
    assert "No generalisation gap is shown" in summary(trials, EPSILONS)


def test_a_zero_counts_as_its_noise():
    trials = [
        _trial(s, {"SB": 0.9, "LB": 0.9}, {"SB": 1.0, "LB": 0.0}) for s in range(3)
    ]
    found = ratio_interval(trials, "LB", "SB", epsilon=1e-3, full=True, solver="lbfgsb")
    assert found.mean == pytest.approx(-6)


def test_unmatched_losses_are_noticed():
    trials = _trials(0.05, 20.0)
    assert all_reached(trials, "LB")
    trials[3]["minimisers"]["LB"]["reached"] = False
    assert not all_reached(trials, "LB")


def test_the_control_is_computed():
    trials = _trials(0.05, 20.0)
    for trial in trials:
        trial["minimisers"]["LB fast"]["test"]["accuracy"] = 0.9
    assert "At 8x the learning rate the large batch does better" in summary(
        trials, EPSILONS
    )
    for trial in trials:
        trial["minimisers"]["LB fast"]["test"]["accuracy"] = 0.7
    assert "does worse" in summary(trials, EPSILONS)


def _with_curvature(trials, largest=1.0, trace=1.0, predicted=0.5):
    """Add a curvature that is so many times larger for LB, from trial to trial."""
    rng = np.random.default_rng(1)
    for trial in trials:
        for name, found in trial["minimisers"].items():
            factors = {
                key: (ratio if name.startswith("LB") else 1.0)
                * math.exp(0.01 * rng.normal())
                for key, ratio in {
                    "largest": largest, "trace": trace, "predicted": predicted
                }.items()
            }  # fmt: skip
            found["rate"] = 8e-3 if name == "LB fast" else 1e-3
            found["curvature"] = {
                "eigenvalues": {"values": [0.4 * factors["largest"]]},
                "trace": {"value": 5 * factors["trace"]},
                "predicted": [
                    {"epsilon": epsilon, "value": 1000 * epsilon * factors["predicted"]}
                    for epsilon in EPSILONS
                ],
            }
    return trials


def test_curvature_is_judged_by_the_same_rule():
    trials = _with_curvature(_trials(0.05, 20.0), largest=0.7, trace=3, predicted=0.5)
    found = {each.claim: each for each in curvature_verdicts(trials, EPSILONS)}
    outcomes = {claim: each.outcome for claim, each in found.items()}
    assert outcomes.pop("LB larger λ_max") == "reversed"
    assert outcomes.pop("LB larger trace") == "holds"
    assert len(outcomes) == 4
    for claim, outcome in outcomes.items():
        assert outcome == ("reversed" if "quadratic" in claim else "holds")
    assert "LB/SB = 3" in found["LB larger trace"].detail
    ratio = float(found["LB further beyond it, ε 0.001"].detail.split()[2])
    assert ratio == pytest.approx(40, rel=0.02)


def test_curvature_changes_no_verdict_on_the_paper():
    trials = _trials(0.05, 20.0)
    before = verdicts(trials, EPSILONS), summary(trials, EPSILONS)
    trials = _with_curvature(trials, largest=0.1, trace=0.1, predicted=0.1)
    assert (verdicts(trials, EPSILONS), summary(trials, EPSILONS)) == before


def test_curvatures_are_read_from_the_record():
    trials = _with_curvature(_trials(0.0, 1.0, noise=0.0))
    fast = rate_eigenvalues(trials, "LB fast")
    assert fast == pytest.approx(np.full(5, 8e-3 * 0.4), rel=0.1)
    for epsilon, value in zip(EPSILONS, (1, 0.5), strict=True):
        predicted = predicted_values(trials, "SB", epsilon=epsilon)
        assert predicted == pytest.approx(np.full(5, value), rel=0.1)
        beyond = beyond_quadratic(trials, "SB", epsilon=epsilon)
        assert beyond == pytest.approx(1 / predicted)


def test_a_trace_below_zero_has_a_verdict():
    trials = _with_curvature(_trials(0.05, 20.0), trace=-1.0)
    outcomes = [each.outcome for each in curvature_verdicts(trials, EPSILONS)]
    assert outcomes[1] == "reversed"
