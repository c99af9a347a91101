import json

import numpy as np
import pytest
from networks import noisy

from sharpkit import AverageStatus, average_sharpness
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space
from sharpkit.measures.average_sharpness import fill_uniform

N = 200
H = np.geomspace(0.01, 10, N)
W = np.random.default_rng(0).standard_normal(N)


def loss_fn(w):
    d = w - 0.5
    return 0.5 * H @ d**2, H * d


class Mean:
    """A mean of quadratics, one for each sample."""

    def __init__(self, scales):
        self.weights, self.scales, self.samples = W, scales, len(scales)

    def __call__(self, w):
        loss, gradient = loss_fn(w)
        return self.scales.mean() * loss, self.scales.mean() * gradient

    def subset(self, indices):
        return Mean(self.scales[indices])


EXACT = {
    ("normal", False): 0.005 * H.sum(),
    ("normal", True): 0.005 * H @ W**2,
    ("uniform", False): 0.005 * H.sum() / 3,
    ("uniform", True): 0.005 * H @ W**2 / 3,
}


@pytest.mark.slow
@pytest.mark.parametrize(("law", "adaptive"), EXACT)
def test_a_quadratic_and_the_coverage_of_its_error(law, adaptive):
    exact, inside, values = EXACT[law, adaptive], 0, []
    for seed in range(500):
        found = average_sharpness(
            W,
            loss_fn,
            radius=0.1,
            adaptive=adaptive,
            distribution=law,
            samples=20 if law == "uniform" else 40,
            seed=seed,
        )
        low, high = found.interval
        inside += low <= exact <= high
        values.append(found.value)
    assert 460 <= inside <= 490
    error = np.std(values, ddof=1) / np.sqrt(500)
    assert abs(np.mean(values) - exact) <= 3.5 * error


class Shapes(Mean):
    """A mean of quadratics whose curvatures differ along four groups of weights."""

    def __call__(self, w):
        h, d = H * np.repeat(self.scales.mean(axis=0), N // 4), w - 0.5
        return 0.5 * h @ d**2, h * d

    def subset(self, indices):
        return Shapes(self.scales[indices])


@pytest.mark.slow
@pytest.mark.parametrize(("law", "adaptive"), EXACT)
def test_the_coverage_where_some_subsets_stand_for_all(law, adaptive):
    problem = Shapes(np.random.default_rng(1).uniform(0, 2, (200, 4)))
    h = H * np.repeat(problem.scales.mean(axis=0), N // 4)
    exact = 0.005 * h.sum() if not adaptive else 0.005 * h @ W**2
    exact /= 3 if law == "uniform" else 1
    inside = 0
    for seed in range(500):
        low, high = average_sharpness(
            problem,
            radius=0.1,
            adaptive=adaptive,
            distribution=law,
            samples=8 if law == "uniform" else 20,
            subset=10,
            subsets=8,
            seed=seed,
        ).interval
        inside += low <= exact <= high
    assert 460 <= inside <= 490


def test_pairs_cancel_the_gradient():
    found = average_sharpness(W, lambda w: (3 * w.sum(), np.full(N, 3.0)), radius=0.1)
    assert abs(found.value) <= 1e-12
    assert found.status is AverageStatus.BELOW_NOISE


def test_the_low_pass_filtered_loss_and_the_cost():
    found = average_sharpness(W, loss_fn, radius=0.1, samples=30)
    assert found.mean_loss == pytest.approx(found.loss + found.value)
    assert (found.samples, found.evaluations, found.calls) == (30, 32, 34)
    assert found.status is AverageStatus.CLEAR


def test_subsets_share_the_noise():
    problem = Mean(np.random.default_rng(1).uniform(0, 2, 43))
    whole = average_sharpness(problem, radius=0.1)
    every = average_sharpness(problem, radius=0.1, subset=10)
    kept = np.random.default_rng(0).permutation(43)[:40]
    ratio = problem.scales[kept].mean() / problem.scales.mean()
    assert every.value == pytest.approx(ratio * whole.value, rel=1e-9)
    assert every.stderr == pytest.approx(ratio * whole.stderr, rel=1e-6)
    assert every.subsets == "4 of 4 subsets of 10 samples, 3 samples left out"
    some = average_sharpness(problem, radius=0.1, subset=10, subsets=2)
    assert some.values == every.values[:2]
    assert some.stderr > every.stderr


def test_uniform_numbers():
    space = Space(cpu, 20000, np.float64)
    x, signs = space.empty(), space.empty()
    fill_uniform(space, x, signs, 0, 0)
    assert np.abs(x).max() < 1
    counts = np.histogram(x, 20, (-1, 1))[0]
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)
    assert abs((x[1:] * x[:-1]).mean()) < 0.01


@pytest.mark.filterwarnings("ignore:the loss has a noise")
def test_noise_is_no_rise():
    found = average_sharpness(
        W, noisy(lambda x: (1.0, 0.0 * x), 1e-3), radius=0.01, samples=20
    )
    assert found.status is not AverageStatus.CLEAR


def test_infinite_losses():
    def broken(w):
        loss, gradient = loss_fn(w)
        return (loss if loss < loss_fn(W)[0] + 0.1 else np.inf), gradient

    found = average_sharpness(W, broken, radius=0.1)
    assert found.status is AverageStatus.NON_FINITE
    assert np.isnan(found.value)
    assert json.loads(json.dumps(found.to_dict()))["value"] is None


def test_losses_whose_squares_are_infinite():
    def huge(w):
        loss, gradient = loss_fn(w)
        return 1e200 * loss, 1e200 * gradient

    found = average_sharpness(np.full(N, 0.5), huge, radius=0.1)
    assert found.value == pytest.approx(1e200 * 0.005 * H.sum(), rel=0.2)
    assert found.status is AverageStatus.UNCERTAIN


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 5}, "samples=5; they come in pairs: give an even number"),
        ({"samples": 2}, "samples=2; give a whole number of at least 4"),
        ({"distribution": "cauchy"}, "give one of 'normal', 'uniform'"),
        ({"radius": -1}, "radius=-1; give a finite number above 0"),
        ({"subset": 3}, "needs single samples"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        average_sharpness(W, loss_fn, **options)


def test_the_record_and_the_device(cupy):
    found = average_sharpness(W, loss_fn, radius=0.1, adaptive=True)
    assert "under adaptive normal noise of radius 0.1, n = 200" in repr(found)
    assert repr(found).endswith(found.status.value)
    h = cupy.asarray(H)

    def on_device(w):
        d = w - 0.5
        return 0.5 * (h * d * d).sum(), h * d

    device = average_sharpness(cupy.asarray(W), on_device, radius=0.1, adaptive=True)
    assert device.backend == "cuda"
    assert device.value == pytest.approx(found.value, rel=1e-9)
