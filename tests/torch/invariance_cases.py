"""Networks, transformations of their weights, and every measure before and after.

``python tests/torch/invariance_cases.py`` writes the table into ``docs/measures.md``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch_required import torch

import sharpkit

PAGE = Path(__file__).resolve().parents[2] / "docs" / "measures.md"
BEGIN, END = "<!-- the table of factors -->\n", "<!-- the end of the table -->\n"
SAME = 1e-3  # a relative change below this is "same"; most are below 1e-9
FACTOR, NEURONS = 3.0, (0.5, 2.0, 0.8, 3.0, 1.5)
TIMES = 4.0  # the loss

nn = torch.nn


def plain():
    """A ReLU network."""
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


def normed():
    """A ReLU network with a batch norm."""
    norm = nn.BatchNorm1d(5, eps=1e-12)
    return nn.Sequential(nn.Linear(4, 5, bias=False), norm, nn.ReLU(), nn.Linear(5, 3))


class Attention(nn.Module):
    """One head, the mean over three tokens, and a linear layer."""

    def __init__(self):
        super().__init__()
        for name in ("query", "key", "value"):
            setattr(self, name, nn.Linear(4, 2, bias=False))
        self.out = nn.Linear(2, 4, bias=False)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        tokens = torch.stack([x, x.flip(1) * x, x.roll(1, 1)], 1)
        scores = self.query(tokens) @ self.key(tokens).mT / 2**0.5
        mixed = self.out(scores.softmax(2) @ self.value(tokens))
        return self.head(torch.tanh(tokens + mixed).mean(1))


MODELS = {"plain": plain, "batch norm": normed, "attention": Attention}


def data():
    """Three overlapping classes of 36 samples in all."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.arange(36) % 3
    centres = 1.5 * torch.randn(3, 4, generator=draw, dtype=torch.float64)
    noise = torch.randn(36, 4, generator=draw, dtype=torch.float64)
    return centres[labels] + noise, labels


def cross_entropy(output, labels):
    return nn.functional.cross_entropy(output, labels)


def four_times(output, labels):
    return TIMES * nn.functional.cross_entropy(output, labels)


@dataclass(frozen=True)
class Network:
    """A model, its loss, and the weights that its training began with."""

    model: Any
    start: Any
    loss: Callable[..., Any] = cross_entropy
    # The transformation, if it keeps the function: new weights are T times the old.
    linear: Any = None

    def problem(self, **options):
        return sharpkit.torch.problem(
            self.model, self.loss, data(), batch_norm="frozen", **options
        )


@cache
def trained(name: str) -> Network:
    """Return a network, trained by plain gradient descent, all samples at a time."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = MODELS[name]().double()
    start = sharpkit.torch.problem(model, cross_entropy, data()).weights
    inputs, labels = data()
    descent = torch.optim.SGD(model.parameters(), lr=0.2)
    for _ in range(200):
        descent.zero_grad()
        cross_entropy(model(inputs), labels).backward()
        descent.step()
    n = start.numel()
    return Network(model, start, linear=torch.eye(n, dtype=torch.float64))


def linear(network: Network, change: Callable[[Any], None]) -> Network:
    """Return the network whose weights are changed by a linear map."""
    own = network.problem().weights
    columns = []
    for unit in torch.eye(own.numel(), dtype=torch.float64):
        columns.append(_changed(network.model, change, unit)[1])
    model, _ = _changed(network.model, change, own)
    return replace(network, model=model, linear=torch.stack(columns, 1))


def _changed(model, change, w):
    model = copy.deepcopy(model)
    nn.utils.vector_to_parameters(w, model.parameters())
    with torch.no_grad():
        change(model)
    return model, nn.utils.parameters_to_vector(model.parameters()).detach()


def scaled_neurons(factors):
    def change(model):
        model[0].weight *= factors[:, None]
        model[0].bias *= factors
        model[2].weight /= factors

    return change


def scaled_before_norm(model):
    model[0].weight *= FACTOR  # batch norm divides it away again


def permuted(model):
    order = torch.tensor([3, 0, 4, 2, 1])
    for array in (model[0].weight, model[0].bias):
        array.copy_(array[order].clone())
    model[2].weight.copy_(model[2].weight[:, order].clone())


def scaled_logits(model):
    model[2].weight *= FACTOR
    model[2].bias *= FACTOR


def turned_heads(model):
    A = torch.tensor([[2.0, 1.0], [-0.5, 0.8]], dtype=torch.float64)
    inverse = A.inverse()
    model.query.weight.copy_(A @ model.query.weight)
    model.key.weight.copy_(inverse.T @ model.key.weight)
    model.value.weight.copy_(A @ model.value.weight)
    model.out.weight.copy_(model.out.weight @ inverse)


def _tensor(values):
    return torch.tensor(values, dtype=torch.float64)


TRANSFORMATIONS: dict[str, tuple[str, Callable[[Network], Network]]] = {
    "layer": (
        "plain",
        lambda net: linear(net, scaled_neurons(_tensor([FACTOR] * 5))),
    ),
    "neurons": ("plain", lambda net: linear(net, scaled_neurons(_tensor(NEURONS)))),
    "batch norm": ("batch norm", lambda net: linear(net, scaled_before_norm)),
    "permutation": ("plain", lambda net: linear(net, permuted)),
    "attention": ("attention", lambda net: linear(net, turned_heads)),
    "loss": ("plain", lambda net: replace(net, loss=four_times)),
    "logits": ("plain", lambda net: replace(linear(net, scaled_logits), linear=None)),
}


@cache
def transformed(name: str) -> tuple[Network, Network]:
    """Return the network before and after a transformation."""
    before, change = TRANSFORMATIONS[name]
    return trained(before), change(trained(before))


def metric(network: Network):
    """What Adam divides by where it has seen all samples, one by one, at the end."""
    problem = network.problem()
    squares = torch.zeros_like(problem.weights)
    for i in range(problem.samples):
        squares += problem.subset([i])(problem.weights)[1] ** 2 / problem.samples
    return squares.sqrt() + 1e-8


class Measure(NamedTuple):
    """A row of the table."""

    function: Callable[..., Any]
    options: dict[str, Any] = {}
    normalized: bool = False
    within: float = SAME  # what the search, or the noise, leaves open of a factor

    def __call__(self, network: Network) -> float:
        given = {"normalize_logits": True} if self.normalized else {}
        options = {
            name: value(network) if callable(value) else value
            for name, value in self.options.items()
        }
        return float(self.function(network.problem(**given), **options))


def first_layer(problem, **options):
    return next(iter(sharpkit.by_group(sharpkit.sharpness, problem, **options).values()))


def relative(index):
    def flatness(problem):
        found = sharpkit.relative_flatness(problem, max_products=60)
        return list(found.values())[index]

    return flatness


def largest_entry(problem):
    return float(np.max(sharpkit.diagonal(problem, max_products=120).values))


ball, average = sharpkit.ball_sharpness, sharpkit.average_sharpness
radius = sharpkit.flatness_radius
WIDE = {"radius": 0.2, "adaptive": True}
BALL, BY_WEIGHT = {"max_evaluations": 60}, {**WIDE, "max_evaluations": 60}
MEASURES = {
    "`sharpness`": Measure(sharpkit.sharpness, {"max_evaluations": 60}),
    "`sharpness(subspace=10)`": Measure(
        sharpkit.sharpness, {"subspace": 10, "max_evaluations": 60}
    ),
    "`by_group(sharpness)`, first layer": Measure(first_layer, {"max_evaluations": 60}),
    "`ball_sharpness`": Measure(ball, BALL),
    "`ball_sharpness`, one step": Measure(ball, {"method": "one_step"}),
    "`ball_sharpness`, linf": Measure(ball, {**BALL, "norm": "linf", "radius": 1e-2}),
    "`ball_sharpness`, adaptive": Measure(ball, BY_WEIGHT),
    "`ball_sharpness`, adaptive, one step": Measure(
        ball, {**WIDE, "method": "one_step"}
    ),
    "`ball_sharpness`, adaptive, linf": Measure(
        ball, {**BY_WEIGHT, "norm": "linf", "radius": 0.05}
    ),
    "`ball_sharpness`, logits normalised": Measure(ball, BALL, normalized=True),
    "`ball_sharpness`, adaptive, logits normalised": Measure(
        ball, BY_WEIGHT, normalized=True
    ),
    "`average_sharpness`": Measure(average),
    "`average_sharpness`, adaptive": Measure(average, WIDE),
    "`average_sharpness`, adaptive, logits normalised": Measure(
        average, WIDE, normalized=True
    ),
    "`flatness_radius`: σ": Measure(radius),
    "σ' (magnitude)": Measure(radius, {"magnitude": True}),
    "α (worst)": Measure(radius, {"kind": "worst"}),
    "α' (worst, magnitude)": Measure(radius, {"kind": "worst", "magnitude": True}),
    "σ of the loss": Measure(radius, {"of": "loss"}),
    "σ' of the loss": Measure(radius, {"of": "loss", "magnitude": True}),
    "`critical_sharpness`": Measure(sharpkit.critical_sharpness),
    "`directional_sharpness`": Measure(sharpkit.directional_sharpness),
    "`batch_sharpness`": Measure(
        sharpkit.batch_sharpness, {"batch_size": 12, "max_batches": 30}
    ),
    "`eigenvalues`, largest": Measure(sharpkit.eigenvalues),
    "`eigenvalues(preconditioner=)`, Adam's": Measure(
        sharpkit.eigenvalues, {"preconditioner": metric}
    ),
    "`trace`": Measure(sharpkit.trace, {"max_products": 120}),
    "`diagonal`, largest entry": Measure(largest_entry),
    "`fisher_rao`": Measure(sharpkit.fisher_rao),
    "`relative_flatness`, first layer": Measure(relative(0)),
    "`relative_flatness`, last layer": Measure(relative(-1)),
    "`normalized_flatness`": Measure(
        sharpkit.normalized_flatness, {"max_products": 120}
    ),
    "`gradient_norm`": Measure(sharpkit.gradient_norm),
    "`gradient_noise`: noise scale": Measure(sharpkit.gradient_noise),
    "`distance` from the start": Measure(
        sharpkit.distance, {"start": lambda network: network.start}
    ),
}


@cache
def measured(measure: str, transformation: str, after: bool) -> float:
    return MEASURES[measure](transformed(transformation)[after])


def factor(measure: str, transformation: str) -> float:
    """Return the value after the transformation, divided by that before."""
    before = _before(measure, TRANSFORMATIONS[transformation][0])
    return MEASURES[measure](transformed(transformation)[1]) / before


@cache
def _before(measure: str, network: str) -> float:
    return MEASURES[measure](trained(network))
