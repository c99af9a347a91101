"""What is kept and measured on the way, and going on from it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.problem import Problem
from sharpkit.lab.training.loop import Snapshots

ROWS = 50


def measured(network, x, y, weights, statistics):
    return Problem(network, x, y, batch_norm="running", statistics=statistics).evaluate(
        weights
    )


def assert_equal_statistics(found, known):
    for name in ("means", "variances"):
        for ours, theirs in zip(
            getattr(found, name), getattr(known, name), strict=True
        ):
            assert_array_equal(ours, theirs)


def test_snapshots_are_what_a_run_stopped_there_has(run, blobs):
    wanted = Snapshots(epochs=(0, 2, 5), losses=(0.1, 0.5))
    found = run(max_epochs=30, snapshots=wanted)
    plain = run(max_epochs=30)
    assert_array_equal(found.weights, plain.weights)
    assert found.losses == plain.losses
    assert len(found.snapshots) == 5
    assert [each.epoch for each in found.snapshots] == sorted(
        each.epoch for each in found.snapshots
    )
    start, *others = sorted(found.snapshots, key=lambda each: each.epoch)
    assert (start.epoch, start.threshold) == (0, None)
    assert_array_equal(start.weights, found.start)
    initial = blobs[0].initial_statistics(found.start)
    assert_equal_statistics(start.statistics, initial)
    assert start.loss == measured(*blobs, found.start, initial).loss
    for each in others:
        stop = {"until_loss": each.threshold, "max_epochs": 30}
        if each.threshold is None:
            stop = {"max_epochs": each.epoch}
        known = run(**stop)
        assert known.reached
        assert (each.epoch, each.loss) == (known.epochs, known.losses[-1])
        assert_array_equal(each.weights, known.weights)
        assert_equal_statistics(each.statistics, known.statistics)
        assert not np.shares_memory(each.weights, found.weights)
    assert {each.threshold for each in others} == {None, 0.1, 0.5}


def test_an_epoch_may_be_kept_for_several_reasons(scripted):
    wanted = Snapshots(epochs=(2, 4), losses=(3, 2, 1.5, 0.1))
    found = scripted([4, 1.5, 5, 1], snapshots=wanted, until_loss=1.2)
    assert [(each.epoch, each.threshold) for each in found.snapshots] == [
        (2, None), (2, 3), (2, 2), (2, 1.5), (4, None),
    ]  # fmt: skip
    assert [each.loss for each in found.snapshots] == [1.5] * 4 + [1]


def test_accuracies_of_each_epoch(run, blobs, monkeypatch):
    """The running ones as each batch found it, the test ones with running averages."""
    right, evaluate = [], MLP.evaluate

    def spy(self, *arrays, **settings):
        found = evaluate(self, *arrays, **settings)
        if settings["statistics"] == "batch":
            right.append(found.right)
        return found

    network, x, y = blobs
    test = x[:20] + 0.5, y[:20]
    with monkeypatch.context() as patch:
        patch.setattr(MLP, "evaluate", spy)
        found = run(test=test, snapshots=Snapshots((1, 2, 3)), rate=1e-3)
    assert found.running_accuracies == tuple(np.reshape(right, (3, 7)).sum(1) / ROWS)
    assert 0 < found.running_accuracies[0] < found.running_accuracies[-1] <= 1
    assert found.test_accuracies == tuple(
        measured(network, *test, each.weights, each.statistics).accuracy
        for each in found.snapshots
    )
    plain = run(rate=1e-3)
    assert plain.test_accuracies == ()
    assert_array_equal(plain.weights, found.weights)


def test_the_running_accuracy_is_of_the_weights_before_the_update(run, blobs):
    network, x, y = blobs
    settings = {"batch_size": ROWS, "snapshots": Snapshots((0, 1, 2)), "rate": 1e-3}
    found = run(**settings)
    whole = Problem(network, x, y, batch_norm="batch")
    assert found.running_accuracies == tuple(
        whole.evaluate(each.weights).accuracy for each in found.snapshots
    )


def test_a_warm_start_goes_on(run):
    """Full batches of plain SGD: two epochs and two more are four."""
    settings = {"batch_size": ROWS, "optimizer": "sgd", "rate": 0.1}
    whole = run(max_epochs=4, **settings)
    first = run(max_epochs=2, **settings)
    found = run(
        max_epochs=2,
        start=first.weights,
        statistics=first.statistics,
        snapshots=Snapshots((0,)),
        **settings,
    )
    assert_allclose(found.weights, whole.weights, rtol=0, atol=1e-12)
    assert_allclose(found.losses, whole.losses[2:], rtol=1e-10)
    for name in ("means", "variances"):
        for ours, known in zip(
            getattr(found.statistics, name),
            getattr(whole.statistics, name),
            strict=True,
        ):
            assert_allclose(ours, known, rtol=0, atol=1e-12)
    assert found.snapshots[0].loss == first.losses[-1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": (3, -1)}, r"epochs=\(3, -1\): give epochs from 0, the start"),
        ({"losses": (0.1, 0.0)}, r"losses=\(0.1, 0.0\): give positive numbers"),
        ({"losses": (np.nan,)}, r"losses=\(nan,\): give positive numbers"),
    ],
)
def test_bad_snapshots(settings, message):
    with pytest.raises(ValueError, match=message):
        Snapshots(**settings)
