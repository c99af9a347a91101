"""Inputs that went wrong in other codes of these measures, as their reports say."""

import math

import numpy as np
import pytest

from sharpkit import (
    AverageStatus,
    BallStatus,
    Problem,
    RadiusStatus,
    average_sharpness,
    ball_sharpness,
    flatness_radius,
)

H = np.geomspace(0.1, 10, 30)
W = np.random.default_rng(0).standard_normal(30)
MEASURES = {
    "ball": ball_sharpness,
    "one step": lambda *a, **k: ball_sharpness(*a, method="one_step", **k),
    "cube": lambda *a, **k: ball_sharpness(*a, norm="linf", **k),
    "average": average_sharpness,
    "radius": lambda *a, **k: flatness_radius(*a, of="loss", **k),
    "worst": lambda *a, **k: flatness_radius(*a, of="loss", kind="worst", **k),
}
SIZED = [name for name in MEASURES if name not in ("radius", "worst")]
every = pytest.mark.parametrize("name", MEASURES)
sized = pytest.mark.parametrize("name", SIZED)


def loss_fn(w):
    return 0.5 * float(H @ (w - 0.5) ** 2), H * (w - 0.5)


@every
def test_half_precision_is_measured_in_float32(name):
    """A step of the usual size is lost in the rounding of float16."""
    w, options = W.astype(np.float16), {"radius": 1e-3} if name in SIZED else {}

    def loss(x):
        value, gradient = loss_fn(x.astype(np.float64))
        return value, gradient.astype(x.dtype)

    with pytest.warns(UserWarning, match="weights has dtype float16"):
        found = MEASURES[name](w, loss, **options)
    exact = MEASURES[name](w.astype(np.float64), loss_fn, **options)
    assert float(found) == pytest.approx(float(exact), rel=1e-2)


@every
@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        (np.arange(30), TypeError, "dtype int64; give float32 or float64"),
        (np.array(1.0), ValueError, r"shape \(\); give a vector"),
        (np.ones((5, 6)), ValueError, r"shape \(5, 6\); give a vector"),
        (np.full(30, np.nan), ValueError, "30 non-finite entries"),
    ],
)
def test_weights_that_are_refused_with_the_cure(name, weights, error, words):
    with pytest.raises(error, match=words):
        MEASURES[name](weights, loss_fn)


@every
def test_read_only_arrays_and_a_loss_that_writes(name):
    w = W.copy()
    w.setflags(write=False)

    def fixed(x):
        value, gradient = loss_fn(x)
        gradient.setflags(write=False)
        return value, gradient

    assert float(MEASURES[name](w, fixed)) == float(MEASURES[name](W, loss_fn))

    def writes(x):
        x *= 0.5
        return loss_fn(x)

    with pytest.raises(ValueError, match="wrote into its argument"):
        MEASURES[name](W, writes)


@sized
@pytest.mark.parametrize("radius", [0, -1.0, math.inf, math.nan])
def test_sizes_that_are_none(name, radius):
    with pytest.raises(ValueError, match="give a finite number above 0"):
        MEASURES[name](W, loss_fn, radius=radius)


@sized
def test_weights_that_are_all_zero_do_not_move_relative_to_themselves(name):
    found = MEASURES[name](np.zeros(30), loss_fn, adaptive=True)
    assert float(found) == 0
    assert found.status in (BallStatus.FLAT, AverageStatus.BELOW_NOISE)


@sized
def test_some_weights_of_zero(name):
    """They are left out, and divide nothing."""
    w = np.where(np.arange(30) < 15, 0.0, W)
    alone = MEASURES[name](
        w[15:],
        lambda x: (loss_fn(np.r_[w[:15], x])[0], loss_fn(np.r_[w[:15], x])[1][15:]),
        adaptive=True,
    )
    found = MEASURES[name](w, loss_fn, adaptive=True)
    error = 3 * found.error if name == "average" else 0
    assert float(found) == pytest.approx(float(alone), rel=1e-3, abs=error)


def test_a_gradient_of_zero_has_no_step():
    """Not NaN, as g / ||g|| is; and it is not said that nothing rises."""
    found = ball_sharpness(np.full(30, 0.5), loss_fn, method="one_step")
    assert found.value == 0
    assert found.status is BallStatus.FLAT
    assert "where the gradient is 0, give method='search'" in repr(found)
    assert float(ball_sharpness(np.full(30, 0.5), loss_fn)) == pytest.approx(
        0.5 * 0.05**2 * 10, rel=1e-2
    )


@every
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_loss_that_is_nan_nearby(name, what):
    centre = loss_fn(W)[0]

    def broken(x):
        value, gradient = loss_fn(x)
        far = value > centre + 0.05
        if what == "gradient":
            return value, np.nan * gradient if far else gradient
        return (math.nan if far else value), gradient

    options = {"radius": 0.3} if name in SIZED else {}
    found = MEASURES[name](W, broken, **options)
    if what == "loss":
        assert found.status.name == "NON_FINITE"
    elif name in ("average", "radius"):  # which have no use for it
        assert found.status.name in ("CLEAR", "CONVERGED")
    else:
        assert not float(found) < 0
    if name == "ball" and what == "loss":
        assert 0 < found.value <= 0.05


@every
def test_one_weight(name):
    found = MEASURES[name](np.array([1.0]), lambda x: (float(x[0] ** 2), 2 * x))
    exact = {"average": 0.05**2, "radius": math.sqrt(0.1), "worst": math.sqrt(1.1) - 1}
    error = 4 * found.error if name in ("average", "radius") else 1e-9
    assert abs(float(found) - exact.get(name, 1.05**2 - 1)) <= error


@every
def test_a_loss_that_draws_anew_each_time(name):
    random = np.random.default_rng(1)

    def dropout(x):
        kept = H * 2 * random.integers(0, 2, 30)
        return 0.5 * float(kept @ (x - 0.5) ** 2), kept * (x - 0.5)

    with pytest.warns(UserWarning, match="not deterministic"):
        found = MEASURES[name](W, dropout)
    assert found.noise > 0
    assert found.status.name == "BELOW_NOISE"


@pytest.mark.parametrize("measure", [ball_sharpness, average_sharpness])
def test_a_subset_that_does_not_divide_the_samples(measure):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((23, 30))

    def over(x):
        return lambda w: (0.5 * float(((x @ w) ** 2).mean()), (x @ w) @ x / len(x))

    problem = Problem(W, over(x), samples=23, subset=lambda chosen: over(x[chosen]))
    found = measure(problem, subset=5)
    assert found.subsets == "4 of 4 subsets of 5 samples, 3 samples left out"
    assert len(found.values) == 4


def test_a_batch_norm_in_training_mode_is_left_as_it_is():
    """Its running statistics are not those of the perturbed weights afterwards."""
    torch = pytest.importorskip("torch")
    from sharpkit.torch import problem

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3)
    ).train()
    data = torch.randn(60, 6), torch.randint(0, 3, (60,))
    before = {name: each.clone() for name, each in model.state_dict().items()}
    for batch_norm in ("running", "batch"):
        given = problem(
            model, torch.nn.functional.cross_entropy, data, batch_norm=batch_norm
        )
        for name in SIZED:
            again = [float(MEASURES[name](given, subset=20)) for _ in range(2)]
            assert again[0] == again[1]
        worst = flatness_radius(given, of="loss", kind="worst")
        assert worst.status is RadiusStatus.UPPER_BOUND
    assert model.training
    for name, each in model.state_dict().items():
        assert torch.equal(each, before[name])
