"""Trace and diagonal on the CUDA backend: a stand-in for CuPy, kernels on the CPU."""

import fake_cupy
import numpy as np
import pytest

from sharpkit import diagonal, trace

N = 300


def operator(xp, dtype):
    """Few large eigenvalues and a diagonal, in the library of the weights."""
    rng = np.random.default_rng(0)
    U = xp.asarray(rng.standard_normal((5, N)).astype(dtype))
    d = xp.asarray(rng.uniform(-0.1, 1, N).astype(dtype))

    def hvp(w, v):
        total = d * v
        for row in U:
            total = total + (row * v).sum() * row
        return total

    return hvp


@pytest.mark.parametrize("method", ["xtrace", "hutch++", "hutchinson"])
def test_the_device_finds_the_trace_that_the_host_finds(cupy, dtype, method):
    found = [
        trace(
            xp.asarray(np.zeros(N, dtype)),
            hvp=operator(xp, dtype),
            method=method,
            max_products=24,
        )
        for xp in (np, cupy)
    ]
    assert [result.run.backend for result in found] == ["cpu", "cuda"]
    rel = 1e-9 if dtype == np.float64 else 1e-4
    assert found[1].value == pytest.approx(found[0].value, rel=rel)
    assert found[1].stderr == pytest.approx(found[0].stderr, rel=1000 * rel)
    assert "cuda" in repr(found[1])


@pytest.mark.parametrize("method", ["xdiag", "hutchinson"])
def test_the_device_finds_the_diagonal_that_the_host_finds(cupy, dtype, method):
    found = [
        diagonal(
            xp.asarray(np.zeros(N, dtype)),
            hvp=operator(xp, dtype),
            method=method,
            max_products=24,
        )
        for xp in (np, cupy)
    ]
    assert isinstance(found[1].values, cupy.ndarray)
    assert isinstance(found[1].stderr, cupy.ndarray)
    rtol = 1e-8 if dtype == np.float64 else 1e-3
    values, stderr = (cupy.asnumpy(a) for a in (found[1].values, found[1].stderr))
    np.testing.assert_allclose(values, found[0].values, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(stderr, found[0].stderr, rtol=100 * rtol, atol=rtol)
    assert "cuda" in repr(found[1])
    assert isinstance(found[1].to_dict(values=True)["values"][0], float)


def test_nothing_is_copied_to_the_host_but_numbers(stand_in):
    w, hvp = stand_in.asarray(np.zeros(N)), operator(stand_in, np.float64)
    diagonal(w, hvp=hvp, max_products=24)
    # Gram matrices and the like, not per weight.
    assert fake_cupy.copies["to_host"] < 200
