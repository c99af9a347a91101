"""Models and losses that write to what they are given: the data stay as found."""

import types

import pytest
from torch_cases import direction
from torch_required import torch

from sharpkit.torch import problem

nn = torch.nn
functional = nn.functional


class Shifting(nn.Module):
    """A model that subtracts a mean from its input, in place or not."""

    def __init__(self, shift):
        super().__init__()
        self.shift, self.inner = shift, nn.Linear(4, 3)

    def forward(self, x, other=None):
        x = self.shift(x)
        return self.inner(x).tanh() if other is None else self.inner(x) + other[0]


def in_place(x):
    x -= 0.5
    return x


def unseen(x):
    x.data.sub_(0.5)
    return x


def by_numpy(x):
    x.numpy()[:] -= 0.5
    return x


def by_flag(x):
    return x.requires_grad_() - 0.5


def plain(x):
    return x - 0.5


WRITERS = [in_place, unseen, by_numpy, by_flag]


def made(shift):
    torch.manual_seed(0)
    model = Shifting(shift).double()
    return model, torch.randn(9, 4).double(), torch.arange(9) % 3


def everything(p):
    """Return what all ways to evaluate find, twice."""
    w, v = p.weights, direction(p.weights.numel())
    found = []
    for _ in range(2):
        found += [p.hvp(w, v), torch.tensor(p(w)[0]), p(w)[1]]
        if p._evaluation.objective.takes_output:
            found += [p.gauss_newton(w, v), torch.tensor(p.accuracy(w))]
    return found


@pytest.mark.parametrize("micro_batch", [None, 4])
@pytest.mark.parametrize("shift", WRITERS)
def test_a_forward_pass_that_writes(watch, shift, micro_batch):
    found = []
    for way in (plain, shift):
        model, x, y = made(way)
        before = x.clone()
        p = problem(
            watch(model), nn.CrossEntropyLoss(), (x, y), micro_batch=micro_batch
        )
        assert p.samples == 9  # which evaluates nothing
        found.append(everything(p))
        assert torch.equal(x, before)
        assert not x.requires_grad
    assert all(map(torch.equal, *found))


def nested(x):
    return {"deep": [(x, {"x": x[:5]})]}


def as_object(x):
    return types.SimpleNamespace(store=types.SimpleNamespace(x=x))


@pytest.mark.parametrize("of", [nested, as_object])
@pytest.mark.parametrize("where", ["model", "loss"])
def test_writes_at_any_depth(watch, of, where):
    x = made(plain)[1]

    def loss(model, batch):
        inputs = batch["deep"][0][0] if of is nested else batch.store.x
        value = model(inputs).square().mean()
        if where == "loss":
            inputs += 1
        return value

    model = watch(made(in_place if where == "model" else plain)[0])
    before, right = x.clone(), made(plain)[0](x).square().mean()
    p = problem(model, loss, [of(x)], loss_takes="model")
    everything(p)
    assert torch.equal(x, before)
    assert p(p.weights)[0] == pytest.approx(float(right.detach()), rel=1e-12)


def test_a_loss_that_writes_to_its_targets(watch):
    model, x, y = made(plain)
    y[2] = -1

    def loss(output, targets):
        targets[targets < 0] = 0
        return functional.cross_entropy(output, targets)

    p = problem(watch(model), loss, (x, y), micro_batch=3)
    right = functional.cross_entropy(model(x), y.clamp(min=0))
    for _ in range(2):
        assert p(p.weights)[0] == pytest.approx(float(right.detach()), rel=1e-12)
    assert y[2] == -1


def test_frozen_statistics_leave_the_data(watch):
    model, x, y = made(in_place)
    model.inner = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU()).double()
    before = x.clone()
    problem(watch(model), nn.CrossEntropyLoss(), (x, y), batch_norm="frozen")
    assert torch.equal(x, before)


def test_a_write_that_comes_later_is_an_error(watch):
    calls = iter(range(9))
    model, x, y = made(lambda x: in_place(x) if next(calls) > 0 else plain(x))
    p = problem(watch(model), nn.CrossEntropyLoss(), (x, y))
    p(p.weights)
    with pytest.raises(
        RuntimeError, match=r"wrote to a tensor of data.*make them anew"
    ):
        p(p.weights)


@pytest.mark.parametrize("cut", [slice(None), slice(1, 8, 2), slice(3, 7)])
def test_the_first_pass_has_the_bits_of_the_others(watch, cut):
    torch.manual_seed(0)
    model, x = nn.Linear(37, 3), torch.randn(41, 9).T.repeat(1, 1)[:, 1:38]
    p = problem(
        watch(model), nn.CrossEntropyLoss(), (x[cut], (torch.arange(9) % 3)[cut])
    )
    first, second = p(p.weights), p(p.weights)
    assert first[0] == second[0]
    assert torch.equal(first[1], second[1])


def test_data_with_nan_are_not_taken_for_written_to(watch):
    model, x, y = made(lambda x: x.nan_to_num())
    x[0, 0] = torch.nan
    p = problem(watch(model), nn.CrossEntropyLoss(), (x, y))
    p(p.weights)
    assert not p._evaluation.batches._lending._copies
