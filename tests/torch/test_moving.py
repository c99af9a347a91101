"""A model that moves on after its problem was made, and other random states."""

import warnings

import numpy as np
import pytest
from torch_cases import case
from torch_required import torch
from torch_untouched import other_randomness, randomness

import sharpkit
from sharpkit import SharpkitWarning
from sharpkit.torch import problem

nn = torch.nn
STALE = r"have changed since this problem was made.*problem\.refreshed\(\)"


def trained(own, steps=1):
    optimizer = torch.optim.SGD(own.model.parameters(), 0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        own.loss(own.model(own.inputs), own.targets).backward()
        optimizer.step()


def moved_data(own):
    for parameter in own.model.parameters():  # autograd sees no such write
        parameter.data.mul_(1.5)


def moved_pointer(own):
    for parameter in own.model.parameters():
        parameter.data = parameter.data * 1.5


def replaced(own):
    own.model[0].weight = nn.Parameter(own.model[0].weight.detach() * 1.5)


@pytest.mark.parametrize("change", [trained, moved_data, moved_pointer, replaced])
def test_the_model_has_moved_on(change):
    own = case("regression")
    p = problem(own.model, own.loss, own.data)
    before = sharpkit.sharpness(p).value
    change(own)
    with pytest.warns(SharpkitWarning, match=STALE) as said:
        assert sharpkit.sharpness(p).value == before
    assert len(said) == 1
    assert said[0].filename == __file__
    assert sharpkit.sharpness(p).value == before  # it was said
    now = p.refreshed()
    anew = problem(own.model, own.loss, own.data)
    assert torch.equal(now.weights, anew.weights)
    assert sharpkit.sharpness(now).value == sharpkit.sharpness(anew).value
    change(own)
    with pytest.warns(SharpkitWarning, match=STALE):
        sharpkit.sharpness(p.weights, p)


@pytest.mark.parametrize("mode", ["running", "batch", "frozen"])
def test_refreshed_buffers(mode):
    own = case("conv_batch_norm")
    p = problem(own.model, own.loss, own.data, batch_norm=mode)
    trained(own)
    now = p.refreshed()
    anew = problem(own.model, own.loss, own.data, batch_norm=mode)
    assert now.batch_norm == mode
    assert now(now.weights)[0] == anew(anew.weights)[0] != p(p.weights)[0]


def test_what_is_not_stale(watch):
    own = case("conv_batch_norm")
    p = problem(watch(own.model), own.loss, own.data)
    sharpkit.measure(p, measures=["sharpness", "eigenvalues"])
    sharpkit.eigenvalues(p)
    sharpkit.sharpness(p.at(own.model.state_dict()))
    sharpkit.sharpness(p.on_line(), max_evaluations=3)


def test_what_is_not_stale_either():
    own = case("regression")
    p = problem(own.model, own.loss, own.data)
    state = {name: tensor.clone() for name, tensor in own.model.state_dict().items()}
    checkpoint = p.at(state)
    with torch.no_grad():  # there and back
        own.model[0].weight.add_(1)
        own.model.load_state_dict(state)
    sharpkit.sharpness(p)
    p.load(p.weights + 1)
    sharpkit.sharpness(p)
    sharpkit.sharpness(p.weights + 1, p)
    trained(own)
    sharpkit.sharpness(checkpoint)
    sharpkit.sharpness(p.weights + 1, p)  # weights of the caller's own
    with pytest.warns(SharpkitWarning, match=STALE):
        sharpkit.sharpness(p)


def test_another_model_by_now():
    own = case("regression")
    p = problem(own.model, own.loss, own.data)
    own.model[0].register_parameter("extra", nn.Parameter(torch.ones(2)))
    sharpkit.sharpness(p)
    with pytest.raises(
        ValueError, match=r"other parameters or buffers.*make a new one"
    ):
        p.refreshed()


def masked(model, batch):
    dropped = nn.functional.dropout(model(batch[0]), 0.5, training=True)
    return nn.functional.mse_loss(dropped, batch[1])


def numbers(model, batch):
    noise = np.random.rand() * torch.randn(())  # noqa: NPY002
    return nn.functional.mse_loss(model(batch[0]), batch[1]) * (1 + noise**2)


@pytest.mark.parametrize("loss", [masked, numbers])
def test_another_random_state(watch, loss):
    own = case("regression")
    p = problem(watch(own.model), loss, own.data, loss_takes="model", micro_batch=4)
    state = randomness()
    other = p.redrawn()
    assert randomness() == state
    w = p.weights
    first, second = p(w), other(w)
    assert first[0] != second[0]
    with other_randomness():
        assert other(w)[0] == second[0] == p.redrawn()(w)[0]
    assert other.redrawn()(w)[0] not in (first[0], second[0])
    assert p(w)[0] == first[0]


def test_another_random_state_without_randomness(watch):
    own = case("conv_batch_norm")
    p = problem(watch(own.model), own.loss, own.data, batch_norm="frozen")
    other = p.redrawn()
    assert other(p.weights)[0] == p(p.weights)[0]
    assert torch.equal(other.weights, p.weights)


@pytest.mark.parametrize("own_generator", [True, False])
def test_a_loader_shuffles_otherwise(watch, own_generator):
    torch.manual_seed(0)  # another state may drop the same samples by chance
    own = case("regression")
    dataset = torch.utils.data.TensorDataset(own.inputs, own.targets)
    generator = torch.Generator().manual_seed(3) if own_generator else None
    loader = torch.utils.data.DataLoader(
        dataset, 4, shuffle=True, drop_last=True, generator=generator
    )
    p = problem(watch(own.model), own.loss, loader)
    assert p(p.weights)[0] != p.redrawn()(p.weights)[0]


def test_a_redrawn_problem_is_stale_alike():
    own = case("regression")
    other = problem(own.model, own.loss, own.data).redrawn()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sharpkit.sharpness(other)
    trained(own)
    with pytest.warns(SharpkitWarning, match=STALE):
        sharpkit.sharpness(other)
