"""Right products are not rejected, and wrong ones are seen."""

import math

import numpy as np
import pytest
from networks import Network, relu, tanh

from sharpkit._diagnosis.answers import noise_answer, product_answer
from sharpkit._diagnosis.trial import Trial
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space


def answer(loss_fn, hvp, w, seed=0):
    space = Space(cpu, w.size, w.dtype)
    trial = Trial(space, w, loss_fn, seed, lambda calls: None)
    return product_answer(trial, noise_answer(trial)[0], hvp)


def made(act, dtype, seed, samples=100):
    network = Network(seed, samples=samples, act=act)
    return network, network.weights(seed, dtype, steps=20 * (seed % 3))


CASES = [(tanh, np.float32), (tanh, np.float64), (relu, np.float32), (relu, np.float64)]
cases = pytest.mark.parametrize(("act", "dtype"), CASES)


@cases
def test_no_false_alarm(act, dtype):
    found = []
    for seed in range(16):
        network, w = made(act, dtype, seed)
        found.append(answer(network, network.hvp, w, seed))
    kinky = (act, dtype) == (relu, np.float32)
    for one in found:
        assert one.product in (("right", "undecided") if kinky else ("right",))
        assert one.asymmetry <= one.asymmetry_tolerance
        assert one.asymmetry_tolerance < 1e4 * np.finfo(dtype).eps
        assert one.products == 4


@pytest.mark.slow
def test_many_kinks_are_curvature_that_no_product_sees():
    """Differences disagree with the right product by far more than their own error."""
    network, w = made(relu, np.float32, 0, samples=5000)
    found = answer(network, network.hvp, w)
    assert found.product != "wrong"
    assert found.product_error > 0.01


def block(network, w, v):
    """Make one layer's rows and columns wrong by 1 %: still symmetric."""
    scale = np.ones_like(v)
    scale[network.layers[2]] = 0.99
    return scale * network.hvp(w, scale * v)


def rows(network, w, v):
    """Make one layer's rows wrong by 1 %."""
    scale = np.ones_like(v)
    scale[network.layers[2]] = 0.99
    return scale * network.hvp(w, v)


def nothing(network, w, v):
    return 0 * v


WRONG = [
    block,
    rows,
    lambda network, w, v: -network.hvp(w, v),
    lambda network, w, v: len(network.x) * network.hvp(w, v),
    lambda network, w, v: network.hvp(w, v) + v,
    lambda network, w, v: np.abs(network.hvp(w, v)),
    nothing,
]


@pytest.mark.parametrize("wrong", WRONG)
@cases
def test_wrong_products_are_seen(act, dtype, wrong):
    for seed in range(4):
        network, w = made(act, dtype, seed)

        def hvp(w, v, network=network):
            return wrong(network, w, v)

        found = answer(network, hvp, w, seed).product
        if act is relu and dtype == np.float32 and wrong in (block, nothing):
            assert found != "right" or wrong is block  # 1 % may be too little to tell
        else:
            assert found == "wrong"


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_roundings_at_a_minimum_are_no_kinks(dtype):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a = rng.uniform(0.1, 0.5, 8).astype(dtype)
        m = rng.standard_normal(8).astype(dtype)

        def loss(w, a=a, m=m):
            return 100 + float(a @ (w - m) ** 2) / 2, a * (w - m)

        assert answer(loss, lambda w, v: v, m, seed).product == "wrong"
        assert answer(loss, lambda w, v, a=a: a * v, m, seed).product == "right"


@pytest.mark.parametrize("quartic", [0.0, 1.0])
@pytest.mark.parametrize("n", [2, 3, 40])
def test_right_products_whose_second_differences_vanish(n, quartic):
    """Of a linear gradient, and of an odd one at its zero, they say nothing."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a, w = 10 ** rng.uniform(-2, 4, n), rng.standard_normal(n)
        m = w if quartic else w - 1e-3 * rng.standard_normal(n)

        def loss(x, a=a, m=m):
            d = x - m
            g = a * (d + quartic * d**3)
            return 1 + float(np.sum(a * (d**2 / 2 + quartic * d**4 / 4))), g

        def hvp(x, v, a=a, m=m):
            return a * (1 + 3 * quartic * (x - m) ** 2) * v

        assert answer(loss, hvp, w, seed).product == "right"
        if quartic:
            wrong = answer(loss, lambda w, v, hvp=hvp: 1.001 * hvp(w, v), w, seed)
            assert wrong.product == "wrong"


def test_the_asymmetry_is_that_of_the_matrix():
    rng = np.random.default_rng(0)
    n = 60
    S = rng.standard_normal((n, n))
    S, K = S + S.T, 1e-3 * (S - S.T + np.triu(S, 1) - np.triu(S, 1).T)
    ratios = []
    for seed in range(200):
        found = answer(
            lambda w: (0.5 * float(w @ S @ w), S @ w),
            lambda w, v: (S + K) @ v,
            np.ones(n),
            seed,
        )
        ratios.append(found.asymmetry)
    root_mean_square = math.sqrt(np.mean(np.square(ratios)))
    want = np.linalg.norm(2 * K) / np.linalg.norm(S)
    assert root_mean_square == pytest.approx(want, rel=0.15)


def test_products_that_are_not_linear():
    S = np.diag(np.arange(1.0, 31))
    found = answer(
        lambda w: (0.5 * float(w @ S @ w), S @ w),
        lambda w, v: S @ v + 0.1 * np.abs(v),
        np.ones(30),
    )
    assert found.product == "wrong"


def test_a_product_of_a_loss_without_gradient():
    S = np.diag(np.arange(1.0, 31))
    w = np.ones(30)
    found = answer(lambda w: 0.5 * float(w @ S @ w), lambda w, v: S @ v, w)
    assert found.product == "undecided"
    assert found.asymmetry <= found.asymmetry_tolerance
    assert math.isnan(found.product_error)
    lopsided = answer(
        lambda w: 0.5 * float(w @ S @ w), lambda w, v: S @ np.roll(v, 1), w
    )
    assert lopsided.product == "wrong"


def test_no_curvature():
    found = answer(
        lambda w: (float(w.sum()), np.ones(5)), lambda w, v: 0 * v, np.ones(5)
    )
    assert found.product == "right"


def test_noise_excuses_a_right_product():
    for seed in range(5):
        network, w = made(tanh, np.float64, seed)
        draw = np.random.default_rng(seed)

        def loss_fn(x, f=network, draw=draw):
            loss, gradient = f(x)
            return loss, gradient * (1 + 1e-2 * draw.standard_normal(gradient.size))

        assert answer(loss_fn, network.hvp, w, seed).product != "wrong"


def test_differences_say_how_wrong_they_are():
    network, w = made(tanh, np.float32, 0)
    found = answer(network, None, w)
    assert found.product == "differences"
    assert found.product_source.startswith("central differences of the gradient, step")
    assert 0 < found.product_error < 1e-2
    assert found.products == 0
    assert answer(lambda x: network(x)[0], None, w).product == "no product"
