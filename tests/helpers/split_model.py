"""A model over two devices, against the same one on the CPU: run as a program."""

import copy
import math

import pretended_devices
import pytest
import torch
from torch import nn

import sharpkit
from sharpkit.torch import preconditioner, problem

AWAY = torch.device(pretended_devices.NAME, 0)
DATA = torch.randn(9, 4, dtype=torch.float64), torch.arange(9) % 3


def network():
    """Return a network with batch norm, and a bias that is not trained."""
    torch.manual_seed(0)
    layers = [nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 5), nn.SiLU()]
    model = nn.Sequential(*layers, nn.Linear(5, 3)).double()
    model[3].bias.requires_grad_(False)
    model(3 * torch.randn(40, 4, dtype=torch.float64))  # averages that are not 0 and 1
    return model


def split(model, away):
    """Return a copy, some modules away, with hooks that move what goes into each."""
    model = copy.deepcopy(model)
    for name, module in model.named_children():
        module.to(AWAY if int(name) in away else "cpu")

        def moved(module, args):
            own = next(module.parameters(), None)
            return args if own is None else tuple(x.to(own.device) for x in args)

        module.register_forward_pre_hook(moved)
    return model


def close(one, other):
    torch.testing.assert_close(one.cpu(), other.cpu(), rtol=1e-12, atol=1e-13)


def compare(away, batch_norm, loss):
    """Hold all that a problem computes against the same on the CPU."""
    model = network()
    other = split(model, away)
    truth = problem(model, copy.deepcopy(loss), DATA, batch_norm=batch_norm)
    p = problem(other, loss, DATA, batch_norm=batch_norm)
    before = {k: (x, x.clone()) for k, x in other.state_dict(keep_vars=True).items()}
    w, v = truth.weights, torch.randn_like(truth.weights)
    here, along = p.weights, v.to(p.weights.device)
    assert here.device == next(other.parameters()).device
    close(here, w)
    assert math.isclose(p(here)[0], truth(w)[0], rel_tol=1e-12)
    assert math.isclose(p.forward(here), truth(w)[0], rel_tol=1e-12)
    assert p.evaluate(here)[1] == truth.evaluate(w)[1]
    close(p(here)[1], truth(w)[1])
    close(p.hvp(here, along), truth.hvp(w, v))
    close(p.gauss_newton(here, along), truth.gauss_newton(w, v))
    if batch_norm != "batch":
        close(p.directional(here, along), truth.directional(w, v))
        close(p.empirical_fisher(here, along), truth.empirical_fisher(w, v))
    if here.device.type == "cpu":  # torch.tensor() cannot make one of these devices
        close(p.widened()(here)[1], truth.widened()(w)[1])
    now = other.state_dict(keep_vars=True)
    for name, (tensor, value) in before.items():
        assert now[name] is tensor
        close(tensor, value)
    named = {name: x + 1 for name, x in model.state_dict().items()}
    there, known = p.at(named), truth.at(named)
    close(there(there.weights)[1], known(known.weights)[1])
    compare_preconditioners(model, other, truth, p)
    p.load(here + along)
    close(p.refreshed().weights, w + v)
    devices = [x.device for x in other.state_dict().values()]
    assert devices == [x.device for x, _ in before.values()]
    return truth, p


def compare_preconditioners(model, other, truth, p):
    found = []
    for each, own in ((model, truth), (other, p)):
        optimizer = torch.optim.RMSprop(x for x in each.parameters() if x.requires_grad)
        for x in each.parameters():
            if x.requires_grad:
                optimizer.state[x]["square_avg"] = x.detach().square()
                optimizer.state[x]["step"] = torch.tensor(1.0)
        found.append(preconditioner(optimizer, own).values)
    close(*found)


def main():
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5]).double())
    for batch_norm in ("running", "batch", "frozen"):
        truth, p = compare({3, 4, 5}, batch_norm, weighted)  # the first part is here
        known = sharpkit.eigenvalues(truth, k=2, tol=1e-9).values
        values = sharpkit.eigenvalues(p, k=2, tol=1e-9).values
        assert max(abs(values - known)) <= 1e-9 * known[0]
        value = sharpkit.sharpness(truth, max_evaluations=10).value
        found = sharpkit.sharpness(p, max_evaluations=10).value
        assert math.isclose(found, value, rel_tol=1e-9)
        compare({1}, batch_norm, weighted)  # a part in the middle is away
        compare({0, 1, 2, 3}, batch_norm, nn.CrossEntropyLoss())  # the vectors are away
    with pytest.raises(RuntimeError, match="tensors on"):  # they do tell a mistake
        network().to(AWAY)(DATA[0])
    print("all agree")


if __name__ == "__main__":
    main()
