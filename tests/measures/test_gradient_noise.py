"""The noise of the gradient against all gradients, and what its error bars hold."""

import numpy as np
import pytest
from softmax_regression import Softmax

import sharpkit
from sharpkit import gradient_noise

MODEL = Softmax(samples=60)
G = MODEL.gradients()
MEAN = G.mean(0)
VARIANCE = float(((G - MEAN) ** 2).sum() / 59)
SCALE = VARIANCE / float(MEAN @ MEAN)
FORMS = {
    "batches": {"batch_size": 4, "batches": 40},
    "large": {"batch_size": 4, "large_batch": 30, "batches": 40},
}


def test_every_sample_once_is_exact():
    found = gradient_noise(MODEL.problem(), batches=1000)
    assert found.gradient_variance == pytest.approx(VARIANCE, rel=1e-12)
    assert found.gradient_norm == pytest.approx(np.linalg.norm(MEAN), rel=1e-12)
    assert float(found) == pytest.approx(SCALE, rel=1e-12)
    assert (found.batches, found.status.name) == (60, "EXACT")
    assert found.stderr == found.gradient_variance_stderr == 0
    assert found.interval == pytest.approx((SCALE, SCALE))
    assert found.calls == 1 + 60 + 3  # all, each, and the look at a sum


@pytest.mark.slow
@pytest.mark.parametrize("form", list(FORMS))
def test_unbiased_with_intervals_that_hold(form):
    found = [
        gradient_noise(MODEL.problem(), seed=seed, **FORMS[form]) for seed in range(500)
    ]
    values = np.array([each.gradient_variance for each in found])
    assert abs(values.mean() - VARIANCE) <= 4 * values.std() / 500**0.5
    squares = np.array([each.gradient_norm**2 for each in found])
    spread = squares.std() / 500**0.5
    assert abs(squares.mean() - MEAN @ MEAN) <= 4 * spread + 1e-12
    norms = [each.gradient_norm_interval for each in found]
    if form == "batches":  # which takes all samples for the norm
        assert norms[0] == (found[0].gradient_norm,) * 2
    for truth, intervals in (
        *([(np.linalg.norm(MEAN), norms)] if form == "large" else []),
        (VARIANCE, [each.gradient_variance_interval for each in found]),
        (SCALE, [each.interval for each in found]),
    ):
        held = np.mean([low <= truth <= high for low, high in intervals])
        assert 0.92 <= held <= 0.98


@pytest.mark.slow
def test_the_interval_of_single_samples_holds():
    """Their squares have a long tail, here of skewness 3: the interval leans."""
    model = Softmax(samples=200)
    rest = model.gradients() - model.gradients().mean(0)
    truth = float((rest**2).sum() / 199)
    held = [
        low <= truth <= high
        for low, high in (
            gradient_noise(model.problem(), seed=seed).gradient_variance_interval
            for seed in range(500)
        )
    ]
    assert 0.92 <= np.mean(held) <= 0.98


def test_a_gradient_that_cannot_be_told_from_zero():
    flat = Softmax(samples=60, steps=3000)
    found = gradient_noise(
        flat.problem(), batch_size=4, large_batch=20, batches=10, seed=2
    )
    assert found.interval[1] == np.inf
    assert np.isnan(found.stderr)
    assert found.to_dict()["stderr"] is None


def test_a_loss_that_mixes_samples_is_told():
    def over(chosen):
        shift = float(np.mean(MODEL.x[chosen]))

        def loss_fn(w):
            return shift**2 * float(w @ w), 2 * shift**2 * w

        return loss_fn

    problem = sharpkit.Problem(np.ones(3), over(range(60)), samples=60, subset=over)
    with pytest.warns(sharpkit.SharpkitWarning, match="is not the mean of the gradien"):
        gradient_noise(problem, batch_size=4, batches=5)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch_size": 60}, "batch_size=60 and large_batch=None, of 60 samples; give"),
        ({"batch_size": 8, "large_batch": 8}, "batch_size=8 and large_batch=8"),
        ({"large_batch": 61}, "large_batch=61, and the problem has 60 samples"),
        ({"batches": 1}, "batches=1; give a whole number of at least 2"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ValueError, match=match):
        gradient_noise(MODEL.problem(), **options)


def test_one_sample_has_no_variance():
    with pytest.raises(ValueError, match=r"has 1 sample, .*; give a problem of more"):
        gradient_noise(Softmax(samples=1).problem())


def test_its_text():
    found = gradient_noise(MODEL.problem(), batch_size=4, batches=20)
    assert "20 batches of 4 and 60 of 60 samples" in repr(found)
    assert found.status.name == "COMPLETE"
