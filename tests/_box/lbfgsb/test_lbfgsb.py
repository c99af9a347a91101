"""SciPy's L-BFGS-B, a translation of the authors' code, is the judge."""

import functools
import importlib

import numpy as np
import pytest
from problems import Bounded, Recorded, Separable, flat, rotated
from scipy.optimize import Bounds, minimize, rosen, rosen_der
from thread_comm import run_ranks

from sharpkit._box import lbfgsb
from sharpkit._box.box import Box
from sharpkit._box.lbfgsb import cauchy
from sharpkit._box.lbfgsb.run import Run
from sharpkit._box.solvers import LBFGSB, ScipyLBFGSB
from sharpkit._box.subspace import FullSpace, Subspace
from sharpkit._inputs.objective import Objective
from sharpkit._vectors.backends import MODULES
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.space import Space
from sharpkit.measures.sharpness import sharpness


def make_box(loss_fn, w, epsilon, *, kernels=cpu, budget=None, comm=None):
    space = Space(kernels, w.size, w.dtype, comm)
    objective = Objective(loss_fn, w)
    loss, gradient, _ = objective.centre(w)
    where = FullSpace(space, w, epsilon)
    return Box(objective, where, loss, gradient, budget=budget, spent=2)


def ours(loss_fn, w, epsilon, *, scale=1.0, iterations=10, **options):
    """Return the loss after each iteration, without tolerances."""
    run = Run(make_box(loss_fn, w, epsilon, **options), scale=scale, memory=10)
    losses = run.iterates(0.0, 0.0)
    return np.array([loss for loss, _ in zip(losses, range(iterations), strict=False)])


def scipys(loss_fn, w, epsilon, *, scale=1.0, iterations=10):
    r = epsilon * (np.abs(w) + 1)
    losses = []

    def negative(z):
        loss, gradient = loss_fn(w + z)
        return -scale * loss, -scale * gradient

    minimize(
        negative,
        np.zeros_like(w),
        jac=True,
        method="L-BFGS-B",
        bounds=Bounds(-r, r),
        callback=lambda intermediate_result: losses.append(
            -intermediate_result.fun / scale
        ),
        options={"maxiter": iterations, "ftol": 0.0, "gtol": 0.0},
    )
    return np.array(losses)


def concave(n, condition, seed):
    """Return minus a convex quadratic, rotated, its top partly outside the box."""
    rng = np.random.default_rng(seed)
    loss_fn = rotated(rng, n)
    h = np.geomspace(1, condition, n)
    q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    loss_fn.H, loss_fn.m = -(q * h) @ q.T, 0.3 * rng.standard_normal(n)
    return loss_fn, 0.5 * rng.standard_normal(n)


def negative_rosenbrock(x):
    return -rosen(x), -rosen_der(x)


@pytest.mark.parametrize("n", [2, 5, 50, 150])
@pytest.mark.parametrize("condition", [10, 1e4])
@pytest.mark.parametrize("few", [0, cauchy.FEW])
def test_convex_boxes(n, condition, few, backend, monkeypatch):
    monkeypatch.setattr(cauchy, "FEW", few)
    loss_fn, w = concave(n, condition, seed=n)
    kernels = importlib.import_module(MODULES[backend])
    for scale in (1.0, 1 / condition):
        got = ours(loss_fn, w, 0.2, scale=scale, kernels=kernels)
        want = scipys(loss_fn, w, 0.2, scale=scale)
        both = min(len(got), len(want))  # at the maximum rounding decides who stops
        assert both >= 1 + 9 * (n >= 50)
        np.testing.assert_allclose(got[:both], want[:both], rtol=1e-6)


@pytest.mark.parametrize("n", [2, 10, 100])
@pytest.mark.parametrize("epsilon", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(5))
def test_rosenbrock_with_bounds(n, epsilon, seed):
    """Not convex: the line search works, and pairs are skipped."""
    w = np.random.default_rng(seed).uniform(-1, 1, n)
    got, want = (f(negative_rosenbrock, w, epsilon) for f in (ours, scipys))
    both = min(len(got), len(want))
    # Differences of rounding grow from iteration to iteration where it is not convex.
    np.testing.assert_allclose(got[:both], want[:both], rtol=1e-6, atol=1e-12)


@functools.cache
def network(seed):
    """Return the loss of a small trained network, and its weights."""
    from sharpkit.lab.data import load_digits
    from sharpkit.lab.networks.mlp import MLP
    from sharpkit.lab.problem import Problem
    from sharpkit.lab.training.loop import train
    from sharpkit.lab.training.regime import Regime

    data = load_digits()
    x, y = data.x_train[:300].astype(np.float64), data.y_train[:300]
    mlp = MLP((64, 20, 20, 10))
    start = mlp.initial_weights(seed, np.float64)
    regime = Regime(30, rate=3e-3, until_loss=1e-2, max_epochs=200)
    run = train(mlp, x, y, regime, start=start, seed=seed)
    return Problem(mlp, x, y, batch_norm="running", statistics=run.statistics), (
        run.weights
    )


@pytest.mark.parametrize("epsilon", [1e-3, 5e-4])
@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_box_of_a_trained_network(epsilon, rescale, seed):
    loss_fn, w = network(seed)
    scale = make_box(loss_fn, w, epsilon).first_step_scale() if rescale else 1.0
    got = ours(loss_fn, w, epsilon, scale=scale)
    want = scipys(loss_fn, w, epsilon, scale=scale)
    assert len(got) == len(want) == 10
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("scale", ["entries", "orthonormal"])
@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_random_subspace_of_a_trained_network(scale, rescale, seed):
    loss_fn, w = network(seed)
    got, want = (
        sharpness(w, loss_fn, subspace=Subspace(50, scale=scale), solver=solver)
        for solver in (LBFGSB(rescale=rescale), ScipyLBFGSB(rescale=rescale))
    )
    # With the recipe's tolerances both stop at the same place; without them rounding
    # decides at a maximum.
    assert rescale or got.evaluations == want.evaluations
    both = min(got.evaluations, want.evaluations)
    assert both > 3
    np.testing.assert_allclose(got.history[:both], want.history[:both], rtol=1e-6)
    assert got.value == pytest.approx(want.value, rel=1e-6)


def test_every_point_is_inside_the_box_exactly(dtype):
    loss_fn, w = concave(40, 1e3, seed=1)
    recorded = Recorded(lambda x: (loss_fn(x)[0], loss_fn(x)[1].astype(dtype)))
    w = w.astype(dtype)
    box = make_box(recorded, w, 0.2)
    best, _ = lbfgsb.maximise(box, max_iter=30, rescale=True)
    low, high = w - box.radius(), w + box.radius()
    assert len(recorded.seen) > 10
    for x in recorded.seen:
        assert ((low <= x) & (x <= high)).all()
    assert (np.abs(best.z) <= box.radius()).all()
    assert (np.abs(best.z) == box.radius()).any()


@pytest.mark.parametrize("lengths", [[20, 1, 19], [7, 0, 33]])
def test_a_sharded_run_equals_the_whole(lengths, monkeypatch):
    monkeypatch.setattr(cauchy, "FEW", 0)  # as with more coordinates
    rng = np.random.default_rng(0)
    n = sum(lengths)
    h, m, w = rng.uniform(1, 30, n), 0.2 * rng.standard_normal(n), np.zeros(n)

    def rank(comm, piece):
        def loss_fn(x):
            d = x - m[piece]
            total = comm.sum(np.array([-0.5 * np.sum(h[piece] * d**2), d.sum()]))
            return 50 + float(total[0] - total[1] ** 2), -h[piece] * d - 2 * total[1]

        return ours(loss_fn, w[piece].copy(), 0.1, comm=comm)

    whole = run_ranks([n], rank)[0]
    pieces = run_ranks(lengths, rank)
    assert len(whole) == 10
    for got in pieces:
        np.testing.assert_array_equal(got, pieces[0])
        np.testing.assert_allclose(got, whole, rtol=1e-9)


def test_the_best_point_belongs_to_its_loss(dtype):
    loss_fn, w = concave(30, 100, seed=3)
    recorded = Recorded(lambda x: (loss_fn(x)[0], loss_fn(x)[1].astype(dtype)))
    box = make_box(recorded, w.astype(dtype), 0.3)
    best, stopped = lbfgsb.maximise(box, max_iter=8, rescale=True)
    assert not stopped
    assert best.loss == max(recorded.losses) == box.history[-1]
    x = w.astype(dtype) + best.z
    assert best.loss == loss_fn(x)[0]
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(best.gradient, loss_fn(x)[1], rtol=4 * eps, atol=4 * eps)


@pytest.mark.parametrize("budget", range(3, 20))
@pytest.mark.parametrize("seed", range(4))
def test_the_budget_ends_it_with_the_best_seen(budget, seed):
    w = np.random.default_rng(seed).uniform(-1, 1, 20)
    recorded = Recorded(negative_rosenbrock)
    box = make_box(recorded, w, 1.0, budget=budget)
    best, stopped = lbfgsb.maximise(box, max_iter=500, rescale=False)
    assert len(recorded.seen) == budget
    assert not stopped
    assert best.loss == max(recorded.losses) == negative_rosenbrock(w + best.z)[0]


@pytest.mark.parametrize("rescale", [False, True])
def test_a_stationary_centre_stops_it(rescale):
    for loss_fn in (flat, Separable(np.ones(3), np.zeros(3))):
        box = make_box(loss_fn, np.zeros(3), 0.1)
        best, stopped = lbfgsb.maximise(box, max_iter=10, rescale=rescale)
        assert stopped
        assert best.loss == box.history[0]
        assert not best.z.any()
        assert len(box.history) == 2


@pytest.mark.parametrize("beyond", [np.nan, np.inf])
def test_it_comes_back_from_where_the_loss_is_not_finite(beyond):
    loss_fn = Recorded(Bounded(0.03, beyond))
    box = make_box(loss_fn, np.ones(5), 0.05)
    best, _ = lbfgsb.maximise(box, max_iter=10, rescale=True)
    assert box.non_finite
    assert best.loss == np.nanmax(np.where(np.isinf(loss_fn.losses), 0, loss_fn.losses))
    assert best.loss > loss_fn.losses[0]


def test_a_wrong_gradient_stops_it():
    box = make_box(lambda x: (-float(x @ x) - 1, 2 * x + 1), np.ones(4), 0.1)
    best, stopped = lbfgsb.maximise(box, max_iter=10, rescale=True)
    assert stopped
    assert best.loss == box.history[-1]


def test_memory_in_vectors(monkeypatch):
    """2 m + 5 beside the weights and the weights at hand: 27 for m = 10."""
    monkeypatch.setattr(cauchy, "FEW", 0)  # as with more coordinates
    loss_fn, w = concave(200, 100, seed=0)
    asked = []
    empty = cpu.empty
    monkeypatch.setattr(
        cpu, "empty", lambda shape, dtype: asked.append(shape) or empty(shape, dtype)
    )
    box = make_box(loss_fn, w, 0.2)
    lbfgsb.maximise(box, max_iter=12, rescale=True)
    vectors = sum(1 if len(shape) == 1 else shape[0] for shape in asked)
    # The gradient at the centre is the callback's, and taken over.
    assert vectors + 1 + 1 == 27


def hs5(x):
    a, b = x
    return np.sin(a + b) + (a - b) ** 2 - 1.5 * a + 2.5 * b + 1


def hs38(x):
    a, b, c, d = x
    return (
        100 * (b - a**2) ** 2 + (1 - a) ** 2 + 90 * (d - c**2) ** 2 + (1 - c) ** 2
        + 10.1 * ((b - 1) ** 2 + (d - 1) ** 2) + 19.8 * (b - 1) * (d - 1)
    )  # fmt: skip


def hs45(x):
    return 2 - np.prod(x) / 120


def hs110(x):
    return np.sum(np.log(x - 2) ** 2 + np.log(10 - x) ** 2) - np.prod(x) ** 0.2


@pytest.mark.parametrize(
    ("f", "low", "high", "minimum"),
    [
        (hs5, [-1.5, -3], [4, 3], -1.9132229549810367),
        (hs38, [-10] * 4, [10] * 4, 0.0),
        (hs45, [0] * 5, [1, 2, 3, 4, 5], 1.0),
        (hs110, [2.001] * 10, [9.999] * 10, -45.77846971),
    ],
)
def test_problems_with_bounds(f, low, high, minimum):
    """Of W. Hock and K. Schittkowski (1981), from the middle of the bounds."""
    low, high = np.array(low, float), np.array(high, float)
    middle, half = (low + high) / 2, (high - low) / 2
    # The box of weights w has half widths epsilon (|w| + 1): choose w so.
    epsilon = half.min() / 2
    w = half / epsilon - 1

    def loss_fn(x):
        y = x - w + middle
        steps = 1e-30j * np.eye(
            len(y)
        )  # exact: the imaginary part of f(y + ih) is h f'
        return -f(y), -np.array([f(y + step).imag / 1e-30 for step in steps])

    got, want = (f(loss_fn, w, epsilon, iterations=60) for f in (ours, scipys))
    both = min(len(got), len(want), 10)
    assert both > 0
    if f is not hs110:  # symmetric: all pairs but the first are made of rounding
        np.testing.assert_allclose(got[:both], want[:both], rtol=1e-6, atol=1e-9)
    assert -got[-1] == pytest.approx(minimum, rel=1e-5, abs=1e-4)
