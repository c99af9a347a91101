"""A model where it lives, on the CPU or on a device, against dense matrices."""

import numpy as np
import pytest
from cuda_device import required
from torch_cases import case, direction, truth
from torch_required import torch
from torch_untouched import assert_same, fingerprint

import sharpkit
from sharpkit.torch import problem

NAMES = ["layer_norm_mlp", "conv_batch_norm", "transformer_layer"]


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        assert not required(), "SHARPKIT_REQUIRE names cuda; PyTorch finds no device"
        pytest.skip("PyTorch finds no CUDA device")
    return request.param


def placed(name, device, dtype=torch.float64):
    found = case(name, dtype=dtype)
    model = found.model.to(device)
    data = tuple(each.to(device) for each in found.data)
    return model, problem(model, found.loss, data)


def close(found, expected, rtol=1e-9):
    scale = float(abs(expected).max())
    np.testing.assert_allclose(found.cpu(), expected, rtol=0, atol=rtol * scale)


@pytest.mark.parametrize("name", NAMES)
def test_loss_gradient_and_products(device, name):
    known = truth(name)
    _, p = placed(name, device)
    assert p.weights.device.type == device
    v = direction(len(known.weights))
    loss, gradient = p(p.weights)
    expected_loss, expected_gradient = known.at(known.weights)
    assert float(loss) == pytest.approx(expected_loss, rel=1e-12)
    assert gradient.device.type == device
    close(gradient, expected_gradient)
    close(p.hvp(p.weights, v.to(device)), known.hessian @ v)
    close(p.gauss_newton(p.weights, v.to(device)), known.gauss_newton @ v)


@pytest.mark.parametrize("name", NAMES)
def test_measures(device, name):
    """What a model on the device is told, a dense Hessian says too."""
    known = np.linalg.eigvalsh(truth(name).hessian.numpy())
    model, p = placed(name, device)
    before = fingerprint(model)
    found = sharpkit.eigenvalues(p, k=2, tol=1e-8)
    assert found.run.backend == device
    assert found.values == pytest.approx(known[:-3:-1], rel=1e-6)
    assert sharpkit.trace(p, max_products=10 * len(known)).value == pytest.approx(
        known.sum(), rel=1e-8
    )
    density = sharpkit.spectral_density(p, max_products=60, probes=2)
    assert density.nodes.max() == pytest.approx(known[-1], rel=0.1)
    assert sharpkit.check(p).ok
    assert_same(fingerprint(model), before)


# Convolutions of float32 are rounded to 10 bits on a device.
@pytest.mark.parametrize(
    ("name", "dtype", "rel"),
    [
        ("layer_norm_mlp", torch.float32, 1e-3),
        ("conv_batch_norm", torch.float64, 1e-8),
    ],
)
@pytest.mark.parametrize("solver", ["auto", "lbfgsb"])
def test_the_sharpness_is_that_of_the_cpu(device, name, dtype, rel, solver):
    known, found = (
        sharpkit.sharpness(placed(name, where, dtype)[1], solver=solver)
        for where in ("cpu", device)
    )
    assert (known.backend, found.backend) == ("cpu", device)
    assert found.value == pytest.approx(known.value, rel=rel)
    assert found.value > 0
