"""The trainer is written on an array module: what NumPy does, CuPy does too."""

import fake_cupy
import numpy as np
import pytest

from sharpkit._inputs.arrays import array_module, to_host
from sharpkit.lab import problem
from sharpkit.lab.networks import mlp as networks_mlp
from sharpkit.lab.networks.base import Statistics
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.networks.rescale import layer_norms, with_norms
from sharpkit.lab.problem import Problem, frozen_statistics
from sharpkit.lab.steps import plain, steps_for
from sharpkit.lab.training import optimizers
from sharpkit.lab.training.loop import train
from sharpkit.lab.training.regime import Regime

ROWS = 70
EQUAL = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def mlp():
    return MLP((9, 12, 11, 4))


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    return rng.normal(size=(ROWS, 9)), rng.integers(0, 4, ROWS)


def trained(mlp, samples, xp=np, *, tested=False, **settings):
    x, y = map(xp.asarray, samples)
    start = xp.asarray(mlp.initial_weights(1, np.float64))
    regime = Regime(**{"batch_size": 16, "max_epochs": 5} | settings)
    test = (x[:20], y[:20]) if tested else None
    return train(mlp, x, y, regime, start=start, seed=2, test=test)


def assert_same(found, expected, xp):
    assert array_module(found) is xp
    np.testing.assert_allclose(to_host(found), expected, **EQUAL)


def on_host(statistics):
    return Statistics(
        tuple(map(to_host, statistics.means)), tuple(map(to_host, statistics.variances))
    )


def test_host_and_device_take_steps_of_their_own(cupy):
    assert array_module(np.zeros(1)) is np
    assert steps_for(np.zeros(1)).__name__.endswith("fused")
    assert steps_for(cupy.zeros(1)).__name__.endswith("cuda")


def test_training_on_plain_steps_gives_the_same_weights(monkeypatch, mlp, samples):
    for optimizer, rate in (("adam", 1e-3), ("momentum", 0.1)):
        fused = trained(mlp, samples, optimizer=optimizer, rate=rate)
        with monkeypatch.context() as patch:
            for module in (networks_mlp, optimizers):
                patch.setattr(module, "steps_for", lambda array: plain)
            other = trained(mlp, samples, optimizer=optimizer, rate=rate)
        np.testing.assert_allclose(other.weights, fused.weights, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(other.losses, fused.losses, rtol=1e-10)
        assert np.abs(fused.weights - fused.start).max() > 1e-3


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "momentum", "rate": 0.1},
        {"optimizer": "adagrad", "rate": 1e-2},
        {"sam": 0.05},
        {"conservative": 1e-3, "ghost": 5},
        {"adversarial": 0.1, "growth": ((3, 30),)},
    ],
    ids=lambda settings: "-".join(settings) or "adam",
)
def test_training_on_a_device_takes_the_same_way(cupy, mlp, samples, settings):
    here = trained(mlp, samples, tested=True, **settings)
    there = trained(mlp, samples, cupy, tested=True, **settings)
    assert there.running_accuracies == here.running_accuracies
    assert there.test_accuracies == here.test_accuracies
    np.testing.assert_allclose(there.losses, here.losses, **EQUAL)
    assert there.updates == here.updates
    assert_same(there.weights, here.weights, cupy)
    assert_same(there.start, here.start, cupy)
    for name in ("means", "variances"):
        for found, expected in zip(
            getattr(there.statistics, name), getattr(here.statistics, name), strict=True
        ):
            assert_same(found, expected, cupy)


@pytest.mark.parametrize("within", [None, 0.01])
def test_training_on_a_device_stops_at_the_same_loss(cupy, mlp, samples, within):
    settings = {"until_loss": 0.5, "max_epochs": 200, "rate": 1e-2}
    settings |= {"loss_within": within}
    here = trained(mlp, samples, **settings)
    there = trained(mlp, samples, cupy, **settings)
    assert here.reached
    assert there.reached
    assert 1 < there.epochs == here.epochs < 200
    np.testing.assert_allclose(there.losses, here.losses, **EQUAL)
    assert_same(there.weights, here.weights, cupy)


def test_updates_do_not_wait_for_the_device(stand_in, mlp, samples):
    """What an epoch copies does not depend on how many updates it makes."""
    seen = []
    for batch_size in (70, 7):
        for epochs in (1, 3):
            fake_cupy.copies.clear()
            trained(mlp, samples, stand_in, batch_size=batch_size, max_epochs=epochs)
            seen.append(dict(fake_cupy.copies))
    assert seen[:2] == seen[2:]
    each = seen[1]["to_host"] - seen[0]["to_host"]
    assert each <= 2 * 5  # two checks of labels, loss, right rows, those on the way
    assert seen[1]["to_device"] - seen[0]["to_device"] == 2  # the orders of two epochs


@pytest.mark.parametrize("batch_norm", ["running", "frozen", "batch"])
def test_the_problem_of_the_measures(cupy, mlp, samples, batch_norm, monkeypatch):
    monkeypatch.setattr(problem, "BLOCK_ROWS", 32)
    monkeypatch.setattr(problem, "DEVICE_BLOCK_ROWS", 40)
    run = trained(mlp, samples)

    def problem_of(xp):
        x, y = map(xp.asarray, samples)
        weights = xp.asarray(run.weights)
        fixed = {
            "running": Statistics(
                tuple(map(xp.asarray, run.statistics.means)),
                tuple(map(xp.asarray, run.statistics.variances)),
            ),
            "frozen": frozen_statistics(mlp, weights, x, y),
            "batch": None,
        }[batch_norm]
        return Problem(mlp, x, y, batch_norm=batch_norm, statistics=fixed), weights

    here, weights = problem_of(np)
    there, weights_there = problem_of(cupy)
    loss, gradient = here(weights)
    loss_there, gradient_there = there(weights_there)
    assert isinstance(loss_there, float)
    assert loss_there == pytest.approx(loss, rel=1e-12)
    assert_same(gradient_there, gradient, cupy)
    measured = there.evaluate(weights_there)._asdict()
    assert measured == pytest.approx(here.evaluate(weights)._asdict(), rel=1e-12)
    assert {type(value) for value in measured.values()} == {float}


def test_rescaling(cupy, mlp, samples):
    run, there = trained(mlp, samples), trained(mlp, samples, cupy)
    norms = layer_norms(mlp, there.weights)
    np.testing.assert_allclose(norms, layer_norms(mlp, run.weights), **EQUAL)
    weights, statistics = with_norms(mlp, run.weights, run.statistics, norms[::-1])
    found, moved = with_norms(mlp, there.weights, there.statistics, norms[::-1])
    assert_same(found, weights, cupy)
    for mean, expected in zip(moved.means, statistics.means, strict=True):
        assert_same(mean, expected, cupy)
    for var, expected in zip(moved.variances, statistics.variances, strict=True):
        assert_same(var, expected, cupy)


def test_host_and_device_are_not_mixed_in_silence(cupy, mlp, samples):
    x, y = samples
    start = mlp.initial_weights(1, np.float64)
    with pytest.raises(TypeError, match="weights: cupy, x: numpy, y: numpy"):
        train(mlp, x, y, Regime(16), start=cupy.asarray(start), seed=0)
    with pytest.raises(TypeError, match="weights: numpy, x: cupy, y: cupy"):
        Problem(mlp, cupy.asarray(x), cupy.asarray(y), batch_norm="batch")(start)


def test_labels_are_checked_before_a_device_wraps_them_around(cupy, mlp, samples):
    x, y = map(cupy.asarray, samples)
    for labels, message in ((y + 1, "from 1 to 4; the last layer"), (y[1:], "shape")):
        with pytest.raises(IndexError, match=message):
            Problem(mlp, x, labels, batch_norm="batch")
        with pytest.raises(IndexError, match=message):
            trained(mlp, (samples[0], to_host(labels)), cupy)


def test_statistics_of_a_column_far_from_zero(cupy):
    """CuPy's own variance takes float32 means of float32 columns."""
    z = (1e4 + np.random.default_rng(0).normal(size=(1000, 3))).astype(np.float32)
    mean, var = plain.column_statistics(cupy.asarray(z))
    assert mean.dtype == var.dtype == np.float32
    np.testing.assert_allclose(to_host(mean), z.mean(0, np.float64), rtol=1e-7)
    np.testing.assert_allclose(to_host(var), z.var(0, np.float64), rtol=1e-6)
