from __future__ import annotations

import importlib

import numpy as np
import pytest

from sharpkit._box.subspace import FullSpace, RandomSubspace
from sharpkit._vectors.backends import MODULES
from sharpkit._vectors.kernels import cpu, reference
from sharpkit._vectors.space import Space

N, P = 50, 6
LAWS, SCALES = ["normal", "sign"], ["entries", "columns", "orthonormal"]


@pytest.fixture
def kernels(backend):
    return importlib.import_module(MODULES[backend])


def weights(dtype):
    return np.random.default_rng(0).standard_normal(N).astype(dtype)


def subspace(kernels, w, law="normal", scale="entries", *, columns=P, seed=5):
    space = Space(kernels, w.size, w.dtype)
    return RandomSubspace(space, w, columns, 0.01, law=law, scale=scale, seed=seed)


def radius(where):
    out = where.search.empty()
    where.search.box_radius(where.anchor, where.epsilon, out)
    return out


def matrix(where):
    """Read A off the products with the unit vectors of the search space."""
    return np.array([where.pull(row) for row in np.eye(N, dtype=where._x.dtype)])


def test_the_full_space(kernels, dtype):
    w = weights(dtype)
    where = FullSpace(Space(kernels, N, dtype), w, 0.01)
    assert where.search.size == N
    one = dtype.type
    want = one(0.01) * (np.abs(w) + one(1))
    r = radius(where)
    np.testing.assert_allclose(r, want, rtol=2 * np.finfo(dtype).eps)
    z, out = np.zeros(N, dtype), np.empty(N, dtype)
    d = np.tile(np.array([1, -1e-30, 0, 5, -5], dtype), N // 5)
    np.testing.assert_array_equal(where.toward(z, d, 1.0, out), w + out)
    np.testing.assert_array_equal(out, r * np.sign(d))
    np.testing.assert_array_equal(where.step(z, d, 1e-3, out), w + out)
    np.testing.assert_array_equal(where.step(z, d, 1e-3, None), w + out)
    np.testing.assert_array_equal(where.weights_at(10 * r), w + 10 * r)
    assert where.displacement(out) is out
    assert where.pull(d) is d
    assert where.scratch().shape == (N,)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("scale", SCALES)
def test_the_matrix_is_that_of_the_fills(kernels, dtype, law, scale):
    A = matrix(subspace(kernels, weights(dtype), law, scale))
    assert A.shape == (N, P)
    drawn = np.empty((P, N))
    for i, row in enumerate(drawn):
        fill = reference.fill_normal if law == "normal" else reference.fill_signs
        fill(row, 5, (1 << 32) + i, 0)
    rtol = 1e-5 if law == "normal" else 1e-12  # normals: to float32 roundings
    if scale == "entries":
        np.testing.assert_allclose(A, drawn.T, rtol=rtol, atol=1e-6)
    elif scale == "columns":
        np.testing.assert_allclose(np.linalg.norm(A, axis=0), 1, rtol=1e-14)
        want = drawn.T / np.linalg.norm(drawn, axis=1)
        np.testing.assert_allclose(A, want, rtol=rtol, atol=1e-6)
    else:
        np.testing.assert_allclose(A.T @ A, np.eye(P), atol=1e-14)
        # The same span: A A^T projects onto that of the columns as drawn.
        np.testing.assert_allclose(A @ (A.T @ drawn.T), drawn.T, atol=3e-6)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("columns", [1, P, N])
def test_the_box_is_that_of_the_pseudo_inverse(kernels, law, scale, columns):
    w = weights(np.float64)
    where = subspace(kernels, w, law, scale, columns=columns)
    A = matrix(where)
    want = 0.01 * (np.abs(np.linalg.pinv(A) @ w) + 1)
    # The Gram matrix of the columns as drawn is solved with: its condition counts.
    drawn = matrix(subspace(kernels, w, law, columns=columns))
    rtol = 1e-15 * columns * np.linalg.cond(drawn) ** 2 + 1e-14
    np.testing.assert_allclose(radius(where), want, rtol=rtol)
    assert where.anchor.dtype == where.search.dtype == np.float64


def test_products_and_steps(kernels, dtype):
    w = weights(dtype)
    where = subspace(kernels, w, scale="columns")
    A = matrix(where)
    rng = np.random.default_rng(1)
    z, g = rng.standard_normal(P), rng.standard_normal(N).astype(dtype)
    eps = float(np.finfo(dtype).eps)
    x = where.weights_at(z)
    assert x.dtype == dtype
    np.testing.assert_allclose(x, w + A @ z, rtol=0, atol=4 * eps * np.abs(x).max())
    np.testing.assert_allclose(where.pull(g), A.T @ g, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(where.weights_at(0 * z), w)
    change = where.displacement(z)
    assert change.dtype == dtype
    np.testing.assert_allclose(change, A @ z, rtol=0, atol=8 * eps * np.abs(x).max())
    assert not np.shares_memory(change, where.weights_at(z))
    out = np.empty(P)
    moved = where.step(np.zeros(P), z, 1e9, out)
    r = radius(where)
    np.testing.assert_array_equal(out, r * np.sign(z))
    np.testing.assert_array_equal(moved, where.weights_at(out))
    z[2] = 0
    moved = where.toward(0.1 * r, z, 1.0, None).copy()
    want = np.where(z == 0, 0.1, np.sign(z)) * r
    np.testing.assert_array_equal(moved, where.weights_at(want))


def test_the_dtype_of_the_weights_does_not_change_the_subspace():
    one, other = (
        subspace(cpu, weights(np.float32).astype(dtype))
        for dtype in (np.float32, np.float64)
    )
    np.testing.assert_allclose(matrix(one), matrix(other), rtol=1e-7)
    np.testing.assert_allclose(radius(one), radius(other), rtol=1e-12)


def test_seeds_and_columns_differ():
    a, b = (matrix(subspace(cpu, weights(np.float64), seed=seed)) for seed in (0, 1))
    both = np.concatenate([a, b], axis=1)
    correlation = np.corrcoef(both.T) - np.eye(2 * P)
    assert np.abs(correlation).max() < 0.6  # 4 standard errors


@pytest.mark.parametrize("scale", SCALES)
def test_dependent_columns(scale):
    w = np.ones(2)
    with pytest.raises(
        ValueError,
        match="subspace=2 with subspace_law='sign' and seed=0 drew linearly dependent",
    ):
        subspace(cpu, w, "sign", scale, columns=2, seed=0)
