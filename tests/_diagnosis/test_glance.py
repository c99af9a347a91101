"""A first look: noise told from curvature, and products that lack a part."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sharpkit._diagnosis.glance import doubt, glance, grain, look_closely, roughness
from sharpkit._diagnosis.line import Centre
from sharpkit._vectors.backends import kernels_for
from sharpkit._vectors.space import Space

N = 400


def space_of(w):
    return Space(kernels_for("cpu", w)[1], w.size, w.dtype)


def signs(w, seed=0):
    return np.random.default_rng(seed).choice([-1.0, 1.0], w.size).astype(w.dtype)


def test_losses_whose_squares_overflow():
    w = np.ones(3)
    centre = Centre(w, 1.0, w)
    found = glance(
        space_of(w),
        centre,
        lambda x: (1e200 if x[0] > 1 else float(x @ x), x),
        signs(w),
        1e-3,
        keep=False,
    )
    assert found.noise > 1e199


class Tanh:
    """A small network of one layer, smooth or with kinks, and its exact product."""

    def __init__(self, dtype=np.float64, kinks=False):
        random = np.random.default_rng(0)
        self.x = random.standard_normal((60, 20)).astype(dtype)
        self.y = random.standard_normal(60).astype(dtype)
        self.v = (random.standard_normal(20) / 4).astype(dtype)
        self.w = (random.standard_normal(N) / 4).astype(dtype)
        self.kinks = kinks

    def _parts(self, w):
        z = self.x @ w.reshape(20, 20)
        if self.kinks:
            h, slope, bend = np.maximum(z, 0), (z > 0).astype(w.dtype), 0 * z
        else:
            h = np.tanh(z)
            slope = 1 - h * h
            bend = -2 * h * slope
        return slope, bend, h @ self.v - self.y

    def __call__(self, w):
        slope, _, left = self._parts(w)
        gradient = self.x.T @ (slope * np.outer(left, self.v)) / len(left)
        return float(left.astype("f8") @ left / 2 / len(left)), gradient.ravel()

    def product(self, u, gauss_newton=1.0):
        slope, bend, left = self._parts(self.w)
        dz = self.x @ u.reshape(20, 20)
        moved = (slope * dz) @ self.v
        back = gauss_newton * slope * np.outer(moved, self.v)
        back = back + bend * dz * np.outer(left, self.v)
        return (self.x.T @ back / len(left)).ravel().astype(u.dtype)

    def centre(self):
        return Centre(self.w, *self(self.w))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kinks", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_right_products_are_not_doubted(dtype, kinks, seed):
    net = Tanh(dtype, kinks)
    v = signs(net.w, seed)
    verdict, _ = doubt(
        space_of(net.w), net.centre(), net, net.product, v, net.product(v)
    )
    assert verdict == "agree" or (kinks and dtype == np.float32)


@pytest.mark.parametrize(
    ("dtype", "kinks"),
    [(np.float32, False), (np.float64, False), (np.float64, True)],
)
@pytest.mark.parametrize("share", [0.0, 0.8])
@pytest.mark.parametrize("seed", range(5))
def test_products_that_lack_a_part_are_doubted(dtype, kinks, share, seed):
    net = Tanh(dtype, kinks)
    space = space_of(net.w)
    v = signs(net.w, seed)

    def product(u):
        return net.product(u, share)

    exact = net.product(v)
    missing = np.linalg.norm(exact - product(v)) / np.linalg.norm(exact)
    verdict, found = doubt(space, net.centre(), net, product, v, product(v))
    assert verdict == "differ"
    # It is a share of the smaller one of both, or of the larger one.
    assert 0.9 * missing < found.error < 2 * missing
    assert found.explained < found.error / 2


def test_a_look_is_taken_twice_unless_something_is_seen():
    net, calls = Tanh(), []

    def counted(w):
        calls.append(1)
        return net(w)

    space, v = space_of(net.w), signs(net.w)
    seen = glance(space, net.centre(), counted, v, 1e-3, keep=True)
    assert len(calls) == 2
    verdict, _ = doubt(
        space, net.centre(), counted, net.product, v, net.product(v), seen.step
    )
    assert verdict == "agree"
    assert len(calls) == 2


def test_a_gradient_that_is_frozen_by_rounding_does_not_damn_a_product():
    """In float64 outside and float32 inside, short steps move nothing."""
    inner = Tanh(np.float32)
    exact = Tanh()
    exact.w = inner.w.astype(np.float64)

    def loss(w):
        value, gradient = inner(w.astype(np.float32))
        return value, gradient.astype(np.float64)

    centre = Centre(exact.w, *loss(exact.w))
    for seed in range(5):
        v = signs(exact.w, seed)
        verdict, _ = doubt(
            space_of(exact.w), centre, loss, exact.product, v, exact.product(v)
        )
        assert verdict != "differ"


@pytest.mark.parametrize("size", [1e-6, 1e-4])
def test_noise_is_seen_and_curvature_is_not(size):
    net, random = Tanh(), np.random.default_rng(0)

    def noisy(w):
        loss, gradient = net(w)
        return loss + size * random.standard_normal(), gradient

    space, found = space_of(net.w), []
    for seed in range(200):
        centre = Centre(net.w, *noisy(net.w))
        v = signs(net.w, seed)
        found.append(glance(space, centre, noisy, v, 1e-3, keep=False).noise)
        if seed < 20:
            still = glance(space, net.centre(), net, v, 1e-3, keep=True).noise
            assert still < 1e-8
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(size, rel=0.2)


@pytest.mark.parametrize(("digits", "eps"), [("f4", 2.0**-23), ("f2", 2.0**-10)])
def test_losses_of_few_digits_have_their_rounding(digits, eps):
    losses = tuple(float(np.dtype(digits).type(x)) for x in (1.1, 1.23, 1.37))
    assert grain(losses, np.float64) == eps * losses[2]
    assert grain((1.1, 1.23, 1.37), np.float64) == 0
    assert grain(losses, np.dtype(digits)) == 0


def test_a_second_look_tells_noise_from_a_wrong_gradient():
    net = Tanh()
    space, v, centre = space_of(net.w), signs(net.w), net.centre()
    right = look_closely(space, centre, net, v, 1.0).gradient
    assert right is not None
    assert right.error <= right.tolerance

    def half(w):
        loss, gradient = net(w)
        return loss, gradient / 2

    wrong = look_closely(space, Centre(net.w, *half(net.w)), half, v, 1.0).gradient
    assert wrong is not None
    assert wrong.error > max(wrong.tolerance, 0.3)
    assert look_closely(space, centre, net, v, 0.0).gradient is None


def test_products_that_are_rounded_on_the_way():
    a = np.linspace(1, 2, N)
    space = space_of(a)

    def rounded(v):
        return a * v.astype(np.float32).astype(np.float64)

    v = signs(a)
    assert roughness(space, lambda v: a * v, a * v) == 0
    rough = roughness(space, rounded, rounded(v))
    true = np.linalg.norm(rounded(u := v / np.linalg.norm(v)) - a * u)
    assert true / 4 < rough < 16 * max(true, 2.0**-25)
    assert roughness(space, lambda v: 0 * v, 0 * v) == 0
    with pytest.raises(ValueError, match="product with the operator is not finite"):
        roughness(space, lambda v: math.nan * v, v.copy())
