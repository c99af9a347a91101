"""Float-only callbacks, subspaces, the budget, and the paper's recipe."""

import importlib

import numpy as np
import pytest
from measures_shared import SOLVERS, separable
from problems import (
    Linear,
    Recorded,
    Separable,
    flat,
    radius,
    rotated,
    without_gradient,
)
from scipy.optimize import minimize

from sharpkit import LBFGSB, ScipyLBFGSB, Status, Subspace
from sharpkit._box import columns
from sharpkit._vectors.backends import MODULES
from sharpkit.measures.sharpness import sharpness

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
    looks = got.calls - (got.evaluations + 2 * size * (got.evaluations - 1))
    assert 0 < looks < 100
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
    fill = {"normal": reference.fill_normal, "rademacher": reference.fill_signs}[law]
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


@pytest.mark.parametrize("law", ["normal", "rademacher"])
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
        subspace=Subspace(p, law, scale),
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
    assert result.subspace == Subspace(p, law, scale)


def test_as_many_directions_as_weights():
    loss_fn, w = separable(4, 6)
    result = sharpness(w, loss_fn, subspace=Subspace(6, scale="orthonormal"))
    assert result.value > 0
    assert result.displacement.shape == (6,)
    with pytest.raises(ValueError, match=r"subspace=7: give .* 1 to 6 .*the full"):
        sharpness(w, loss_fn, subspace=7)


def test_dependent_directions():
    loss_fn, w = separable(4, 2)
    options = {"subspace": Subspace(2, "rademacher")}
    assert sharpness(w, loss_fn, seed=1, **options).value > 0
    with pytest.raises(
        ValueError,
        match="subspace=2 with distribution='rademacher' and seed=0 drew linearly depe",
    ):
        sharpness(w, loss_fn, seed=0, **options)


def test_a_bad_callback_is_noticed_before_the_directions_are_drawn(monkeypatch):
    def draw(*_args, **_options):
        raise AssertionError("drawn")

    monkeypatch.setattr(importlib.import_module(MODULES["cpu"]), "fill_normal", draw)
    with pytest.raises(ValueError, match="loss_fn returned nan"):
        sharpness(np.ones(5), lambda w: float("nan"), subspace=3)
    with pytest.raises(AssertionError, match="drawn"):  # and would be drawn there
        sharpness(np.ones(5), lambda w: 1.0, subspace=3)


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
    looks = 2  # at the noise near the weights, beside the search
    assert len(recorded.seen) - looks == result.evaluations <= budget
    if options["solver"] == "auto" and sub is None:  # a cube has few corners
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
@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("solver", [ScipyLBFGSB, LBFGSB])
def test_the_recipe_is_that_of_scipy(solver, max_iter, rescale, backend):
    loss_fn = rotated(np.random.default_rng(3), 30)
    w = 1 + 0.05 * np.random.default_rng(4).standard_normal(30)
    r = radius(w, 0.1)
    loss, gradient = loss_fn(w)
    scale = np.sum(r**2) / np.sum(r * np.abs(gradient)) if rescale else 1.0
    losses = []

    def negative(z):
        found, g = loss_fn(w + z)
        losses.append(found)
        return -scale * found, -scale * g

    options = {"maxiter": max_iter} | ({"ftol": 0, "gtol": 0} if rescale else {})
    done = minimize(
        negative,
        np.zeros(30),
        jac=True,
        method="L-BFGS-B",
        bounds=np.column_stack([-r, r]),
        options=options,
    )
    result = sharpness(
        w, loss_fn, epsilon=0.1, solver=solver(max_iter, rescale), backend=backend
    )
    assert done.nfev == len(losses) >= 2
    assert result.evaluations == done.nfev + 1  # the centre twice
    assert result.max_loss == pytest.approx(max(losses), rel=1e-12)
    assert result.max_loss > loss
    assert result.starts == (result.value,)
    name = "L-BFGS-B" if solver is LBFGSB else "scipy L-BFGS-B"
    want = f"{name}, {max_iter} iterations" + (", scaled" if rescale else "")
    assert result.solver == want


@pytest.mark.parametrize("solver", [ScipyLBFGSB, LBFGSB])
def test_scaling_helps_near_a_stationary_point(solver):
    loss_fn = Separable(np.linspace(1e-6, 1e-5, 20), np.zeros(20), floor=1.0)
    w = np.full(20, 1e-2)
    plain = sharpness(w, loss_fn, solver=solver())
    assert plain.value == 0
    assert plain.status is Status.STALLED
    scaled = sharpness(w, loss_fn, solver=solver(rescale=True))
    # The losses differ from 1 by so little that their rounding shows.
    assert scaled.max_loss == pytest.approx(loss_fn.maximum(w, 1e-3), rel=1e-15)
    assert scaled.value > 0
    assert scaled.status is Status.CONVERGED


@pytest.mark.parametrize("scale", ["entries", "columns", "orthonormal"])
def test_the_memory_of_a_subspace_does_not_change_the_result(scale, monkeypatch):
    monkeypatch.setattr(columns, "SLAB_BYTES", 1)  # slabs of 1024 weights
    loss_fn, w = separable(1, 3000)
    one, other = Subspace(7, scale=scale), Subspace(7, scale=scale, memory=0)
    kept = sharpness(w, loss_fn, subspace=one, epsilon=0.01)
    drawn_again = sharpness(w, loss_fn, subspace=other, epsilon=0.01)
    assert kept.value == drawn_again.value > 0
    np.testing.assert_array_equal(kept.history, drawn_again.history)
