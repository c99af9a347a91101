import numpy as np
import pytest

from sharpkit._box.subspace import FullSpace, RandomSubspace, Subspace, subspace_from
from sharpkit._vectors.kernels import cpu, reference
from sharpkit._vectors.space import Space
from sharpkit._vectors.streams import Stream

N, P = 50, 6
DISTRIBUTIONS, SCALES = ["normal", "rademacher"], ["entries", "columns", "orthonormal"]


def weights(dtype):
    return np.random.default_rng(0).standard_normal(N).astype(dtype)


def subspace(kernels, w, distribution="normal", scale="entries", *, columns=P, seed=5):
    space = Space(kernels, w.size, w.dtype)
    drawn = Subspace(columns, distribution, scale)
    return RandomSubspace(space, w, drawn, 0.01, seed=seed)


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


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("scale", SCALES)
def test_the_matrix_is_that_of_the_fills(kernels, dtype, distribution, scale):
    A = matrix(subspace(kernels, weights(dtype), distribution, scale))
    assert A.shape == (N, P)
    drawn = np.empty((P, N))
    for i, row in enumerate(drawn):
        fill = (
            reference.fill_normal if distribution == "normal" else reference.fill_signs
        )
        fill(row, 5, Stream.SUBSPACE + i, 0)
    rtol = 1e-5 if distribution == "normal" else 1e-12  # normals: to float32 roundings
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


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("columns", [1, P, N])
def test_the_box_is_that_of_the_pseudo_inverse(kernels, distribution, scale, columns):
    w = weights(np.float64)
    where = subspace(kernels, w, distribution, scale, columns=columns)
    A = matrix(where)
    want = 0.01 * (np.abs(np.linalg.pinv(A) @ w) + 1)
    # The Gram matrix of the columns as drawn is solved with: its condition counts.
    drawn = matrix(subspace(kernels, w, distribution, columns=columns))
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
        match="subspace=2 with distribution='rademacher' and seed=0 drew linearly "
        "dependent directions; ask for fewer, or take another distribution or seed",
    ):
        subspace(cpu, w, "rademacher", scale, columns=2, seed=0)


def test_a_number_is_a_subspace_of_so_many_columns():
    assert subspace_from(None, 5) is None
    assert subspace_from(np.int64(5), 5) == Subspace(5, "normal", "entries", 1 << 30)
    drawn = Subspace(columns=3, distribution="rademacher", scale="columns", memory=0)
    assert subspace_from(drawn, 3) is drawn
    assert type(Subspace(np.int64(5), memory=np.int64(7)).columns) is int
    assert hash(drawn) != hash(Subspace(3))


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"columns": 0}, ValueError, "columns=0; give a whole number of at least 1"),
        ({"columns": 1.5}, TypeError, r"columns=1\.5 is not a whole number; give one"),
        ({"columns": True}, TypeError, "columns=True is not a whole number; give one"),
        ({"memory": -1}, ValueError, "memory=-1; give a whole number of at least 0"),
        ({"memory": 1e9}, TypeError, r"memory=1000000000\.0 is not a whole number"),
        ({"distribution": "sign"}, ValueError, "='sign'; give one of 'normal', 'rade"),
        (
            {"scale": "rows"},
            ValueError,
            "scale='rows'; give one of 'entries', 'columns",
        ),
        ({"columns": 32769}, ValueError, "32769 x 32769 .* GiB; give at most 32768"),
    ],
)
def test_options_that_cannot_be_had(options, error, match):
    with pytest.raises(error, match=match):
        Subspace(**({"columns": 2} | options))
    assert Subspace(32768).columns == 32768


@pytest.mark.parametrize(
    ("subspace", "error", "match"),
    [
        (0, ValueError, "subspace=0; give a whole number of at least 1"),
        (True, TypeError, "subspace=True is not a whole number; give one of at least"),
        ("full", TypeError, "subspace='full' is not a whole number; give one of at"),
        (5, ValueError, "subspace=5: give .* 1 to 4 .* or None for the full space"),
        (
            Subspace(5),
            ValueError,
            r"subspace=Subspace\(columns=5, .*\): give .* 1 to 4",
        ),
    ],
)
def test_subspaces_that_there_are_not(subspace, error, match):
    with pytest.raises(error, match=match):
        subspace_from(subspace, 4)
