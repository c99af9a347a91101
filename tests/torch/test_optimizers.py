"""The metric and the threshold of stock optimisers, against themselves."""

import numpy as np
import pytest
from torch_required import torch

import sharpkit

nn, optim = torch.nn, torch.optim

N, FROZEN = 6, ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "grad_avg")


class Quadratic(nn.Module):
    """Half of ``w H w``, of weights in two parameters."""

    def __init__(self, H, seed=0):
        super().__init__()
        start = torch.randn(N, generator=torch.Generator().manual_seed(seed)).double()
        self.one, self.two = nn.Parameter(start[:4]), nn.Parameter(start[4:].clone())
        self.H = H

    def forward(self, x):
        w = torch.cat([self.one, self.two])
        return (w @ self.H @ w / 2).expand(len(x))


def problem_of(model):
    data = torch.zeros(1, 1).double(), torch.zeros(1)
    return sharpkit.torch.problem(model, lambda out, _: out.mean(), data)


def hessian(seed=1):
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(N, N, generator=generator).double()
    return A @ A.T + torch.eye(N)


def measured(model, optimizer):
    problem = problem_of(model)
    metric = sharpkit.torch.preconditioner(optimizer, problem)
    return sharpkit.eigenvalues(problem, preconditioner=metric, tol=1e-10), metric


def prepared(make, scale, t=3):
    """A model and its optimiser, whose second moments are those of random gradients."""
    model = Quadratic(hessian() * scale)
    optimizer = make(model)
    generator = torch.Generator().manual_seed(7)
    for _ in range(t):
        for parameter in model.parameters():
            noise = torch.rand(parameter.shape, generator=generator).double()
            parameter.grad = 0.3 + noise
        optimizer.step()
    return model, optimizer


def grows(make, scale, steps=600):
    """Whether the stock optimiser diverges, its second moments and its time held.

    From weights so small that their gradients add nothing to the second moments.
    """
    model, optimizer = prepared(make, scale)
    held = {
        (p, key): value.clone()
        for p, state in optimizer.state.items()
        for key, value in state.items()
        if key in FROZEN
    }
    for parameter in model.parameters():
        parameter.data *= 1e-60
        for key in ("exp_avg", "momentum_buffer"):
            if key in optimizer.state[parameter]:
                optimizer.state[parameter][key].zero_()
    norms = []
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.zeros(1)).sum().backward()
        for (p, key), value in held.items():
            optimizer.state[p][key].copy_(value)
        for state in optimizer.state.values():
            if "step" in state:
                state["step"] -= 1
        optimizer.step()
        norms.append(float(torch.cat([p.detach() for p in model.parameters()]).norm()))
    return max(norms[-100:]) > max(norms[steps // 3 :][:100])


def groups(model, **second):
    return [{"params": [model.one]}, {"params": [model.two], **second}]


# A decay of the second moments of almost 1 leaves them as they are in one step.
STILL = 1 - 1e-9
MAKERS = {
    "sgd": lambda m: optim.SGD(m.parameters(), lr=0.1),
    "sgd decay": lambda m: optim.SGD(m.parameters(), lr=0.1, weight_decay=2.0),
    "polyak": lambda m: optim.SGD(m.parameters(), lr=0.1, momentum=0.9),
    "dampened": lambda m: optim.SGD(
        m.parameters(), lr=0.1, momentum=0.9, dampening=0.5
    ),
    "nesterov": lambda m: optim.SGD(
        m.parameters(), lr=0.1, momentum=0.8, nesterov=True
    ),
    "sgd groups": lambda m: optim.SGD(
        groups(m, lr=0.03, weight_decay=0.0), lr=0.1, momentum=0.5, weight_decay=3.0
    ),
    "adam": lambda m: optim.Adam(m.parameters(), lr=0.01, betas=(0.9, STILL)),
    "adam coupled": lambda m: optim.Adam(
        m.parameters(), lr=0.01, betas=(0.5, STILL), weight_decay=50.0, eps=0.1
    ),
    "amsgrad": lambda m: optim.Adam(
        m.parameters(), lr=0.01, betas=(0.9, STILL), amsgrad=True
    ),
    "adamw": lambda m: optim.AdamW(
        m.parameters(), lr=0.1, betas=(0.9, STILL), weight_decay=1.5
    ),
    "adamw groups": lambda m: optim.AdamW(
        groups(m, lr=0.02, weight_decay=0.0, eps=0.2, betas=(0.8, 1 - 2e-9)),
        lr=0.1,
        betas=(0.8, STILL),
        weight_decay=3.0,
    ),
    "rmsprop": lambda m: optim.RMSprop(m.parameters(), lr=0.01, alpha=STILL),
    "rmsprop momentum": lambda m: optim.RMSprop(
        m.parameters(), lr=0.01, alpha=STILL, momentum=0.7, weight_decay=3.0
    ),
    "rmsprop centered": lambda m: optim.RMSprop(
        m.parameters(), lr=0.01, alpha=STILL, centered=True
    ),
}


def scaled_to(make, wanted):
    """The scale of the Hessian at which the measured ratio is the one wanted."""
    low, high = 0.0, 1e9
    model, optimizer = prepared(make, 1.0)
    metric = sharpkit.torch.preconditioner(optimizer, problem_of(model))
    root = metric.values.double().numpy() ** -0.5
    for _ in range(200):
        middle = (low + high) / 2
        dense = root[:, None] * hessian().numpy() * root * middle
        if metric.shift is not None:
            dense += np.diag(metric.shift.double().numpy())
        ratio = np.linalg.eigvalsh(dense)[-1] / metric.threshold
        low, high = (middle, high) if ratio < wanted else (low, middle)
    return middle


@pytest.mark.parametrize("name", MAKERS)
def test_optimisers_diverge_just_above_their_threshold_only(name):
    make = MAKERS[name]
    for wanted in (0.995, 1.005):
        scale = scaled_to(make, wanted)
        found, _ = measured(*prepared(make, scale))
        assert found.ratio == pytest.approx(wanted, rel=1e-8)
        assert grows(make, scale) == (wanted > 1), (wanted, found)


@pytest.mark.parametrize(
    ("make", "threshold"),
    [
        (lambda p: optim.SGD(p, lr=0.1), 2 / 0.1),
        (lambda p: optim.SGD(p, lr=0.1, momentum=0.9), (2 + 2 * 0.9) / 0.1),
        (
            lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
            (2 + 2 * 0.9) / (0.1 * (1 + 2 * 0.9)),
        ),
        (lambda p: optim.SGD(p, lr=0.1, weight_decay=0.5), 2 / 0.1 - 0.5),
        (lambda p: optim.Adam(p, lr=0.1), 38 / 0.1),
        (lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.5), 38 / 0.1 - 19 * 0.5),
        (lambda p: optim.RMSprop(p, lr=0.1), 2 / 0.1),
    ],
)
def test_thresholds_in_closed_form(make, threshold):
    model, optimizer = prepared(lambda m: make(m.parameters()), 1.0)
    metric = sharpkit.torch.preconditioner(optimizer, problem_of(model))
    assert metric.threshold == pytest.approx(threshold, rel=1e-12)


@pytest.mark.parametrize("name", MAKERS)
def test_the_metric_is_what_a_step_divides_by(name):
    """From the difference that one gradient makes, all else held, at the rate."""
    make = MAKERS[name]
    model, optimizer = prepared(make, 1.0)
    metric = sharpkit.torch.preconditioner(optimizer, problem_of(model))
    group = optimizer.param_groups
    rate = max(each["lr"] for each in group)
    moved = []
    for kick in (0.0, 1e-20):
        model, optimizer = prepared(make, 1.0)
        for p in model.parameters():
            p.data.zero_()
            state = optimizer.state[p]
            for key in ("exp_avg", "momentum_buffer"):
                if key in state and state[key] is not None:
                    state[key].zero_()
            if "step" in state:
                state["step"] -= 1
            p.grad = torch.full_like(p, kick)
        optimizer.step()
        moved.append(torch.cat([p.detach() for p in model.parameters()]))
    share = 1 - group[0]["betas"][0] if "betas" in group[0] else 1.0
    if group[0].get("momentum"):
        share = 1 - group[0].get("dampening", 0.0)
        share *= 1 + group[0]["momentum"] * group[0].get("nesterov", False)
    expected = -rate * share * 1e-20 / metric.values.double()
    torch.testing.assert_close(moved[1] - moved[0], expected, rtol=1e-6, atol=0)


def refused(text, optimizer, problem):
    with pytest.raises((TypeError, ValueError), match=text) as found:
        sharpkit.torch.preconditioner(optimizer, problem)
    assert "give" in str(found.value) or "call" in str(found.value)


def test_what_has_no_metric_is_refused_with_the_cure():
    model = Quadratic(hessian())
    problem, every = problem_of(model), list(model.parameters())
    refused("Adagrad, whose metric is not known", optim.Adagrad(every), problem)
    refused("no state of parameter one yet", optim.Adam(every), problem)
    refused("does not train parameter two", optim.SGD([model.one], lr=1), problem)
    refused("maximises", optim.SGD(every, lr=1, maximize=True), problem)
    refused("lr=0; weights", optim.SGD(every, lr=0.0), problem)
    refused("problem is of type Quadratic", optim.SGD(every, lr=1), model)
    apart = optim.SGD(groups(model, momentum=0.5), lr=1)
    refused("differ in momentum", apart, problem)


def test_tied_and_frozen_parameters_have_the_metric_of_their_own():
    body, head = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    head.weight = body.weight
    model = nn.Sequential(nn.Linear(2, 3), body, nn.Tanh(), head)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    data = torch.randn(5, 2), torch.randn(5, 3)
    nn.functional.mse_loss(model(data[0]), data[1]).backward()
    optimizer.step()
    problem = sharpkit.torch.problem(model, nn.MSELoss(), data, parameters="1.*")
    found = sharpkit.torch.preconditioner(optimizer, problem)
    v = optimizer.state[body.weight]["exp_avg_sq"].flatten() / 0.001
    torch.testing.assert_close(found.values, 0.1 * (v.sqrt() + 1e-8))
    assert found.threshold == pytest.approx(3800)
    assert repr(found) == "Preconditioner Adam of n = 9 weights, stable up to 3800"


def kept_in_tensors(optimizer):
    """Steps in tensors of float32, as fused and capturable optimisers keep them."""
    for state in optimizer.state.values():
        state["step"] = torch.as_tensor(state["step"], dtype=torch.float32)
    return optimizer


@pytest.mark.parametrize(
    "options",
    [
        {"fused": True},
        {"foreach": True},
        {"foreach": False, "lr": torch.tensor(0.01, dtype=torch.float64)},
        {"amsgrad": True, "fused": True},
    ],
)
def test_every_implementation_of_adam_has_the_metric_of_the_plain_one(options):
    strict = {"amsgrad": True} if "amsgrad" in options else {}
    found = []
    for own in (strict | {"foreach": False}, options):
        model, optimizer = prepared(
            lambda m, own=own: optim.Adam(m.parameters(), **{"lr": 0.01} | own), 1.0
        )
        kept_in_tensors(optimizer)
        found.append(sharpkit.torch.preconditioner(optimizer, problem_of(model)))
    torch.testing.assert_close(found[0].values, found[1].values, rtol=1e-12, atol=0)
    assert found[0].threshold == pytest.approx(found[1].threshold, rel=1e-12)


def test_a_state_that_was_saved_and_loaded_is_the_same():
    model, optimizer = prepared(MAKERS["adamw groups"], 1.0)
    other = MAKERS["adamw groups"](model)
    refused("never gets a gradient, leave it out", other, problem_of(model))
    other.load_state_dict(optimizer.state_dict())
    one, two = (
        sharpkit.torch.preconditioner(each, problem_of(model))
        for each in (optimizer, other)
    )
    assert torch.equal(one.values, two.values)
    assert torch.equal(one.shift, two.shift)


def test_a_state_of_another_optimiser_is_refused():
    """Torch loads it without a word, with the groups of the other."""
    model, optimizer = prepared(MAKERS["adam"], 1.0)
    for other, lacks in ((optim.SGD, "momentum"), (optim.RMSprop, "alpha")):
        loaded = other(model.parameters(), lr=0.1, momentum=0.9)
        loaded.load_state_dict(optimizer.state_dict())
        refused(
            f"have no {lacks}, which .*: a state_dict of ano", loaded, problem_of(model)
        )


def test_a_parameter_without_a_gradient_is_left_out():
    body, unused = nn.Linear(2, 2), nn.Linear(2, 2)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.unused = body, unused

        def forward(self, x):
            return self.body(x)

    model, data = Model(), (torch.randn(5, 2), torch.randn(5, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    nn.functional.mse_loss(model(data[0]), data[1]).backward()
    optimizer.step()
    options = {"parameters": "body.*"}
    some = sharpkit.torch.problem(model, nn.MSELoss(), data, **options)
    assert len(sharpkit.torch.preconditioner(optimizer, some).values) == 6


def test_a_decay_that_diverges_alone_is_above_the_threshold():
    make = lambda m: optim.AdamW(m.parameters(), lr=1.0, weight_decay=3.0)  # noqa: E731
    found, metric = measured(*prepared(make, 1e-9))
    assert metric.threshold == pytest.approx(38)
    assert found.ratio == pytest.approx(1.5)  # 1 - rate * decay is -2
