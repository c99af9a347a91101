"""Several searches of one box, and what they may have missed."""

import dataclasses

import numpy as np
import pytest
from measures_shared import separable
from problems import Bounded, Recorded, Separable, flat, without_gradient

from sharpkit import LBFGSB, Status, Subspace
from sharpkit._diagnosis.missing import judged
from sharpkit.measures import sharpness as module
from sharpkit.measures.sharpness import sharpness

WAVES = 400 * np.random.default_rng(3).standard_normal((30, 60))
W = np.full(60, 0.01)


def waves(w):  # of very many basins
    return float(np.sin(WAVES @ w).sum()) + 40, WAVES.T @ np.cos(WAVES @ w)


def lonely(n=200):
    """A quadratic in a box beyond its minimum: other starts end in other basins."""
    loss_fn, w = separable(n, n)
    return w, loss_fn


@pytest.mark.parametrize("budget", [None, 15, 60])
def test_each_search_is_that_of_its_seed(backend, budget):
    options = {"epsilon": 0.05, "max_evaluations": budget, "backend": backend}
    alone = [sharpness(W, waves, seed=seed, **options) for seed in (4, 5, 6)]
    result = sharpness(W, waves, seed=4, repeats=3, **options)
    assert result.repeats == tuple(map(float, alone))
    best = max(alone, key=float)
    assert result.value == best.value
    np.testing.assert_array_equal(result.displacement, best.displacement)
    assert (result.starts, result.kin) == (best.starts, best.kin)
    np.testing.assert_array_equal(result.gap, best.gap)  # NaN where nothing rose
    assert result.outside == best.outside
    assert (result.loss, result.max_loss) == (best.loss, best.max_loss)
    histories = [each.history for each in alone]
    joined = np.concatenate([histories[0], *(each[2:] for each in histories[1:])])
    np.testing.assert_array_equal(result.history, np.maximum.accumulate(joined))
    assert result.evaluations == len(joined)
    assert result.seed == 4
    if budget != 15:
        assert len(set(result.repeats)) > 1, "the searches agree: nothing is tested"
        assert "  3 searches reached " in repr(result)


@pytest.mark.parametrize("gradient", [True, False])
def test_what_is_done_at_the_weights_is_done_once(gradient):
    loss_fn = waves if gradient else without_gradient(waves)
    recorded = Recorded(loss_fn)
    result = sharpness(W, recorded, epsilon=0.05, repeats=3, max_evaluations=10)
    at_weights = sum(bool((w == W).all()) for w in recorded.seen)
    once = Recorded(loss_fn)
    sharpness(W, once, epsilon=0.05, max_evaluations=10)
    assert at_weights == sum(bool((w == W).all()) for w in once.seen)
    per_evaluation = 1 if gradient else 1 + 2 * len(W)
    more = len(recorded.seen) - len(once.seen)
    assert more == 2 * 8 * per_evaluation
    assert result.evaluations == 2 + 3 * 8


def test_a_subspace_is_drawn_once(monkeypatch):
    drawn, kind = [], module.RandomSubspace

    def counted(*given, **options):
        drawn.append(options["seed"])
        return kind(*given, **options)

    monkeypatch.setattr(module, "RandomSubspace", counted)
    result = sharpness(
        W, waves, epsilon=0.01, subspace=50, seed=3, repeats=2, max_evaluations=60
    )
    assert drawn == [3]
    assert len(set(result.repeats)) == 2
    assert waves(W + result.displacement)[0] == pytest.approx(result.max_loss)


def test_the_progress_is_that_of_all_searches():
    heard = []
    sharpness(
        W,
        waves,
        epsilon=0.05,
        repeats=2,
        max_evaluations=12,
        progress=lambda *told: heard.append(told),
    )
    assert [done for done, _, _ in heard] == list(range(3, 23))
    assert {budget for _, budget, _ in heard} == {22}
    values = [value for _, _, value in heard]
    assert values == sorted(values)


def test_a_loss_that_ends_outside_the_box_is_asked_again_by_each_search():
    def walled(w):
        if np.abs(w - W).max() > 0.06:
            raise ValueError
        return waves(w)

    result = sharpness(W, walled, epsilon=0.05, repeats=2)
    alone = [sharpness(W, walled, epsilon=0.05, seed=seed).value for seed in (0, 1)]
    assert result.repeats == tuple(alone)
    assert not result.outside


@pytest.mark.parametrize("solver", ["lbfgsb", "scipy", LBFGSB(max_iter=3)])
def test_a_solver_that_no_seed_changes_is_not_repeated(solver):
    with pytest.raises(ValueError, match=r"repeats=2, but .*L-BFGS-B.* give repeats=1"):
        sharpness(W, waves, solver=solver, repeats=2)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"repeats": 2**63}, "repeats=9223372036854775808 is too many searches; give"),
        ({"repeats": 0}, "repeats=0; give"),
        ({"repeats": 2, "seed": 2**64 - 1}, "seed=18446744073709551616"),
    ],
)
def test_bad_repeats(options, match):
    with pytest.raises(ValueError, match=match):
        sharpness(W, waves, **options)


# What other starts and other searches confirm.


def test_status_unconfirmed():
    w, loss_fn = lonely()
    few = sharpness(w, loss_fn, epsilon=0.3, max_evaluations=25)
    assert few.status is Status.UNCONFIRMED
    assert few.gap <= 1e-2
    assert few.missing.evidence == "25 evaluations, no other start ended within 3 %"
    # The start that reaches it is the same with every seed, and confirms nothing.
    again = sharpness(w, loss_fn, epsilon=0.3, max_evaluations=25, repeats=2)
    assert again.repeats == (few.value, few.value)
    assert again.status is Status.UNCONFIRMED
    # Nor does the climb from the weights themselves, along the same gradient.
    more = sharpness(w, loss_fn, epsilon=0.3, max_evaluations=100)
    near = [start >= 0.97 * more.value for start in more.starts]
    assert sum(near) > 1
    assert more.status is Status.UNCONFIRMED


def test_another_search_confirms():
    w, loss_fn = lonely()
    few = sharpness(w, loss_fn, epsilon=0.3, max_evaluations=25)
    near = judged(few, (0.98 * few.value, few.value), 25)
    assert near.status is Status.CONVERGED
    far = judged(near, (0.9 * few.value, few.value), 25)
    assert far.status is Status.UNCONFIRMED
    spent = dataclasses.replace(few, status=Status.BUDGET)
    assert judged(spent, (0.98 * few.value, few.value), 25).status is Status.BUDGET


def test_a_small_box_and_other_solvers_stay_converged():
    small = sharpness(*lonely(10), epsilon=0.3)
    assert (small.status, small.missing) == (Status.CONVERGED, None)
    w, loss_fn = lonely()
    found = sharpness(w, loss_fn, epsilon=0.3, solver=LBFGSB(rescale=True))
    assert found.status is Status.CONVERGED


def test_what_may_be_missing_is_looked_up_by_what_was_seen():
    loss_fn, w = separable(0, 100)
    agreed = sharpness(w, loss_fn, max_evaluations=25)
    assert agreed.status is Status.CONVERGED
    assert agreed.missing.evidence == "25 evaluations, another start ended within 3 %"
    alone = sharpness(*lonely(), epsilon=0.3, max_evaluations=25)
    assert alone.missing.within_95 < agreed.missing.within_95
    assert alone.error > alone.noise
    many = sharpness(w, loss_fn, max_evaluations=100, repeats=2)
    assert many.missing.evidence == (
        "2 searches, the highest of 100 evaluations, another search ended within 3 %"
    )
    assert many.missing.within_95 > agreed.missing.within_95


ONES = np.ones(60, np.float32)
LEVEL = Separable(np.full(60, 0.008), np.zeros(60), floor=1e4)


def noisy(w):
    loss, gradient = LEVEL(w)
    return float(np.float32(loss)), gradient


@pytest.mark.parametrize(
    ("weights", "loss_fn", "options", "status"),
    [
        (W, waves, {"solver": "lbfgsb"}, None),
        (W, waves, {"solver": "scipy"}, None),
        (W, waves, {"stay_inside": True}, None),
        (W, waves, {"subspace": Subspace(20)}, None),
        (W, flat, {}, Status.FLAT),
        (ONES, noisy, {}, Status.BELOW_NOISE),
        (ONES, Bounded(5e-4, np.nan, True, True), {}, Status.NON_FINITE),
    ],
)
def test_nothing_is_said_where_nothing_is_known(weights, loss_fn, options, status):
    found = sharpness(weights, loss_fn, **options)
    assert found.status is (status or found.status)
    assert found.missing is None
    assert found.error == found.noise
    assert "chance" not in repr(found)


def test_nothing_is_said_of_a_wrong_gradient():
    def wrong(w):
        loss, gradient = waves(w)
        return loss, -3 * gradient

    with pytest.warns(match="gradient"):
        found = sharpness(W, wrong)
    assert found.status is Status.WRONG_GRADIENT
    assert found.missing is None
