"""Eigenvalues and density on the CUDA backend: a stand-in for CuPy, which refuses
every implicit copy between host and device."""

import fake_cupy
import numpy as np
import pytest

from sharpkit import SpectrumStatus, eigenvalues, spectral_density

N = 1500


class Quartic:
    """``± sum (h x^2 / 2 + x^4 / 4)`` in the library its argument is of."""

    def __init__(self, xp, dtype, sign=1):
        self.h = xp.asarray(np.geomspace(1e-3, 10, N).astype(dtype))
        self.sign = sign

    def __call__(self, w):
        loss = (0.5 * self.h * w * w + 0.25 * w**4).sum(dtype=np.float64)
        return self.sign * loss, self.sign * (self.h * w + w**3)

    def exact(self, w, v):
        return self.sign * (self.h + 3 * w * w) * v


@pytest.mark.slow
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("which", ["LA", "SA"])
def test_the_device_finds_what_the_host_finds(cupy, dtype, exact, which):
    w = (0.1 * np.random.default_rng(0).standard_normal(N)).astype(dtype)
    results = []
    for xp in (np, cupy):
        # The largest in size are settled within the budget, at either end.
        problem = Quartic(xp, dtype, sign=1 if which == "LA" else -1)
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


def test_nothing_is_copied_to_the_host_but_numbers(stand_in):
    w, problem = stand_in.zeros(N, np.float32), Quartic(stand_in, np.float32)
    eigenvalues(w, hvp=problem.exact, k=2)
    assert fake_cupy.copies["to_host"] < 1000
