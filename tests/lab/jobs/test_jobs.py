"""What each kind of task stores, against the same computed here."""

from dataclasses import replace

import fake_cupy
import numpy as np
import pytest

import sharpkit
from sharpkit.lab.experiments.common import (
    FULL,
    LADDER,
    TABLES,
    large,
    regime,
    sharpness,
    small,
    training,
)
from sharpkit.lab.jobs import curvature
from sharpkit.lab.jobs.minimisers import Done, point
from sharpkit.lab.jobs.path import ALPHAS
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.jobs.training import setting_of
from sharpkit.lab.networks.rescale import layer_norms, with_norms
from sharpkit.lab.problem import Problem, frozen_statistics
from sharpkit.lab.training.loop import train


@pytest.fixture
def plain(tiny):
    """The network, the data and the run of SB as `train` itself returns it."""
    task = small(tiny, 1000)
    network, data = setting_of(task.config)
    found = train(
        network,
        data.x_train,
        data.y_train,
        regime(tiny, tiny.small),
        start=network.initial_weights(1000),
        seed=1000,
    )
    return network, data, found


def test_training_is_stored_as_it_was(tiny, plain, carried_out):
    network, data, found = plain
    run, arrays = carried_out(small(tiny, 1000))
    here = point(network, data, Done(run, arrays))
    np.testing.assert_array_equal(here.weights, found.weights)
    for ours, theirs in zip(
        here.statistics.variances, found.statistics.variances, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert run.metrics["losses"] == list(found.losses)
    assert run.metrics["reached"] is found.reached is True
    test = Problem(
        network,
        data.x_test,
        data.y_test,
        batch_norm="running",
        statistics=found.statistics,
    )
    assert run.metrics["test"] == test.evaluate(found.weights)._asdict()
    assert run.metrics["test_accuracies"][-1] == run.metrics["test"]["accuracy"]
    moved = found.weights - network.initial_weights(1000)
    assert run.metrics["distance"] == pytest.approx(np.linalg.norm(moved), rel=1e-6)
    assert run.config["regime"]["batch_size"] == tiny.small
    assert run.versions["sharpkit"] == sharpkit.__version__


def test_snapshots_are_where_the_loss_first_fell_below(tiny, carried_out):
    run, arrays = carried_out(small(tiny, 1000))
    losses = run.metrics["losses"]
    for snapshot in run.metrics["snapshots"]:
        threshold = float(snapshot["name"].removeprefix("loss-"))
        first = next(i for i, loss in enumerate(losses, 1) if loss <= threshold)
        assert snapshot["epoch"] == first
        assert snapshot["loss"] == losses[first - 1]
        assert f"{snapshot['name']}/weights" in arrays
    assert len(run.metrics["snapshots"]) == sum(t >= min(losses) for t in LADDER)


def test_sharpness_is_that_of_the_public_function(tiny, plain, carried_out):
    network, data, found = plain
    run, _ = carried_out(sharpness(tiny, small(tiny, 1000), TABLES))
    problem = Problem(
        network,
        data.x_train,
        data.y_train,
        batch_norm="running",
        statistics=found.statistics,
    )
    entries = run.metrics["sharpness"]
    assert len(entries) == len(TABLES) == 8
    for entry in entries:
        direct = sharpkit.sharpness(
            found.weights,
            problem,
            epsilon=entry["epsilon"],
            subspace=entry["subspace"],
            solver=entry["solver"],
            seed=1000,
            progress=False,
        )
        assert entry["value"] == direct.value
    assert run.config["network"]["name"] == "F1"


@pytest.mark.parametrize("mode", ["batch", "frozen"])
def test_other_statistics(tiny, plain, carried_out, mode):
    network, data, found = plain
    chosen = replace(tiny, batch_norm=mode)
    run, _ = carried_out(sharpness(chosen, small(chosen, 1000)))
    x, y = data.x_train, data.y_train
    statistics = None
    if mode == "frozen":
        statistics = frozen_statistics(network, found.weights, x, y)
    problem = Problem(network, x, y, batch_norm=mode, statistics=statistics)
    direct = sharpkit.sharpness(found.weights, problem, seed=1000, progress=False)
    assert run.metrics["sharpness"][0]["value"] == direct.value


def test_equal_norms_are_the_geometric_mean_of_both(tiny, plain, carried_out):
    network, data, found = plain
    sb, lb = small(tiny, 1000), large(tiny, 1000)
    run, _ = carried_out(sharpness(tiny, sb, norms_with=lb))
    second = point(network, data, Done(*carried_out(lb)))
    norms = np.sqrt(
        layer_norms(network, found.weights) * layer_norms(network, second.weights)
    )
    weights, statistics = with_norms(network, found.weights, found.statistics, norms)
    np.testing.assert_allclose(layer_norms(network, weights), norms, rtol=1e-6)
    problem = Problem(
        network, data.x_train, data.y_train, batch_norm="running", statistics=statistics
    )
    direct = sharpkit.sharpness(weights, problem, seed=1000, progress=False)
    assert run.metrics["sharpness"][0]["value"] == direct.value


def test_a_point_never_reached_has_no_sharpness(tiny, carried_out):
    hopeless = replace(tiny, until_loss=1e-9, max_epochs=1)
    box = sharpness(hopeless, small(hopeless, 1000), at="loss-0.001")
    assert carried_out(box)[0].metrics == {"sharpness": []}


def test_a_warm_start_goes_on_from_the_iterate(tiny, carried_out):
    how = regime(tiny, tiny.small, until_loss=None, max_epochs=2)
    base = training(tiny, 1000, how, epochs=(0, 1, 2))
    once = regime(tiny, tiny.large, until_loss=None, max_epochs=1)
    warm = training(tiny, 1000, once, start=(base, "epoch-1"))
    run, arrays = carried_out(warm)
    network, data = setting_of(base.config)
    origin = point(network, data, Done(*carried_out(base)), "epoch-1")
    direct = train(
        network,
        data.x_train,
        data.y_train,
        once,
        start=origin.weights,
        statistics=origin.statistics,
        seed=1000,
    )
    np.testing.assert_array_equal(arrays["end/weights"], direct.weights)
    assert run.metrics["losses"] == list(direct.losses)


def test_as_many_updates_as_another_run(tiny, carried_out):
    sb = small(tiny, 1000)
    how = regime(tiny, tiny.large)
    run, _ = carried_out(training(tiny, 1000, how, as_many_updates=sb))
    wanted = carried_out(sb)[0].metrics["updates"]
    assert wanted <= run.metrics["updates"] < wanted + 2  # two updates make an epoch
    assert run.metrics["reached"]


@pytest.mark.parametrize(
    ("kind", "at", "factors"),
    [
        ("line", 16, (0.0, 1.0)),
        ("line", 12, (0.5, 0.5)),
        ("line in float64", 12, (0.5, 0.5)),
        ("arc", 12, (np.sqrt(0.5), np.sqrt(0.5))),
        ("arc", 24, (-1.0, 0.0)),
    ],
)
def test_paths_pass_where_the_formula_says(tiny, carried_out, kind, at, factors):
    sb, lb = small(tiny, 1000), large(tiny, 1000)
    run, _ = carried_out(Task("path", {"path": kind}, 1000, (sb, lb)))
    network, data = setting_of(sb.config)
    ends = [point(network, data, Done(*carried_out(task))).weights for task in (sb, lb)]
    weights = (factors[0] * ends[0] + factors[1] * ends[1]).astype(np.float32)
    found = Problem(network, data.x_test, data.y_test, batch_norm="batch")
    measured = found.evaluate(weights)
    assert ALPHAS[8] == 0
    assert ALPHAS[16] == 1
    assert run.metrics["test_loss"][at] == pytest.approx(measured.loss, rel=1e-4)
    assert run.metrics["test_accuracy"][at] == pytest.approx(measured.accuracy)
    assert run.config["data"]["name"] == "glyphs"


def test_the_plane_passes_where_geometry_says(tiny, carried_out):
    sb, lb = small(tiny, 1000), large(tiny, 1000)
    found = carried_out(Task("plane", {"points": 4}, 1000, (sb, lb)))[0].metrics
    network, data = setting_of(sb.config)
    ends = [point(network, data, Done(*carried_out(task))).weights for task in (sb, lb)]
    three = np.array([*ends, network.initial_weights(1000)], np.float64)
    apart = np.linalg.norm(three[:, None] - three, axis=2)
    np.testing.assert_allclose(found["distances"], apart, rtol=1e-5, atol=1e-6)
    for name, other in (("SB", sb), ("LB", lb)):
        moved = carried_out(other)[0].metrics["distance"]
        place = ["SB", "LB"].index(name)
        assert found["distances"][place][2] == pytest.approx(moved, rel=1e-5)
    first = three[1] - three[0]
    aside = three[2] - three[0]
    aside -= (aside @ first) / (first @ first) * first
    second = aside * np.linalg.norm(first) / np.linalg.norm(aside)
    for name, weights in zip(("SB", "LB", "start"), three, strict=True):
        x, y = found["marks"][name][0]
        np.testing.assert_allclose(
            three[0] + x * first + y * second, weights, atol=1e-5
        )
    problem = Problem(network, data.x_train, data.y_train, batch_norm="batch")
    for i, j in ((0, 0), (3, 1), (2, 3)):
        at = three[0] + found["x"][i] * first + found["y"][j] * second
        loss, accuracy = problem.evaluate(at.astype(np.float32))
        assert found["values"]["loss"][i][j] == pytest.approx(loss, rel=1e-4)
        assert abs(found["values"]["accuracy"][i][j] - accuracy) < 0.03
    assert np.shape(found["values"]["loss"]) == (4, 4)


def test_the_plane_is_a_square_around_its_points(tiny, carried_out):
    runs = (small(tiny, 1000), large(tiny, 1000))
    found = carried_out(Task("plane", {"points": 2}, 1000, runs))[0].metrics
    marks = np.array([found["marks"][name][0] for name in ("SB", "LB", "start")])
    low, high = np.array([found["x"], found["y"]]).T
    assert high[0] - low[0] == pytest.approx(high[1] - low[1])
    extents = np.ptp(marks, axis=0)
    spare = np.concatenate([marks.min(axis=0) - low, high - marks.max(axis=0)])
    np.testing.assert_allclose(spare[:2], spare[2:], rtol=1e-4)
    assert spare.min() == pytest.approx(0.25 * extents.max(), rel=1e-4)


def test_a_device_finds_the_same(tiny, carried_out, monkeypatch):
    """Trained and measured there, from the same start, along the same directions."""
    monkeypatch.setattr(curvature, "DENSITY_STEPS", 10)
    short = replace(tiny, until_loss=1.6)  # training amplifies what rounding began
    here, there = (some_of_each(replace(short, device=it)) for it in ("cpu", "cuda"))
    with fake_cupy.installed():
        for ours, theirs in zip(there, here, strict=True):
            found, arrays = carried_out(ours)
            expected, known = carried_out(theirs)
            assert found.key != expected.key
            assert list(arrays) == list(known)
            for name, array in arrays.items():
                assert type(array) is np.ndarray
                np.testing.assert_allclose(array, known[name], rtol=1e-2, atol=1e-3)
            for entry in found.metrics.get("sharpness", ()):
                assert entry["backend"] == "cuda"
            assert_close(found.metrics, expected.metrics)


def some_of_each(study):
    """A task of each kind, as small as it can be."""
    sb, lb = small(study, 1000), large(study, 1000)
    at = {"at": "end", "batch_norm": "running", "epsilons": [1e-3], "density": True}
    return (
        sb,
        sharpness(study, sb, FULL[:1], norms_with=lb),
        Task("path", {"path": "line"}, 1000, (sb, lb)),
        Task("plane", {"points": 3}, 1000, (sb, lb)),
        Task("curvature", at, 1000, (lb,)),
    )


def assert_close(ours, theirs):
    """The figures that are shown, to what rounding makes of them in training."""
    for key in ("train", "test", "train_loss", "test_loss", "distance"):
        if key in theirs:
            assert ours[key] == pytest.approx(theirs[key], rel=1e-3)
    for key in ("sharpness", "predicted"):
        values = [
            [each["value"] for each in one.get(key, ())] for one in (ours, theirs)
        ]
        assert values[0] == pytest.approx(values[1], rel=2e-2)
    if "values" in theirs:
        losses = [each["values"]["loss"] for each in (ours, theirs)]
        np.testing.assert_allclose(*losses, rtol=1e-2)
    if "trace" in theirs:
        assert ours["trace"]["value"] == pytest.approx(
            theirs["trace"]["value"], rel=1e-2
        )
