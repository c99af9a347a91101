import json
from dataclasses import replace

import fake_cupy
import numpy as np
import pytest

import sharpkit
from sharpkit.lab.demo import curvature, gap
from sharpkit.lab.demo.gap import (
    MEASUREMENTS,
    MINIMISERS,
    STEPS,
    run_trial,
)
from sharpkit.lab.demo.settings import EPSILONS, Setting
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.problem import Problem

TINY = Setting("tiny", "digits", 200, 797, 32, 20, 100, until_loss=0.1)


@pytest.fixture
def cupy():
    with fake_cupy.installed() as module:
        yield module


@pytest.fixture(scope="module")
def trial():
    steps = []
    record = run_trial(
        TINY, 5, with_path=True, advance=lambda what, count: steps.append(count)
    )
    return record, steps


def test_every_minimiser_is_trained_and_measured(trial):
    record, _ = trial
    assert tuple(record["minimisers"]) == MINIMISERS
    for name, found in record["minimisers"].items():
        assert len(found["sharpness"]) == MEASUREMENTS
        assert found["train"]["loss"] <= 0.1 * 1.001, name
        assert all(entry["value"] >= 0 for entry in found["sharpness"])
    for name in ("SB", "LB", "LB fast"):
        assert record["minimisers"][name]["reached"]


def test_small_and_large_batch_share_a_loss_and_differ_in_updates(trial):
    minimisers = trial[0]["minimisers"]
    small, large = minimisers["SB"], minimisers["LB"]
    assert small["updates"] == 10 * small["epochs"]
    assert large["updates"] == 2 * large["epochs"]


def test_equal_norms_leave_the_function_alone(trial):
    minimisers = trial[0]["minimisers"]
    for name in ("SB", "LB"):
        before, after = minimisers[name], minimisers[f"{name} rescaled"]
        assert after["train"]["loss"] == pytest.approx(
            before["train"]["loss"], rel=1e-4
        )
        assert after["test"]["accuracy"] == before["test"]["accuracy"]
        assert after["sharpness"][0]["value"] != before["sharpness"][0]["value"]


def test_the_curvature_stands_beside_the_sharpness(trial):
    record, _ = trial
    for name, found in record["minimisers"].items():
        hessian = found["curvature"]
        assert hessian["eigenvalues"]["converged"] == [True]
        assert hessian["trace"]["value"] > 0
        predicted = {each["epsilon"]: each for each in hessian["predicted"]}
        assert tuple(predicted) == EPSILONS
        # one loss at one point, whoever measures it
        assert predicted[EPSILONS[0]]["loss"] == found["sharpness"][0]["loss"]
        assert ("density" in hessian) == (name in ("SB", "LB"))
    rates = [found.get("rate") for found in record["minimisers"].values()]
    assert rates == [1e-3, 1e-3, 8e-3, None, None]


def test_progress_adds_up(trial):
    assert sum(trial[1]) == STEPS


def test_the_record_is_json(trial):
    again = json.loads(json.dumps(trial[0], allow_nan=False))
    assert again["seed"] == 5


def test_the_path_passes_through_both_minimisers(trial):
    path = trial[0]["path"]
    np.testing.assert_allclose(path["alpha"], np.linspace(-1, 2, 25))
    for key in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
        assert len(path[key]) == 25
    # beyond the large batch the loss rises
    at = dict(zip(path["alpha"], path["train_loss"], strict=True))
    assert max(at[0.0], at[1.0]) < at[2.0]


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(trial):
    before = sharpkit.get_num_threads()
    sharpkit.set_num_threads(4)
    try:
        again = run_trial(TINY, 5)
        assert sharpkit.get_num_threads() == 4
    finally:
        sharpkit.set_num_threads(before)

    def values(record):
        return [
            entry["value"]
            for found in record["minimisers"].values()
            for entry in found["sharpness"]
        ]

    assert values(again) == values(trial[0])


@pytest.mark.parametrize("batch_norm", ["batch", "frozen"])
def test_other_statistics_give_other_values(trial, batch_norm):
    record = run_trial(replace(TINY, batch_norm=batch_norm), 5)
    ours, theirs = (
        r["minimisers"]["LB"]["sharpness"][0]["value"] for r in (record, trial[0])
    )
    assert ours != theirs


def test_the_default_value_is_what_a_user_gets_from_the_library(trial):
    data = TINY.load()
    network = MLP(TINY.sizes(data))
    start = network.initial_weights(5)
    problem = Problem(network, data.x_train, data.y_train, batch_norm="batch")
    result = sharpkit.sharpness(start, problem, epsilon=EPSILONS[0], seed=5)
    assert result.value > 0
    assert result.displacement.shape == (network.n_weights,)


def test_a_trial_on_a_device_finds_the_same(cupy, monkeypatch):
    """Trained and measured there, from the same start, along the same directions."""
    monkeypatch.setattr(gap, "EPSILONS", EPSILONS[:1])
    monkeypatch.setattr(gap, "SUBSPACE", 5)
    monkeypatch.setattr(curvature, "DENSITY_STEPS", 10)
    short = replace(TINY, train=60, width=8, small=20, large=30, max_epochs=2)
    here = run_trial(short, 0, with_path=True)
    there = run_trial(replace(short, device="cuda"), 0, with_path=True)
    assert json.loads(json.dumps(there, allow_nan=False)) == there
    for name, found in there["minimisers"].items():
        expected = here["minimisers"][name]
        assert found["train"] == pytest.approx(expected["train"], rel=1e-5)
        assert found["test"] == pytest.approx(expected["test"], rel=1e-5)
        for ours, theirs in zip(found["sharpness"], expected["sharpness"], strict=True):
            assert (ours["backend"], theirs["backend"]) == ("cuda", "cpu")
            assert ours["value"] == pytest.approx(theirs["value"], rel=2e-2)
        ours, theirs = found["curvature"], expected["curvature"]
        assert ours["eigenvalues"]["values"] == pytest.approx(
            theirs["eigenvalues"]["values"], rel=1e-2
        )
        assert ours["trace"]["value"] == pytest.approx(
            theirs["trace"]["value"], rel=1e-2
        )
        assert ours["predicted"][0]["value"] == pytest.approx(
            theirs["predicted"][0]["value"], rel=2e-2
        )
    assert there["path"]["test_loss"] == pytest.approx(
        here["path"]["test_loss"], rel=1e-4
    )
    distances = [r["minimisers"]["SB"]["distance"] for r in (here, there)]
    assert distances[0] == pytest.approx(distances[1], rel=1e-5)
