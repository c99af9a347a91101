"""Batch sharpness against dense Hessians, and its error bar and rule of stopping."""

import itertools
import math

import numpy as np
import pytest
from softmax_regression import Softmax

import sharpkit
from sharpkit import batch_sharpness
from sharpkit.measures._batches import Draws

SMALL = Softmax(samples=8)
ALL = np.array([SMALL.curvature(list(c)) for c in itertools.combinations(range(8), 3)])


def test_the_mean_over_all_batches():
    found = batch_sharpness(
        SMALL.problem(), batch_size=3, rtol=None, max_batches=3000, seed=1
    )
    assert found.batches == 3000
    assert found.value == pytest.approx(ALL.mean(), abs=4 * found.stderr)
    expected = ALL.std() / math.sqrt(3000)
    assert found.stderr == pytest.approx(expected, rel=0.1)
    assert found.status.name == "BUDGET"


def test_all_samples_are_one_exact_batch():
    found = batch_sharpness(SMALL.problem(), batch_size=8)
    assert found.value == pytest.approx(SMALL.curvature(list(range(8))), rel=1e-12)
    assert (found.batches, found.status.name) == (1, "EXACT")
    assert found.stderr <= 1e-12 * found.value
    assert found.calls <= 20


def test_differences_in_place_of_products():
    exact = batch_sharpness(SMALL.problem(), batch_size=3, max_batches=20)
    found = batch_sharpness(SMALL.problem(hvp=False), batch_size=3, max_batches=20)
    assert "differences" in found.source
    assert "hvp" in exact.source
    assert found.value == pytest.approx(exact.value, rel=1e-6)
    assert (found.products, exact.products) == (20, 20)
    # a gradient and two more for each batch, after the step is chosen once
    assert found.calls < 3 * 20 + 60
    assert exact.calls < 2 * 20 + 10


def test_it_stops_where_the_error_is_small_enough():
    whole = Softmax(samples=200)
    found = batch_sharpness(whole.problem(), batch_size=100, rtol=0.05)
    assert found.status.name == "CONVERGED"
    assert 10 <= found.batches < 200
    assert found.stderr <= 0.05 * found.value
    assert found.history[-1] == (found.batches, found.value, found.stderr)
    assert [each[0] for each in found.history][:3] == [10, 14, 20][: len(found.history)]
    least = batch_sharpness(
        whole.problem(), batch_size=100, rtol=10.0, min_batches=2, max_batches=5
    )
    assert least.batches == 2


@pytest.mark.parametrize("seed", range(4))
def test_the_rule_of_stopping_restated(seed):
    """Batch by batch, on dense Hessians, with the looks that are written down."""
    drawn = Draws(seed).batches(8, 3, 60)
    values = [SMALL.curvature(list(batch)) for batch in drawn]
    looks = [round(10 * 2 ** (k / 2)) for k in range(6)]  # 10, 14, 20, 28, 40, 57
    for look in [*looks, 60]:
        mean = np.mean(values[:look])
        stderr = np.std(values[:look], ddof=1) / math.sqrt(look)
        if stderr <= 0.06 * mean:
            break
    found = batch_sharpness(
        SMALL.problem(), batch_size=3, rtol=0.06, max_batches=60, seed=seed
    )
    assert found.batches == look
    assert found.value == pytest.approx(mean, rel=1e-12)
    assert found.stderr == pytest.approx(stderr, rel=1e-9)
    assert (found.status.name == "CONVERGED") == (stderr <= 0.06 * mean)


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    one, again, other = (
        batch_sharpness(SMALL.problem(), batch_size=3, max_batches=12, seed=seed)
        for seed in (3, 3, 4)
    )
    assert one.value == again.value != other.value


def test_batches_without_a_gradient_are_left_out():
    def over(chosen):
        live = float(np.mean(np.asarray(chosen) < 2))

        def loss_fn(w):
            return live * float(w @ w) / 2, live * w

        return loss_fn

    problem = sharpkit.Problem(np.ones(3), over([0, 1]), samples=4, subset=over)
    with pytest.warns(sharpkit.SharpkitWarning, match="batches have a gradient of ze"):
        found = batch_sharpness(problem, batch_size=1, max_batches=40)
    assert 0 < found.flat < 40
    assert found.value == pytest.approx(1, rel=1e-6)
    none = sharpkit.Problem(
        np.ones(3), over([2]), samples=2, subset=lambda c: over([3])
    )
    with pytest.raises(ValueError, match=r"all 10 batches are zero .*; give larger"):
        batch_sharpness(none, batch_size=1, max_batches=10)


@pytest.mark.slow
def test_coverage():
    """95 % within 3 points over 500 seeds, though some stop early."""
    problem, truth = SMALL.problem(), ALL.mean()
    found = [
        batch_sharpness(problem, batch_size=3, rtol=0.1, max_batches=40, seed=seed)
        for seed in range(500)
    ]
    assert len({each.batches for each in found}) > 2
    held = [low <= truth <= high for low, high in (each.interval for each in found)]
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch_size": 0}, "batch_size=0; give a whole number of at least 1"),
        ({"batch_size": 9}, "batch_size=9, and the problem has 8 samples; give at mo"),
        ({"batch_size": 2, "min_batches": 1}, "min_batches=1; give"),
        ({"batch_size": 2, "max_batches": 5}, "max_batches=5; give .* at least 10"),
        ({"batch_size": 2, "rtol": -1}, "rtol=-1; give"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ValueError, match=match):
        batch_sharpness(SMALL.problem(), **options)


def test_a_problem_without_samples_and_a_loss_without_gradient():
    plain = sharpkit.Problem(SMALL.weights, SMALL.over(slice(None)))
    with pytest.raises(
        ValueError, match=r"batch_size=2 needs single samples, .*; give"
    ):
        batch_sharpness(plain, batch_size=2)
    bare = sharpkit.Problem(
        np.ones(2), lambda w: 1.0, samples=3, subset=lambda c: lambda w: 1.0
    )
    with pytest.raises(ValueError, match=r"no gradient, .*; return \(loss, gradient\)"):
        batch_sharpness(bare, batch_size=2)


def test_a_loss_function_with_samples_of_its_own():
    loss_fn = SMALL.over(slice(None))
    loss_fn.samples, loss_fn.subset = 8, SMALL.over
    one = batch_sharpness(SMALL.weights, loss_fn, batch_size=3, max_batches=20)
    other = batch_sharpness(SMALL.problem(), batch_size=3, max_batches=20)
    assert one.value == other.value


def test_its_record_and_text():
    found = batch_sharpness(SMALL.problem(), batch_size=3, max_batches=12)
    record = found.to_dict()
    assert record["value"] == float(found) == found.value
    assert (record["status"], record["batch_size"], record["n"]) == ("BUDGET", 3, 12)
    assert "12 batches of 3 of 8 samples" in repr(found)
    assert found.error == found.stderr
