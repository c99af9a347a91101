"""`check` on the CUDA backend: a stand-in for CuPy, kernels on the CPU."""

import numpy as np
import pytest
from networks import without_product

from sharpkit.measures.check import check


class Quartic:
    """``sum (h x^2 / 2 + x^4 / 4)`` in the library its argument is of."""

    def __init__(self, xp, dtype):
        self.h = xp.asarray(np.geomspace(1e-2, 10, 500).astype(dtype))

    def __call__(self, w):
        loss = (0.5 * self.h * w * w + 0.25 * w**4).sum(dtype=np.float64)
        return loss, self.h * w + w**3

    def hvp(self, w, v):
        return (self.h + 3 * w * w) * v


@pytest.mark.parametrize("exact", [True, False])
def test_the_device_answers_as_the_host(cupy, dtype, exact):
    w = np.random.default_rng(0).standard_normal(500).astype(dtype)
    host, device = (
        check(xp.asarray(w), problem if exact else without_product(problem))
        for xp in (np, cupy)
        for problem in [Quartic(xp, dtype)]
    )
    assert (host.backend, device.backend) == ("cpu", "cuda")
    assert host.ok
    assert device.ok
    assert host.product == device.product == ("right" if exact else "differences")
    assert host.gradient == device.gradient == "right"
    assert host.noise / 5 < device.noise < host.noise * 5
