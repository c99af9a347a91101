"""Sums, combinations and random numbers of every backend against the reference.

The box is in test_conformance_box.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from each import each
from kernel_cases import CHUNK, SIZES

from sharpkit import _native
from sharpkit._vectors.kernels import cpu, reference

# Rows in tiles of four and eight, with any number left over; some, none, and many.
ROWS = ((1, 1), (1, 4), (1, 6), (4, 4), (2, 3), (3, 5), (5, 7), (7, 2), (9, 1))
ROWS += ((18, 20), (22, 22), (40, 3), (0, 3), (3, 0), (0, 0))
FILLS = ("fill_signs", "fill_normal")


def sum_bound(A, B):
    """Return how far float64 sums of the products may be off, in any order."""
    size = np.abs(A.astype(float)) @ np.abs(B.astype(float)).T
    return size * np.sqrt(A.shape[1] + 1) * 4 * np.finfo(float).eps


def assert_gram(kernels, A, B):
    got = kernels.gram(A, B)
    assert got.dtype == np.float64
    assert got.shape == (len(A), len(B))
    assert (np.abs(got - reference.gram(A, B)) <= sum_bound(A, B)).all()
    if A is B:
        np.testing.assert_array_equal(got, got.T)


@each(n=SIZES, rows=((1, 1), (5, 7)))
def test_gram_sizes(kernels, vectors, n, rows):
    A, B = (vectors(k, n) for k in rows)
    assert_gram(kernels, A, B)
    assert_gram(kernels, B, B)


@each(rows=ROWS)
def test_gram_rows(kernels, vectors, rows):
    A, B = (vectors(k, 5000) for k in rows)
    assert_gram(kernels, A, B)
    assert_gram(kernels, A, A)


def test_gram_of_large_float32_numbers_is_finite(kernels):
    A = np.full((3, 1000), 1e30, np.float32)
    np.testing.assert_allclose(kernels.gram(A, A), np.full((3, 3), 1e63), rtol=1e-6)


def assert_combine(kernels, rng, vectors, k, kb, n, beta):
    C = rng.standard_normal((k, kb))
    B, out = vectors(kb, n), vectors(k, n)
    if beta == 0:
        out[:] = np.nan
    want, size = out.astype(float), np.abs(out.astype(float))
    reference.combine(C, B.astype(float), want, beta)
    reference.combine(np.abs(C), np.abs(B.astype(float)), size, abs(beta))
    kernels.combine(C, B, out, beta)
    # One rounding to the dtype, and those of kb float64 sums.
    bound = np.finfo(out.dtype).eps / 2 * np.abs(want) + (kb + 2) * 2.3e-16 * size
    assert (np.abs(out - want) <= bound).all()


@each(n=SIZES, rows=((1, 2), (2, 6)), beta=(0.0, 1.0, -0.3))
def test_combine_sizes(kernels, rng, vectors, n, rows, beta):
    assert_combine(kernels, rng, vectors, *rows, n, beta)


@each(rows=(*ROWS, (1, 20), (3, 41)), beta=(0.0, 0.7))
def test_combine_rows(kernels, rng, vectors, rows, beta):
    assert_combine(kernels, rng, vectors, *rows, 5000, beta)


@each(kb=range(26), beta=(0.0, 0.7))
def test_combine_any_number_of_rows(kernels, rng, vectors, kb, beta):
    assert_combine(kernels, rng, vectors, 2, kb, 100, beta)


@each(k=(1, 5), bad=(np.nan, np.inf))
def test_sums_pass_nan_and_infinity(kernels, vectors, k, bad):
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


@each(kb=(0, 1, 2, 6))
def test_combine_passes_what_it_adds_to_and_its_coefficients(kernels, vectors, kb):
    B, out = vectors(kb, 300), vectors(2, 300)
    out[0, 100] = np.nan
    C = np.ones((2, kb))
    kernels.combine(C, B, out, 0.5)
    np.testing.assert_array_equal(np.argwhere(np.isnan(out)), [[0, 100]])
    C[1] = np.nan
    kernels.combine(C, B, out)
    assert np.isnan(out[1]).all() == (kb > 0)
    assert np.isfinite(out[0]).all()


def test_combine_beyond_the_largest_number_is_infinite(kernels, dtype):
    out = np.zeros((1, 3), dtype)
    with np.errstate(over="ignore"):
        kernels.combine(np.array([[4.0]]), np.full((1, 3), np.finfo(dtype).max), out)
    assert np.isinf(out).all()


@each(name=FILLS, n=SIZES)
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


PARTS = ((0, 1), (3, 9), (125, 131), (1, 5000), (CHUNK - 3, 2 * CHUNK))


@each(name=FILLS, part=PARTS)
def test_fill_of_a_part_is_a_part_of_the_fill(kernels, dtype, name, part):
    a, b = part
    whole, part = np.empty(b, dtype), np.empty(b - a, dtype)
    getattr(kernels, name)(whole, 1, 2, 0)
    getattr(kernels, name)(part, 1, 2, a)
    np.testing.assert_array_equal(part, whole[a:])


@each(name=FILLS)
def test_random_numbers_do_not_depend_on_the_dtype(kernels, name):
    single, double = np.empty(3000, np.float32), np.empty(3000)
    getattr(kernels, name)(single, 1, 2, 3)
    getattr(kernels, name)(double, 1, 2, 3)
    np.testing.assert_array_equal(single, double)


def everything(kernels, dtype):
    """Results of all kernels, long enough for several threads."""
    n = 9 * CHUNK + 11
    rng = np.random.default_rng(3)
    V = rng.standard_normal((6, n)).astype(dtype)
    out = rng.standard_normal((3, n)).astype(dtype)
    yield kernels.gram(V, V)
    yield kernels.gram(V[:1].copy(), V)
    kernels.combine(rng.standard_normal((3, 6)), V, out, 0.5)
    yield out.copy()
    w, z, d = V[:3].copy()
    eps = 1e-3
    kernels.box_step(w, eps, z, d, 1e-3, z, out[0])
    yield np.stack([z, out[0]])
    kernels.box_toward(w, eps, z, d, 0.3, out[1], out[2])
    yield out[1:].copy()
    kernels.box_radius(w, eps, out[0])
    kernels.box_free(w, eps, z, d, out[1])
    yield out[:2].copy()
    yield np.array([kernels.box_residual(w, eps, z, d)])
    yield np.array([kernels.box_reach(w, eps, out[2], d)])
    yield kernels.path_gram(V, w, eps, z, d, np.array([1e-4, 1e-3]))
    yield kernels.free_gram(V, w, eps, z)
    for name in FILLS:
        getattr(kernels, name)(out[0], 1, 2, 3)
        yield out[0].copy()


@pytest.mark.parametrize("kernels", ["cpu", "cuda"], indirect=True)
def test_bits_do_not_depend_on_threads(kernels, dtype, threads):
    results = []
    for count in (1, 2, 16):
        threads(count)
        results.append(list(everything(kernels, dtype)))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


def test_inputs_may_be_read_only(vectors, dtype):
    A = vectors(3, 100)
    A.flags.writeable = False
    w, z, d = A
    out, other = np.empty((2, 100), dtype)
    assert cpu.gram(A, A).shape == (3, 3)
    cpu.combine(np.ones((1, 3)), A, out[None])
    cpu.box_radius(w, 1e-3, out)
    cpu.box_step(w, 1e-3, z, d, 1e-3, out, other)
    cpu.box_toward(w, 1e-3, z, d, 1e-3, out, None)
    cpu.box_free(w, 1e-3, z, d, out)
    cpu.box_residual(w, 1e-3, z, d)
    cpu.box_reach(w, 1e-3, z, d)
    ts = np.array([1e-3])
    ts.flags.writeable = False
    assert cpu.path_gram(A, w, 1e-3, z, d, ts).shape == (1, 4, 2)
    assert cpu.free_gram(A, w, 1e-3, z).shape == (3, 3)


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
        (
            lambda a: cpu.box_step(a[0], 1e-3, a[1], a[2], 1.0, a[2, 1:], None),
            ValueError,
            "differ in dtype or length",
        ),
        (
            lambda a: cpu.box_reach(a[0], 1e-3, a[1], a[2].astype("f4")),
            ValueError,
            "differ in dtype or length",
        ),
        (
            lambda a: cpu.path_gram(a, a[0, 1:], 1.0, a[1, 1:], a[2, 1:], np.ones(1)),
            ValueError,
            "differ from the block",
        ),
        (
            lambda a: cpu.free_gram(a.astype("f4"), a[0], 1e-3, a[1]),
            ValueError,
            "differ from the block",
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


@pytest.mark.parametrize("name", _native.instruction_sets())
def test_every_instruction_set(rng, dtype, name):
    _native.use_instruction_set(name)
    try:
        the_products_are_those_of_the_reference(rng=rng, dtype=dtype)
    finally:
        _native.use_instruction_set(_native.instruction_sets()[-1])


@each(
    rows=((1, 1), (2, 3), (4, 4), (5, 7), (22, 9)),
    n=(1, 15, 17, 2047, 2049, CHUNK + 5),
)
def the_products_are_those_of_the_reference(rng, dtype, rows, n):
    A, B = (rng.standard_normal((k, n)).astype(dtype) for k in rows)
    w, z, g = rng.standard_normal((3, n)).astype(dtype)
    z *= dtype(1e-2)
    ts = np.array([0.0, 1e-3, 0.3])
    for kernel, *args in (
        ("gram", A, B),
        ("gram", A, A),
        ("free_gram", A, w, 1e-2, z),
        ("path_gram", A, w, 1e-2, z, g, ts),
    ):
        found, want = (getattr(k, kernel)(*args) for k in (cpu, reference))
        np.testing.assert_allclose(found, want, rtol=1e-11, atol=1e-11 * np.sqrt(n))


def test_an_instruction_set_that_is_not_there():
    with pytest.raises(ValueError, match="no mmx"):
        _native.use_instruction_set("mmx")
