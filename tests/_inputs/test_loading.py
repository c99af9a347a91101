import time

import numpy as np
import pytest

import sharpkit
from sharpkit._inputs.loading import waited, waiting


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def loader(clock, seconds):
    for batch in (1.0, 2.0):
        clock[0] += seconds
        yield batch


def test_only_the_wait_for_batches_is_counted(clock):
    before = waited()
    for _ in waiting(loader(clock, 3)):
        clock[0] += 100
    assert np.subtract(waited(), before).tolist() == [6, 2]


@pytest.mark.parametrize(("loading", "told"), [(3, True), (0.5, False)])
def test_check_says_when_the_loader_takes_the_time(clock, loading, told):
    def loss(w):
        for _ in waiting(loader(clock, loading)):
            clock[0] += 1
        return 1 + float(w @ w), 2 * w

    found = sharpkit.check(np.ones(20), loss)
    assert found.loading_share == pytest.approx(loading / (1 + loading), abs=0.01)
    said = "75% of which the loader takes, not the model: give it workers, or hold"
    assert (said in repr(found)) is told


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_the_loader_of_a_model_is_seen(framework):
    library = pytest.importorskip(framework)
    x, y = np.ones((4, 3), np.float32), np.zeros((4, 1), np.float32)
    before = waited()[1]
    if framework == "torch":
        batches = [(library.tensor(x), library.tensor(y))] * 2
        model = library.nn.Linear(3, 1)
        problem = sharpkit.torch.problem(model, library.nn.MSELoss(), batches)
    else:
        problem = sharpkit.jax.problem(
            lambda w, batch: ((batch[0] @ w - batch[1]) ** 2).mean(),
            library.numpy.ones((3, 1)),
            [(x, y)] * 2,
        )
    found = sharpkit.check(problem)
    assert waited()[1] > before
    assert 0 <= found.loading_share < 1


def test_without_a_loader_nothing_is_said():
    found = sharpkit.check(np.ones(20), lambda w: (1 + float(w @ w), 2 * w))
    assert np.isnan(found.loading_share)
    assert "loader" not in repr(found)
