"""One batch of every regime, against a restatement that anyone can read."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sharpkit.lab.networks.base import Statistics
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.training.optimizers import SGD, Adam
from sharpkit.lab.training.regime import Regime
from sharpkit.lab.training.update import Updater, chunks

ROWS, SEED = 11, 3
CUT = {5: [5, 6], 4: [4, 4, 3], 2: [2, 2, 2, 2, 3], 11: [11], None: [11]}  # of 11 rows
VALUES = {"ghost": 5, "sam": 0.3, "conservative": 0.7, "adversarial": 0.2}
COMBINATIONS = [
    names
    for count in range(len(VALUES) + 1)
    for names in itertools.combinations(VALUES, count)
]


@pytest.fixture
def pair(draw):
    """A network, weights, and two batches of eleven rows."""
    network, weights, x, y = draw(sizes=(5, 7, 6, 4), rows=2 * ROWS)
    return network, weights, [(x[:ROWS], y[:ROWS]), (x[ROWS:], y[ROWS:])]


def updater(network, weights, regime, statistics=None, **settings):
    given = statistics or network.initial_statistics(weights)
    settings = {"seed": SEED, "bounds": (-1.0, 1.1)} | settings
    return Updater(network, regime, weights.copy(), given, **settings)


def loss_and_gradient(network, w, x, y):
    gradient = np.empty_like(w)
    found = MLP(network.sizes).evaluate(
        w, x, y, statistics="batch", gradient=gradient, scale=1 / len(x)
    )
    return found.loss_sum / len(x), gradient


def attacked(network, w, x, y):
    """Move each number by 0.2 to where the loss rises, by finite differences."""
    signs = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-5
        up, down = (loss_and_gradient(network, w, x + s, y)[0] for s in (step, -step))
        signs[place] = np.sign(up - down)
    return np.clip(x + VALUES["adversarial"] * signs, -1.0, 1.1)


def slow_gradient(network, w, x, y, names, ghost=5):
    """Average the chunks' gradients; each half of clean, half of moved samples."""
    total, begin = 0.0, 0
    for size in CUT[ghost] if "ghost" in names else [len(x)]:
        part, labels = x[begin : begin + size], y[begin : begin + size]
        gradient = loss_and_gradient(network, w, part, labels)[1]
        if "adversarial" in names:
            moved = attacked(network, w, part, labels)
            gradient = (gradient + loss_and_gradient(network, w, moved, labels)[1]) / 2
        total = total + size / len(x) * gradient
        begin += size
    return total


def slow_update(network, w, x, y, names, optimizer):
    x_k = w.copy()
    for _ in range(3 if "conservative" in names else 1):
        gradient = slow_gradient(network, w, x, y, names)
        if "sam" in names:
            there = w + VALUES["sam"] * gradient / np.linalg.norm(gradient)
            gradient = slow_gradient(network, there, x, y, names)
        if "conservative" in names:
            gradient = gradient + VALUES["conservative"] * (w - x_k)
        optimizer.step(w, gradient)


def slow_averages(network, w, running, chunks_of_x):
    """Restate PyTorch's running averages: 0.9 of the old, 0.1 of mean and var."""
    means, variances = list(running.means), list(running.variances)
    for x in chunks_of_x:
        h = x
        for index, layer in enumerate(network.layers(w)[:-1]):
            z = h @ layer.weight + layer.bias
            means[index] = 0.9 * means[index] + 0.1 * z.mean(0)
            variances[index] = 0.9 * variances[index] + 0.1 * z.var(0, ddof=1)
            z = (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5)
            h = np.maximum(layer.gamma * z + layer.beta, 0)
    return Statistics(tuple(means), tuple(variances))


def assert_same_statistics(found, known, **tolerance):
    tolerance = tolerance or {"rtol": 1e-12, "atol": 1e-13}
    for name in ("means", "variances"):
        for ours, theirs in zip(
            getattr(found, name), getattr(known, name), strict=True
        ):
            assert_allclose(ours, theirs, **tolerance)


@pytest.mark.parametrize("names", COMBINATIONS, ids="-".join)
def test_all_combinations_against_a_restatement(pair, names):
    network, weights, both = pair
    regime = Regime(ROWS, "momentum", 0.1, **{name: VALUES[name] for name in names})
    ours, w = updater(network, weights, regime), weights.copy()
    optimizer = SGD(0.1, momentum=0.9)  # its state goes on from batch to batch
    for x, y in both:
        ours.update(x, y)
        slow_update(network, w, x, y, names, optimizer)
        assert_allclose(ours.weights, w, rtol=0, atol=1e-11)
    assert ours.updates == (6 if "conservative" in names else 2)
    if names:  # otherwise the restatement would pass for doing nothing
        plain = updater(network, weights, Regime(ROWS, "momentum", 0.1))
        for x, y in both:
            plain.update(x, y)
        assert np.abs(plain.weights - ours.weights).max() > 1e-3


@pytest.mark.parametrize("names", COMBINATIONS, ids="-".join)
def test_averages_move_once_a_batch_and_right_rows_are_of_its_start(
    pair, draw_statistics, names
):
    network, weights, both = pair
    regime = Regime(ROWS, "sgd", 0.1, **{name: VALUES[name] for name in names})
    known = draw_statistics(network)
    ours = updater(network, weights, regime, known)
    for x, y in both:
        parts = [x[:5], x[5:]] if "ghost" in names else [x]
        known = slow_averages(network, ours.weights, known, parts)
        labels = [y[:5], y[5:]] if "ghost" in names else [y]
        right = sum(
            network.evaluate(ours.weights, *part, statistics="batch").right
            for part in zip(parts, labels, strict=True)
        )
        assert ours.update(x, y) == right
        assert_same_statistics(ours.statistics, known)


@pytest.mark.parametrize("ghost", CUT)
def test_ghost_batches_of_other_sizes(pair, ghost):
    network, weights, both = pair
    ours = updater(network, weights, Regime(ROWS, "sgd", 0.1, ghost=ghost))
    x, y = both[0]
    ours.update(x, y)
    known = weights - 0.1 * slow_gradient(network, weights, x, y, ("ghost",), ghost)
    assert_allclose(ours.weights, known, rtol=0, atol=1e-12)
    parts = np.split(x, np.cumsum(CUT[ghost])[:-1])
    running = network.initial_statistics(weights)
    known = slow_averages(network, weights, running, parts)
    assert_same_statistics(ours.statistics, known)


@pytest.mark.parametrize(
    ("rows", "size", "sizes"),
    [
        (8, None, [8]),
        (1, None, [1]),
        (1, 4, [1]),
        (3, 4, [3]),
        (4, 4, [4]),
        (5, 4, [5]),
        (6, 4, [4, 2]),
        (9, 4, [4, 5]),
        (12, 4, [4, 4, 4]),
        (3, 2, [3]),
    ],
)
def test_chunks(rows, size, sizes):
    cut = chunks(rows, size)
    assert [part.stop - part.start for part in cut] == sizes
    assert_array_equal(
        np.concatenate([np.arange(rows)[part] for part in cut]), range(rows)
    )


def test_the_attack_stays_in_the_range_of_the_data(pair):
    """The bounds cut some of the moves, and leave others whole."""
    network, weights, both = pair
    x, y = both[0]
    x = np.clip(x, -1.0, 1.1)
    moves = np.abs(attacked(network, weights, x, y) - x)
    assert 0.1 < np.mean(moves < 0.2 - 1e-9) < 0.9


def test_a_plain_regime_evaluates_once(pair, monkeypatch):
    network, weights, both = pair
    calls, evaluate = [], MLP.evaluate

    def spy(self, *arrays, **settings):
        calls.append(settings)
        return evaluate(self, *arrays, **settings)

    monkeypatch.setattr(MLP, "evaluate", spy)
    updater(network, weights, Regime(ROWS)).update(*both[0])
    (settings,) = calls
    assert settings["input_gradient"] is None
    assert settings["scale"] == 1 / ROWS


def test_conservative_steps_keep_the_optimisers_state(pair):
    """Adam's moments go on over the inner steps and from batch to batch."""
    network, weights, both = pair
    ours = updater(network, weights, Regime(ROWS, conservative=0.7, inner_steps=2))
    adam, w = Adam(1e-3), weights.copy()
    for x, y in both:
        centre = w.copy()
        for _ in range(2):
            adam.step(w, loss_and_gradient(network, w, x, y)[1] + 0.7 * (w - centre))
    for x, y in both:
        ours.update(x, y)
    assert ours.updates == adam.updates == 4
    assert_allclose(ours.weights, w, rtol=0, atol=1e-13)


def test_decay_takes_its_share_before_each_step(pair):
    network, weights, [(x, y), _] = pair
    regime = Regime(ROWS, optimizer="sgd", rate=0.1, decay=0.5)
    ours = updater(network, weights, regime)
    ours.update(x, y)
    gradient = loss_and_gradient(network, weights, x, y)[1]
    np.testing.assert_allclose(
        ours.weights, (1 - 0.05) * weights - 0.1 * gradient, rtol=1e-10, atol=1e-13
    )
