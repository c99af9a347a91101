"""The reference's box against formulas in float64, and where NaN shows in it."""

import numpy as np
import pytest

from sharpkit._vectors.kernels import reference

N, EPS = 1000, 1e-3


def radius(w):
    r = np.empty_like(w)
    reference.box_radius(w, EPS, r)
    return r


def both(name, *args):
    """Return the two outputs of a step."""
    z_out, x_out = np.full((2, args[0].size), np.nan, args[0].dtype)
    getattr(reference, name)(*args, z_out, x_out)
    return z_out, x_out


def wide(*arrays):
    return [a.astype(float) for a in arrays]


def test_radius(vectors, dtype):
    (w,) = vectors(1, N)
    np.testing.assert_array_equal(radius(w), dtype(EPS) * (np.abs(w) + dtype(1)))


@pytest.mark.parametrize("t", [0.0, 1e-4, -3e-3])
def test_step(problem, dtype, t):
    w, z, d = problem(N)
    z_out, x_out = both("box_step", w, EPS, z, d, t)
    z8, d8, r8 = wide(z, d, radius(w))
    eps = np.finfo(dtype).eps
    want = np.clip(z8 + t * d8, -r8, r8)
    assert (np.abs(z_out - want) <= 2 * eps * (np.abs(z8) + np.abs(t * d8))).all()
    assert (np.abs(z_out) <= radius(w)).all()
    np.testing.assert_array_equal(x_out, w + z_out)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_toward(problem, dtype, share):
    w, z, d = problem(N)
    z_out, x_out = both("box_toward", w, EPS, z, d, share)
    z8, d8, r8 = wide(z, d, radius(w))
    want = np.where(d == 0, z8, (1 - share) * z8 + share * r8 * np.sign(d8))
    # One rounding to the dtype after those in float64.
    bound = np.finfo(dtype).eps / 2 * np.abs(want) + 1e-15 * r8
    assert (np.abs(z_out - want) <= bound).all()
    assert (np.abs(z_out) <= radius(w)).all()
    np.testing.assert_array_equal(x_out, w + z_out)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_whole_way_reaches_the_corner(problem, dtype, sign):
    w, z, d = problem(N)
    d[1::3] = np.copysign(np.finfo(dtype).smallest_subnormal, d[1::3])
    d[:2] = 0.0, -0.0
    z_out, x_out = both("box_toward", w, EPS, z, sign * d, 1.0)
    corner = np.where(d == 0, z, sign * np.sign(d) * radius(w))
    np.testing.assert_array_equal(z_out, corner)
    np.testing.assert_array_equal(x_out, w + z_out)


def test_free_coordinates(problem, vectors):
    w, z, _ = problem(N)
    A, inside, out = vectors(5, N), np.abs(z) < radius(w), np.empty_like(w)
    assert 0 < inside.sum() < N
    reference.box_free(w, EPS, z, A[0], out)
    np.testing.assert_array_equal(out, np.where(inside, A[0], 0))
    (A8,) = wide(A[:, inside])
    found = reference.free_gram(A, w, EPS, z)
    np.testing.assert_allclose(found, A8 @ A8.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_residual(problem, dtype, scale):
    w, z, g = problem(N)
    g *= dtype(scale)
    z8, g8, r8 = wide(z, g, radius(w))
    want = np.abs(np.clip(z8 + g8, -r8, r8) - z8).max()
    found = reference.box_residual(w, EPS, z, g)
    assert found == pytest.approx(want, rel=4 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("t", [0.0, 1e-5, 1e-3, 1e-1])
def test_path(problem, vectors, dtype, t):
    A, (w, z, g) = vectors(3, N), problem(N)
    rows, r8, z8, g8 = wide(np.concatenate([A, g[None]]), radius(w), z, g)
    ahead = z8 + float(dtype(t)) * g8
    eps = np.finfo(dtype).eps
    off = eps * (np.abs(z8) + np.abs(ahead - z8))  # a product and a sum
    stuck = (np.abs(ahead) >= r8) & (g8 * ahead > 0)
    doubtful = np.abs(np.abs(ahead) - r8) <= off
    v, u = np.where(stuck, 0, g8), np.clip(ahead, -r8, r8) - z8
    slack = np.stack([np.abs(g8) * doubtful, off + eps * np.abs(u)])
    exact = np.stack([v, u])
    bound = np.abs(rows) @ (slack + 1e-12 * np.abs(exact)).T
    found = reference.path_gram(A, w, EPS, z, g, np.array([t]))
    assert (np.abs(found[0] - rows @ exact.T) <= bound).all()


@pytest.mark.parametrize(("name", "t"), [("box_step", 1e-3), ("box_toward", 1.0)])
def test_steps_pass_nan(problem, name, t):
    w, z, d = problem(N)
    w[10] = z[11] = d[12] = np.nan
    w[13] = z[14] = np.nan
    d[13:15] = 0
    for out in both(name, w, EPS, z, d, t):
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(out)), range(10, 15))


def test_free_takes_nan_for_inside(problem, vectors):
    w, z, _ = problem(N)
    (v,) = vectors(1, N)
    w[10] = z[11] = v[12] = np.nan
    z[12], z[13] = 0, 1
    out = np.empty_like(v)
    reference.box_free(w, EPS, z, v, out)
    np.testing.assert_array_equal(out[10:14], [*v[10:13], 0])
