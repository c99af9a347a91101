"""A training ends at its threshold, whatever an epoch's end would have been."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sharpkit.lab.problem import Problem
from sharpkit.lab.training.crossing import Place, crossing

ROWS = 50
WITHIN = 0.01


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 8},
        {"batch_size": 5},
        {"batch_size": ROWS},
        {"batch_size": 25, "rate": 0.1},
        {"dtype": np.float32, "batch_size": 8},
        {"optimizer": "momentum", "rate": 0.05, "ghost": 4},
        {"optimizer": "adagrad", "sam": 0.05},
        {"conservative": 1e-3, "adversarial": 0.1},
        {"augment": True, "shape": (3, 1), "dtype": np.float32},
    ],
    ids=str,
)
def test_it_ends_on_the_way_of_the_run_at_the_loss(run, blobs, settings):
    """Between two neighbours of the weights that the plain run went through."""
    network, x, y = blobs
    limit = 0.3
    found = run(until_loss=limit, loss_within=WITHIN, max_epochs=90, **settings)
    again = run(until_loss=limit, loss_within=WITHIN, max_epochs=90, **settings)
    assert_array_equal(found.weights, again.weights)
    assert found.reached
    here = Problem(
        network,
        x.astype(found.weights.dtype),
        y,
        batch_norm="running",
        statistics=found.statistics,
    )
    assert here.evaluate(found.weights).loss == found.losses[-1]
    assert (1 - WITHIN) * limit <= found.losses[-1] <= limit

    path = []
    plain = run(
        max_epochs=found.epochs,
        on_update=lambda weights, _: path.append(weights.copy()),
        **settings,
    )
    assert found.losses[:-1] == plain.losses[:-1]
    path.append(plain.weights)
    inner = 3 if "conservative" in settings else 1
    before, after = path[found.updates // inner - 1], path[found.updates // inner]
    step, taken = after - before, found.weights - before
    share = float(taken @ step / (step @ step))
    assert -1e-3 < share < 1.001
    assert_allclose(taken, share * step, rtol=0, atol=1e-3 * abs(step).max())


def test_the_plain_rule_ends_somewhere_below(run):
    """What the other tests would miss, were the losses near the threshold anyway."""
    ends = [
        run(until_loss=0.3, batch_size=size, max_epochs=90, seed=seed).losses[-1] / 0.3
        for size in (8, ROWS)
        for seed in range(4)
    ]
    assert min(ends) < 0.9


def test_the_accuracy_as_it_went_is_of_the_samples_seen(run, batches, blobs):
    found = run(until_loss=0.3, loss_within=WITHIN, max_epochs=90)
    seen = found.updates - 7 * (found.epochs - 1)  # batches of the last epoch
    samples = sum(len(x) for x, _ in batches[:seen])
    assert 0 < samples <= ROWS
    share = found.running_accuracies[-1] * samples
    assert share == pytest.approx(round(share))


def test_a_start_below_the_threshold_trains_for_one_epoch(run):
    first = run(until_loss=0.1, max_epochs=90)
    warm = {"start": first.weights, "statistics": first.statistics}
    plain = run(until_loss=0.3, max_epochs=9, **warm)
    found = run(until_loss=0.3, loss_within=WITHIN, max_epochs=9, **warm)
    assert_array_equal(found.weights, plain.weights)
    assert found.losses == plain.losses
    assert found.epochs == 1


@dataclass(frozen=True)
class Walk:
    """Stands for an updater: a place on a given sequence of losses, or between two."""

    losses: tuple
    at: float

    def loss(self):
        here = np.interp(self.at, np.arange(len(self.losses)), np.log(self.losses))
        return float(np.exp(here))

    def toward(self, later, share):
        return Walk(self.losses, self.at + share * (later.at - self.at))


def ended(losses, limit):
    """Return the place found within the epoch, and how many looks it took."""
    looks = []

    def look(way):
        looks.append(way)
        return way.loss()

    def advanced(place, some):
        way = Walk(losses, place.way.at + len(some))
        return Place(way, look(way), place.right, place.seen + len(some))

    last = len(losses) - 1
    begin, end = (Place(Walk(losses, at), losses[at], 0, at) for at in (0, last))
    found = crossing(begin, end, range(last), advanced, look, limit, WITHIN)
    assert found.loss == pytest.approx(found.way.loss())
    return found, len(looks)


@pytest.mark.parametrize("updates", [1, 2, 10, 157])
def test_noisy_and_smooth_descents_end_at_one_loss(updates):
    """Epochs of a loss that halves in each, and fluctuates by half of it or not."""
    random = np.random.default_rng(updates)
    plain = {0.0: [], 0.4: []}
    most = math.ceil(math.log2(updates)) + 8
    for noise, ends in plain.items():
        for _ in range(200):
            steps = np.arange(40 * updates + 1) / updates
            descent = 2.0**-steps * np.exp(noise * random.standard_normal(len(steps)))
            limit = 10 ** random.uniform(-3, -1)
            stop = next(e for e in range(1, 41) if descent[e * updates] <= limit)
            epoch = tuple(descent[(stop - 1) * updates : stop * updates + 1])
            ends.append(epoch[-1] / limit)
            if epoch[0] <= limit:  # of the first epoch alone
                continue
            found, looks = ended(epoch, limit)
            assert 1 - WITHIN <= found.loss / limit <= 1
            assert looks <= most
            low, high = math.floor(found.way.at), math.ceil(found.way.at)
            assert min(epoch[low : high + 1]) <= limit
            assert found.seen >= high
    # By epochs neither is at the threshold, and the noisy one is further below.
    assert np.mean(plain[0.4]) < np.mean(plain[0.0]) < 0.8


def test_a_loss_of_zero_or_a_cliff_ends_below(run):
    cliff = (1.0, 1.0, 0.0)
    found, _ = ended((1.0, 1.0, 1e-200), 0.1)
    assert found.loss <= 0.1
    begin, end = Place(Walk(cliff, 0), 1.0), Place(Walk(cliff, 2), 0.0, 0, 2)

    def look(way):
        return 0.0 if way.at >= 1.5 else 1.0

    def advanced(place, some):
        way = Walk(cliff, place.way.at + len(some))
        return Place(way, look(way), 0, place.seen + len(some))

    found = crossing(begin, end, range(2), advanced, look, 0.1, WITHIN)
    assert (found.loss, found.seen) == (0.0, 2)
    assert found.way.at == pytest.approx(1.5, abs=1e-2)
