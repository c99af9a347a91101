"""Sums along the gradient's path and over free coordinates, against the reference."""

from __future__ import annotations

import numpy as np
from each import each
from kernel_cases import EPS, SIZES, radius

# Three rows of every length, and every number of rows of one length.
BLOCKS = (*((3, n) for n in SIZES), *((k, 1000) for k in range(23)), (9, 0), (9, 5))
STEPS = ((), (1e-4,), (0.0, 1e-3), (1e-5, 1e-3, 1e-1))


def path_sums(A, w, z, g, ts):
    """Return the sums of `path_gram` in float64, and how far off they may be."""
    eps = np.finfo(w.dtype).eps
    rows, r8, z8, g8 = (
        a.astype(float) for a in (np.concatenate([A, g[None]]), radius(w), z, g)
    )
    want, bound = np.empty((2, len(ts), len(rows), 2))
    for i, t in enumerate(ts):
        ahead = z8 + float(w.dtype.type(t)) * g8
        off = eps * (np.abs(z8) + np.abs(ahead - z8))  # a product and a sum
        stuck = (np.abs(ahead) >= r8) & (g8 * ahead > 0)
        doubtful = np.abs(np.abs(ahead) - r8) <= off
        v, u = np.where(stuck, 0, g8), np.clip(ahead, -r8, r8) - z8
        slack = np.stack([np.abs(g8) * doubtful, off + eps * np.abs(u)])
        exact = np.stack([v, u])
        order = 4 * np.finfo(float).eps * np.sqrt(len(w) + 1)
        want[i] = rows @ exact.T
        bound[i] = np.abs(rows) @ (slack + order * np.abs(exact)).T
    return want, bound


@each(block=BLOCKS, ts=STEPS)
def test_path_gram(kernels, problem, vectors, block, ts):
    k, n = block
    A, (w, z, g) = vectors(k, n), problem(n)
    got = kernels.path_gram(A, w, EPS, z, g, np.array(ts))
    assert got.dtype == np.float64
    assert got.shape == (len(ts), k + 1, 2)
    want, bound = path_sums(A, w, z, g, ts)
    assert (np.abs(got - want) <= bound).all()


@each(block=BLOCKS)
def test_free_gram(kernels, problem, vectors, block):
    A, (w, z, _) = vectors(*block), problem(block[1])
    got = kernels.free_gram(A, w, EPS, z)
    A8 = np.where(np.abs(z) < radius(w), A, 0).astype(float)
    bound = np.abs(A8) @ np.abs(A8).T * np.sqrt(len(w) + 1) * 4 * np.finfo(float).eps
    assert got.dtype == np.float64
    assert got.shape == (len(A), len(A))
    assert (np.abs(got - A8 @ A8.T) <= bound).all()
    np.testing.assert_array_equal(got, got.T)


def test_path_stops_at_the_walls(kernels, dtype):
    # r = 1 exactly, and the rows of A are the coordinates.
    g = np.array([4, -4, 1, 0, 2, -2, 0.5], dtype)
    z = np.array([0, 0, 0, 0, 1, -1, -1], dtype)
    w, A = np.zeros(7, dtype), np.eye(7, dtype=dtype)
    wall = dtype(0.25)  # where the first two stop
    ts = [np.nextafter(wall, dtype(0)), wall, np.nextafter(wall, dtype(1))]
    before, at, after = kernels.path_gram(A, w, 1.0, z, g, np.array(ts, float))
    np.testing.assert_array_equal(before[:7, 0], [4, -4, 1, 0, 0, 0, 0.5])
    np.testing.assert_array_equal(at[:7, 0], [0, 0, 1, 0, 0, 0, 0.5])
    np.testing.assert_array_equal(after[:7, 0], at[:7, 0])
    np.testing.assert_array_equal(at[:7, 1], [1, -1, 0.25, 0, 0, 0, 0.125])
    np.testing.assert_array_equal(after[:2, 1], [1, -1])
    np.testing.assert_array_equal(before[:2, 1], [4 * ts[0], -4 * ts[0]])
    np.testing.assert_array_equal(before[7, 0], 33.25)
    np.testing.assert_array_equal(at[7], [1.25, 8.3125])


def test_sums_over_the_box_pass_nan(kernels, problem, vectors):
    n, ts = 3000, np.array([1e-4, 1e-3])
    for which in range(3):
        A, args = vectors(5, n), problem(n)
        args[which][2100] = np.nan
        found = kernels.path_gram(A, args[0], EPS, *args[1:], ts)
        assert np.isnan(found[:, :, 1]).all()
        assert np.isnan(found[:, 5]).all() == (which == 2)
        assert np.isnan(found[:, :5, 0]).all() == (which == 2)
    A, (w, z, g) = vectors(5, n), problem(n)
    A[3, 2100], z[2100] = np.nan, 0
    found = np.isnan(kernels.path_gram(A, w, EPS, z, g, ts))
    np.testing.assert_array_equal(found.all(axis=(0, 2)), np.arange(6) == 3)
    assert not np.delete(found, 3, axis=1).any()
    hit = np.arange(5) == 3
    found = np.isnan(kernels.free_gram(A, w, EPS, z))
    np.testing.assert_array_equal(found, hit | hit[:, None])
    z[2100] = 1  # on the other side of the wall it does not count
    assert np.isfinite(kernels.free_gram(A, w, EPS, z)).all()
