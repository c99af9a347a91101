"""`sharpkit.check` on PyTorch models."""

import pytest
from torch_cases import case
from torch_required import torch

import sharpkit
from sharpkit.torch import problem

nn = torch.nn


@pytest.mark.parametrize("name", ["conv_batch_norm", "regression", "class_weighted"])
def test_a_model_is_right(watch, name):
    own = case(name)
    p = problem(watch(own.model), own.loss, own.data, batch_norm="batch")
    found = sharpkit.check(p)
    assert found.ok
    assert found.loss_difference == found.gradient_difference == 0
    assert (found.gradient, found.product) == ("right", "right")
    assert found.product_source == "hvp"


def test_a_detached_part_of_the_loss_is_seen(watch):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(9, 4, generator=draw, dtype=torch.float64)
    model = watch(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)).double())

    def loss(model, batch):
        hidden = model[1](model[0](batch))
        return (model[2](hidden) * model[2](hidden).detach()).mean()

    p = problem(model, loss, x, loss_takes="model")
    found = sharpkit.check(p)
    assert not found.ok
    assert found.gradient == "wrong"


def test_a_generator_that_nobody_rewinds_is_seen(watch):
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(9, 4), torch.zeros(9, 1)
    model = watch(nn.Linear(4, 1))

    def loss(output, targets):
        return (output + torch.randn(9, 1, generator=draw) - targets).square().mean()

    p = problem(model, loss, (x, y))
    found = sharpkit.check(p)
    assert not found.deterministic
    assert not found.ok
