"""The model, the random generators and torch's switches are given back as found."""

import random
import warnings

import numpy as np
import pytest
from torch_cases import case, direction, truth
from torch_required import torch
from torch_untouched import other_randomness, randomness

import sharpkit
from sharpkit.torch import problem

nn = torch.nn


def everything(p):
    """Ask a problem for all that it gives."""
    w = p.weights
    v = direction(w.numel(), dtype=w.dtype)
    hvp = p.hvp
    return p(w), p.accuracy(w), hvp(w, v), p.at(dict(p._evaluation.model.state_dict()))


@pytest.mark.parametrize("mode", ["running", "batch", "frozen"])
def test_gradients_that_are_there_stay(watch, mode):
    own = case("conv_batch_norm")
    own.loss(own.model(own.inputs), own.targets).backward()
    own.model[0].weight.grad = None
    own.model[3].eval()
    p = problem(watch(own.model), own.loss, own.data, batch_norm=mode)
    everything(p)
    p.gauss_newton(p.weights, p.weights)
    p.on_line()(p.weights)


@pytest.mark.parametrize("mode", ["running", "batch", "frozen"])
@pytest.mark.parametrize("when", [0, 1, 3])
def test_after_an_exception(watch, mode, when):
    own = case("conv_batch_norm")
    watch(own.model)
    calls = iter(range(100))

    def loss(model, batch):
        torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002
        output = model(batch[0])
        if next(calls) >= when:
            raise ZeroDivisionError("mine")
        return own.loss(output, batch[1])

    def measure():
        data = own.batches(4, 5)
        p = problem(own.model, loss, data, loss_takes="model", batch_norm=mode)
        p(p.weights)
        p.hvp(p.weights, p.weights)

    with pytest.raises(ZeroDivisionError, match="mine"):
        measure()


class Restless(nn.Module):
    """Draws, counts, and keeps tensors with their graph, in every forward pass."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 3), nn.Linear(3, 3)
        self.calls = 0
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("sum", torch.zeros(3))

    def forward(self, x):
        self.calls += 1
        self.seen += 1
        self.hidden = self.first(x)
        self.sum = self.sum + self.hidden.sum(0)
        self.register_buffer("late", self.hidden.detach())
        return self.last(self.hidden.tanh()) * self.seen


def test_what_a_forward_pass_leaves_behind(watch):
    model = watch(Restless())
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(9) % 3
    p = problem(model, nn.CrossEntropyLoss(), (x, targets), micro_batch=4)
    assert p(p.weights)[0] == p(p.weights)[0]
    p.hvp(p.weights, p.weights)
    assert not hasattr(model, "hidden")


def test_the_old_weight_norm(watch):
    """It leaves the weight, with its graph, in the module; torch gets H wrong."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        inner = nn.utils.weight_norm(nn.Linear(4, 5))
    model = watch(nn.Sequential(inner, nn.Tanh(), nn.Linear(5, 3)).double())
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(9, 4, generator=draw, dtype=torch.float64)
    p = problem(model, nn.CrossEntropyLoss(), (x, torch.arange(9) % 3))
    w, v, h = p.weights, direction(p.weights.numel()), 1e-5
    g = p(w)[1]
    assert float(g @ v) == pytest.approx(
        (p(w + h * v)[0] - p(w - h * v)[0]) / (2 * h), rel=1e-7
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hvp = p.hvp
    if hvp is None:
        own = [each for each in caught if each.category is sharpkit.SharpkitWarning]
        assert "not symmetric" in str(own[0].message)
    else:
        difference = (p(w + h * v)[1] - p(w - h * v)[1]) / (2 * h)
        assert float((hvp(w, v) - difference).abs().max()) < 1e-6


@pytest.mark.parametrize(
    "context", [torch.no_grad, torch.inference_mode, torch.enable_grad]
)
@pytest.mark.parametrize("micro_batch", [None, 4])
@pytest.mark.parametrize("mode", ["batch", "frozen"])
def test_the_callers_gradient_mode(watch, context, micro_batch, mode):
    own = case("conv_batch_norm")
    data = own.inputs[:8], own.targets[:8]
    outside = problem(
        watch(own.model), own.loss, data, batch_norm=mode, micro_batch=micro_batch
    )
    v = direction(outside.weights.numel())
    expected = outside(outside.weights), outside.hvp(outside.weights, v)
    with context():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        rows = tuple(part.clone() for part in data)  # perhaps of inference mode
        p = problem(own.model, own.loss, rows, batch_norm=mode, micro_batch=micro_batch)
        w = p.weights
        found = p(w), p.hvp(w, v.clone())
        p.gauss_newton(w, v)
        again = p.at(own.model.state_dict())(w)
        assert before == (torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    assert found[0][0] == expected[0][0] == again[0]
    assert torch.equal(found[0][1], expected[0][1])
    assert torch.equal(found[1], expected[1])
    assert not found[0][1].is_inference()


def test_autocast_around_is_ignored(watch):
    own = case("layer_norm_mlp", dtype=torch.float32)
    p = problem(watch(own.model), own.loss, own.data)
    expected = p(p.weights)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert p(p.weights)[0] == expected


def test_switches_of_torch_are_given_back(watch):
    own = case("attention")
    p = problem(watch(own.model), own.loss, own.data)
    switches = [
        torch.backends.mha.get_fastpath_enabled,
        torch.backends.cuda.flash_sdp_enabled,
        torch.backends.cuda.math_sdp_enabled,
        lambda: torch.backends.cudnn.enabled,
        lambda: torch.backends.mkldnn.enabled,
        torch.is_grad_enabled,
    ]
    before = [switch() for switch in switches]
    everything(p)
    assert [switch() for switch in switches] == before


def test_what_draws_gives_the_same_value_each_time(watch):
    own = case("layer_norm_mlp")

    def loss(model, batch):
        inputs, targets = batch
        noise = torch.randn_like(inputs) * random.random() * np.random.rand()  # noqa: NPY002
        return own.loss(model(inputs + noise), targets)

    p = problem(watch(own.model), loss, own.data, loss_takes="model", micro_batch=4)
    first = p(p.weights)
    with other_randomness():
        second = p(p.weights)
    assert first[0] == second[0] != truth("layer_norm_mlp").at(p.weights)[0]
    assert torch.equal(first[1], second[1])
    v, h = direction(p.weights.numel()), 1e-6
    difference = (p(p.weights + h * v)[1] - p(p.weights - h * v)[1]) / (2 * h)
    assert float((p.hvp(p.weights, v) - difference).abs().max()) < 1e-6


@pytest.mark.parametrize("own_generator", [True, False])
def test_a_shuffling_loader(watch, own_generator):
    own = case("layer_norm_mlp")
    dataset = torch.utils.data.TensorDataset(own.inputs, own.targets)
    generator = torch.Generator().manual_seed(3) if own_generator else None
    loader = torch.utils.data.DataLoader(
        dataset, 2, shuffle=True, drop_last=True, generator=generator
    )
    p = problem(watch(own.model), own.loss, loader)
    state = generator.get_state() if generator else None
    first = p(p.weights)
    with other_randomness():
        second = p(p.weights)
    # one sample of nine is dropped: another one would change the value
    assert first[0] == second[0]
    assert torch.equal(first[1], second[1])
    if generator:
        assert torch.equal(generator.get_state(), state)


def test_later_changes_of_the_model_are_not_seen():
    own = case("conv_batch_norm")
    p = problem(own.model, own.loss, own.data)
    w = p.weights
    before = p(w)[0]
    with torch.no_grad():
        for tensor in [*own.model.parameters(), *own.model.buffers()]:
            tensor.add_(1)
    assert p(w)[0] == before
    assert torch.equal(p.weights, w)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_frozen_parameters_are_shared_unless_converted(watch, dtype):
    own = case("frozen_and_unused")
    model = watch(own.model)
    p = problem(model, own.loss, own.data, dtype=dtype)
    frozen = {x.data_ptr() for x in model.parameters() if not x.requires_grad}
    held = {x.data_ptr() for x in p._evaluation.values.constants.values()}
    assert frozen
    assert (held == frozen) == (dtype == torch.float64)
    p(p.weights)


def test_weights_are_a_copy():
    own = case("regression")
    p = problem(own.model, own.loss, own.data)
    p.weights.zero_()
    assert float(p.weights.abs().max()) > 0


def test_load_writes_into_the_model():
    own, state = case("frozen_and_unused"), randomness()
    p = problem(own.model, own.loss, own.data)
    frozen = own.model.second.weight.clone()
    w = p.weights + 1
    p.load(w)
    found = [x.detach().reshape(-1) for x in own.model.parameters() if x.requires_grad]
    assert torch.equal(torch.cat(found), w)
    assert torch.equal(own.model.second.weight, frozen)
    assert randomness() == state
