"""The noise of losses whose noise is known."""

import math

import numpy as np
import pytest
from networks import Network, half, noisy, relu, tanh

from sharpkit._diagnosis.line import Centre, Line
from sharpkit._diagnosis.noise import noise_along, noise_of, spurious_rise
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space

SMALL = {"sizes": (6, 12, 3), "samples": 60}


def line(loss_fn, w, seed=0):
    space = Space(cpu, w.size, w.dtype)
    u = space.empty()
    space.fill_normal(u, seed, 1)

    def evaluate(x):
        found = loss_fn(x)
        return found if isinstance(found, tuple) else (found, None)

    return Line(space, Centre(w, *evaluate(w)), u, evaluate)


def noise(loss_fn, w, seed=0):
    found = noise_along(line(loss_fn, w, seed))
    return found.loss


def test_differences_of_a_polynomial_leave_its_noise():
    rng, t = np.random.default_rng(0), np.arange(9)
    for sigma in (1e-9, 1e-5, 1e-2):
        ratios = []
        for _ in range(200):
            smooth = 5 + 1e-2 * rng.standard_normal(3) @ (t / 9) ** [[1], [2], [3]]
            table = noise_of(list(smooth + sigma * rng.standard_normal(9)))
            assert table.answer == "found"
            ratios.append(table.noise / sigma)
        assert 0.75 < np.median(ratios) < 1.25


def test_orders_weigh_noise_alike():
    """``E sigma_k^2 = sigma^2`` for each order k: the published factors."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((4000, 9))
    for k in range(1, 9):
        gamma = math.factorial(k) ** 2 / math.factorial(2 * k)
        level = gamma * np.mean(np.diff(values, k, axis=1) ** 2)
        assert level == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        (np.ones(9), "too short"),
        (np.repeat([1.0, 1 + 1e-9, 1 + 2e-9], 3), "too short"),
        (np.exp(np.arange(9.0)), "too long"),
        (1 + 1e-3 * np.arange(9.0) ** 8 / 9**8, "too long"),
        ([1, 1, np.nan, 1, 1, 1, 1, 1, 1], "too long"),
        ([1, 1, np.inf, 1, 1, 1, 1, 1, 1], "too long"),
    ],
)
def test_what_a_table_says_about_the_step(values, answer):
    assert noise_of(list(values)) == (0, answer)


@pytest.mark.parametrize("sigma", [1e-12, 1e-9, 1e-6, 1e-3])
@pytest.mark.parametrize("act", [tanh, relu])
def test_noise_of_known_size(sigma, act):
    ratios = []
    for seed in range(25):
        network = Network(seed, act=act, **SMALL)
        w = network.weights(seed, steps=20)
        ratios.append(noise(noisy(network, sigma), w, seed) / sigma)
    ratios = np.array(ratios)
    assert 0.7 < np.median(ratios) < 1.6
    assert np.mean((ratios > 1 / 3) & (ratios < 3)) >= 0.9


@pytest.mark.parametrize("act", [tanh, relu])
def test_rounding_in_float32(act):
    """Against the spread of the float32 loss about its float64 twin, nearby."""
    ratios = []
    for seed in range(15):
        network = Network(seed, act=act, **SMALL)
        network.x = network.x.astype(np.float32).astype(np.float64)
        w = network.weights(seed, np.float32, steps=20)
        rng = np.random.default_rng(seed)
        near = [w + 1e-3 * rng.standard_normal(w.size, np.float32) for _ in range(60)]
        gaps = [float(network(x)[0]) - network(x.astype(float))[0] for x in near]
        ratios.append(noise(network, w, seed) / np.std(gaps))
    ratios = np.array(ratios)
    assert np.mean((ratios > 1 / 3) & (ratios < 3)) >= 0.9


def test_weights_that_the_loss_rounds():
    """A short step moves few of them: the noise is that of a step that moves all."""
    ratios = []
    for seed in range(15):
        network = Network(seed, **SMALL)
        w = network.weights(seed, np.float32, steps=20)
        rng = np.random.default_rng(seed)
        near = [w + 1e-3 * rng.standard_normal(w.size, np.float32) for _ in range(60)]
        gaps = [network(half(x))[0] - network(x)[0] for x in near]
        rounded = noise(lambda x, f=network: f(half(x)), w, seed)
        ratios.append(rounded / np.std(gaps))
    ratios = np.array(ratios)
    assert np.mean((ratios > 1 / 3) & (ratios < 3)) >= 0.8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_losses(dtype):
    draw, network = np.random.default_rng(0), Network(0, **SMALL)
    w = network.weights(0, dtype)

    def random(x):
        loss, gradient = network(x)
        return float(loss) + 1e-3 * draw.standard_normal(), gradient

    found = [noise(random, w, seed) for seed in range(20)]
    assert 0.7e-3 < np.median(found) < 1.5e-3


def test_a_loss_printed_to_few_digits():
    network = Network(0, **SMALL)
    w = network.weights(0)
    found = noise(lambda x: round(float(network(x)[0]), 3), w)
    assert 1e-3 / math.sqrt(12) / 3 < found < 1e-3 / math.sqrt(12) * 3


def test_nothing_to_see():
    assert noise(lambda x: 1.5, np.ones(7)) == 0
    found = noise_along(line(lambda x: 1.5, np.ones(7)))
    assert math.isnan(found.slope)


def test_a_loss_that_is_finite_at_the_weights_only():
    w = np.ones(7)
    assert noise(lambda x: 1.0 if (x == w).all() else np.nan, w) == 0


def test_places_are_exact():
    """Multiples of the last bit: neither the step nor the points are rounded."""
    w = np.random.default_rng(0).uniform(1.1, 1.9, 50).astype(np.float32)
    seen = []

    def loss(x):
        seen.append(x.astype(np.float64))
        return 1.0

    line(loss, w).sample(1e-3, range(-4, 5))
    steps = np.diff([*seen[1:5], w.astype(np.float64), *seen[5:]], axis=0)
    assert len(seen) == 9
    assert (steps == steps[0]).all()


@pytest.mark.parametrize("evaluations", [1, 24, 200])
def test_the_rise_of_nothing(evaluations):
    draws = np.random.default_rng(0).standard_normal((40_000, evaluations + 1))
    rise = draws[:, 1:].max(axis=1) - draws[:, 0]
    assert np.mean(rise <= spurious_rise(evaluations)) == pytest.approx(0.99, abs=2e-3)
