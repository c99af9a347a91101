"""The kernels of the box, of every backend, against the reference.

Whatever rounds once, or by operations that nothing can fuse, must agree to the bit;
z + t d may be fused, so it has a bound.
"""

from __future__ import annotations

import numpy as np
from each import each
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from kernel_cases import CHUNK, EPS, SIZES, radius

from sharpkit._vectors.kernels import reference


def both(kernels, name, *args):
    """Return the two outputs of a step, in arrays of their own."""
    z_out, x_out = np.full((2, args[0].size), np.nan, args[0].dtype)
    getattr(kernels, name)(*args, z_out, x_out)
    return z_out, x_out


@each(n=SIZES)
def test_radius(kernels, vectors, dtype, n):
    w, out = vectors(2, n)
    kernels.box_radius(w, EPS, out)
    np.testing.assert_array_equal(out, dtype(EPS) * (np.abs(w) + dtype(1)))
    kernels.box_radius(w, EPS, w)
    np.testing.assert_array_equal(w, out)


@each(n=SIZES, t=(0.0, 1e-4, -3e-3))
def test_step(kernels, problem, dtype, n, t):
    w, z, d = problem(n)
    z_out, x_out = both(kernels, "box_step", w, EPS, z, d, t)
    z8, d8, r8 = (a.astype(float) for a in (z, d, radius(w)))
    eps = np.finfo(dtype).eps
    want = np.clip(z8 + t * d8, -r8, r8)
    assert (np.abs(z_out - want) <= 2 * eps * (np.abs(z8) + np.abs(t * d8))).all()
    assert (np.abs(z_out) <= radius(w)).all()
    np.testing.assert_array_equal(x_out, w + z_out)


@each(n=SIZES, share=(0.0, 0.3, 1.0))
def test_toward(kernels, problem, dtype, n, share):
    w, z, d = problem(n)
    z_out, x_out = both(kernels, "box_toward", w, EPS, z, d, share)
    z8, d8, r8 = (a.astype(float) for a in (z, d, radius(w)))
    want = np.where(d == 0, z8, (1 - share) * z8 + share * r8 * np.sign(d8))
    # One rounding to the dtype after those in float64.
    bound = np.finfo(dtype).eps / 2 * np.abs(want) + 1e-15 * r8
    assert (np.abs(z_out - want) <= bound).all()
    assert (np.abs(z_out) <= radius(w)).all()
    np.testing.assert_array_equal(x_out, w + z_out)


@each(sign=(1, -1))
def test_whole_way_reaches_the_corner(kernels, problem, dtype, sign):
    w, z, d = problem(1000)
    d[1::3] = np.copysign(np.finfo(dtype).smallest_subnormal, d[1::3])
    d[:2] = 0.0, -0.0
    z_out, x_out = both(kernels, "box_toward", w, EPS, z, sign * d, 1.0)
    corner = np.where(d == 0, z, sign * np.sign(d) * radius(w))
    np.testing.assert_array_equal(z_out, corner)
    np.testing.assert_array_equal(x_out, w + z_out)


@each(move=(("box_step", 1e-4), ("box_toward", 0.3)), n=(0, 1, 4097, CHUNK + 1))
def test_outputs_may_be_missing_or_inputs(kernels, problem, move, n):
    name, t = move
    w, z, d = problem(n)
    kernel = getattr(kernels, name)
    z_out, x_out = both(kernels, name, w, EPS, z, d, t)
    alone = np.full((2, n), np.nan, w.dtype)
    kernel(w, EPS, z, d, t, alone[0], None)
    kernel(w, EPS, z, d, t, None, alone[1])
    kernel(w, EPS, z, d, t, None, None)
    np.testing.assert_array_equal(alone, [z_out, x_out])
    for place in (0, 1):
        for x in (np.empty_like(w), None):
            own = [z.copy(), d.copy()]
            kernel(w, EPS, *own, t, own[place], x)
            np.testing.assert_array_equal(own[place], z_out)
            assert x is None or np.array_equal(x, x_out)


@each(n=SIZES)
def test_free(kernels, problem, vectors, n):
    w, z, _ = problem(n)
    v, out = vectors(2, n)
    kernels.box_free(w, EPS, z, v, out)
    np.testing.assert_array_equal(out, np.where(np.abs(z) < radius(w), v, 0))
    kernels.box_free(w, EPS, z, v, v)
    np.testing.assert_array_equal(v, out)


@each(n=SIZES, scale=(1.0, 1e-4))
def test_residual(kernels, problem, dtype, n, scale):
    w, z, g = problem(n)
    g *= dtype(scale)
    got = kernels.box_residual(w, EPS, z, g)
    assert isinstance(got, float)
    assert got == reference.box_residual(w, EPS, z, g)


@each(n=SIZES)
def test_reach(kernels, problem, n):
    w, z, d = problem(n)
    z *= z.dtype.type(0.9)
    got = kernels.box_reach(w, EPS, z, d)
    assert isinstance(got, float)
    assert got == reference.box_reach(w, EPS, z, d)


def test_extremes_are_found_wherever_they_are(kernels, dtype):
    n = CHUNK + 300
    w, z, d = np.zeros((3, n), dtype)
    assert kernels.box_residual(w, 1.0, z, d) == 0
    assert kernels.box_reach(w, 1.0, z, d) == np.inf
    for place in [0, 1, 31, 2047, 2048, CHUNK - 1, CHUNK, n - 2, n - 1]:
        d[:] = 0.25
        d[place] = -0.5
        assert kernels.box_residual(w, 1.0, z, d) == 0.5
        assert kernels.box_reach(w, 1.0, z, d) == 2
        d[:], d[place] = 0, 2**-20
        assert kernels.box_residual(w, 1.0, z, d) == 2**-20
        assert kernels.box_reach(w, 1.0, z, d) == 2**20
    z[5] = d[5] = 2.0  # outside, as rounding may leave it
    assert kernels.box_reach(w, 1.0, z, d) == -0.5
    z[5] = 1.0  # on the wall, and towards it
    assert kernels.box_reach(w, 1.0, z, d) == 0


@each(move=(("box_step", 1e-3), ("box_toward", 1.0)))
def test_steps_pass_nan(kernels, problem, move):
    name, t = move
    w, z, d = problem(1000)
    w[10] = z[11] = d[12] = np.nan
    w[13] = z[14] = np.nan
    d[13:15] = 0
    z_out, x_out = both(kernels, name, w, EPS, z, d, t)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(z_out)), range(10, 15))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(x_out)), range(10, 15))


def test_free_takes_nan_for_inside(kernels, problem, vectors):
    w, z, _ = problem(1000)
    (v,) = vectors(1, 1000)
    w[10] = z[11] = v[12] = np.nan
    z[12], z[13] = 0, 1
    out = np.empty_like(v)
    kernels.box_free(w, EPS, z, v, out)
    np.testing.assert_array_equal(out[10:14], [*v[10:13], 0])


@each(which=(0, 1, 2), sign=(1, -1))
def test_extremes_pass_nan(kernels, problem, which, sign):
    args = problem(CHUNK + 9)
    for place in (0, 1, 7, 999, 2048, CHUNK, CHUNK + 8):
        before = args[which][place]
        args[which][place] = np.copysign(np.nan, sign)
        assert np.isnan(kernels.box_residual(args[0], EPS, *args[1:]))
        assert np.isnan(kernels.box_reach(args[0], EPS, *args[1:]))
        args[which][place] = before


def test_infinities(kernels, dtype):
    inf = np.inf
    w = np.array([0, 0, 0, inf, inf, -inf, 1, 1], dtype)
    z = np.array([0, 0, 0.5, 0.25, 1, 0, -2, 2], dtype)
    d = np.array([inf, -inf, 0, 1, inf, -inf, 0.5, 0.5], dtype)
    with np.errstate(invalid="ignore"):
        for name, share in [("box_step", 0.5), ("box_toward", 0.5)]:
            got, want = (
                both(k, name, w, 1.0, z, d, share) for k in (kernels, reference)
            )
            np.testing.assert_array_equal(got, want)
        for i in range(len(w)):
            args = w[i : i + 1], 1.0, z[i : i + 1], d[i : i + 1]
            for name in ("box_residual", "box_reach"):
                got, want = (getattr(k, name)(*args) for k in (kernels, reference))
                np.testing.assert_array_equal(got, want)


def coordinates(low, high, n=7):
    """Vectors that float32 holds, so that every dtype sees the same numbers."""
    number = st.floats(low, high, width=32, allow_subnormal=False)
    return arrays(np.float32, n, elements=number)


boxes = st.tuples(coordinates(-2, 2), coordinates(-1, 1), coordinates(-1, 1))


@settings(deadline=None)
@given(boxes, st.floats(0, 4, width=32))
def test_the_path_is_made_of_steps(kernels, dtype, box, t):
    w, share, g = (a.astype(dtype) for a in box)
    z = share * radius(w)
    z_out, _ = both(kernels, "box_step", w, EPS, z, g, t)
    found = kernels.path_gram(np.eye(7, dtype=dtype), w, EPS, z, g, np.array([t]))
    np.testing.assert_array_equal(found[0, :7, 1], z_out - z)
    # It goes on along g, or has stopped at a wall.
    v = found[0, :7, 0]
    np.testing.assert_array_equal(v[v != 0], g[v != 0])
    stopped = (v == 0) & (g != 0)
    np.testing.assert_array_equal(z_out[stopped], (np.sign(g) * radius(w))[stopped])


@settings(deadline=None)
@given(boxes)
def test_reach_is_the_longest_step(kernels, dtype, box):
    w, share, d = (a.astype(dtype) for a in box)
    d[np.abs(d) < 1e-3] = 0
    z = share * radius(w)
    t = kernels.box_reach(w, EPS, z, d)
    z8, d8, r8 = (a.astype(float) for a in (z, d, radius(w)))
    if not d.any():
        assert t == np.inf
        return
    rounding = 4 * np.finfo(float).eps
    assert (np.abs(z8 + t * d8) <= r8 * (1 + rounding)).all()
    more = t * (1 + 1e-9) + 1e-9
    assert (np.abs(z8 + more * d8) > r8 * (1 + rounding)).any()
