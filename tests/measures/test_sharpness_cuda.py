"""Measurements on the CUDA backend: a stand-in for CuPy, and its kernels on the CPU.

The stand-in refuses every implicit copy between host and device, so what passes here
keeps its vectors on the device.
"""

import fake_cupy
import numpy as np
import pytest
from problems import without_gradient

from sharpkit import LBFGSB, sharpness
from sharpkit.results import Status

N = 2000


class Coupled:
    """A quadratic plus the square of a sum, in the library its argument is of."""

    def __init__(self, xp, dtype, *, sign=1.0):
        rng = np.random.default_rng(0)
        self.h = xp.asarray(sign * np.geomspace(0.1, 10, N).astype(dtype))
        self.m = xp.asarray((1e-3 * rng.standard_normal(N)).astype(dtype))
        self.u = xp.asarray(rng.choice([-1.0, 1.0], N).astype(dtype))
        self.seen = set()

    def __call__(self, w):
        self.seen.add(type(w))
        d, s = w - self.m, (self.u * w).sum()
        loss = 0.5 * (self.h * d * d).sum(dtype=np.float64) + s * s + 100
        return loss, self.h * d + 2 * s * self.u


def weights(dtype):
    return (0.1 * np.random.default_rng(1).standard_normal(N)).astype(dtype)


@pytest.mark.parametrize("subspace", [None, 7])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_evaluations": 60},
        {"solver": "lbfgsb"},
        {"solver": LBFGSB(rescale=True)},
        {"solver": "scipy"},
    ],
    ids=lambda options: " ".join(map(str, options.values())) or "auto",
)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_device_finds_what_the_host_finds(cupy, dtype, subspace, options, sign):
    w = weights(dtype)
    options = {"epsilon": 0.01, "subspace": subspace} | options
    host = sharpness(w, Coupled(np, dtype, sign=sign), **options)
    loss_fn = Coupled(cupy, dtype, sign=sign)
    device = sharpness(cupy.asarray(w), loss_fn, **options)
    assert (host.backend, device.backend) == ("cpu", "cuda")
    assert loss_fn.seen == {cupy.ndarray}
    # At the maximum of a small subspace rounding decides when L-BFGS-B stops.
    least = min(device.evaluations, host.evaluations)
    assert least == host.evaluations or (
        subspace and options.get("solver") == LBFGSB(rescale=True)
    )
    # The same search; sums differ in their last bits, which float32 losses show.
    rtol = 1e-9 if dtype == np.float64 else 1e-4
    assert device.value == pytest.approx(host.value, rel=rtol)
    np.testing.assert_allclose(
        device.history[:least], host.history[:least], rtol=rtol, atol=rtol
    )
    assert isinstance(device.displacement, cupy.ndarray)
    if dtype == np.float64:
        np.testing.assert_allclose(
            cupy.asnumpy(device.displacement), host.displacement, atol=1e-7
        )


def test_a_loss_alone_on_the_device(cupy):
    w = weights(np.float64)
    values = []
    for xp in (np, cupy):
        loss_fn = without_gradient(Coupled(xp, w.dtype))
        values.append(sharpness(xp.asarray(w), loss_fn, subspace=4).value)
    assert values[1] == pytest.approx(values[0], rel=1e-6)
    assert values[0] > 0


def test_nothing_is_copied_to_the_host_but_numbers(stand_in):
    w, loss_fn = stand_in.asarray(weights(np.float32)), Coupled(stand_in, np.float32)
    sharpness(w, loss_fn, solver="lbfgsb")
    # Gram matrices and the like, not per weight.
    assert fake_cupy.copies["to_host"] < 1000


def test_bad_weights_on_the_device(cupy):
    w = weights(np.float32)
    w[3] = np.nan
    with pytest.raises(
        ValueError, match=r"weights has 1 non-finite .*weights\[3\] = n"
    ):
        sharpness(cupy.asarray(w), Coupled(cupy, np.float32))
    with pytest.raises(TypeError, match="the weights are a cupy array: return one too"):
        sharpness(cupy.ones(3), lambda w: (1.0, np.ones(3)))


def test_a_result_of_the_device_can_be_shown_and_saved(cupy):
    result = sharpness(cupy.asarray(weights(np.float64)), Coupled(cupy, np.float64))
    assert "cuda float64" in repr(result)
    assert result.status in Status
    saved = result.to_dict(displacement=True)
    assert len(saved["displacement"]) == N
    assert isinstance(saved["displacement"][0], float)
