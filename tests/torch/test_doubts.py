"""Double backward passes that lack a part: of fused losses, of own activations."""

from __future__ import annotations

import numpy as np
import pytest
from torch_required import torch

import sharpkit
from sharpkit import SharpkitWarning
from sharpkit.torch import problem

nn, F = torch.nn, torch.nn.functional

SAID = "hvp is not the derivative of the gradient"


class Fused(torch.autograd.Function):
    """A cross-entropy that saves its own gradient in the forward pass."""

    @staticmethod
    def forward(ctx, scores, y):
        p = scores.softmax(1)
        gradient = p.clone()
        gradient[torch.arange(len(y)), y] -= 1
        ctx.save_for_backward(gradient / len(y))
        return -p[torch.arange(len(y)), y].log().mean()

    @staticmethod
    def backward(ctx, d):
        return ctx.saved_tensors[0] * d, None


class Swish(nn.Module):
    """An activation whose derivative is saved in the forward pass."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            s = torch.sigmoid(x)
            ctx.save_for_backward(s * (1 + x * (1 - s)))
            return x * s

        @staticmethod
        def backward(ctx, d):
            return d * ctx.saved_tensors[0]

    def forward(self, x):
        return self.Function.apply(x)


def data():
    draw = torch.Generator().manual_seed(0)
    return torch.randn(60, 8, generator=draw), torch.arange(60) % 3


def net(activation):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 16), activation, nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)
    )


def doubted(measure, wrong):
    """Return the result by differences, of which it is said why they are used."""
    with pytest.warns(SharpkitWarning) as warned:
        found = measure(wrong)
    # In float32 kinks may make the differences asymmetric, too.
    assert any(SAID in str(each.message) for each in warned)
    assert found.source.startswith("central differences")
    return found


DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@DTYPES
@pytest.mark.parametrize("activation", [nn.Tanh(), nn.ReLU(), nn.SiLU()])
def test_a_fused_loss(dtype, activation):
    model = net(activation)
    right = sharpkit.eigenvalues(problem(model, F.cross_entropy, data(), dtype=dtype))
    assert right.source == "hvp"
    assert sharpkit.check(problem(model, F.cross_entropy, data(), dtype=dtype)).ok
    fused = problem(model, Fused.apply, data(), dtype=dtype)
    assert sharpkit.check(fused).product == "wrong"
    found = doubted(sharpkit.eigenvalues, fused)
    assert abs(float(found) - float(right)) <= 3 * found.error + 1e-3 * float(right)
    if dtype == torch.float64:  # kinks in float32 leave differences little to tell
        assert found.error < 1e-2 * float(right)


@DTYPES
def test_an_activation(dtype):
    model = net(Swish())
    saved = problem(model, F.cross_entropy, data(), dtype=dtype)
    doubted(sharpkit.trace, saved)
    model[1] = nn.SiLU()
    usual = problem(model, F.cross_entropy, data(), dtype=dtype)
    assert sharpkit.trace(usual).source == "hvp"


def test_a_loss_in_batches_of_ones_own():
    x, y = data()
    batches = [(x[:40], y[:40]), (x[40:], y[40:])]
    fused = problem(
        net(nn.ReLU()),
        lambda model, batch: Fused.apply(model(batch[0]), batch[1]),
        batches,
        loss_takes="model",
    )
    doubted(lambda p: sharpkit.eigenvalues(p.weights, p), fused)


def test_the_model_is_left_as_found():
    model = net(nn.ReLU())
    model.train()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    doubted(sharpkit.eigenvalues, problem(model, Fused.apply, data()))
    assert model.training
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, before[name])


def test_a_model_that_is_none_in_float64_keeps_the_benefit_of_the_doubt():
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net(nn.ReLU())

        def forward(self, x):
            assert x.dtype == torch.float32
            return self.inner(x)

    model = Single()
    found = sharpkit.eigenvalues(problem(model, F.cross_entropy, data()))
    usual = sharpkit.eigenvalues(problem(model.inner, F.cross_entropy, data()))
    assert found.source == "hvp"
    assert np.array_equal(found.values, usual.values)


def test_dropout_in_the_loss_is_one_draw():
    x, y = data()

    def loss(model, batch):
        inputs = F.dropout(batch[0], 0.3, training=True)
        return F.cross_entropy(model(inputs), batch[1])

    found = sharpkit.check(problem(net(nn.Tanh()), loss, [(x, y)], loss_takes="model"))
    assert found.deterministic
    assert not found.ok
    assert found.drawn_difference > 1e-4
    assert "only from one random state: another changes the loss by" in repr(found)
    plain = sharpkit.check(problem(net(nn.Tanh()), F.cross_entropy, (x, y)))
    assert (plain.ok, plain.drawn_difference) == (True, 0)
