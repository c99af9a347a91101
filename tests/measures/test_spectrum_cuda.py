"""Eigenvalues and density on the CUDA backend: a stand-in for CuPy, which refuses
every implicit copy between host and device."""

import fake_cupy
import numpy as np
import pytest

from sharpkit import SpectrumStatus, eigenvalues, spectral_density

N = 1500


@pytest.fixture(scope="module")
def cupy():
    with fake_cupy.installed() as module:
        yield module


class Quartic:
    """``sum (h x^2 / 2 + x^4 / 4)`` in the library its argument is of."""

    def __init__(self, xp, dtype):
        self.h = xp.asarray(np.geomspace(1e-3, 10, N).astype(dtype))

    def __call__(self, w):
        loss = (0.5 * self.h * w * w + 0.25 * w**4).sum(dtype=np.float64)
        return loss, self.h * w + w**3

    def exact(self, w, v):
        return (self.h + 3 * w * w) * v


@pytest.mark.slow
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("which", ["LA", "SA"])
def test_the_device_finds_what_the_host_finds(cupy, dtype, exact, which):
    w = (0.1 * np.random.default_rng(0).standard_normal(N)).astype(dtype)
    results = []
    for xp in (np, cupy):
        problem = Quartic(xp, dtype)
        hvp = problem.exact if exact else None
        results.append(
            eigenvalues(xp.asarray(w), problem, hvp=hvp, k=3, which=which, ncv=12)
        )
    host, device = results
    assert (host.run.backend, device.run.backend) == ("cpu", "cuda")
    assert host.status is device.status is SpectrumStatus.CONVERGED
    assert isinstance(device.vectors, cupy.ndarray)
    slack = host.residuals.max() + device.residuals.max()
    assert np.abs(host.values - device.values).max() <= slack
    assert "cuda" in repr(device)
    assert len(device.to_dict(vectors=True)["vectors"]) == 3


@pytest.mark.parametrize("kept", [True, False])
def test_the_density_is_that_of_the_host(cupy, dtype, kept):
    w = np.zeros(N, dtype)
    host, device = (
        spectral_density(
            xp.asarray(w),
            hvp=Quartic(xp, dtype).exact,
            max_products=48,
            probes=2,
            reorthogonalize=kept,
        )
        for xp in (np, cupy)
    )
    rtol = 1e-9 if dtype == np.float64 else 1e-3
    np.testing.assert_allclose(device.nodes, host.nodes, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(device.weights, host.weights, rtol=10 * rtol, atol=rtol)


def test_nothing_is_copied_to_the_host_but_numbers(cupy):
    w, problem = cupy.asarray(np.zeros(N, np.float32)), Quartic(cupy, np.float32)
    before = dict(fake_cupy.copies)
    eigenvalues(w, hvp=problem.exact, k=2)
    moved = {key: fake_cupy.copies[key] - before[key] for key in before}
    assert moved["to_host"] < 1000
