import copy

import pytest
from torch_cases import case, direction, truth
from torch_required import torch

from sharpkit.torch import problem

nn = torch.nn


def close(found, known, rounding=1e-11):
    assert float((found - known).abs().max()) <= rounding * float(known.abs().max())


def whole_batch(own):
    """Return loss and gradient with the statistics of all the data, by torch alone."""
    model = copy.deepcopy(own.model).train()
    loss = own.loss(model(own.inputs), own.targets)
    gradient = torch.autograd.grad(loss, list(model.parameters()))
    return float(loss.detach()), torch.cat([part.reshape(-1) for part in gradient])


def whole_statistics(own):
    """Return each batch norm's mean and biased variance over all the data."""
    model, found = copy.deepcopy(own.model).train(), {}

    def keep(name):
        def hook(module, args):
            axes = [axis for axis in range(args[0].dim()) if axis != 1]
            var, mean = torch.var_mean(args[0], axes, correction=0)
            found[name] = mean.detach(), var.detach()

        return hook

    for name, part in model.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.register_forward_pre_hook(keep(name))
    model(own.inputs)
    return found


def with_statistics(own, found):
    model = copy.deepcopy(own.model).eval()
    for name, (mean, var) in found.items():
        part = model.get_submodule(name)
        part.running_mean, part.running_var = mean.clone(), var.clone()
    return model


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mode", ["running", "batch", "frozen"])
def test_the_models_mode_changes_nothing(watch, mode, training):
    own, other = case("conv_batch_norm"), case("conv_batch_norm")
    other.model.train(training)
    other.model[1].train(not training)
    found = [
        problem(watch(x.model), x.loss, x.data, batch_norm=mode)(w)
        for x in (own, other)
        for w in [truth("conv_batch_norm").weights]
    ]
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


def test_batch_is_the_training_loss(watch):
    own = case("conv_batch_norm")
    p = problem(watch(own.model), own.loss, own.data, batch_norm="batch")
    loss, gradient = p(p.weights)
    expected, slope = whole_batch(own)
    assert loss == pytest.approx(expected, rel=1e-12)
    close(gradient, slope)
    v, h = direction(p.weights.numel()), 1e-6
    difference = (p(p.weights + h * v)[1] - p(p.weights - h * v)[1]) / (2 * h)
    close(p.hvp(p.weights, v), difference, 1e-5)


def test_batch_takes_those_of_each_batch(watch):
    own = case("conv_batch_norm")
    p = problem(watch(own.model), own.loss, own.data, batch_norm="batch", micro_batch=4)
    losses = []
    for inputs, targets in own.batches(4, 4, 1)[:2]:
        model = copy.deepcopy(own.model).train()
        losses.append(4 * float(own.loss(model(inputs), targets).detach()))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        p(p.weights)  # the last batch has one sample
    p = problem(
        own.model,
        own.loss,
        (own.inputs[:8], own.targets[:8]),
        batch_norm="batch",
        micro_batch=4,
    )
    assert p(p.weights)[0] == pytest.approx(sum(losses) / 8, rel=1e-12)


@pytest.mark.parametrize("micro_batch", [None, 4, 1])
def test_frozen_are_the_statistics_of_all_the_data(watch, micro_batch):
    own = case("conv_batch_norm")
    p = problem(
        watch(own.model),
        own.loss,
        own.data,
        batch_norm="frozen",
        micro_batch=micro_batch,
    )
    known = whole_statistics(own)
    assert p._evaluation.frozen.keys() == known.keys() == {"1", "4", "8"}
    for name, (mean, variance) in known.items():
        close(p._evaluation.frozen[name][0], mean, 1e-12)
        close(p._evaluation.frozen[name][1], variance, 1e-12)
    w = p.weights
    # at the centre the loss is that of the whole batch, but they are constants
    assert p(w)[0] == pytest.approx(whole_batch(own)[0], rel=1e-11)
    for there in (w, w + 0.1 * direction(w.numel())):
        model = with_statistics(own, known)
        nn.utils.vector_to_parameters(there.clone(), model.parameters())
        loss = own.loss(model(own.inputs), own.targets)
        slope = torch.autograd.grad(loss, list(model.parameters()))
        found, gradient = p(there)
        assert found == pytest.approx(float(loss.detach()), rel=1e-11)
        close(gradient, torch.cat([part.reshape(-1) for part in slope]), 1e-10)


def test_frozen_pools_in_double(watch):
    """A mean far from zero costs float32 sums of squares all their digits."""
    model = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1))
    x = 1e4 + torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    p = problem(watch(model), nn.MSELoss(), (x, x), batch_norm="frozen", micro_batch=7)
    mean, variance = p._evaluation.frozen["0"]
    assert float(mean) == pytest.approx(float(x.double().mean()), rel=1e-6)
    known = float(x.double().var(correction=0))
    assert float(variance) == pytest.approx(known, rel=1e-6)


@pytest.mark.parametrize("mode", ["batch", "frozen"])
def test_without_running_averages(watch, mode):
    own = case("conv_batch_norm")
    parts = [own.model[1], own.model[4], own.model[8]]
    for part in parts:
        part.track_running_stats = False
        part.running_mean = part.running_var = part.num_batches_tracked = None
    with pytest.raises(ValueError, match=r"batch norm 1 keeps no .*='batch' or 'froz"):
        problem(own.model, own.loss, own.data)
    p = problem(watch(own.model), own.loss, own.data, batch_norm=mode)
    assert p(p.weights)[0] == pytest.approx(whole_batch(own)[0], rel=1e-11)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(2), nn.Linear(2, 1)

    def forward(self, x):
        return self.last(self.norm(self.norm(x).tanh()))


def test_frozen_refuses_a_norm_that_is_used_twice(watch):
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    model = watch(Twice())
    with pytest.raises(ValueError, match="batch norm norm is passed several times"):
        problem(model, nn.MSELoss(), (x, x[:, :1]), batch_norm="frozen")


class Swallows(nn.Module):
    """Catches every exception of a layer, and has a norm that is never reached."""

    def __init__(self):
        super().__init__()
        self.norm, self.unused = nn.BatchNorm1d(2), nn.BatchNorm1d(5)
        self.last = nn.Linear(2, 1)

    def forward(self, x):
        try:
            x = self.norm(input=x)
        except Exception:  # as careless code does
            raise AssertionError from None
        return self.last(x)


def test_frozen_with_names_and_unused_norms(watch):
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    p = problem(watch(Swallows()), nn.MSELoss(), (x, x[:, :1]), batch_norm="frozen")
    assert p._evaluation.frozen.keys() == {"norm"}
    close(p._evaluation.frozen["norm"][0], x.mean(0), 1e-6)


def test_a_loss_of_the_model_is_frozen_too(watch):
    own = case("conv_batch_norm")

    def loss(model, batch):
        return own.loss(model(batch[0]), batch[1])

    one, other = (
        problem(
            watch(own.model),
            function,
            own.data,
            loss_takes=takes,
            batch_norm="frozen",
            micro_batch=2,
        )
        for function, takes in ((own.loss, "output"), (loss, "model"))
    )
    assert one(one.weights)[0] == other(other.weights)[0]


def test_on_line(watch):
    own, plain = case("conv_batch_norm"), case("layer_norm_mlp")
    p = problem(watch(own.model), own.loss, own.data)
    line = p.on_line()
    assert (p.batch_norm, line.batch_norm) == ("running", "batch")
    assert line.on_line() is line
    assert line(p.weights)[0] == pytest.approx(whole_batch(own)[0], rel=1e-12)
    p = problem(watch(plain.model), plain.loss, plain.data)
    assert p.on_line() is p
