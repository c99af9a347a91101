import math

import numpy as np
import pytest

from sharpkit.lab.experiments.gap import MINIMISERS, SOLVERS
from sharpkit.lab.settings import EPSILONS
from sharpkit.lab.verdict import all_reached, paired, ratio_interval, summary, verdicts


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
