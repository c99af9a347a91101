import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sharpkit.lab.training.optimizers import SGD, Adagrad, Adam, optimizer_for
from sharpkit.lab.training.regime import Regime

STEPS, N = 20, 501


def gradients(dtype=np.float64):
    random = np.random.default_rng(0)
    scales = 10.0 ** random.uniform(-6, 2, N)  # so that Adam's eps matters for some
    return (scales * random.standard_normal((STEPS, N))).astype(dtype)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Adam(), ("Adam", {"lr": 1e-3})),
        (
            Adam(rate=3e-2, beta1=0.8, beta2=0.95, eps=1e-4),
            ("Adam", {"lr": 3e-2, "betas": (0.8, 0.95), "eps": 1e-4}),
        ),
        (SGD(), ("SGD", {"lr": 1e-1, "momentum": 0.9})),
        (SGD(rate=1e-2, momentum=0.0), ("SGD", {"lr": 1e-2})),
        (Adagrad(), ("Adagrad", {"lr": 1e-2})),
        (Adagrad(rate=0.2, eps=1e-2), ("Adagrad", {"lr": 0.2, "eps": 1e-2})),
        (optimizer_for(Regime(1)), ("Adam", {"lr": 1e-3})),
        (optimizer_for(Regime(1, "sgd", 0.2)), ("SGD", {"lr": 0.2})),
        (
            optimizer_for(Regime(1, "momentum", 0.2)),
            ("SGD", {"lr": 0.2, "momentum": 0.9}),
        ),
        (optimizer_for(Regime(1, "adagrad", 0.3)), ("Adagrad", {"lr": 0.3})),
    ],
    ids=[
        "Adam",
        "Adam with other settings",
        "SGD with momentum",
        "SGD",
        "Adagrad",
        "Adagrad with other settings",
        "the regime's Adam",
        "the regime's SGD",
        "the regime's momentum",
        "the regime's Adagrad",
    ],
)
def test_it_steps_as_pytorch_does(torch, ours, theirs):
    weights = np.random.default_rng(1).standard_normal(N)
    known = torch.nn.Parameter(torch.from_numpy(weights.copy()))
    name, settings = theirs
    optimizer = getattr(torch.optim, name)([known], **settings)
    for gradient in gradients():
        ours.step(weights, gradient)
        known.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        assert_allclose(weights, known.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [Adam, SGD, Adagrad])
def test_it_keeps_the_dtype_and_the_gradient(kind):
    weights = np.ones(N, np.float32)
    same, optimizer = weights, kind()
    for gradient in gradients(np.float32):
        before = gradient.copy()
        optimizer.step(weights, gradient)
        assert_array_equal(gradient, before)
    assert weights is same
    assert weights.dtype == np.float32
    known, optimizer = np.ones(N), kind()
    for gradient in gradients():
        optimizer.step(known, gradient)
    eps = float(np.finfo(np.float32).eps)
    scale = np.max(np.abs(known))
    assert_allclose(weights, known, rtol=0, atol=2 * STEPS * eps * scale)


def test_adams_first_step_is_the_rate_in_the_gradients_sign():
    weights, optimizer = np.zeros(3), Adam(rate=0.5)
    optimizer.step(weights, np.array([1e-3, -70.0, 0.0]))
    assert_allclose(weights, [-0.5, 0.5, 0], rtol=1e-4)
    assert optimizer.updates == 1


def test_two_optimizers_do_not_share_state():
    first, second = SGD(rate=1.0, momentum=0.5), SGD(rate=1.0, momentum=0.5)
    a, b, one = np.zeros(1), np.zeros(1), np.ones(1)
    first.step(a, one)
    first.step(a, one)
    second.step(b, one)
    assert (a[0], b[0]) == (-2.5, -1.0)
