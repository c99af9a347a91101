"""Every kernel of every backend against the reference, in float64."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from sharpkit import parallel
from sharpkit.kernels import cpu, reference

CHUNK = cpu.CHUNK
SMALL = [0, 1, 2, 3, 5, 127, 128, 129, 1000, 4095, 4097]
LARGE = [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7]
SHAPES = [(1, 1), (1, 4), (4, 4), (2, 3), (5, 7), (9, 1), (18, 20)]
FILLS = ["fill_signs", "fill_normal"]


@pytest.fixture(params=["reference", "cpu"])
def kernels(request):
    return importlib.import_module(f"sharpkit.kernels.{request.param}")


@pytest.fixture(params=[np.float32, np.float64], ids=["f4", "f8"])
def dtype(request):
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def threads():
    yield parallel.set_num_threads
    parallel._threads, parallel._pool = None, None


def vectors(rng, count, n, dtype):
    """Rows of a block that starts one number after an aligned address."""
    flat = np.empty(count * n + 1, dtype)[1:]
    flat[:] = rng.standard_normal(flat.size)
    return flat.reshape(count, n)


def box_problem(rng, n, dtype):
    w, z, d, r = vectors(rng, 4, n, dtype)
    reference.box_radius(w, 1e-3, r)
    z *= dtype(1e-4)
    return w, np.clip(z, -r, r), d, r


def assert_gram(kernels, A, B):
    A8, B8 = A.astype(float), B.astype(float)
    bound = (
        np.abs(A8) @ np.abs(B8).T * np.sqrt(A.shape[1] + 1) * 4 * np.finfo(float).eps
    )
    got = kernels.gram(A, B)
    assert got.dtype == np.float64
    assert got.shape == (len(A), len(B))
    assert (np.abs(got - reference.gram(A8, B8)) <= bound).all()


@pytest.mark.parametrize("n", SMALL + LARGE)
@pytest.mark.parametrize(("ka", "kb"), [(1, 1), (5, 7)])
def test_gram_sizes(kernels, dtype, rng, n, ka, kb):
    both = vectors(rng, ka + kb, n, dtype)
    assert_gram(kernels, both[:ka], both[ka:])
    got = kernels.gram(both, both)
    np.testing.assert_array_equal(got, got.T)
    np.testing.assert_allclose(got, reference.gram(both, both), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("ka", "kb"), [*SHAPES, (0, 3), (40, 3)])
def test_gram_shapes(kernels, dtype, rng, ka, kb):
    both = vectors(rng, ka + kb, 5000, dtype)
    assert_gram(kernels, both[:ka], both[ka:])
    own = both[:ka]
    np.testing.assert_allclose(
        kernels.gram(own, own), reference.gram(own, own), rtol=1e-11, atol=1e-10
    )


def assert_combine(kernels, rng, dtype, k, kb, n, beta):
    C = rng.standard_normal((k, kb))
    B, out = vectors(rng, kb, n, dtype), vectors(rng, k, n, dtype)
    if beta == 0:
        out[:] = np.nan
    want, size = out.astype(float), np.abs(out.astype(float))
    reference.combine(C, B.astype(float), want, beta)
    reference.combine(np.abs(C), np.abs(B.astype(float)), size, abs(beta))
    kernels.combine(C, B, out, beta)
    # One rounding to the dtype, and those of kb float64 sums.
    bound = np.finfo(dtype).eps / 2 * np.abs(want) + (kb + 2) * 2.3e-16 * size
    assert (np.abs(out - want) <= bound).all()


@pytest.mark.parametrize("n", SMALL + LARGE)
@pytest.mark.parametrize("beta", [0.0, 1.0, -0.3])
def test_combine_sizes(kernels, dtype, rng, n, beta):
    assert_combine(kernels, rng, dtype, 2, 6, n, beta)


@pytest.mark.parametrize(("k", "kb"), [*SHAPES, (3, 0), (0, 3)])
@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_combine_shapes(kernels, dtype, rng, k, kb, beta):
    assert_combine(kernels, rng, dtype, k, kb, 5000, beta)


@pytest.mark.parametrize("n", SMALL + LARGE)
def test_box_radius(kernels, dtype, rng, n):
    w, out = vectors(rng, 2, n, dtype)
    kernels.box_radius(w, 1e-3, out)
    np.testing.assert_allclose(
        out, 1e-3 * (np.abs(w.astype(float)) + 1), rtol=4 * np.finfo(dtype).eps
    )
    kernels.box_radius(w, 1e-3, w)
    np.testing.assert_array_equal(w, out)


@pytest.mark.parametrize("n", SMALL + LARGE)
@pytest.mark.parametrize("t", [0.0, 1e-4, -3e-3])
def test_box_step(kernels, dtype, rng, n, t):
    w, z, d, r = box_problem(rng, n, dtype)
    z_out, x_out = vectors(rng, 2, n, dtype)
    kernels.box_step(w, z, d, t, r, z_out, x_out)
    z8, d8, r8 = (a.astype(float) for a in (z, d, r))
    eps = np.finfo(dtype).eps
    want = np.clip(z8 + t * d8, -r8, r8)
    assert (np.abs(z_out - want) <= 2 * eps * (np.abs(z8) + np.abs(t * d8))).all()
    assert (np.abs(z_out) <= r).all()
    np.testing.assert_array_equal(x_out, w + z_out)
    for place in (0, 1):  # z_out may be z, or d
        own = [z.copy(), d.copy()]
        kernels.box_step(w, *own, t, r, own[place], x_out)
        np.testing.assert_array_equal(own[place], z_out)


@pytest.mark.parametrize("sign", [1, -1])
def test_sign_step_reaches_the_walls(kernels, dtype, rng, sign):
    w, z, d, r = box_problem(rng, 1000, dtype)
    d[::3] = 0
    d[1::3] = np.copysign(np.finfo(dtype).smallest_subnormal, d[1::3])
    z_out, x_out = vectors(rng, 2, 1000, dtype)
    kernels.box_step(w, z, d, sign * np.finfo(dtype).max, r, z_out, x_out)
    np.testing.assert_array_equal(z_out, np.where(d == 0, z, sign * np.sign(d) * r))
    np.testing.assert_array_equal(x_out, w + z_out)


@pytest.mark.parametrize("t", [1e-3, float(np.finfo(np.float64).max)])
def test_box_step_passes_nan(kernels, dtype, rng, t):
    w, z, d, r = box_problem(rng, 1000, dtype)
    for i, a in enumerate((z, d, r)):
        a[10 + i] = np.nan
    w[13] = np.nan
    z_out, x_out = vectors(rng, 2, 1000, dtype)
    kernels.box_step(w, z, d, t, r, z_out, x_out)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(z_out)), [10, 11, 12])
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(x_out)), [10, 11, 12, 13])


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_sums_pass_nan_and_infinity(kernels, dtype, rng, k, bad):
    A, B, out = (vectors(rng, k, 1000, dtype) for _ in range(3))
    B[k - 1, 500] = bad
    C = np.ones((k, k))
    finite = np.isfinite(kernels.gram(A, B))
    assert finite[:, : k - 1].all()
    assert not finite[:, k - 1].any()
    kernels.combine(C, B, out)
    np.testing.assert_array_equal(out[:, 500], np.full(k, bad))
    assert np.isfinite(np.delete(out, 500, axis=1)).all()
    kernels.box_radius(B[k - 1], 1e-3, out[0])
    np.testing.assert_array_equal(out[0, 500], bad)


def test_combine_beyond_the_largest_number_is_infinite(kernels, dtype):
    out = np.zeros((1, 3), dtype)
    with np.errstate(over="ignore"):
        kernels.combine(np.array([[4.0]]), np.full((1, 3), np.finfo(dtype).max), out)
    assert np.isinf(out).all()


@pytest.mark.parametrize("name", FILLS)
@pytest.mark.parametrize("n", SMALL + LARGE)
def test_fill(kernels, dtype, name, n):
    out = np.full(n + 1, np.nan, dtype)[1:]
    want = np.empty(n)
    args = 2**63 + 5, 2**40 + 3, 2**34 - 77
    getattr(kernels, name)(out, *args)
    getattr(reference, name)(want, *args)
    if name == "fill_signs":
        np.testing.assert_array_equal(out, want)
    else:
        eps = np.finfo(np.float32).eps
        np.testing.assert_allclose(out, want, rtol=4 * eps, atol=4 * eps)
        np.testing.assert_array_equal(out, out.astype(np.float32))


@pytest.mark.parametrize("name", FILLS)
@pytest.mark.parametrize(
    ("a", "b"), [(0, 1), (3, 9), (125, 131), (1, 5000), (CHUNK - 3, 2 * CHUNK)]
)
def test_fill_of_a_part_is_a_part_of_the_fill(kernels, dtype, name, a, b):
    whole, part = np.empty(b, dtype), np.empty(b - a, dtype)
    getattr(kernels, name)(whole, 1, 2, 0)
    getattr(kernels, name)(part, 1, 2, a)
    np.testing.assert_array_equal(part, whole[a:])


@pytest.mark.parametrize("name", FILLS)
def test_random_numbers_do_not_depend_on_the_dtype(kernels, name):
    single, double = np.empty(3000, np.float32), np.empty(3000)
    getattr(kernels, name)(single, 1, 2, 3)
    getattr(kernels, name)(double, 1, 2, 3)
    np.testing.assert_array_equal(single, double)


def everything(kernels, rng, dtype):
    """Results of all kernels, long enough for several threads."""
    n = 9 * CHUNK + 11
    V, out = vectors(rng, 6, n, dtype), vectors(rng, 3, n, dtype)
    yield kernels.gram(V, V)
    yield kernels.gram(V[:1], V[1:])
    kernels.combine(rng.standard_normal((3, 6)), V, out, 0.5)
    yield out.copy()
    kernels.box_radius(V[0], 1e-3, V[3])
    kernels.box_step(V[0], V[1], V[2], 1e-3, V[3], V[4], V[5])
    yield V[3:].copy()
    for name in FILLS:
        getattr(kernels, name)(out[0], 1, 2, 3)
        yield out[0].copy()


def test_bits_do_not_depend_on_threads(kernels, dtype, threads):
    results = []
    for count in (1, 2, 4):
        threads(count)
        results.append(list(everything(kernels, np.random.default_rng(3), dtype)))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


def test_inputs_may_be_read_only(kernels, dtype, rng):
    A = vectors(rng, 3, 100, dtype)
    A.flags.writeable = False
    out = np.empty((1, 100), dtype)
    assert kernels.gram(A, A).shape == (3, 3)
    kernels.combine(np.ones((1, 3)), A, out)
    kernels.box_radius(A[0], 1e-3, out[0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda a: cpu.gram(a, a[:, 1:].copy()),
            ValueError,
            "differ in dtype or length",
        ),
        (
            lambda a: cpu.gram(a, a.astype("f4")),
            ValueError,
            "differ in dtype or length",
        ),
        (lambda a: cpu.gram(a[:, ::2], a[:, ::2]), ValueError, "not C-contiguous"),
        (
            lambda a: cpu.gram(a.astype("f2"), a.astype("f2")),
            TypeError,
            "float16; give",
        ),
        (
            lambda a: cpu.combine(np.ones((2, 2)), a, a.copy()),
            ValueError,
            "shape .2, 2.",
        ),
        (lambda a: cpu.fill_normal(a, 1, 2, 3), ValueError, "2 dimensions"),
        (lambda a: cpu.fill_signs(a[0, ::2], 1, 2, 3), ValueError, "not contiguous"),
        (lambda a: cpu.fill_signs(a[0].astype(int), 1, 2, 3), TypeError, "int64; give"),
        (lambda a: cpu.fill_normal(a[0], -1, 2, 3), TypeError, "incompatible"),
    ],
)
def test_what_the_cpu_cannot_do_is_said(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((3, 10)))
