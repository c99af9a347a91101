import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sharpkit.lab.problem import Problem
from sharpkit.lab.training import update

ROWS = 50


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_reaches_a_threshold(run, blobs, dtype):
    found = run(dtype=dtype, until_loss=1e-2, max_epochs=200)
    network, x, y = blobs
    assert found.reached
    assert found.losses[-1] <= 1e-2 < min(found.losses[:-1])
    assert found.epochs == len(found.losses) < 200
    assert found.weights.dtype == dtype
    assert found.seconds > 0
    problem = Problem(
        network, x.astype(dtype), y, batch_norm="running", statistics=found.statistics
    )
    measured = problem.evaluate(found.weights)
    assert measured.loss == found.losses[-1]
    assert measured.accuracy == 1


def test_it_stops_at_max_epochs(run):
    found = run(until_loss=1e-9, max_epochs=2)
    assert not found.reached
    assert found.epochs == 2
    assert run(until_loss=None, max_epochs=2).reached


def test_the_start_is_kept(run, blobs):
    start = blobs[0].initial_weights(1, np.float64)
    before = start.copy()
    found = run(start=start)
    assert_array_equal(start, before)
    assert_array_equal(found.start, before)
    assert not np.shares_memory(found.start, start)
    assert not np.array_equal(found.weights, before)


def test_the_same_seed_gives_the_same_bits(run, threads):
    threads(1)
    known = run()
    threads(2)
    again = run()
    assert_array_equal(again.weights, known.weights)
    assert again.losses == known.losses
    assert not np.array_equal(run(seed=6).weights, known.weights)


@pytest.mark.parametrize(
    ("batch_size", "updates"), [(8, 7), (7, 8), (25, 2), (49, 2), (ROWS, 1), (1, ROWS)]
)
def test_the_last_batch_may_be_short(run, batch_size, updates):
    found = run(batch_size=batch_size, max_epochs=2)
    assert found.updates == 2 * updates
    assert np.isfinite(found.weights).all()


def test_each_epoch_takes_each_row_once_in_a_new_order(run, blobs, batches):
    run(max_epochs=2)
    rows = np.concatenate([x for x, _ in batches])
    assert [len(x) for x, _ in batches] == 2 * [8, 8, 8, 8, 8, 8, 2]
    first, second = rows[:ROWS], rows[ROWS:]
    known = blobs[1][np.lexsort(blobs[1].T)]
    for epoch in (first, second):
        assert_array_equal(epoch[np.lexsort(epoch.T)], known)
    assert not np.array_equal(first, second)


def test_weights_and_running_statistics_are_pytorchs(run, blobs, batches, torch, twin):
    start = blobs[0].initial_weights(1, np.float64)
    found = run(start=start, optimizer="momentum", rate=0.05)
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


def test_on_epoch_is_told_of_each_epoch(run):
    told = []
    found = run(on_epoch=lambda epoch, loss: told.append((epoch, loss)))
    assert told == list(enumerate(found.losses, 1))


class Exploding:
    def step(self, weights, gradient):
        weights[...] = np.nan


def test_divergence_is_an_error(run, monkeypatch):
    monkeypatch.setattr(update, "optimizer_for", lambda regime: Exploding())
    with pytest.raises(FloatingPointError, match=r"nan after epoch 1; lower the rate"):
        run()


def test_the_batch_grows_at_the_epochs_said(run, batches):
    found = run(max_epochs=4, growth=((2, 20), (4, ROWS)))
    sizes = [[8, 8, 8, 8, 8, 8, 2], [20, 20, 10], [20, 20, 10], [50]]
    assert [len(x) for x, _ in batches] == [size for each in sizes for size in each]
    assert found.updates == len(batches)
    # until it grows it is the run that does not
    assert found.losses[0] == run(max_epochs=1).losses[0]


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "reached"),
    [
        ([4, 3, 2, 1, 0.5], 2, 5, False),
        ([4, 3, 3, 3, 1], 2, 4, True),
        ([4, 3, 3, 3, 1], 3, 5, False),
        ([4, 4, 1], 1, 2, True),
        # 1 % in steps of half of it is 1 %, and less than 1 % is not
        ([1, 0.995, 0.9899, 0.985, 0.98, 0.9799], 2, 6, False),
        ([1, 0.995, 0.991, 0.5], 2, 3, True),
        # a rise waits for the best to be beaten
        ([1, 5, 2, 1.5, 0.1], 3, 4, True),
    ],
)
def test_it_stops_once_the_loss_ceases_to_improve(
    scripted, losses, patience, epochs, reached
):
    found = scripted(losses, patience=patience)
    assert (found.epochs, found.reached) == (epochs, reached)
    assert found.losses == tuple(losses[:epochs])


def test_the_first_of_two_reasons_stops_it(scripted):
    losses = [4, 3, 3, 3, 1]
    assert scripted(losses, patience=2, until_loss=1).epochs == 4
    assert scripted(losses, patience=2, until_loss=3).epochs == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"sam": 0.05, "ghost": 4},
        {"conservative": 1e-3, "adversarial": 0.1},
        {"optimizer": "adagrad", "growth": ((2, 25),)},
        {"augment": True, "shape": (3, 1), "dtype": np.float32},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_every_regime_learns_and_repeats_its_bits(run, settings, threads):
    threads(1)
    found = run(max_epochs=8, **settings)
    threads(2)
    again = run(max_epochs=8, **settings)
    assert_array_equal(again.weights, found.weights)
    assert again.losses == found.losses
    assert found.losses[-1] < 0.7 * found.losses[0]
    assert not np.array_equal(
        run(max_epochs=8, seed=6, **settings).weights, found.weights
    )


def test_samples_are_attacked_within_the_range_of_the_data(run, blobs, batches):
    run(adversarial=0.4, max_epochs=1)
    (clean, moved) = (np.concatenate([x for x, _ in batches[i::2]]) for i in (0, 1))
    low, high = blobs[1].min(), blobs[1].max()
    assert_array_equal(np.sort(clean, axis=0), np.sort(blobs[1], axis=0))
    assert (moved.min(), moved.max()) == (low, high)
    moves = np.abs(moved - clean)
    assert_allclose(moves.max(), 0.4, rtol=1e-12)
    whole = (clean > low + 0.4) & (clean < high - 0.4)
    assert np.isin(np.round(moves[whole], 12), (0, 0.4)).all()


def test_who_looks_on_changes_nothing(run):
    seen = []

    def look(weights, statistics):
        seen.append((weights.copy(), statistics))

    found, plain = run(on_update=look), run()
    assert_array_equal(found.weights, plain.weights)
    assert found.losses == plain.losses
    assert len(seen) == found.updates
    assert_array_equal(seen[0][0], found.start)
    per_epoch = found.updates // found.epochs
    shorter = run(max_epochs=2)
    assert_array_equal(seen[2 * per_epoch][0], shorter.weights)
    for ours, theirs in zip(
        seen[2 * per_epoch][1].means, shorter.statistics.means, strict=True
    ):
        assert_array_equal(ours, theirs)
