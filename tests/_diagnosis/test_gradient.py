"""Right gradients are not rejected, and wrong ones are seen."""

import math

import numpy as np
import pytest
from networks import Network, noisy, relu, tanh

from sharpkit._diagnosis.answers import gradient_answer, noise_answer
from sharpkit._diagnosis.trial import Trial
from sharpkit._inputs.warn import SharpkitWarning
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space


def answer(loss_fn, w, seed=0, directions=3):
    space = Space(cpu, w.size, w.dtype)
    trial = Trial(space, w, loss_fn, seed, lambda calls: None)
    noise, _ = noise_answer(trial)
    return gradient_answer(trial, noise, directions)


def networks(act, dtype, count):
    for seed in range(count):
        rng = np.random.default_rng(seed)
        hidden = rng.integers(8, 40, rng.integers(1, 4))
        sizes = (int(rng.integers(4, 20)), *map(int, hidden), 4)
        network = Network(seed, sizes=sizes, samples=100, act=act)
        yield seed, network, network.weights(seed, dtype, steps=20 * (seed % 3))


def changed(network, change):
    """Return the loss with a gradient that ``change`` has written to."""

    def call(w):
        loss, gradient = network(w)
        change(w, gradient)
        return loss, gradient

    return call


def one_per_cent(network):
    def change(w, g):
        g[network.layers[2]] *= g.dtype.type(0.99)

    return change


def sign(network):
    def change(w, g):
        g[network.layers[0]] *= -1

    return change


def total(network):
    def change(w, g):
        g *= len(network.x)

    return change


def decay(network):
    def change(w, g):
        g += g.dtype.type(1e-3) * w

    return change


CASES = [(tanh, np.float32), (tanh, np.float64), (relu, np.float32), (relu, np.float64)]
cases = pytest.mark.parametrize(("act", "dtype"), CASES)


@cases
def test_no_false_alarm(act, dtype):
    answers = [answer(f, w, seed) for seed, f, w in networks(act, dtype, 16)]
    assert "wrong" not in [found.gradient for found in answers]
    right = [found for found in answers if found.gradient == "right"]
    assert len(right) >= (8 if (act, dtype) == (relu, np.float32) else 16)
    assert all(found.gradient_error <= found.gradient_tolerance for found in right)


@pytest.mark.parametrize("wrong", [one_per_cent, sign, total, decay])
@cases
def test_wrong_gradients_are_seen(act, dtype, wrong):
    seen = [
        answer(changed(f, wrong(f)), w, seed).gradient == "wrong"
        for seed, f, w in networks(act, dtype, 6)
    ]
    # In float32 the kinks of ReLU hide some of the small errors.
    hidden = (act, dtype) == (relu, np.float32) and wrong in (one_per_cent, decay)
    assert sum(seen) >= (3 if hidden else 6)


@pytest.mark.parametrize("sigma", [1e-6, 1e-3, 1e-1])
def test_noise_excuses_a_right_gradient(sigma):
    for seed, network, w in networks(tanh, np.float64, 8):
        found = answer(noisy(network, sigma), w, seed)
        assert found.gradient in ("right", "undecided")
    assert sigma < 0.1 or found.gradient == "undecided"


def test_noise_in_gradients_that_change_at_every_call():
    draw = np.random.default_rng(0)
    for seed, network, w in networks(tanh, np.float64, 6):

        def dropout(x, f=network):
            keep = 1 + 0.05 * draw.standard_normal(x.size)
            loss, gradient = f(x * keep)
            return loss, gradient * keep

        with pytest.warns(SharpkitWarning, match="not deterministic"):
            assert answer(dropout, w, seed).gradient != "wrong"


def test_the_figures_are_those_of_the_gradient():
    """On a line along the gradient of ``|w|^2 / 2`` a factor is the relative error."""
    w = np.linspace(1, 2, 50)
    found = answer(lambda x: (0.5 * float(x @ x), 1.1 * x), w)
    assert found.gradient == "wrong"
    assert found.gradient_error == pytest.approx(0.1 / 1.1, rel=1e-3)
    right = answer(lambda x: (0.5 * float(x @ x), x.copy()), w)
    assert right.gradient_error < right.gradient_tolerance < 1e-6


def test_at_a_minimum():
    """The slope at the weights is zero; nearby there is something to compare."""
    h = np.linspace(1, 10, 40)
    w = np.zeros(40)
    assert answer(lambda x: (0.5 * float(x @ (h * x)), h * x), w).gradient == "right"
    wrong = answer(lambda x: (0.5 * float(x @ (h * x)), 2 * h * x), w)
    assert wrong.gradient == "wrong"
    assert wrong.gradient_error == pytest.approx(0.5, rel=1e-3)


@cases
def test_where_the_loss_is_nearly_zero(act, dtype):
    """At the weights; on the lines it is larger, and so is its rounding."""
    for seed in range(6):
        network = Network(seed, samples=20, act=act)
        w = network.weights(seed, dtype, steps=300)
        w[network.layers[-2]] *= dtype(2)
        loss, _ = network(w)
        assert 0 < loss < 1e-3
        assert answer(network, w, seed).gradient != "wrong"
        wrong = changed(network, sign(network))
        assert answer(wrong, w, seed).gradient != "right"


def test_a_gradient_of_zeros():
    assert answer(lambda x: (float(x @ x), 0 * x), np.ones(9)).gradient == "wrong"


def test_nothing_to_compare():
    flat = answer(lambda x: (1.0, 0 * x), np.ones(9))
    assert flat.gradient == "undecided"
    assert math.isnan(flat.gradient_error)
    w = np.ones(9)

    def spike(x):
        at = bool((x == w).all())
        return (1.0 if at else np.nan), np.ones(9)

    assert answer(spike, w).gradient == "undecided"


def test_one_kink():
    w = np.full(20, 1e-5)
    found = answer(lambda x: (float(np.abs(x).sum()), np.sign(x)), w)
    assert found.gradient == "right"
