from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.optimizers import SGD, Adam
from sharpkit.lab.problem import Problem
from sharpkit.lab.train import train

ROWS = 50


@pytest.fixture
def blobs():
    """Three well separated clouds: network, samples and labels."""
    random = np.random.default_rng(0)
    y = np.arange(ROWS) % 3
    x = 3 * np.eye(3)[y] + 0.3 * random.standard_normal((ROWS, 3))
    return MLP((3, 16, 16, 3)), x, y


def run(blobs, *, dtype=np.float64, seed=5, **settings):
    network, x, y = blobs
    settings = {"batch_size": 8, "optimizer": Adam(1e-2), "max_epochs": 3} | settings
    start = settings.pop("start", network.initial_weights(1, dtype))
    return train(network, x.astype(dtype), y, start=start, seed=seed, **settings)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_reaches_a_threshold(blobs, dtype):
    found = run(blobs, dtype=dtype, until_loss=1e-2, max_epochs=200)
    network, x, y = blobs
    assert found.reached
    assert found.losses[-1] <= 1e-2 < min(found.losses[:-1])
    assert found.epochs == len(found.losses) < 200
    assert found.weights.dtype == dtype
    assert found.seconds > 0
    problem = Problem(
        network, x.astype(dtype), y, batch_norm="running", statistics=found.statistics
    )
    measured = problem.measure(found.weights)
    assert measured.loss == found.losses[-1]
    assert measured.accuracy == 1


def test_it_stops_at_max_epochs(blobs):
    found = run(blobs, until_loss=1e-9, max_epochs=2)
    assert not found.reached
    assert found.epochs == 2
    assert run(blobs, until_loss=None, max_epochs=2).reached


def test_the_start_is_kept(blobs):
    start = blobs[0].initial_weights(1, np.float64)
    before = start.copy()
    found = run(blobs, start=start)
    assert_array_equal(start, before)
    assert_array_equal(found.start, before)
    assert not np.shares_memory(found.start, start)
    assert not np.array_equal(found.weights, before)


def test_the_same_seed_gives_the_same_bits(blobs, threads):
    threads(1)
    known = run(blobs)
    threads(2)
    again = run(blobs)
    assert_array_equal(again.weights, known.weights)
    assert again.losses == known.losses
    assert not np.array_equal(run(blobs, seed=6).weights, known.weights)


@pytest.mark.parametrize(
    ("batch_size", "updates"), [(8, 7), (7, 8), (25, 2), (49, 2), (ROWS, 1), (1, ROWS)]
)
def test_the_last_batch_may_be_short(blobs, batch_size, updates):
    found = run(blobs, batch_size=batch_size, max_epochs=2)
    assert found.updates == 2 * updates
    assert np.isfinite(found.weights).all()


@pytest.fixture
def batches(monkeypatch):
    """The rows of every update, as they are trained on."""
    seen, evaluate = [], MLP.evaluate

    def spy(self, weights, x, y, **settings):
        if settings["statistics"] == "batch":
            seen.append((x.copy(), y.copy()))
        return evaluate(self, weights, x, y, **settings)

    monkeypatch.setattr(MLP, "evaluate", spy)
    return seen


def test_each_epoch_takes_each_row_once_in_a_new_order(blobs, batches):
    run(blobs, max_epochs=2)
    rows = np.concatenate([x for x, _ in batches])
    assert [len(x) for x, _ in batches] == 2 * [8, 8, 8, 8, 8, 8, 2]
    first, second = rows[:ROWS], rows[ROWS:]
    known = blobs[1][np.lexsort(blobs[1].T)]
    for epoch in (first, second):
        assert_array_equal(epoch[np.lexsort(epoch.T)], known)
    assert not np.array_equal(first, second)


def test_weights_and_running_statistics_are_pytorchs(blobs, batches, torch, twin):
    start = blobs[0].initial_weights(1, np.float64)
    found = run(blobs, start=start, optimizer=SGD(0.05), max_epochs=3)
    model = twin(blobs[0], start)
    optimizer = torch.optim.SGD(model.model.parameters(), lr=0.05, momentum=0.9)
    for x, y in batches:
        model.loss(x, y, train=True)
        optimizer.step()
    assert_allclose(found.weights, model.flat(), rtol=0, atol=1e-12)
    known = model.statistics()
    for name in ("means", "variances"):
        for here, expected in zip(
            getattr(found.statistics, name), getattr(known, name), strict=True
        ):
            assert_allclose(here, expected, rtol=1e-11, atol=1e-12)
    known_loss = model.loss(*blobs[1:], train=False)
    assert_allclose(found.losses[-1], known_loss, rtol=1e-10)


def test_on_epoch_is_told_of_each_epoch(blobs):
    told = []
    found = run(blobs, on_epoch=lambda epoch, loss: told.append((epoch, loss)))
    assert told == list(enumerate(found.losses, 1))


@pytest.mark.parametrize("batch_size", [0, -1, ROWS + 1])
def test_bad_batch_size(blobs, batch_size):
    with pytest.raises(ValueError, match=f"batch_size={batch_size}: give 1 to {ROWS}"):
        run(blobs, batch_size=batch_size)


class Exploding:
    def step(self, weights, gradient):
        weights[...] = np.nan


def test_divergence_is_an_error(blobs):
    with pytest.raises(FloatingPointError, match=r"nan after epoch 1; lower the rate"):
        run(blobs, optimizer=Exploding())
