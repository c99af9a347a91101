"""What a network is asked in one batch, seen by networks that record it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sharpkit.lab.networks.base import Evaluation, Statistics
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.training.augment import augmented
from sharpkit.lab.training.regime import Regime
from sharpkit.lab.training.update import Updater

SEED = 3


def updater(network, weights, regime, running=None, **settings):
    given = running or network.initial_statistics(weights)
    settings = {"seed": SEED, "bounds": (-1.0, 1.0)} | settings
    return Updater(network, regime, weights.copy(), given, **settings)


class Scripted:
    """Four weights with one gradient everywhere; it records what it is asked."""

    def __init__(self, gradient):
        self.gradient, self.calls = gradient, []

    def counts(self, rows):
        return (4 * rows,)

    def evaluate(self, weights, x, y, *, gradient, dropout, statistics, **settings):
        self.calls.append((weights.copy(), dropout))
        gradient[...] = self.gradient
        if settings.get("input_gradient") is not None:
            settings["input_gradient"][...] = 0
        two = np.array([2.0])
        return Evaluation(0.0, 0, Statistics((two,), (two,)))


def scripted(regime, gradient=(1.0, 2.0, 3.0, 4.0), seed=SEED, dtype=np.float64):
    network = Scripted(np.array(gradient, dtype))
    running = Statistics((np.array([1.0]),), (np.array([1.0]),))
    found = updater(network, np.ones(4, dtype), regime, running, seed=seed)
    x = np.zeros((6, 2), dtype)
    return found, network, lambda: found.update(x, np.zeros(6, int))


def test_sams_norm_is_taken_in_float64():
    """Squares of such gradients are zero in float32."""
    _, network, update = scripted(
        Regime(6, "sgd", 0.1, sam=0.5), 4 * [1e-30], dtype="f4"
    )
    update()
    first, second = (weights for weights, _ in network.calls)
    assert_array_equal(first, np.ones(4))
    assert second.dtype == np.float32
    assert_allclose(second, np.full(4, 1.25), rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sam_without_a_gradient_stays(dtype):
    found, network, update = scripted(
        Regime(6, "sgd", 0.1, sam=0.5), 4 * [0.0], dtype=dtype
    )
    update()
    assert_array_equal([weights for weights, _ in network.calls], np.ones((2, 4)))
    assert_array_equal(found.weights, np.ones(4))


def test_sam_of_a_network_with_one_class():
    """Its loss is zero everywhere: a real gradient of exact zeros."""
    network = MLP((3, 4, 1))
    start = network.initial_weights(0, np.float64)
    x = np.random.default_rng(0).standard_normal((6, 3))
    found = updater(network, start, Regime(6, sam=0.5))
    found.update(x, np.zeros(6, int))
    assert_array_equal(found.weights, start)


def test_the_unbiased_variance_counts_what_the_network_says():
    found, _, update = scripted(Regime(6))
    update()
    assert_allclose(found.statistics.means[0], 0.9 + 0.1 * 2)
    assert_allclose(found.statistics.variances[0], 0.9 + 0.1 * 2 * 24 / 23)


def test_a_dropout_seed_belongs_to_an_update_and_a_chunk():
    settings = {"sam": 0.1, "adversarial": 0.1, "ghost": 2, "conservative": 0.1}

    def seeds(seed=SEED, **settings):
        found, network, update = scripted(Regime(6, **settings), seed=seed)
        update()
        update()
        assert {type(dropout) for _, dropout in network.calls} == {int}
        return [dropout for _, dropout in network.calls], found.updates

    plain, updates = seeds()
    assert updates == len(plain) == len(set(plain)) == 2
    assert seeds()[0] == plain
    assert not set(seeds(seed=SEED + 1)[0]) & set(plain)
    every, updates = seeds(**settings)
    # an update: three chunks, clean and moved, for SAM's first and second gradient
    every = np.reshape(every, (updates, 2, 3, 2))
    assert updates == 6
    assert len(np.unique(every)) == 6 * 3
    assert (every == every[:, :1, :, :1]).all()
    assert_array_equal(every[:2, 0, 0, 0], plain)


def test_augmented_samples_are_drawn_anew_for_every_batch():
    network = MLP((12, 5, 3))
    random = np.random.default_rng(1)
    start = network.initial_weights(0)
    regime = Regime(6, conservative=0.1)
    images = random.uniform(size=(6, 12)).astype(np.float32)
    y = random.integers(0, 3, 6)
    settings = {"bounds": None, "shape": (3, 4)}
    ours = updater(
        network, start, Regime(6, conservative=0.1, augment=True), **settings
    )
    known, seen = updater(network, start, regime), []
    generator = np.random.default_rng([SEED, 2])
    for _ in range(2):
        ours.update(images, y)
        seen.append(augmented(images, (3, 4), generator))
        known.update(seen[-1], y)
    assert_array_equal(ours.weights, known.weights)
    assert not np.array_equal(*seen)
