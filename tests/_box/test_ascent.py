import numpy as np
import pytest
from problems import Linear, Recorded, Separable, TwoBasins, flat

from sharpkit._box import ascent
from sharpkit._box.box import Box
from sharpkit._box.subspace import FullSpace
from sharpkit._inputs.objective import Objective
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space


def climb(loss_fn, w, *, epsilon=1e-3, budget=25, seed=0):
    recorded = Recorded(loss_fn)
    where = FullSpace(Space(cpu, w.size, w.dtype), w, epsilon)
    objective = Objective(recorded, w)
    loss, gradient, _ = objective.centre(w)
    box = Box(objective, where, loss, gradient, budget=budget, spent=2)
    best, reached = ascent.maximise(box, seed=seed)
    return best, reached, box, recorded


@pytest.mark.parametrize("budget", [3, 4, 6, 7, 8, 9, 12, 25, 26, 100, 400])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_budget_is_spent_exactly(budget, seed):
    best, reached, box, recorded = climb(
        TwoBasins(200, 1e-3), np.zeros(200), budget=budget, seed=seed
    )
    assert len(recorded.seen) == len(box.history) == budget
    assert best.loss == max(recorded.losses) == box.history[-1]
    assert max(reached) == best.loss


def test_the_first_step_is_a_sign_step():
    slope = np.array([1e-12, -3.0, 0.0, 1e12])
    w = np.array([1.0, -2.0, 3.0, 0.0])
    _, _, box, recorded = climb(Linear(slope), w, epsilon=0.1)
    np.testing.assert_array_equal(recorded.seen[2], w + box.radius() * np.sign(slope))


def test_a_failed_step_is_halved():
    # Concave: the corner overshoots, and so do 1/2 and 1/4 of the way.
    top = np.full(10, 2e-4)
    _, _, box, recorded = climb(
        lambda w: (1 - float(np.sum((w - top) ** 2)), -2 * (w - top)), np.zeros(10)
    )
    walked = [x[0] / box.radius()[0] for x in recorded.seen[2:6]]
    np.testing.assert_allclose(walked[:3], [1, 0.5, 0.25], rtol=1e-12)
    assert box.history[-1] > box.history[0]


def test_the_loss_never_falls_along_a_climb():
    best, _, box, _ = climb(TwoBasins(50, 1e-3), np.zeros(50), budget=200)
    z = best.z
    assert (np.abs(z) <= box.radius()).all()
    again = TwoBasins(50, 1e-3)(z)
    assert best.loss == again[0]
    np.testing.assert_array_equal(best.gradient, again[1])  # it belongs to the point
    assert (np.diff(box.history) >= 0).all()


def test_restarts_reach_another_basin():
    hits = 0
    for seed in range(10):
        best, reached, *_ = climb(TwoBasins(1000, 1e-3), np.zeros(1000), seed=seed)
        assert reached[0] == pytest.approx(1.6, rel=1e-12)
        assert len(reached) > 1
        hits += best.loss == pytest.approx(2.4, rel=1e-12)
    assert hits == 10


def test_the_third_restart_flips_runs_of_neighbours():
    n = 3200
    h = np.linspace(1, 2, n)
    w = np.full(n, 0.5)
    _, _, box, recorded = climb(Separable(h, np.zeros(n)), w, budget=100)
    corner = recorded.seen[2] - w
    np.testing.assert_allclose(corner, box.radius(), rtol=1e-12)
    # Elsewhere on the box's corners: random ones, and runs of the best, some flipped.
    signs = [np.sign(x - w) for x in recorded.seen[3:]]
    changes = [np.count_nonzero(np.diff(s)) for s in signs if (s < 0).any()]
    assert max(changes) > 1000
    assert any(1 <= each < ascent.RUNS for each in changes)


def test_a_restart_is_deflated():
    """Where the curvature is of rank two, it goes along the direction not yet seen."""
    n, epsilon = 400, 1e-3
    first = np.random.default_rng(0).choice([-1.0, 1.0], n)
    second = np.where(np.arange(n) % 2, first, -first)  # orthogonal to it

    def loss_fn(w):  # the centre leads to the first, the second is higher
        along, across = (float(v @ w) / (n * epsilon) for v in (first, second))
        gradient = (0.1 + 8 * along) * first + 10 * across * second
        return 1 + 0.1 * along + 4 * along**2 + 5 * across**2, gradient / (n * epsilon)

    best, reached, *_ = climb(loss_fn, np.zeros(n), epsilon=epsilon)
    assert reached[0] == pytest.approx(5.1, rel=1e-12)
    assert best.loss == pytest.approx(6.0, rel=1e-12)


def test_the_first_restart_deflates_the_centres_gradient():
    rng = np.random.default_rng(5)
    h, w = rng.uniform(1, 2, 300), rng.standard_normal(300)
    loss_fn = Separable(h, np.zeros(300))
    _, _, box, recorded = climb(loss_fn, w)
    corner = recorded.seen[2]
    known = np.stack([corner - w, loss_fn(corner)[1]], axis=1)
    along, *_ = np.linalg.lstsq(known, loss_fn(w)[1])
    rest = loss_fn(w)[1] - known @ along
    elsewhere = next(
        x for x in recorded.seen[3:] if (np.sign(x - w) != np.sign(corner - w)).any()
    )
    np.testing.assert_array_equal(elsewhere, w + box.radius() * np.sign(rest))


def test_a_stationary_centre_is_no_start():
    loss_fn = Separable(np.ones(40), np.zeros(40))
    best, reached, _, recorded = climb(loss_fn, np.zeros(40))
    assert best.loss == pytest.approx(loss_fn.maximum(np.zeros(40), 1e-3), rel=1e-12)
    assert all(loss > 0 for loss in reached)
    corner = recorded.seen[2]
    np.testing.assert_array_equal(np.abs(corner), np.full(40, 1e-3))
    assert 5 < np.count_nonzero(corner > 0) < 35  # a random one


def test_nowhere_to_go():
    best, reached, box, _ = climb(flat, np.ones(4))
    assert best.loss == 0.75
    assert not best.z.any()
    assert len(box.history) <= 25
    assert set(reached) == {0.75}


def test_the_same_seed_walks_the_same_way():
    runs = [
        climb(TwoBasins(100, 1e-3), np.zeros(100), seed=s)[3].seen for s in (1, 1, 2)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("n", [1, 2, 5, 31, 32, 33])
def test_fewer_weights_than_runs(n):
    loss_fn = Separable(np.ones(n), np.full(n, 0.1))
    best, *_ = climb(loss_fn, np.zeros(n))
    assert best.loss == pytest.approx(loss_fn.maximum(np.zeros(n), 1e-3), rel=1e-12)
