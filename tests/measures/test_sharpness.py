from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import (
    Bounded,
    Linear,
    Recorded,
    Separable,
    TwoBasins,
    flat,
    per_cent,
    radius,
    rotated,
    without_gradient,
)
from scipy.optimize import minimize

import sharpkit
from sharpkit import SharpkitWarning, Status
from sharpkit.backends import MODULES
from sharpkit.measures.sharpness import sharpness

SOLVERS = [
    {"solver": "auto"},
    {"solver": "scipy"},
    {"solver": "scipy", "scaled": True},
]


def separable(seed, n, dtype=np.float64, *, offset=0.3):
    """A quadratic, and weights that lie off its minimum by some ``offset``."""
    rng = np.random.default_rng(seed)
    h, m = rng.uniform(0.1, 10, n), rng.standard_normal(n)
    h[rng.random(n) < 0.2] = 0
    w = (m + offset * rng.choice([-1, 1], n) * rng.uniform(0.5, 1, n)).astype(dtype)
    return Separable(h, m), w


def inside(result, weights):
    """Whether the displacement lies in the box as the weights' dtype has it."""
    one = weights.dtype.type
    half_width = one(result.epsilon) * (np.abs(weights) + one(1))
    return bool((np.abs(result.displacement) <= half_width).all())


# Values with a closed form.


@pytest.mark.parametrize("offset", [0.3, 0.0])
@pytest.mark.parametrize("n", [1, 2, 100])
@pytest.mark.parametrize("epsilon", [1e-3, 5e-4, 0.3])
def test_separable_quadratic(backend, dtype, n, epsilon, offset):
    loss_fn, w = separable(n, n, dtype, offset=offset)
    loss_fn.h[0] = 1  # not all flat
    loss_fn.m = loss_fn.m if offset else w.astype(np.float64)
    result = sharpness(w, loss_fn, epsilon=epsilon, backend=backend)
    loss, want = loss_fn(w)[0], loss_fn.maximum(w, epsilon)
    assert result.loss == loss
    assert abs(result.max_loss - want) <= loss_fn.rounding(w, epsilon)
    if dtype == np.float64:
        assert result.max_loss == pytest.approx(want, rel=1e-12)
    assert result.value == float(result) == per_cent(loss, result.max_loss)
    assert result.status is Status.CONVERGED
    assert result.displacement.dtype == dtype
    assert inside(result, w)
    assert (result.backend, result.dtype) == (backend, str(dtype))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rank", [8, 3, 1])
@pytest.mark.parametrize("offset", [0.0, 0.01])
def test_rotated_quadratic_against_all_corners(rank, offset, seed):
    rng = np.random.default_rng(seed)
    loss_fn = rotated(rng, 8, rank=rank)
    w = loss_fn.m + offset * rng.standard_normal(8)
    want = loss_fn.maximum(w, 0.1)
    result = sharpness(w, loss_fn, epsilon=0.1, max_evaluations=60)
    assert result.status is Status.CONVERGED
    # Of a convex loss every maximum is at a corner; with rank 1 there is one basin.
    np.testing.assert_allclose(np.abs(result.displacement), radius(w, 0.1), rtol=1e-14)
    if rank == 1:
        assert result.max_loss == pytest.approx(want, rel=1e-12)
    else:
        assert want / 2 < result.max_loss <= want * (1 + 1e-12)


@pytest.mark.parametrize("options", SOLVERS)
def test_linear(options):
    slope = np.random.default_rng(0).standard_normal(50)
    loss_fn, w = Linear(slope), np.linspace(-1, 1, 50)
    result = sharpness(w, loss_fn, epsilon=0.01, **options)
    assert result.max_loss == pytest.approx(loss_fn.maximum(w, 0.01), rel=1e-12)
    assert result.status is Status.CONVERGED


def test_two_basins():
    loss_fn = TwoBasins(1000, 1e-3)
    result = sharpness(np.zeros(1000), loss_fn)
    assert result.max_loss == pytest.approx(2.4, rel=1e-12)
    # The start at the centre leads to the lower one.
    assert len(result.starts) > 1
    assert result.starts[0] == pytest.approx(per_cent(1, 1.6), rel=1e-12)
    assert max(result.starts) == result.value


def test_one_basin_has_starts_too():
    loss_fn, w = separable(0, 40)
    result = sharpness(w, loss_fn)
    assert len(result.starts) > 1
    assert max(result.starts) == result.starts[0] == result.value


# Properties.

PROBLEMS = st.builds(
    separable,
    st.integers(0, 10**6),
    st.integers(1, 40),
    st.sampled_from([np.float32, np.float64]),
    offset=st.sampled_from([0.01, 0.3, 5.0]),
)
EPSILONS = st.floats(1e-4, 0.5)
QUICK = settings(max_examples=30, deadline=None)


@QUICK
@given(PROBLEMS, EPSILONS, st.integers(3, 40))
def test_properties_of_any_separable_problem(problem, epsilon, budget):
    loss_fn, w = problem
    recorded = Recorded(loss_fn)
    result = sharpness(w, recorded, epsilon=epsilon, max_evaluations=budget)
    assert inside(result, w)
    assert loss_fn(w + result.displacement)[0] == result.max_loss
    assert result.max_loss == max(recorded.losses)
    assert result.value >= 0
    # A sign step leads to the maximum at once, so budget 3 is enough.
    allowed = loss_fn.rounding(w, epsilon)
    assert abs(result.max_loss - loss_fn.maximum(w, epsilon)) <= allowed
    assert (np.diff(result.history) >= 0).all()
    assert result.history[0] == result.history[1] == 0
    assert result.history[-1] == result.value
    assert len(result.history) == result.evaluations == result.calls
    assert len(recorded.seen) == result.calls <= budget


@QUICK
@given(PROBLEMS, EPSILONS, st.floats(1.01, 3))
def test_monotone_in_epsilon(problem, epsilon, factor):
    loss_fn, w = problem
    small = sharpness(w, loss_fn, epsilon=epsilon, max_evaluations=3)
    large = sharpness(w, loss_fn, epsilon=epsilon * factor, max_evaluations=3)
    if loss_fn.h.any():
        assert large.value > small.value > 0
    else:
        assert large.value == small.value == 0


@QUICK
@given(PROBLEMS, st.randoms(use_true_random=False))
def test_invariant_to_the_order_of_the_weights(problem, random):
    loss_fn, w = problem
    order = list(range(w.size))
    random.shuffle(order)
    shuffled = Separable(loss_fn.h[order], loss_fn.m[order])
    want = sharpness(w, loss_fn)
    got = sharpness(w[order], shuffled)
    assert got.max_loss == pytest.approx(want.max_loss, rel=1e-13)
    np.testing.assert_array_equal(got.displacement, want.displacement[order])


@QUICK
@given(PROBLEMS, st.floats(1e-3, 1e3))
def test_a_scaled_loss_has_the_value_of_the_formula(problem, factor):
    loss_fn, w = problem
    plain = sharpness(w, loss_fn)
    scaled = Separable(loss_fn.h, loss_fn.m, factor=factor)
    want = 100 * factor * (plain.max_loss - plain.loss) / (1 + factor * plain.loss)
    assert sharpness(w, scaled).value == pytest.approx(want, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("sub", [None, 5])
@pytest.mark.parametrize("options", SOLVERS)
def test_the_displacement_reproduces_the_maximum(dtype, sub, options):
    loss_fn, w = separable(3, 200, dtype)
    result = sharpness(w, loss_fn, subspace=sub, **options)
    assert result.value > 0
    again = loss_fn(w + result.displacement)[0]
    if sub is None:
        assert inside(result, w)
        assert again == result.max_loss
    else:
        slope = np.abs(loss_fn(w)[1]) @ (np.abs(w) + 1)
        assert abs(again - result.max_loss) <= np.finfo(dtype).eps * slope


# The same bits.


def same_bits(one, other):
    assert one.value == other.value
    assert one.starts == other.starts
    assert one.gap == other.gap
    np.testing.assert_array_equal(one.history, other.history)
    np.testing.assert_array_equal(one.displacement, other.displacement)


LONG = 100_003  # several chunks of the kernels


class Coupled:
    """A loss with several basins whose sums have one order."""

    def __init__(self, dtype):
        rng = np.random.default_rng(1)
        self.w = rng.standard_normal(LONG).astype(dtype)
        self.u = rng.standard_normal(LONG).astype(dtype)

    def __call__(self, w):
        s = float(np.sum(self.u * (w - self.w), dtype=np.float64)) + 1.0
        return 1e-3 * s**2, (2e-3 * s) * self.u


@pytest.mark.parametrize("sub", [None, 4])
def test_the_same_bits_for_any_number_of_threads(dtype, threads, sub):
    loss_fn = Coupled(dtype)
    results = []
    for count in [1, 2, 4, 2]:
        threads(count)
        results.append(
            sharpness(loss_fn.w, loss_fn, subspace=sub, seed=3, max_evaluations=20)
        )
    assert results[0].value > 0
    for other in results[1:]:
        same_bits(results[0], other)


@pytest.mark.parametrize("sub", [None, 4])
def test_the_reference_gives_the_same_to_rounding(sub):
    loss_fn = Coupled(np.float64)
    one, other = (
        sharpness(loss_fn.w, loss_fn, subspace=sub, max_evaluations=12, backend=name)
        for name in ("cpu", "reference")
    )
    # Normals of the two may differ by some float32 roundings.
    rel = 1e-12 if sub is None else 1e-6
    assert one.value == pytest.approx(other.value, rel=rel)
    np.testing.assert_allclose(one.history, other.history, rtol=rel)


def test_another_seed_is_another_search():
    loss_fn, w = separable(0, 300)
    results = [sharpness(w, loss_fn, subspace=4, seed=seed) for seed in (0, 1)]
    assert results[0].value != results[1].value
    basins = TwoBasins(100, 1e-3)
    seen = [Recorded(basins), Recorded(basins)]
    for seed, recorded in enumerate(seen):
        sharpness(np.zeros(100), recorded, seed=seed)
    assert not np.array_equal(seen[0].seen, seen[1].seen)


# Float-only callbacks.


@pytest.mark.parametrize("sub", [None, 3])
@pytest.mark.parametrize("options", SOLVERS)
def test_a_loss_alone_gives_the_same(sub, options):
    loss_fn, w = separable(5, 12)
    want = sharpness(w, loss_fn, subspace=sub, **options)
    recorded = Recorded(without_gradient(loss_fn))
    got = sharpness(w, recorded, subspace=sub, **options)
    assert want.value > 0
    assert got.value == pytest.approx(want.value, rel=1e-6)
    assert got.status is want.status
    # Two calls per dimension and gradient; one evaluation at the centre needs none.
    size = sub or 12
    assert got.calls == got.evaluations + 2 * size * (got.evaluations - 1)
    assert got.calls == len(recorded.seen)


def test_a_loss_alone_in_a_large_space():
    loss_fn, w = separable(0, 1001)
    with pytest.raises(
        ValueError, match=r"no gradient .* 1001 dimensions, above 1000.*subspace=100"
    ):
        sharpness(w, without_gradient(loss_fn))
    assert sharpness(w, without_gradient(loss_fn), subspace=2).value > 0
    assert sharpness(w[:1000], without_gradient(flat), max_evaluations=3).value == 0


# Subspaces.


def dense(w, columns, law, scale, seed):
    """A as an array, from the specification of the fills."""
    reference = importlib.import_module(MODULES["reference"])
    fill = {"normal": reference.fill_normal, "sign": reference.fill_signs}[law]
    rows = np.empty((columns, w.size))
    for i, row in enumerate(rows):
        fill(row, seed, (1 << 32) + i, 0)
    A = rows.T
    if scale == "columns":
        A = A / np.linalg.norm(A, axis=0)
    if scale == "orthonormal":
        q, r = np.linalg.qr(A)
        A = q * np.sign(np.diag(r))
    return A


@pytest.mark.parametrize("law", ["normal", "sign"])
@pytest.mark.parametrize("scale", ["entries", "columns", "orthonormal"])
def test_the_value_in_a_subspace(dtype, law, scale):
    rng = np.random.default_rng(0)
    n, p, epsilon = 60, 5, 0.01
    w, slope = rng.standard_normal(n).astype(dtype), rng.standard_normal(n)
    A = dense(w, p, law, scale, seed=9)
    half_widths = epsilon * (np.abs(np.linalg.pinv(A) @ w.astype(float)) + 1)
    loss_fn = Linear(slope.astype(dtype))
    rise = np.abs(A.T @ loss_fn.slope.astype(float)) @ half_widths
    result = sharpness(
        w,
        lambda x: (100 + float(slope @ x.astype(float)), slope.astype(dtype)),
        epsilon=epsilon,
        subspace=p,
        subspace_law=law,
        subspace_scale=scale,
        seed=9,
        backend="reference",
    )
    z = half_widths * np.sign(A.T @ slope)
    rounding = np.finfo(dtype).eps
    allowed = rounding * np.abs(slope) @ (np.abs(w) + np.abs(A) @ half_widths)
    assert abs(result.max_loss - result.loss - rise) <= allowed + 1e-12
    np.testing.assert_allclose(
        result.displacement, A @ z, rtol=0, atol=4 * rounding * np.abs(w).max() + 1e-12
    )
    assert result.subspace == sharpkit.Subspace(p, law, scale)


def test_as_many_directions_as_weights():
    loss_fn, w = separable(4, 6)
    result = sharpness(w, loss_fn, subspace=6, subspace_scale="orthonormal")
    assert result.value > 0
    assert result.displacement.shape == (6,)
    with pytest.raises(ValueError, match=r"subspace=7: give .* 1 to 6 .*the full"):
        sharpness(w, loss_fn, subspace=7)


def test_dependent_directions():
    loss_fn, w = separable(4, 2)
    options = {"subspace": 2, "subspace_law": "sign"}
    assert sharpness(w, loss_fn, seed=1, **options).value > 0
    with pytest.raises(
        ValueError,
        match="subspace=2 with subspace_law='sign' and seed=0 drew linearly dependent",
    ):
        sharpness(w, never, seed=0, **options)


# The budget.


@pytest.mark.parametrize("options", SOLVERS)
@pytest.mark.parametrize("budget", [3, 4, 5, 8, 9, 30])
@pytest.mark.parametrize("sub", [None, 3])
def test_the_budget_is_kept(options, budget, sub):
    recorded = Recorded(rotated(np.random.default_rng(1), 10))
    w = np.linspace(0.9, 1.1, 10)
    result = sharpness(
        w, recorded, epsilon=0.1, max_evaluations=budget, subspace=sub, **options
    )
    assert len(recorded.seen) == result.evaluations <= budget
    if options["solver"] == "auto":
        assert result.evaluations == budget
    assert result.value > 0


@pytest.mark.parametrize("budget", range(3, 12))
def test_a_small_budget_at_a_stationary_point(budget):
    loss_fn = Separable(np.ones(5), np.zeros(5))
    result = sharpness(np.zeros(5), loss_fn, max_evaluations=budget)
    assert result.max_loss == pytest.approx(loss_fn.maximum(np.zeros(5), 1e-3))
    assert result.evaluations == budget


def test_the_default_budget():
    loss_fn, w = separable(0, 5)
    assert sharpness(w, loss_fn).evaluations == 25


# The paper's recipe.


@pytest.mark.parametrize("max_iter", [1, 10])
@pytest.mark.parametrize("scaled", [False, True])
def test_scipy_equals_scipy(max_iter, scaled):
    loss_fn = rotated(np.random.default_rng(3), 30)
    w = 1 + 0.05 * np.random.default_rng(4).standard_normal(30)
    r = radius(w, 0.1)
    loss, gradient = loss_fn(w)
    unit, value = (r, np.mean(np.abs(r * gradient))) if scaled else (1.0, 1.0)
    losses = []

    def negative(u):
        found, g = loss_fn(w + u * unit)
        losses.append(found)
        return -found / value, -g * unit / value

    options = {"maxiter": max_iter} | ({"ftol": 0, "gtol": 0} if scaled else {})
    done = minimize(
        negative,
        np.zeros(30),
        jac=True,
        method="L-BFGS-B",
        bounds=np.column_stack([-r / unit, r / unit]),
        options=options,
    )
    result = sharpness(
        w, loss_fn, epsilon=0.1, solver="scipy", scaled=scaled, max_iter=max_iter
    )
    assert done.nfev == len(losses) >= 2
    assert result.evaluations == done.nfev + 1  # the centre twice
    assert result.max_loss == pytest.approx(max(losses), rel=1e-12)
    assert result.max_loss > loss
    assert result.starts == (result.value,)
    want = f"scipy L-BFGS-B, {max_iter} iterations" + (", scaled" if scaled else "")
    assert result.solver == want


def test_scaling_helps_near_a_stationary_point():
    loss_fn = Separable(np.linspace(1e-6, 1e-5, 20), np.zeros(20), floor=1.0)
    w = np.full(20, 1e-2)
    plain = sharpness(w, loss_fn, solver="scipy")
    assert plain.value == 0
    assert plain.status is Status.STALLED
    scaled = sharpness(w, loss_fn, solver="scipy", scaled=True)
    # The losses differ from 1 by so little that their rounding shows.
    assert scaled.max_loss == pytest.approx(loss_fn.maximum(w, 1e-3), rel=1e-15)
    assert scaled.value > 0
    assert scaled.status is Status.CONVERGED


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
    scipy = sharpness(np.zeros(30), wave, epsilon=0.5, solver="scipy", max_iter=1)
    assert scipy.status is Status.BUDGET


def wave(w):
    """Separable, with a maximum in the middle of each side of the box."""
    x = w - 0.01 * np.arange(1, w.size + 1)
    return w.size + float(np.sum(np.sin(4 * x))), 4 * np.cos(4 * x)


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
    loss_fn = Separable(np.full(5, 1e-3), np.zeros(5), floor=1e4)
    result = sharpness(np.ones(5, np.float32), loss_fn)
    assert result.status is Status.BELOW_NOISE
    assert 0 < result.value <= result.noise


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
    losses = np.array(recorded.losses)
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
    losses = iter([1.0, 1.5, *[1.25] * 100])

    def loss_fn(w):
        return next(losses), np.ones_like(w)

    with pytest.warns(
        SharpkitWarning, match=r"not deterministic: it returned 1\.0 and then 1\.5"
    ) as warned:
        result = sharpness(np.ones(3), loss_fn)
    assert warned[0].filename == __file__  # it points at the caller's own line
    assert result.noise == 100 * 0.5 / 2
    assert result.status is Status.BELOW_NOISE


def test_a_loss_summed_in_another_order_does_not_warn():
    losses = iter([1.0, 1.0 + 50 * 2.0**-52, *[2.0] * 100])
    result = sharpness(np.ones(3), lambda w: (next(losses), np.ones_like(w)))
    assert result.noise == 100 * 50 * 2.0**-52 / 2


# What the callback is given.


def test_the_callback_may_load_the_weights_in_place():
    """As a model does whose parameters are what ``weights`` is a view of."""
    loss_fn, w = separable(2, 20)
    parameters = w.copy()

    def load(x):
        parameters[:] = x
        return loss_fn(parameters)

    same_bits(sharpness(parameters, load), sharpness(w, loss_fn))


def test_weights_are_left_alone():
    loss_fn, w = separable(2, 20)
    before = w.copy()
    for sub in (None, 3):
        sharpness(w, loss_fn, subspace=sub)
    np.testing.assert_array_equal(w, before)


def layouts(w):
    yield w.astype(w.dtype.newbyteorder(">"))
    spread = np.zeros((w.size, 3), w.dtype)
    spread[:, 1] = w
    yield spread[:, 1]
    yield w[::-1].copy()[::-1]
    locked = w.copy()
    locked.flags.writeable = False
    yield locked


@pytest.mark.parametrize("sub", [None, 3])
def test_layouts_of_the_weights(dtype, sub):
    loss_fn, w = separable(2, 20, dtype)
    want = sharpness(w, loss_fn, subspace=sub)

    def strict(x):
        assert x.flags.c_contiguous
        assert x.flags.writeable
        assert x.dtype == dtype
        assert x.dtype.isnative
        return loss_fn(x)

    for weights in layouts(w):
        same_bits(sharpness(weights, strict, subspace=sub), want)


@pytest.mark.parametrize("sub", [None, 3])
@pytest.mark.parametrize("options", SOLVERS)
def test_layouts_of_the_gradient(sub, options):
    w = np.linspace(-0.5, 0.5, 20)
    buffer = np.empty(20)

    def locked(x):
        loss, g = wave(x)
        g.flags.writeable = False
        return loss, g

    def reused(x):
        loss, buffer[:] = wave(x)
        return loss, buffer

    def strided(x):
        loss, g = wave(x)
        return loss, np.repeat(g, 2)[::2]

    options = options | {"epsilon": 0.5, "subspace": sub}
    want = sharpness(w, wave, **options)
    assert want.value > 0
    for callback in (locked, reused, strided):
        same_bits(sharpness(w, callback, **options), want)


@pytest.mark.parametrize("options", SOLVERS)
def test_the_gradient_may_be_the_argument_itself(options):
    w = np.linspace(-1, 1, 9)
    want = sharpness(w, lambda x: (0.5 * float(x @ x), x.copy()), **options)
    same_bits(sharpness(w, lambda x: (0.5 * float(x @ x), x), **options), want)


def test_half_precision_is_measured_in_single():
    loss_fn, w = separable(2, 20, np.float16)
    recorded = Recorded(loss_fn)
    with pytest.warns(SharpkitWarning, match="float16.*a float32 copy") as warned:
        result = sharpness(w, recorded)
    assert warned[0].filename == __file__
    assert {x.dtype for x in recorded.seen} == {np.dtype(np.float32)}
    assert result.dtype == "float32"
    same_bits(result, sharpness(w.astype(np.float32), loss_fn))


@pytest.mark.parametrize("kind", [np.float32, np.float64, int, np.array, "1d"])
def test_kinds_of_the_loss(kind):
    def loss_fn(w):
        return (np.array([3.0]) if kind == "1d" else kind(3)), np.zeros_like(w)

    result = sharpness(np.ones(2), loss_fn)
    assert result.loss == 3
    assert type(result.loss) is type(result.max_loss) is float


# Bad arguments.

W = np.ones(4)
BAD_WEIGHTS = [
    ([1.0, 2.0], TypeError, r"weights is of type list; .* numpy\.asarray\(weights\)"),
    (np.ones((2, 3)), ValueError, r"weights has shape \(2, 3\); .* weights\.ravel"),
    (np.float64(1.0), TypeError, "weights is of type float64; give a flat NumPy"),
    (np.array(1.0), ValueError, r"weights has shape \(\); give a vector"),
    (np.empty(0), ValueError, "weights is empty; give at least one weight"),
    (np.ones(3, int), TypeError, r"weights has dtype int64; give .*astype\(numpy"),
    (np.ones(3, complex), TypeError, "weights has dtype complex128; give float32"),
    (np.ones(3, bool), TypeError, "weights has dtype bool; give float32 or float64"),
    (np.ones(3, np.longdouble), TypeError, "has dtype .*128; give float32"),
    (
        np.array([1, np.nan, 2, np.nan]),
        ValueError,
        r"weights has 2 non-finite entries, the first is weights\[1\] = nan; give",
    ),
    (np.array([np.inf, 1]), ValueError, r"1 non-finite .* weights\[0\] = inf; give"),
]
BAD_OPTIONS = [
    ({"epsilon": 0}, ValueError, "epsilon=0; give a finite number above 0"),
    ({"epsilon": -0.1}, ValueError, r"epsilon=-0\.1; give a finite number above 0"),
    ({"epsilon": np.nan}, ValueError, "epsilon=nan; give a finite number above 0"),
    ({"epsilon": np.inf}, ValueError, "epsilon=inf; give a finite number above 0"),
    ({"epsilon": "a"}, TypeError, "epsilon='a' is not a number; give one above 0"),
    ({"epsilon": True}, TypeError, "epsilon=True is not a number; give one above 0"),
    ({"subspace": 0}, ValueError, "subspace=0; give a whole number of at least 1"),
    ({"subspace": -2}, ValueError, "subspace=-2; give a whole number of at least 1"),
    ({"subspace": 1.5}, TypeError, r"subspace=1\.5 is not a whole number; give one"),
    ({"subspace": True}, TypeError, "subspace=True is not a whole number; give one"),
    ({"subspace": 5}, ValueError, "subspace=5: give .* 1 to 4"),
    (
        {"subspace": 2, "subspace_law": "cauchy"},
        ValueError,
        r"subspace_law='cauchy' is none of \('normal', 'sign'\)",
    ),
    (
        {"subspace": 2, "subspace_scale": "rows"},
        ValueError,
        r"subspace_scale='rows' is none of \('entries', 'columns', 'orthonormal'\)",
    ),
    ({"solver": "sgd"}, ValueError, "solver='sgd'; give one of 'auto', 'scipy'"),
    ({"backend": "tpu"}, ValueError, "backend='tpu'; give one of 'cpu', 'reference'"),
    ({"seed": -1}, ValueError, "seed=-1; give a whole number of at least 0"),
    ({"seed": 0.5}, TypeError, r"seed=0\.5 is not a whole number; give one of"),
    ({"seed": 2**64}, ValueError, r"seed=18446744073709551616; give one below 2\*\*64"),
    ({"max_iter": 0}, ValueError, "max_iter=0; give a whole number of at least 1"),
    ({"max_iter": 1.5}, TypeError, r"max_iter=1\.5 is not a whole number; give one"),
    ({"max_evaluations": 2}, ValueError, "max_evaluations=2; give .* at least 3"),
    ({"max_evaluations": 2, "solver": "scipy"}, ValueError, "=2; give .* at least 3"),
    ({"max_evaluations": "9"}, TypeError, "max_evaluations='9' is not a whole number"),
    ({"scaled": True}, ValueError, "scaled=True belongs to solver='scipy', .*'auto'"),
]


def never(w):
    raise AssertionError("called")


@pytest.mark.parametrize(("weights", "error", "match"), BAD_WEIGHTS)
def test_bad_weights(weights, error, match):
    with pytest.raises(error, match=match):
        sharpness(weights, never)


@pytest.mark.parametrize(("options", "error", "match"), BAD_OPTIONS)
def test_bad_options(options, error, match):
    with pytest.raises(error, match=match):
        sharpness(W, never, **options)


def test_too_many_columns_for_the_memory():
    with pytest.raises(
        ValueError,
        match=r"subspace=50000 of 100000 weights needs 37\.3 GiB .* at most 5368 col",
    ):
        sharpness(np.ones(100_000), never, subspace=50_000)


@pytest.mark.parametrize("loss_fn", [None, 3.0, "loss", np.ones(2)])
def test_a_callback_that_cannot_be_called(loss_fn):
    with pytest.raises(TypeError, match=r"loss_fn=.* is not callable; give a func"):
        sharpness(W, loss_fn)


@pytest.mark.parametrize("value", [2**64 - 1, np.int64(5), np.uint8(3)])
@pytest.mark.parametrize("sub", [None, 3])
def test_kinds_of_seeds(value, sub):
    loss_fn, w = separable(0, 9)
    result = sharpness(w, loss_fn, seed=value, subspace=sub)
    assert type(result.seed) is int
    same_bits(result, sharpness(w, loss_fn, seed=int(value), subspace=sub))
    json.dumps(result.to_dict())


def test_numpy_numbers_as_options():
    loss_fn, w = separable(0, 9)
    options = {"epsilon": np.float32(0.5), "subspace": np.int64(2)}
    result = sharpness(w, loss_fn, max_evaluations=np.int16(9), **options)
    assert json.loads(json.dumps(result.to_dict()))["subspace"]["columns"] == 2
    assert result.evaluations == 9


# Bad answers of the callback at the centre; more in test_objective.


def test_the_loss_must_stay_above_minus_one():
    for loss in (-1, -3.5):
        with pytest.raises(
            ValueError, match=r"returned -.* divides by 1 \+ loss: add a constant"
        ):
            sharpness(W, lambda w, loss=loss: (loss, w))
    assert sharpness(W, lambda w: (float(w.sum()) - 4.5, np.ones(4))).value > 0


@pytest.mark.parametrize("options", SOLVERS)
@pytest.mark.parametrize("call", [0, 1, 2])
def test_exceptions_of_the_callback_come_through(options, call):
    own = KeyError("my own")
    loss_fn, w = separable(0, 9)
    recorded = Recorded(loss_fn)

    def failing(x):
        if len(recorded.seen) == call:
            raise own
        return recorded(x)

    with pytest.raises(KeyError) as caught:
        sharpness(w, failing, **options)
    assert caught.value is own


def test_another_gradient_dtype_warns_once(dtype):
    other = np.float32 if dtype == np.float64 else np.float64
    loss_fn, w = separable(0, 9, dtype)

    def convert(x):
        loss, g = loss_fn(x)
        return loss, g.astype(other)

    with pytest.warns(
        SharpkitWarning, match=f"gradients of dtype {np.dtype(other)} for weights of"
    ) as warned:
        result = sharpness(w, convert)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert result.max_loss == sharpness(w, loss_fn).max_loss


# Progress.


@pytest.mark.parametrize("options", SOLVERS)
def test_progress(options):
    loss_fn, w = separable(0, 9)
    told = []
    result = sharpness(w, loss_fn, progress=lambda *now: told.append(now), **options)
    budget = 25 if options["solver"] == "auto" else None
    assert [now[0] for now in told] == list(range(3, result.evaluations + 1))
    assert {now[1] for now in told} == {budget}
    np.testing.assert_allclose([now[2] for now in told], result.history[2:])


def test_seconds():
    loss_fn, w = separable(0, 9)
    result = sharpness(w, loss_fn)
    assert 0 < result.callback_seconds < result.seconds


@pytest.mark.parametrize("epsilon", [1e-50, 1e38])
def test_a_box_beyond_the_dtype(epsilon):
    with pytest.raises(ValueError, match="beyond the range of float32"):
        sharpkit.sharpness(np.ones(3, np.float32), never, epsilon=epsilon)
