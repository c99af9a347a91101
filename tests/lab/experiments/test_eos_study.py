"""The edge of stability: its design, and its verdicts on made-up descents."""

import numpy as np
import pytest
from tiny_study import TINY

from sharpkit.lab.experiments import eos
from sharpkit.lab.outcome import FAILS, HOLDS, OPEN
from sharpkit.lab.store import Run

SEEDS = (1000, 1001, 1002)
RISING = np.concatenate([np.linspace(0.2, 1.1, 40), np.full(41, 1.0)])


def made_up(ratios, wobble=0.01):
    """Trials whose every descent has these ratios to the threshold, about."""
    trials = []
    for seed in SEEDS:
        found = {}
        for label, task in eos.trial(TINY, seed).items():
            task.config["steps"], task.config["every"] = 80, 1
            values = 40.0 * ratios * (1 + wobble * (seed - SEEDS[1]))
            metrics = {
                "n": 9,
                "threshold": 40.0,
                "steps": list(range(len(ratios))),
                "values": [None if np.isnan(v) else float(v) for v in values],
                "losses": np.linspace(1, 0.1, len(ratios)).tolist(),
            }
            found[label] = Run(task.key, task.kind, task.config, seed, metrics, {}, 1.0)
        trials.append(found)
    return trials


@pytest.mark.parametrize(
    ("ratios", "decision"),
    [
        (RISING, HOLDS),
        (RISING * 0.5, FAILS),
        (RISING * 1.3, FAILS),
        (RISING * 0.9, OPEN),  # at the end of the interval
        (np.full(81, 1.0), OPEN),  # never below
        (RISING[:50], FAILS),  # no finite weights from there on
    ],
)
def test_the_verdicts(ratios, decision):
    found = eos.find(TINY, made_up(ratios))
    assert {claim.decision for claim in found.claims} == {decision}
    assert len(found.claims) == 2 * len(eos.WAYS["data"])


def test_the_details_say_why():
    (flat, *_) = eos.find(TINY, made_up(np.full(81, 1.0))).claims
    assert flat.detail.endswith("but it did not come from below")
    (cut, *_) = eos.find(TINY, made_up(RISING[:50])).claims
    assert cut.detail == "not every run kept finite weights"
    (well, *_) = eos.find(TINY, made_up(RISING)).claims
    assert well.detail == "1.000 [0.975, 1.025] of the threshold"
    assert well.text == "polynomial: GD, η 0.05: λ_max rises to 2/η and hovers there"


def test_the_table():
    found = eos.find(TINY, made_up(RISING))
    row = dict(zip(found.tables[0].columns, found.tables[0].rows[4], strict=True))
    assert row[""] == "polynomial: Adam, η 0.0005"
    assert row["threshold"] == "38/η = 40"
    assert row["lowest"] == "0.20"
    assert row["last third"] == "1.000 ± 0.010 (0.99 to 1.01)"
    assert row["there at step"] == "31, 31, 30"
    assert row["loss"] == "0.1 to 0.1"


def test_the_charts_have_the_thresholds():
    found = eos.find(TINY, made_up(RISING))
    plain, adam, *_ = found.charts
    assert [series.dashed for series in plain.series] == [False, True] * 4
    assert {series.y for series in plain.series if series.dashed} == {(40.0, 40.0)}
    assert [series.name for series in adam.series] == ["Adam, η 0.0005, 38/η"] * 2
    assert "λ_max in Adam's metric" in adam.title


def test_each_trial_has_its_degree():
    degrees = {
        task.config.get("degree")
        for seed in SEEDS
        for task in eos.trial(TINY, seed).values()
    }
    assert degrees == {None, 3, 4, 5}
