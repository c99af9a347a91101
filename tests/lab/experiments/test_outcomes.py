"""Every experiment carried out for real on a tiny network."""

import re
from dataclasses import replace

import pytest
from tasks_here import work
from tiny_study import TINY

from sharpkit.lab import experiments
from sharpkit.lab.experiments import (
    NAMES,
    ask,
    choose,
    experiment,
    outcome,
    outcomes,
    tasks,
)
from sharpkit.lab.experiments.study import Study, study
from sharpkit.lab.intervals import spread
from sharpkit.lab.jobs.task import with_needs
from sharpkit.lab.outcome import Plane
from sharpkit.lab.store import Store

POSSIBLE = tuple(
    name for name in NAMES if "F1" in getattr(experiment(name), "ONLY", ["F1"])
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with every experiment that F1 allows, carried out in this process."""
    folder = tmp_path_factory.mktemp("store")
    with Store(folder) as store:
        for name in POSSIBLE:
            ask(store, name, TINY)
            for task in with_needs(tasks(name, TINY)):
                work(task, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", POSSIBLE)
def test_a_whole_outcome(filled, tiny, name):
    with Store(filled) as store:
        found = outcome(name, tiny, store)
    assert (found.trials, found.wanted) == (2, 2)
    assert found.name == f"{name}-F1-quick"
    assert "glyphs" in found.data
    assert "stand-in for MNIST" in found.data
    if name != "eos":
        assert dict(found.settings)["batches"] == "10 (SB) and 30 (LB)"
    if getattr(experiment(name), "CONTROLS", True):
        assert "controls" in found.tables[-1].title.lower()
    for table in found.tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
    for claim in found.claims:
        assert claim.text
        assert re.search("9[05] %", claim.criterion)
    for chart in found.charts:
        assert chart.alt
        if not isinstance(chart, Plane):
            assert all(len(each.x) == len(each.y) for each in chart.series)
    planes = sum(isinstance(chart, Plane) for chart in found.charts)
    assert planes == (name == "fig3")


@pytest.mark.slow
def test_every_run_ends_at_the_loss(filled, tiny):
    with Store(filled) as store:
        runs = store.runs("train")
    ends = [
        (run.metrics["train"]["loss"], run.config["regime"]["until_loss"])
        for run in runs
        if run.metrics["reached"] and run.config["regime"].get("loss_within")
        # These go on for as long as others did, or start below the loss.
        if not run.config["as_many_updates"] and run.config["start"] is None
    ]
    assert len(ends) > 10
    assert all(0.99 * limit <= loss <= limit for loss, limit in ends)


@pytest.mark.slow
def test_the_table_shows_what_the_store_has(filled, tiny):
    with Store(filled) as store:
        found = outcome("table3", tiny, store)
        values = [
            max(entry["value"], entry["noise"])
            for seed in tiny.seeds
            for entry in store.get(
                experiment("table3").trial(tiny, seed)["LB box"].key
            ).metrics["sharpness"]
            if (entry["epsilon"], entry["subspace"], entry["solver"])
            == (1e-3, None, "auto")
        ]
    assert found.tables[0].rows[0][3] == spread(values)


@pytest.mark.slow
def test_all_that_was_asked_for_comes_back(filled):
    with Store(filled) as store:
        assert [each.experiment for each in outcomes(store)] == list(POSSIBLE)


def test_an_unfinished_trial_does_not_count(tmp_path, tiny):
    with Store(tmp_path) as store:
        ask(store, "distance", tiny)
        (empty,) = outcomes(store)
        assert (empty.trials, empty.wanted, empty.tables) == (0, 2, ())
        assert empty.notes == ("0 of 2 trials have finished.",)
        for task in with_needs(experiment("distance").trial(tiny, 1000).values()):
            work(task, tmp_path)
        (half,) = outcomes(store)
        assert half.trials == 1
        assert half.notes[0] == "1 of 2 trials have finished."
        assert half.claims[0].decision == "not decided here"


def test_a_store_without_the_plane_is_whole(tmp_path, tiny):
    """As those are that were written before there was one."""
    trial = experiment("fig3").trial(tiny, 1000)
    with Store(tmp_path) as store:
        for task in with_needs(trial.values()):
            if task.kind != "plane":
                work(task, tmp_path)
        found = outcome("fig3", replace(tiny, seeds=(1000,)), store)
        assert (found.trials, found.wanted, len(found.charts)) == (1, 1, 1)


def test_the_plane_is_of_the_first_trial_and_not_of_the_demonstration():
    kinds = {
        preset: [
            [name for name in experiment("fig3").trial(made, seed) if name == "plane"]
            for made in [study("F1", preset, trials=2)]
            for seed in made.seeds
        ]
        for preset in ("demo", "quick", "medium", "paper")
    }
    assert kinds.pop("demo") == [[], []]
    assert all(names == [["plane"], []] for names in kinds.values())


def test_a_request_reads_back(tiny):
    assert Study.from_request(tiny.request()) == tiny
    paper = study("C4", "paper")
    assert Study.from_request(paper.request()) == paper


def test_a_request_from_before_the_losses_were_equal_is_another_study(tiny):
    request = tiny.request()
    del request["loss_within"]
    older = Study.from_request(request)
    assert older == replace(tiny, loss_within=None)
    keys = [{task.key for task in tasks("table2", each)} for each in (older, tiny)]
    assert keys[0].isdisjoint(keys[1])
    for task in tasks("table2", older):
        assert "loss_within" not in task.config.get("regime", {})
    said = [dict(experiments.settings(each, []))["until"] for each in (older, tiny)]
    assert said[0] == "training loss at most 1, at most 60 epochs"
    assert said[1] == "training loss at most 1, at most 1 % below, at most 60 epochs"


def test_the_paper_preset_is_the_paper():
    sizes = {
        name: (made.small, made.large, made.source.train, made.width)
        for name in ("F1", "F2", "C1", "C3")
        for made in [study(name, "paper")]
    }
    assert sizes["F1"] == (256, 6000, 60000, 1.0)
    assert sizes["F2"] == (256, 72133, 721329, 1.0)
    assert sizes["C1"] == sizes["C3"] == (256, 5000, 50000, 1.0)


@pytest.mark.parametrize("preset", ["quick", "medium", "paper"])
@pytest.mark.parametrize("network", ["F1", "F2", "C1", "C2", "C3", "C4"])
def test_every_preset_exists_and_large_is_about_a_tenth(network, preset):
    made = study(network, preset)
    assert made.small * 3 < made.large
    assert 0.05 < made.large / made.source.train <= 0.2


@pytest.mark.parametrize("preset", ["demo", "quick", "medium", "paper"])
def test_digits_have_sizes_of_their_own(preset):
    made = study("F1", preset, data="digits")
    data = made.source.load()
    assert (len(data.x_train), len(data.x_test)) == (1000, 797)
    assert 10 * made.small == made.large == len(data.x_train) // 10
    assert made.preset == preset


def test_the_device_is_told_where_it_is_not_the_cpu():
    here, there = (study("F1", device=device) for device in ("cpu", "cuda"))
    assert "device" not in here.request()
    assert there.request() == here.request() | {"device": "cuda"}
    assert Study.from_request(there.request()) == there
    keys = [[task.key for task in tasks("table2", each)] for each in (here, there)]
    assert set(keys[0]).isdisjoint(keys[1])
    assert ("device", "cuda") in experiments.settings(there, [])
    assert "device" not in dict(experiments.settings(here, []))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "F3"}, "network is one of F1, F2"),
        ({"preset": "huge"}, "preset one of demo, quick, medium, paper"),
        ({"network": "F2", "preset": "demo"}, "preset='demo' is of F1 alone; give"),
        ({"device": "tpu"}, "device='tpu': give one of cpu, cuda"),
        ({"network": "C1", "device": "cuda"}, "C1 is trained on the CPU; leave the"),
        ({"data": "cifar10"}, "F1 is trained on glyphs or mnist or digits"),
        ({"data": "mnist"}, "needs the original files"),
        ({"stop": "never"}, "stop='never': give one of loss, plateau"),
        ({"trials": 0}, "trials=0: give at least 1"),
        ({"batch_norm": "none"}, "batch_norm='none': give one of batch, running"),
    ],
)
def test_bad_studies(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        study(**{"network": "F1"} | arguments)


def test_digits_are_not_flipped(monkeypatch):
    monkeypatch.setattr(experiments.importlib.util, "find_spec", lambda name: name)
    with pytest.raises(ValueError, match="table6 is for C1, C2, C3, C4, not F1"):
        choose(["table6"], ["F1"], None)
    assert choose(["table6"], ["F1", "C3"], None) == ([("table6", "C3")], [])
    pairs, left = choose(["all"], ["F1"], None)
    assert ("table2", "F1") in pairs
    assert not {name for name, _ in pairs} & set(experiments.ASKED)
    assert ("eos", "F1") in choose(["all", "eos"], ["F1"], None)[0]
    assert left == ["table6 is for C1, C2, C3, C4, not F1"]
    with pytest.raises(ValueError, match="give one of table2"):
        choose(["table1"], None, None)


def test_networks_that_the_data_do_not_fit_are_left_out(monkeypatch):
    monkeypatch.setattr(experiments.importlib.util, "find_spec", lambda name: name)
    pairs, left = choose(["table2", "fig4"], None, "mnist")
    assert pairs == [("table2", "F1")]
    assert "F2 cannot be trained on mnist" in left
    # Named, they are refused by the study.
    assert choose(["table2"], ["F2"], "mnist") == ([("table2", "F2")], [])


def test_without_pytorch(monkeypatch):
    monkeypatch.setattr(experiments.importlib.util, "find_spec", lambda name: None)
    pairs, left = choose(["table2"], None, None)
    assert pairs == [("table2", "F1"), ("table2", "F2")]
    assert left[0] == "C1 needs PyTorch: pip install 'sharpkit[torch]'"
    with pytest.raises(ImportError, match="C1 needs PyTorch"):
        choose(["table2"], ["C1"], None)


def test_studies_that_differ_stand_side_by_side(tmp_path):
    usual = study("F1", trials=2)
    others = [
        study("F1", trials=3),  # takes the place of the first
        study("F1", batch_norm="batch"),
        study("F1", optimizer="momentum", stop="plateau"),
        study("C2", definition="code"),
    ]
    with Store(tmp_path) as store:
        for each in (usual, *others):
            ask(store, "table2", each)
        found = outcomes(store)
    assert [each.preset for each in found] == [
        "quick",
        "quick, batch statistics",
        "quick, momentum, to a plateau",
        "quick, as in the code",
    ]
    assert [each.wanted for each in found] == [3, 3, 3, len(others[-1].seeds)]
    assert len({each.name for each in found}) == 4
    assert found[1].name == "table2-F1-quick-batch-statistics"
