"""Every backend does what the reference does, to the bit but for sums and normals.

The reference itself is held to formulas in test_reference.py.
"""

import kernel_checks as checks
import numpy as np
import pytest
import simt
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from sharpkit._vectors.kernels import cpu, reference

CHUNK = cpu.CHUNK
EPS = 1e-3
# Around the lengths of vector registers, random blocks, pieces and chunks.
SHORT = (0, 1, 2, 3, 7, 127, 128, 129, 1000, 2 * 2048 + 129)
LONG = (3 * CHUNK + 7, CHUNK - 1, CHUNK, CHUNK + 1)
# Rows come in tiles of four and eight, and there is another way for more than 32.
ROWS = (*range(11), 18, 20, 22, 40)
FILLS = ("fill_signs", "fill_normal")

either = pytest.mark.parametrize("backend", ["cpu", "cuda"], indirect=True)


@pytest.fixture
def lengths(backend):
    """All of them on the CPU; other chunks than its own need one that is long."""
    return (*SHORT, *(LONG if backend is cpu else LONG[:1]))


@pytest.fixture
def run(backend, dtype, threads):
    """Run a check on some threads, in some order; the bits must be the same."""

    def run(check, n, *rows, **options):
        ways = zip((1, 2, 16), simt.ORDERS, strict=True)
        # The CPU has a thread for each chunk, and few orders of so many take too long.
        several = n > CHUNK if backend is cpu else n < CHUNK
        results = set()
        for count, order in list(ways) if several else [(1, "forward")]:
            threads(count)
            with simt.using(order=order):
                own = checks.Arrays(backend, dtype)
                results.add(check(backend, own, n, *rows, **options))
        assert len(results) == 1, f"{n}, {rows}: the bits depend on the threads"

    return run


@either
@pytest.mark.parametrize("check", checks.OF_VECTORS)
def test_vectors(run, lengths, backend, check):
    for n in lengths:
        run(check, n)
    for n in SHORT:
        run(check, n, nan=True)
    if backend is cpu:
        run(check, 9 * CHUNK + 11)  # the fewest that are worth several threads


@either
@pytest.mark.parametrize("check", checks.OF_BLOCKS)
def test_blocks(run, lengths, check):
    for n in lengths:
        run(check, n, 5)
    for k in ROWS:
        run(check, 259, k)
    run(check, 259, 5, nan=True)


@either
@pytest.mark.parametrize("check", checks.FILLS)
def test_fills(run, lengths, check):
    for n in lengths:
        run(check, n)


@pytest.mark.parametrize("name", FILLS)
def test_fills_do_not_depend_on_what_is_asked_for(kernels, dtype, name):
    fill = getattr(kernels, name)
    whole, other = np.empty(2 * CHUNK, dtype), np.empty(2 * CHUNK)
    fill(whole, 1, 2, 0)
    fill(other, 1, 2, 0)
    np.testing.assert_array_equal(whole, other)
    for a, b in ((0, 1), (3, 9), (125, 131), (1, 5000), (CHUNK - 3, 2 * CHUNK)):
        part = np.empty(b - a, dtype)
        fill(part, 1, 2, a)
        np.testing.assert_array_equal(part, whole[a:b])
    if name == "fill_normal":
        np.testing.assert_array_equal(whole, whole.astype(np.float32))


def test_gram_of_large_float32_numbers_is_finite(kernels):
    A = np.full((3, 1000), 1e30, np.float32)
    np.testing.assert_allclose(kernels.gram(A, A), np.full((3, 3), 1e63), rtol=1e-6)


def test_combine_beyond_the_largest_number_is_infinite(kernels, dtype):
    out = np.zeros((1, 3), dtype)
    with np.errstate(over="ignore"):
        kernels.combine(np.array([[4.0]]), np.full((1, 3), np.finfo(dtype).max), out)
    assert np.isinf(out).all()


def test_sums_pass_nan_and_infinity(kernels, vectors):
    for k, bad in ((1, np.nan), (1, np.inf), (5, np.nan), (5, np.inf)):
        A, B, out = (vectors(k, 1000) for _ in range(3))
        B[k - 1, 500] = bad
        for finite in (
            np.isfinite(kernels.gram(A, B)),
            np.isfinite(kernels.gram(B, A)).T,
            np.isfinite(kernels.gram(B, B))[: k - 1],
        ):
            assert finite[:, : k - 1].all()
            assert not finite[:, k - 1].any()
        kernels.combine(np.ones((k, k)), B, out)
        np.testing.assert_array_equal(out[:, 500], np.full(k, bad))
        assert np.isfinite(np.delete(out, 500, axis=1)).all()


def test_combine_passes_what_it_adds_to_and_its_coefficients(kernels, vectors):
    for kb in (0, 1, 2, 6):
        B, out = vectors(kb, 300), vectors(2, 300)
        out[0, 100] = np.nan
        C = np.ones((2, kb))
        kernels.combine(C, B, out, 0.5)
        np.testing.assert_array_equal(np.argwhere(np.isnan(out)), [[0, 100]])
        C[1] = np.nan
        kernels.combine(C, B, out)
        assert np.isnan(out[1]).all() == (kb > 0)
        assert np.isfinite(out[0]).all()


def test_extremes_are_found_wherever_they_are(kernels, dtype):
    n = CHUNK + 300
    w, z, d = np.zeros((3, n), dtype)
    assert kernels.box_residual(w, 1.0, z, d) == 0
    assert kernels.box_reach(w, 1.0, z, d) == np.inf
    for place in (0, 1, 31, 2047, 2048, CHUNK - 1, CHUNK, n - 2, n - 1):
        d[:] = 0.25
        d[place] = -0.5
        assert kernels.box_residual(w, 1.0, z, d) == 0.5
        assert kernels.box_reach(w, 1.0, z, d) == 2
        d[:], d[place] = 0, 2**-20
        assert kernels.box_residual(w, 1.0, z, d) == 2**-20
        assert kernels.box_reach(w, 1.0, z, d) == 2**20
    z[5] = d[5] = 2.0  # outside, as rounding may leave it
    assert kernels.box_reach(w, 1.0, z, d) == -0.5
    z[6], d[6] = 3.0, 0.5  # the worst of two
    assert kernels.box_reach(w, 1.0, z, d) == -4
    z[5] = z[6] = 1.0  # on the wall, and towards it
    assert kernels.box_reach(w, 1.0, z, d) == 0


def test_extremes_pass_nan(kernels, problem):
    args = problem(CHUNK + 9)
    for array in args:
        for place in (0, 1, 7, 999, 2048, CHUNK, CHUNK + 8):
            before = array[place]
            for nan in (np.nan, -np.nan):
                array[place] = nan
                assert np.isnan(kernels.box_residual(args[0], EPS, *args[1:]))
                assert np.isnan(kernels.box_reach(args[0], EPS, *args[1:]))
            array[place] = before


def test_the_weights_may_be_written_over_the_direction(kernels, dtype):
    rng = np.random.default_rng(0)
    w, z, d = rng.standard_normal((3, 1000)).astype(dtype)
    want = np.empty_like(w)
    kernels.box_step(w, EPS, z, d, 0.5, None, want)
    kernels.box_step(w, EPS, z, d, 0.5, None, d)
    np.testing.assert_array_equal(d, want)


def test_infinities(kernels, dtype):
    inf = np.inf
    w = np.array([0, 0, 0, inf, inf, -inf, 1, 1], dtype)
    z = np.array([0, 0, 0.5, 0.25, 1, 0, -2, 2], dtype)
    d = np.array([inf, -inf, 0, 1, inf, -inf, 0.5, 0.5], dtype)
    with np.errstate(invalid="ignore"):
        for name in ("box_step", "box_toward"):
            got, want = np.full((2, 2, len(w)), np.nan, dtype)
            for module, out in ((kernels, got), (reference, want)):
                getattr(module, name)(w, 1.0, z, d, 0.5, *out)
            np.testing.assert_array_equal(got, want)
        for i in range(len(w)):
            args = w[i : i + 1], 1.0, z[i : i + 1], d[i : i + 1]
            for name in ("box_residual", "box_reach"):
                got, want = (getattr(k, name)(*args) for k in (kernels, reference))
                np.testing.assert_array_equal(got, want)


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


def coordinates(low, high, n=7):
    """Vectors that float32 holds, so that every dtype sees the same numbers."""
    number = st.floats(low, high, width=32, allow_subnormal=False)
    return arrays(np.float32, n, elements=number)


boxes = st.tuples(coordinates(-2, 2), coordinates(-1, 1), coordinates(-1, 1))


def placed(box, dtype):
    """Return weights, half widths, a place in the box and a direction."""
    w, share, d = (a.astype(dtype) for a in box)
    r = np.empty_like(w)
    reference.box_radius(w, EPS, r)
    return w, r, share * r, d


@settings(deadline=None)
@given(boxes, st.floats(0, 4, width=32))
def test_the_path_is_made_of_steps(kernels, dtype, box, t):
    w, r, z, g = placed(box, dtype)
    z_out, x_out = np.empty((2, 7), dtype)
    kernels.box_step(w, EPS, z, g, t, z_out, x_out)
    found = kernels.path_gram(np.eye(7, dtype=dtype), w, EPS, z, g, np.array([t]))
    np.testing.assert_array_equal(found[0, :7, 1], z_out - z)
    # It goes on along g, or has stopped at a wall.
    v = found[0, :7, 0]
    np.testing.assert_array_equal(v[v != 0], g[v != 0])
    stopped = (v == 0) & (g != 0)
    np.testing.assert_array_equal(z_out[stopped], (np.sign(g) * r)[stopped])


@settings(deadline=None)
@given(boxes)
def test_reach_is_the_longest_step(kernels, dtype, box):
    w, r, z, d = placed(box, dtype)
    d[np.abs(d) < 1e-3] = 0
    t = kernels.box_reach(w, EPS, z, d)
    z8, d8, r8 = (a.astype(float) for a in (z, d, r))
    if not d.any():
        assert t == np.inf
        return
    rounding = 4 * np.finfo(float).eps
    assert (np.abs(z8 + t * d8) <= r8 * (1 + rounding)).all()
    more = t * (1 + 1e-9) + 1e-9
    assert (np.abs(z8 + more * d8) > r8 * (1 + rounding)).any()
