import numpy as np
import pytest
from problems import Linear, Recorded, Separable, TwoBasins, flat
from thread_comm import run_ranks

from sharpkit._box import search
from sharpkit._box.box import Box
from sharpkit._box.climbing import Climber, Track
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
    found = search.maximise(box, seed=seed)
    return found.best, found.starts, box, recorded


def inside(box, recorded, w):
    """Return the losses of all places in the box, in order."""
    radius = box.radius()
    return [
        loss
        for x, loss in zip(recorded.seen, recorded.losses, strict=True)
        if (np.abs(x - w) <= radius * (1 + 1e-12)).all()
    ]


@pytest.mark.parametrize("budget", [3, 4, 6, 7, 8, 9, 12, 25, 26, 100, 400])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_budget_is_spent_exactly(budget, seed):
    best, reached, box, recorded = climb(
        TwoBasins(200, 1e-3), np.zeros(200), budget=budget, seed=seed
    )
    assert len(recorded.seen) == len(box.history) == budget
    assert best.loss == max(inside(box, recorded, 0)) == box.history[-1]
    assert max(reached) == best.loss


def test_the_first_step_is_a_sign_step():
    slope = np.array([1e-12, -3.0, 0.0, 1e12])
    w = np.array([1.0, -2.0, 3.0, 0.0])
    slope, w = np.tile(slope, 40), np.tile(w, 40)
    _, _, box, recorded = climb(Linear(slope), w, epsilon=0.1, budget=10)
    np.testing.assert_array_equal(recorded.seen[2], w + box.radius() * np.sign(slope))


def test_a_step_that_fails_keeps_the_flips_that_both_gradients_are_for():
    """At last it goes half as far: here the loss is concave in every direction."""
    n, few = 160, 40
    top = np.full(n, 2e-4)
    top[:few] = 2e-3  # beyond the wall, but not by enough for the whole step to gain

    def loss_fn(w):
        return 1 - float(np.sum((w - top) ** 2)), -2 * (w - top)

    _, _, box, recorded = climb(loss_fn, np.zeros(n), budget=10)
    scale = box.radius()[0]
    np.testing.assert_allclose(recorded.seen[2] / scale, 1, rtol=1e-12)
    want = np.where(np.arange(n) < few, 1.0, 0.0)
    masked = recorded.seen[3] / scale
    if recorded.losses[2] <= recorded.losses[0]:
        np.testing.assert_allclose(masked, want, atol=1e-12)
    concave, _, box, recorded = climb(
        lambda w: (1 - float(np.sum((w - 2e-4) ** 2)), -2 * (w - 2e-4)),
        np.zeros(n),
        budget=10,
    )
    walked = [x[0] / scale for x in recorded.seen[2:6]]
    np.testing.assert_allclose(walked[:2], [1, 0], atol=1e-12)
    np.testing.assert_allclose(walked[2:], [0.5, 0.25], rtol=1e-12)
    assert concave.loss > 1 - n * 4e-8


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
        assert len(reached) > 1
        hits += best.loss == pytest.approx(2.4, rel=1e-12)
    assert hits == 10


class Hidden:
    """Two basins along orthogonal signs, of which the inner gradients show one.

    The higher one has no slope near the centre: it begins at ``gate`` of the way.
    """

    def __init__(self, n, epsilon=1e-3, gate=0.5):
        self.scale, self.gate = n * epsilon, gate
        self.first = np.random.default_rng(0).choice([-1.0, 1.0], n)
        self.second = np.where(np.arange(n) % 2, self.first, -self.first)
        self.calls = []

    def __call__(self, w):
        self.calls.append(float(np.abs(w).max()))
        along, across = (float(v @ w) / self.scale for v in (self.first, self.second))
        over = max(across - self.gate, 0.0)
        loss = 1 + 0.1 * along + along**2 + 50 * over**2
        slope = (0.1 + 2 * along) * self.first + 100 * over * self.second
        return loss, slope / self.scale


@pytest.mark.parametrize("seed", range(3))
def test_gradients_outside_the_box_find_what_none_inside_shows(seed):
    loss_fn = Hidden(400)
    best, *_, box, _ = climb(loss_fn, np.zeros(400), budget=100, seed=seed)
    assert best.loss == pytest.approx(13.5, rel=1e-9)
    assert np.abs(best.z).max() <= 1e-3
    assert max(loss_fn.calls) > 3e-3
    assert box.outside


class Guarded:
    """A loss that is not to be asked outside the box: it raises, or has no value."""

    def __init__(self, loss_fn, limit, answer):
        self.loss_fn, self.limit, self.answer = loss_fn, limit, answer
        self.beyond = 0

    def __call__(self, w):
        if np.abs(w).max() > self.limit:
            self.beyond += 1
            if self.answer is None:
                raise RuntimeError("no such place")
            return self.answer, np.full_like(w, self.answer)
        return self.loss_fn(w)


@pytest.mark.parametrize("answer", [None, np.nan, np.inf])
@pytest.mark.parametrize("budget", [25, 100])
def test_a_loss_that_ends_at_the_box_is_searched_inside(answer, budget):
    loss_fn = Guarded(TwoBasins(200, 1e-3), 1.01e-3, answer)
    best, _, box, _ = climb(loss_fn, np.zeros(200), budget=budget)
    assert 1 <= loss_fn.beyond <= 2
    assert not box.outside
    assert not box.non_finite
    assert best.loss == pytest.approx(2.4, rel=1e-12)
    assert len(box.history) == budget


def test_a_place_is_kept_to_the_bit_in_two_bits_a_coordinate():
    rng = np.random.default_rng(0)
    w = rng.standard_normal(1003).astype(np.float32)
    where = FullSpace(Space(cpu, w.size, w.dtype), w, 0.1)
    objective = Objective(Linear(np.ones(1003)), w)
    loss, gradient, _ = objective.centre(w)
    box = Box(objective, where, loss, gradient, budget=9, spent=2)
    centre, other = (Track(gradient.copy(), loss) for _ in range(2))
    climber = Climber(box, centre)
    other.gradient[...] = rng.choice([-1, 0, 1], 1003)
    climber.arrive(other)
    want = climber.z.copy()
    assert not climber.place(centre).any()
    assert sum(each.nbytes for each in other.place) == 2 * 126
    np.testing.assert_array_equal(climber.place(other), want)


@pytest.mark.parametrize("budget", [25, 100])
@pytest.mark.parametrize(("lean", "most"), [(False, 8), (True, 6)])
def test_memory(budget, lean, most):
    """In vectors of float32, the measure's copy of the weights among them."""
    n, counted = 50_000, []
    hidden = Hidden(n)

    def single(found):
        return found[0], found[1].astype(np.float32)

    w = np.random.default_rng(0).standard_normal(n).astype(np.float32)

    class Counting(Space):
        def empty(self, rows=None):
            counted.append(rows or 1)
            return super().empty(rows)

    space = Counting(cpu, n, w.dtype)
    where = FullSpace(space, w, 1e-3)
    objective = Objective(lambda x: single(hidden(x)), w - w)
    loss, gradient, _ = objective.centre(w - w)
    box = Box(objective, where, loss, gradient, budget=budget, spent=2)
    search.maximise(box, seed=0, lean=lean)
    bits = (search.LEAN_POOL if lean else search.POOL) * 2 / 32
    assert sum(counted) + 2 + bits <= most  # the weights and the centre's gradient


def test_lean_memory_finds_the_hidden_basin_too():
    loss_fn = Hidden(400)
    objective = Objective(loss_fn, np.zeros(400))
    loss, gradient, _ = objective.centre(np.zeros(400))
    where = FullSpace(Space(cpu, 400, np.float64), np.zeros(400), 1e-3)
    box = Box(objective, where, loss, gradient, budget=100, spent=2)
    assert search.maximise(box, seed=0, lean=True).best.loss == pytest.approx(13.5)


# Where gradients outside do not lead.


def quadratic(seed, n=200, rank=None, *, inside=False):
    """A loss with curvature of both signs, or a maximum inside, and its weights."""
    rng = np.random.default_rng(seed)
    if inside:
        a, m = np.exp(rng.standard_normal(n)), rng.uniform(-8e-4, 8e-4, n)
        return lambda w: (10 - 0.5 * float(a @ (w - m) ** 2), -a * (w - m))
    h = rng.standard_normal((n, n))
    h, m = h + h.T, 1e-4 * rng.standard_normal(n)
    if rank is not None:
        basis = np.linalg.qr(rng.standard_normal((n, rank)))[0]
        h = basis * rng.choice([-1, 1], rank) * rng.uniform(1, 10, rank) @ basis.T
    return lambda w: (10 + 0.5 * float((w - m) @ h @ (w - m)), h @ (w - m))


@pytest.mark.parametrize("seed", range(4))
def test_a_maximum_inside_is_climbed_to_from_the_centre(seed):
    """As high as its top but for the short steps of the end."""
    best, reached, box, _ = climb(quadratic(seed, inside=True), np.zeros(200))
    assert best.loss - box.history[0] > 0.97 * (10 - box.history[0])
    assert len(reached) == 1
    assert box.outside  # it could be asked there


@pytest.mark.parametrize("rank", [None, 40])
def test_few_evaluations_do_with_curvature_of_both_signs(rank):
    """Led by gradients outside they would reach 0.82 and 0.90 on average."""
    shares = []
    for seed in range(6):
        loss_fn = quadratic(seed, rank=rank)
        best, _, box, _ = climb(loss_fn, np.zeros(200), budget=25)
        longest, *_ = climb(loss_fn, np.zeros(200), budget=600, seed=1)
        centre = box.history[0]
        shares.append((best.loss - centre) / (longest.loss - centre))
    assert np.mean(shares) > 0.93


# The default: first a few evaluations, then more where nothing confirms them.


def stages(loss_fn, n, *, first=25, budget=100, seed=0):
    w = np.zeros(n)
    objective = Objective(loss_fn, w)
    loss, gradient, _ = objective.centre(w)
    where = FullSpace(Space(cpu, n, w.dtype), w, 1e-3)
    box = Box(objective, where, loss, gradient, budget=budget, spent=2, first=first)
    return search.maximise(box, seed=seed), box


@pytest.mark.parametrize("n", [100, 300])
def test_it_ends_early_where_another_start_agrees(n):
    found, box = stages(Linear(np.ones(n)), n)
    assert len(box.history) == 25
    near = [loss > 0.97 * max(found.starts) for loss in found.starts]
    assert sum(near) > 1


def test_it_goes_on_where_none_does():
    found, box = stages(quadratic(0, inside=True), 200)
    assert len(found.starts) > 1  # elsewhere, too
    assert len(box.history) == 100


@pytest.mark.parametrize("lengths", [[120, 180], [100, 100, 100]])
def test_ranks_walk_together(lengths):
    loss_fn = Hidden(300)

    def rank(comm, piece):
        n = piece.stop - piece.start
        w = np.zeros(n)

        def shared(x):
            whole = np.zeros(300)
            whole[piece] = x
            loss, gradient = loss_fn(comm.sum(whole))
            return loss, gradient[piece]

        objective = Objective(shared, w)
        loss, gradient, _ = objective.centre(w)
        where = FullSpace(Space(cpu, n, w.dtype, comm), w, 1e-3)
        box = Box(objective, where, loss, gradient, budget=60, spent=2)
        found = search.maximise(box, seed=3)
        return found.best.z, found.best.loss, found.starts

    whole, loss, starts = run_ranks([300], rank)[0]
    pieces = run_ranks(lengths, rank)
    np.testing.assert_array_equal(np.concatenate([z for z, *_ in pieces]), whole)
    for _, found, reached in pieces:
        assert found == pytest.approx(loss, rel=1e-12)
        np.testing.assert_allclose(reached, starts, rtol=1e-9)


def test_a_stationary_centre_is_no_start():
    loss_fn = Separable(np.ones(40), np.zeros(40))
    best, reached, _, recorded = climb(loss_fn, np.zeros(40))
    assert best.loss == pytest.approx(loss_fn.maximum(np.zeros(40), 1e-3), rel=1e-12)
    assert all(loss > 0 for loss in reached)
    corner = recorded.seen[2]
    np.testing.assert_array_equal(np.abs(corner), np.full(40, 1e-3))
    assert 5 < np.count_nonzero(corner > 0) < 35  # a random one
    assert len(np.unique([np.sign(x) for x in recorded.seen[2:]], axis=0)) == 23


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
