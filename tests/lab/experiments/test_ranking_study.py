"""The study of which measure orders generalisation: its design, and a small one."""

from dataclasses import replace

import numpy as np
import pytest
from tasks_here import work
from tiny_study import TINY

from sharpkit import ranking
from sharpkit.lab.experiments import experiment, outcome, tasks
from sharpkit.lab.jobs.measures import MEASURES, NAMES
from sharpkit.lab.outcome import FAILS, HOLDS, OPEN
from sharpkit.lab.store import Run, Store
from sharpkit.lab.store.listing import export

STUDY = experiment("ranking")
AXES = STUDY.HYPERPARAMETERS
FEW = replace(TINY, seeds=(1000,), until_loss=2.2)


@pytest.mark.parametrize("seed", range(20))
def test_each_neighbour_differs_in_one_hyperparameter(seed):
    first, *others = STUDY.settings(seed)
    assert STUDY.settings(seed)[0] == first
    assert [
        [name for name in AXES if each[name] != first[name]] for each in others
    ] == [[name] for name in AXES]
    for each in (first, *others):
        assert all(each[name] in values for name, values in AXES.items())


def test_every_value_is_drawn():
    drawn = [each for seed in range(40) for each in STUDY.settings(seed)]
    for name, values in AXES.items():
        assert {each[name] for each in drawn} == set(values)


def test_what_a_setting_trains():
    setting = {
        "batch": 1.0,
        "rate": 2.0,
        "width": 0.5,
        "depth": 3,
        "regulariser": "decay",
        "optimiser": "sgd",
    }
    config = STUDY.network(TINY, 0, setting).config
    assert config["network"]["depth"] == 3
    assert config["network"]["width"] == TINY.width / 2
    regime = config["regime"]
    assert (regime["batch_size"], regime["rate"]) == (TINY.large, 0.2)
    assert regime["decay"] * 0.1 == pytest.approx(STUDY.DECAY)
    assert regime["until_loss"] == TINY.until_loss
    long = replace(TINY, until_loss=1e-3)
    assert STUDY.network(long, 0, setting).config["regime"]["until_loss"] == STUDY.LOSS
    middle = setting | {"batch": 0.5}
    assert STUDY.batch(TINY, middle) == round((TINY.small * TINY.large) ** 0.5)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with one trial."""
    folder = tmp_path_factory.mktemp("store")
    for task in tasks("ranking", FEW):
        work(task, folder)
    return folder


def test_a_small_study(filled):
    with Store(filled) as store:
        found = outcome("ranking", FEW, store)
    assert (found.trials, len(found.tables), len(found.claims)) == (1, 2, 2)
    first, second = found.tables
    assert {row[0] for row in first.rows} == set(NAMES)
    assert second.columns == ("", *AXES)
    for table in found.tables:
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_what_is_stored_of_a_network(filled):
    with Store(filled) as store:
        by_key = {run.key: run for run in store.runs()}
        every = [run for run in by_key.values() if run.kind == "measures"]
    assert len(every) == 1 + len(AXES)
    for run in every:
        metrics = run.metrics
        assert {*NAMES} <= {*metrics}
        assert {*MEASURES} == {*metrics["errors"]} == {*metrics["seconds_of"]}
        assert metrics["gap"] == pytest.approx(
            100 * (metrics["train"]["accuracy"] - metrics["test"]["accuracy"])
        )


def test_the_export_can_be_ranked(filled, tmp_path):
    file = tmp_path / "runs.csv"
    with Store(filled) as store, open(file, "w", newline="") as stream:
        every = store.runs()
        measured = [run for run in every if run.kind == "measures"]
        export(measured, stream)
    axes = [f"made.{name}" for name in AXES]
    found = ranking(file, measures=NAMES, hyperparameters=axes, samples=5)
    assert found.runs == len(measured)
    assert {each.name.rsplit(".", 1)[-1] for each in found.measures} == set(NAMES)
    assert found.settings == len(measured)


def made_up(order, seeds=range(12), reached=True):
    """Trials whose sharpness is the gap times ``order``; all else is noise."""
    trials = []
    for seed in seeds:
        random, found = np.random.default_rng(seed), {}
        for label, task in STUDY.trial(TINY, seed).items():
            gap = float(random.normal())
            metrics = {"gap": gap, "reached": reached}
            metrics |= {name: float(random.normal()) for name in NAMES}
            metrics["sharpness"] = order * gap + 0.3 * metrics["sharpness"]
            found[label] = Run(task.key, task.kind, task.config, seed, metrics, {}, 1.0)
        trials.append(found)
    return trials


@pytest.mark.parametrize(("order", "decision"), [(1, HOLDS), (-1, FAILS), (0, OPEN)])
def test_the_verdicts(order, decision):
    found = STUDY.find(TINY, made_up(order))
    assert [claim.decision for claim in found.claims] == [decision] * 2
    assert found.notes == ()
    if order == 1:
        assert found.tables[0].rows[0][0] == "sharpness"


def test_networks_that_came_late_are_left_out():
    found = STUDY.find(TINY, made_up(1, range(2), reached=False))
    assert found.tables == ()
    assert found.notes[0].startswith("14 of 14 networks did not reach the loss")
    half = made_up(1, range(4)) + made_up(1, range(4, 6), reached=False)
    found = STUDY.find(TINY, half)
    assert "28 networks" in found.tables[0].title
    assert found.notes[0].startswith("14 of 42 networks")
