"""Losses that hold the parameters of the model themselves."""

import copy

import pytest
from torch_cases import case, direction, truth
from torch_required import torch

from sharpkit.torch import problem

nn = torch.nn
RATE = 0.05


class Penalty:
    """A regulariser as training scripts have it."""

    def __init__(self, parameters):
        self.parameters = list(parameters)

    def squares(self):
        return RATE * sum((p**2).sum() for p in self.parameters)

    def vector(self):
        flat = nn.utils.parameters_to_vector(self.parameters)
        return RATE * flat.dot(flat)

    def norms(self):
        return RATE * torch.stack([p.norm() ** 2 for p in self.parameters]).sum()

    def foreach(self):
        parts = torch._foreach_norm(self.parameters)
        return RATE * torch.stack(parts).square().sum()


WAYS = ["squares", "vector", "norms", "foreach"]


@pytest.mark.parametrize("micro_batch", [None, 4])
@pytest.mark.parametrize("takes", ["output", "model"])
@pytest.mark.parametrize("way", WAYS)
def test_a_penalty_counts_as_if_it_were_of_the_given_model(
    watch, way, takes, micro_batch
):
    own, known = case("regression"), truth("regression")
    penalty = Penalty(watch(own.model).parameters())

    def of_output(output, targets):
        return own.loss(output, targets) + getattr(penalty, way)()

    def of_model(model, batch):
        return of_output(model(batch[0]), batch[1])

    p = problem(
        own.model,
        of_output if takes == "output" else of_model,
        own.data,
        loss_takes=takes,
        micro_batch=micro_batch,
    )
    w, v = p.weights * 1.1, direction(p.weights.numel())
    at_start = p.hvp(p.weights, v)
    assert torch.allclose(at_start, known.hessian @ v + 2 * RATE * v, rtol=1e-9)
    loss, gradient = p(w)
    expected, slope = known.at(w)
    assert loss == pytest.approx(expected + RATE * float(w @ w), rel=1e-12)
    assert torch.allclose(gradient, slope + 2 * RATE * w, rtol=1e-10)
    if takes == "output":
        found = p.gauss_newton(p.weights, v)
        assert torch.allclose(found, known.gauss_newton @ v, rtol=1e-9, atol=1e-12)


def test_parameters_of_an_optimiser_at_a_checkpoint_in_another_dtype(watch):
    own = case("regression", dtype=torch.float32)
    optimizer = torch.optim.SGD(watch(own.model).parameters(), 0.1)

    def loss(model, batch):
        held = [p for group in optimizer.param_groups for p in group["params"]]
        return own.loss(model(batch[0]), batch[1]) + sum(p.square().sum() for p in held)

    p = problem(own.model, loss, [own.data], loss_takes="model", dtype=torch.float64)
    other = {k: 2 * x for k, x in own.model.state_dict().items()}
    q = p.at(other)
    w = q.weights
    model = copy.deepcopy(own.model).double()
    model.load_state_dict(other)
    with torch.no_grad():
        fit = own.loss(model(own.inputs.double()), own.targets.double())
    assert q(w)[0] == pytest.approx(float(fit) + float(w @ w), rel=1e-12)


def test_what_was_computed_before_is_an_error(watch):
    own = case("regression")
    vector = nn.utils.parameters_to_vector(watch(own.model).parameters())

    def loss(output, targets):
        return own.loss(output, targets) + (vector**2).sum()

    p = problem(own.model, loss, own.data)
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"parameter '0\.bias' by another way.*mod"
        ):
            p(p.weights)


def test_other_parameters_are_constants(watch):
    """Those that are not measured, and those of a frozen copy."""
    own = case("regression")
    before = [p.detach().clone() for p in own.model.parameters()]
    frozen = own.model[2].bias

    def loss(output, targets):
        pull = sum(
            (p - q).square().sum()
            for p, q in zip(own.model.parameters(), before, strict=True)
        )
        return own.loss(output, targets) + pull + frozen.square().sum()

    p = problem(watch(own.model), loss, own.data, parameters="0.*")
    w = p.weights + 0.1
    known = truth("regression")
    rest = known.weights[w.numel() :]
    expected, _ = known.at(torch.cat([w, rest]))
    constant = 0.01 * w.numel() + float(frozen.square().sum().detach())
    assert p(w)[0] == pytest.approx(expected + constant, rel=1e-12)
    assert not p._evaluation.elsewhere.swaps
