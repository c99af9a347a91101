"""How a search ended, and the noise."""

import json

import numpy as np
import pytest
from measures_shared import SOLVERS, separable
from problems import Bounded, Recorded, Separable, flat, wave

from sharpkit import ScipyLBFGSB, SharpkitWarning, Status
from sharpkit._diagnosis.noise import spurious_rise
from sharpkit.measures.sharpness import sharpness

# How a search ended.


def test_status_converged():
    loss_fn, w = separable(0, 10)
    result = sharpness(w, loss_fn)
    assert result.status is Status.CONVERGED
    assert 0 <= result.gap <= 1e-2


def test_status_budget():
    result = sharpness(np.zeros(30), wave, epsilon=0.5, max_evaluations=3)
    assert result.status is Status.BUDGET
    assert result.gap > 1e-2
    more = sharpness(np.zeros(30), wave, epsilon=0.5, max_evaluations=60)
    assert more.value > result.value
    scipy = sharpness(np.zeros(30), wave, epsilon=0.5, solver=ScipyLBFGSB(max_iter=1))
    assert scipy.status is Status.BUDGET


def test_the_gap_is_the_first_order_gain_left():
    result = sharpness(np.zeros(30), wave, epsilon=0.5, max_evaluations=3)
    z = result.displacement
    g = wave(z)[1]
    gain = np.sum(np.abs(g) * 0.5 - g * z)
    assert result.gap == pytest.approx(gain / (result.max_loss - result.loss))


def test_status_stalled_with_a_rise():
    # The first step is of the size of the gradient; what it gains is below SciPy's
    # tolerance, relative to a loss of 1.
    loss_fn = Separable(np.full(10, 1.2e-3), np.zeros(10), floor=1.0)
    w = np.full(10, 1e-2)
    result = sharpness(w, loss_fn, solver="scipy")
    assert result.status is Status.STALLED
    assert result.noise < result.value < sharpness(w, loss_fn).value
    assert result.gap > 1


def test_status_flat():
    result = sharpness(np.ones(5), flat)
    assert (result.value, result.status) == (0, Status.FLAT)
    assert np.isnan(result.gap)
    assert not result.displacement.any()
    top = sharpness(np.zeros(5), lambda w: (9 - float(w @ w), -2 * w))
    assert (top.value, top.status, top.max_loss) == (0, Status.FLAT, 9)


def test_status_below_noise():
    # One rounding of a float32 loss of 1e4 is more than the box can raise it.
    exact = Separable(np.full(5, 0.1), np.zeros(5), floor=1e4)

    def loss_fn(w):
        loss, gradient = exact(w)
        return float(np.float32(loss)), gradient

    result = sharpness(np.ones(5, np.float32), loss_fn)
    assert result.status is Status.BELOW_NOISE
    assert 0 < result.value <= spurious_rise(23) * result.noise


@pytest.mark.parametrize("beyond", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("spoil_loss", "spoil_gradient"), [(True, True), (True, False), (False, True)]
)
@pytest.mark.parametrize("options", SOLVERS)
def test_status_non_finite(backend, beyond, spoil_loss, spoil_gradient, options):
    recorded = Recorded(Bounded(5e-4, beyond, spoil_loss, spoil_gradient))
    result = sharpness(np.ones(20), recorded, backend=backend, **options)
    assert result.status is Status.NON_FINITE
    assert np.isfinite([*recorded.seen, result.displacement]).all()
    losses = np.delete(recorded.losses, [2, 3])  # those of the look at the noise
    assert result.max_loss == losses[np.isfinite(losses)].max()
    assert np.isfinite(result.history).all()
    if options["solver"] == "auto" or not spoil_loss:
        assert result.value > 0
    json.dumps(result.to_dict(), allow_nan=False)


@pytest.mark.parametrize("beyond", [np.nan, np.inf])
@pytest.mark.parametrize("options", SOLVERS)
def test_a_loss_alone_that_is_not_finite_beside_the_centre(backend, beyond, options):
    def loss_fn(w):
        return beyond if w[0] > 1 else 20 - float(w.sum())

    recorded = Recorded(loss_fn)
    result = sharpness(np.ones(4), recorded, backend=backend, **options)
    assert result.status is Status.NON_FINITE
    assert np.isfinite(recorded.seen).all()
    assert np.isfinite(result.max_loss)
    if options["solver"] == "auto":
        assert result.value > 0


# Noise.


@pytest.mark.parametrize("loss", [0.0, 2.0])
def test_a_steady_loss_has_the_noise_of_rounding(dtype, loss):
    result = sharpness(np.ones(3, dtype), lambda w: (loss, 0 * w))
    assert result.noise == 100 * np.finfo(dtype).eps * loss / (1 + loss)


def test_a_noisy_loss_warns():
    offsets = iter([0.0, 0.5, *[0.0] * 200])

    def loss_fn(w):
        return float(w.mean()) + next(offsets), np.full(3, 1 / 3)

    with pytest.warns(
        SharpkitWarning, match=r"not deterministic: it returned 1\.0 and then 1\.5"
    ) as warned:
        result = sharpness(np.ones(3), loss_fn)
    assert warned[0].filename == __file__  # it points at the caller's own line
    assert result.noise == pytest.approx(100 * 0.5 / 2**0.5 / 2)
    assert result.status is Status.BELOW_NOISE


def test_a_loss_summed_in_another_order_does_not_warn():
    offsets = iter([0.0, 50 * 2.0**-52, *[0.0] * 100])
    result = sharpness(
        np.ones(3), lambda w: (float(w.mean()) + next(offsets), np.full(3, 1 / 3))
    )
    assert result.noise == 100 * 50 * 2.0**-52 / 2


def test_a_start_that_saw_nothing_finite_is_no_start():
    def loss_fn(w):  # finite on one side of the first coordinate alone
        return (1.0 + float(w.sum()) if w[0] >= 0 else float("nan")), np.ones(6)

    result = sharpness(np.zeros(6), loss_fn, epsilon=0.1, max_evaluations=60)
    assert result.status is Status.NON_FINITE
    assert result.value == pytest.approx(30, rel=1e-12)
    assert np.isfinite(result.starts).all()
    json.dumps(result.to_dict(), allow_nan=False)
