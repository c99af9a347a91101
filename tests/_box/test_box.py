import numpy as np
import pytest
from problems import Recorded, Separable, without_gradient

from sharpkit._box.box import Box
from sharpkit._box.subspace import FullSpace, RandomSubspace, Subspace
from sharpkit._inputs.objective import Objective
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space

N = 6
LOSS = Separable(np.arange(1.0, N + 1), np.zeros(N))


def make(loss_fn=LOSS, *, dtype=np.float64, budget=10, columns=None, **options):
    w = np.linspace(0.5, 1, N).astype(dtype)
    space = Space(cpu, N, dtype)
    where = FullSpace(space, w, 0.1)
    if columns:
        drawn = Subspace(columns, scale="columns")
        where = RandomSubspace(space, w, drawn, 0.1, seed=0)
    objective = Objective(loss_fn, w)
    loss, gradient = objective(w)
    gradient = None if gradient is None else gradient.copy()
    return w, Box(objective, where, loss, gradient, budget=budget, spent=1, **options)


def test_the_centre():
    w, box = make()
    assert not box.centre.z.any()
    assert box.centre.loss == LOSS(w)[0]
    np.testing.assert_array_equal(box.centre.gradient, LOSS(w)[1])
    assert box.history == [box.centre.loss]
    assert not box.non_finite


def test_the_budget_counts_down():
    _, box = make(budget=3)
    z = box.space.zeros()
    assert box.left == 2
    for left in (1, 0, 0):
        box.evaluate(z, z, 0.0)
        assert box.left == left
    assert make(budget=None)[1].left > 10**15


def test_evaluate_clips_to_the_box(dtype):
    recorded = Recorded(LOSS)
    w, box = make(recorded, dtype=dtype)
    d = np.array([-1, -1, 0, 1, 1, 1], dtype)
    r = box.radius()
    z = 0.5 * r
    out = box.space.empty()
    box.evaluate(z, d, 0.01, out)
    np.testing.assert_array_equal(out, np.clip(z + dtype.type(0.01) * d, -1, 1))
    box.evaluate(z, d, 7.0, out)
    np.testing.assert_array_equal(out, np.where(d == 0, z, r * d))
    np.testing.assert_array_equal(recorded.seen[-1], w + out)
    box.step(z, d, 0.01, out)
    box.evaluate(z, d, 0.01)  # the place is not asked for
    np.testing.assert_array_equal(recorded.seen[-1], w + out)


def test_the_history_is_that_of_the_best():
    told = []
    _, box = make(report=lambda *now: told.append(now))
    z, d = box.space.zeros(), np.ones(N)
    up = box.evaluate(z, d, 0.05).loss
    down = box.evaluate(z, d, -0.05).loss
    assert down < box.centre.loss < up
    assert box.history == [box.centre.loss, up, up]
    assert told == [(2, up), (3, up)]


@pytest.mark.parametrize("share", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("columns", [None, 3])
def test_toward_goes_a_share_of_the_way(share, columns):
    recorded = Recorded(LOSS)
    w, box = make(recorded, columns=columns)
    r, out, d = box.radius(), box.space.empty(), box.centre.gradient.copy()
    z = 0.3 * r
    d[0], d[1] = 0, -1e-300
    box.toward(z, d, share, out)
    corner = r * np.sign(d)
    corner[0] = z[0]  # where the direction is zero nothing moves
    np.testing.assert_allclose(out, (1 - share) * z + share * corner, rtol=1e-14)
    assert (np.abs(out) <= r).all()
    found = box.evaluate_toward(z, d, share)
    np.testing.assert_array_equal(recorded.seen[-1], w + box.displacement(out))
    assert found.loss == LOSS(recorded.seen[-1])[0]


@pytest.mark.parametrize("columns", [None, 3])
def test_the_gap_is_the_best_first_order_gain(columns):
    _, box = make(columns=columns)
    here = box.centre
    here.z[:] = -0.4 * box.radius()
    want = np.sum(np.abs(here.gradient) * box.radius() - here.gradient * here.z)
    assert box.gap(here) == pytest.approx(want, rel=1e-14)
    box.toward(here.z, here.gradient, 1.0, here.z)
    assert box.gap(here) == 0


def test_what_is_free_and_how_far_it_is_to_the_walls():
    _, box = make()
    r = box.radius()
    z, v = np.array([0, 1, -1, 0.5, 0.9, 0]) * r, np.ones(N)
    assert box.reach(z, -z) == pytest.approx(2)
    assert box.reach(z, 0.2 * r * np.array([1, 0, 0, 1, 0.1, 0])) == pytest.approx(2.5)
    box.keep_free(z, v)
    np.testing.assert_array_equal(v, [1, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_is_no_maximum(loss):
    answers = iter([(1.0, np.ones(N)), (loss, np.ones(N))])
    _, box = make(lambda w: next(answers))
    found = box.evaluate(box.space.zeros(), np.ones(N), 0.01)
    assert found.loss == -np.inf
    assert not found.gradient.any()
    assert box.history == [1.0, 1.0]
    assert box.non_finite


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_not_followed(bad):
    answers = iter([(1.0, np.ones(N)), (2.0, np.array([bad, *[1.0] * (N - 1)]))])
    _, box = make(lambda w: next(answers))
    found = box.evaluate(box.space.zeros(), np.ones(N), 0.01)
    assert found.loss == 2.0
    assert not found.gradient.any()
    assert box.history == [1.0, 2.0]
    assert box.non_finite


@pytest.mark.parametrize("columns", [None, 3])
def test_differences(columns, dtype):
    exact = make(columns=columns, dtype=dtype)[1]
    recorded = Recorded(without_gradient(LOSS))
    _, box = make(recorded, columns=columns, dtype=dtype)
    size = columns or N
    assert len(recorded.seen) == 1 + 2 * size
    # Of a quadratic central differences are exact but for the loss's rounding, and
    # that of w + h, a share eps^(1/3) of the box: both eps^(2/3) of their quantities.
    share = np.finfo(dtype).eps ** (2 / 3)
    slope = np.abs(exact.centre.gradient).max()
    np.testing.assert_allclose(
        box.centre.gradient,
        exact.centre.gradient,
        rtol=0,
        atol=10 * share * (slope + box.centre.loss) / box.radius().min(),
    )
    assert len(box.history) == 1  # differences are no evaluations
    z, out = box.space.zeros(), box.space.empty()
    d = np.ones_like(z)
    found, want = (b.evaluate(z, d, 0.05, out.copy()) for b in (box, exact))
    assert found.loss == want.loss
    assert len(recorded.seen) == 2 + 4 * size
    assert len(box.history) == 2


def test_differences_beside_a_cliff():
    centre = np.linspace(0.5, 1, N)
    _, box = make(lambda w: np.nan if w[0] > centre[0] else float(w @ w))
    assert box.non_finite
    assert not box.centre.gradient.any()
