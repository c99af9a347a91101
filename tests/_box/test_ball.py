import numpy as np
import pytest
from thread_comm import run_ranks

from sharpkit._box.agreement import confirmed
from sharpkit._box.ascents import Ascents
from sharpkit._box.ball import Ball, Cube, Round
from sharpkit._box.trust import maximum
from sharpkit._inputs.objective import Objective
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space

R = 0.3


class Quadratic:
    """``g.(x - w) + (x - w).H (x - w) / 2``, with its maximum in a ball around w."""

    def __init__(self, seed, values, slope, dtype=np.float64):
        rng, n = np.random.default_rng(seed), len(values)
        q, _ = np.linalg.qr(rng.standard_normal((n, n)))
        self.h, self.g = (q * values) @ q.T, slope * rng.standard_normal(n)
        self.w, self.q, self.seen = rng.standard_normal(n).astype(dtype), q, []

    def __call__(self, x):
        self.seen.append(x.copy())
        d = x.astype("f8") - self.w
        hd = self.h @ d
        return self.g @ d + 0.5 * d @ hd, (self.g + hd).astype(x.dtype)

    def maximum(self, radius, *, adaptive=False):
        c = np.abs(self.w.astype("f8")) if adaptive else np.ones(len(self.w))
        h, g = c[:, None] * self.h * c, c * self.g
        u = maximum(h, g, radius)
        return g @ u + 0.5 * u @ h @ u


def ascend(f, w, budget, *, adaptive=False, seed=0, **options):
    objective = Objective(f, w)
    loss, gradient = objective(w)
    where = Round(Space(cpu, w.size, w.dtype), w, R, adaptive=adaptive)
    box = Ball(
        objective, where, loss, gradient.copy(), budget=budget, spent=1, **options
    )
    return Ascents(box, seed).run(), box


SPECTRA = {
    "convex": np.geomspace(1e-3, 10, 60),
    "indefinite": np.linspace(-10, 5, 60),
    "outliers": np.r_[np.linspace(0, 1, 190), np.linspace(3, 20, 10)],
    "concave": np.linspace(-10, -1, 40),
    "few": np.array([1.0, 2.0, 3.0]),
    "one": np.array([3.0]),
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("slope", [0.1, 0.0])
def test_a_quadratic(name, adaptive, slope):
    f = Quadratic(0, SPECTRA[name], slope)
    found, box = ascend(f, f.w, 200, adaptive=adaptive)
    best = f.maximum(R, adaptive=adaptive)
    assert found.best.loss <= best + 1e-12
    assert found.best.loss >= best * (0.999 if slope else 0.99)
    assert found.best.loss == max(box.history)
    assert len(box.history) <= 200
    assert np.linalg.norm(found.best.z) <= R * (1 + 1e-12)


@pytest.mark.parametrize("adaptive", [False, True])
def test_it_stays_inside_where_it_must(adaptive):
    f = Quadratic(0, SPECTRA["indefinite"], 0.1)
    found, _ = ascend(f, f.w, 200, adaptive=adaptive, outside=False)
    assert found.best.loss >= 0.999 * f.maximum(R, adaptive=adaptive)
    c = np.abs(f.w) if adaptive else 1
    steps = [np.linalg.norm((x - f.w) / c) for x in f.seen]
    assert max(steps) <= R * (1 + 1e-12)


def test_float32():
    f = Quadratic(1, SPECTRA["indefinite"], 0.1, np.float32)
    found, _ = ascend(f, f.w, 60)
    assert found.best.loss == pytest.approx(f.maximum(R), rel=1e-3)


def test_the_hard_case_is_found_by_random_starts():
    f = Quadratic(2, np.array([-3.0, -1, 0, 1, 2, 4]), 0.0)
    f.g = 0.05 * f.q[:, 1]
    found, _ = ascend(f, f.w, 60)
    assert found.best.loss == pytest.approx(f.maximum(R), rel=1e-6)


def test_few_evaluations_do_where_starts_agree():
    f = Quadratic(0, SPECTRA["outliers"], 0.1)
    found, box = ascend(f, f.w, 1000, first=40)
    assert len(box.history) <= 40
    loss = box.history[0]
    assert confirmed([each - loss for each in found.starts], found.kin)


def test_the_centre_is_the_maximum():
    f = Quadratic(0, SPECTRA["concave"], 0.0)
    found, box = ascend(f, f.w, 50)
    assert found.best.loss == pytest.approx(0, abs=1e-12)
    assert len(box.history) <= 50


def test_what_is_not_finite_is_no_maximum():
    f = Quadratic(0, SPECTRA["few"], 0.1)

    def broken(x):
        loss, gradient = f(x)
        return (np.inf if loss > 0.5 * f.maximum(R) else loss), gradient

    found, box = ascend(broken, f.w, 60)
    assert 0 < found.best.loss <= 0.5 * f.maximum(R)
    assert box.non_finite


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("kind", [Cube, Round])
def test_places_and_gradients(kind, adaptive):
    rng = np.random.default_rng(0)
    w, z, d = rng.standard_normal((3, 50))
    w[3] = 0
    where = kind(Space(cpu, 50, w.dtype), w, R, adaptive=adaptive)
    out, c = np.empty(50), w if adaptive else np.ones(50)
    x = where.step(0.001 * z, d, 1.0, out).copy()
    moved = 0.001 * z + d
    if kind is Cube:
        moved = np.clip(moved, -R, R)
    else:
        moved *= R / np.linalg.norm(moved)
    np.testing.assert_allclose(out, moved, rtol=1e-14)
    np.testing.assert_array_equal(x, w + where.displacement(out))
    np.testing.assert_array_equal(where.pull(d), c * d)
    x = where.toward(z, d, 0.25, out).copy()
    corner = R * (np.sign(d) if kind is Cube else d / np.linalg.norm(d))
    if kind is Round:
        np.testing.assert_allclose(out, 0.75 * z + 0.25 * corner, rtol=1e-13)
    far = where.beyond(d, 4.0, None)
    np.testing.assert_allclose(far, w + 4 * c * corner, rtol=1e-13)
    where.toward(d, d, 1.0, d)
    np.testing.assert_allclose(d, corner, rtol=1e-14)


@pytest.mark.parametrize("lengths", [(200,), (50, 130, 20)])
def test_shards(lengths):
    rng = np.random.default_rng(5)
    h, u = np.geomspace(0.1, 10, 200), rng.standard_normal(200) / 10
    w = rng.standard_normal(200)

    def rank(comm, piece):
        def f(x):
            d = x - w[piece]
            s = comm.sum(np.array([u[piece] @ d, 0.5 * h[piece] @ d**2]))
            return s[1] + s[0] ** 2 + s[0], h[piece] * d + (2 * s[0] + 1) * u[piece]

        space = Space(cpu, len(w[piece]), w.dtype, comm)
        loss, gradient = f(w[piece])
        where = Round(space, w[piece], R, adaptive=True)
        objective = Objective(f, w[piece])
        box = Ball(objective, where, loss, gradient.copy(), budget=40, spent=1)
        found = Ascents(box, 0).run()
        return found.best.z, found.best.loss, found.starts

    whole, loss, starts = run_ranks([200], rank)[0]
    pieces = run_ranks(lengths, rank)
    for _, found, reached in pieces:
        assert found == pytest.approx(loss, rel=1e-9)
        assert len(reached) == len(starts)
    z = np.concatenate([z for z, *_ in pieces])
    np.testing.assert_allclose(z, whole, atol=1e-6 * R)
