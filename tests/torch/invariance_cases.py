"""Networks, transformations of their weights, and every measure before and after.

``python tests/torch/invariance_cases.py`` writes the table into ``docs/measures.md``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from torch_required import torch

import sharpkit

PAGE = Path(__file__).resolve().parents[2] / "docs" / "measures.md"
BEGIN, END = "<!-- the table of factors -->\n", "<!-- the end of the table -->\n"
# A relative change below this is "same"; most are below 1e-9.
SAME, SEARCHED = 1e-3, 0.03
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
    A = torch.tensor([[4.0, 3.0], [1.0, 1.0]], dtype=torch.float64)
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
    options: Mapping[str, Any] = MappingProxyType({})
    normalized: bool = False
    searched: bool = False  # which leaves a few per cent open
    drawn: bool = False  # by the index of each weight, which a permutation changes

    def __call__(self, network: Network) -> float:
        given = {"normalize_logits": True} if self.normalized else {}
        options = {
            name: value(network) if callable(value) else value
            for name, value in self.options.items()
        }
        return float(self.function(network.problem(**given), **options))


def first_layer(problem, **options):
    return next(
        iter(sharpkit.by_group(sharpkit.sharpness, problem, **options).values())
    )


def relative(index):
    def flatness(problem):
        found = sharpkit.relative_flatness(problem, max_products=60)
        return list(found.values())[min(index, len(found) - 1)]

    return flatness


def largest_entry(problem):
    return float(np.max(sharpkit.diagonal(problem, max_products=120).values))


def evenness(problem):
    """The inverse of how many eigenvalues of one size would be as uneven."""
    found = sharpkit.spectral_density(problem, max_products=400, probes=20)
    return math.exp(found.renyi_sharpness().value)


ball, average = sharpkit.ball_sharpness, sharpkit.average_sharpness
radius = sharpkit.flatness_radius
BY_WEIGHT = {"radius": 0.2, "adaptive": True}
BOX = {"max_evaluations": 60}
MEASURES = {
    "`sharpness`": Measure(sharpkit.sharpness, BOX, searched=True),
    "`sharpness(subspace=10)`": Measure(
        sharpkit.sharpness, {**BOX, "subspace": 10}, searched=True, drawn=True
    ),
    "`by_group(sharpness)`, first layer": Measure(first_layer, BOX, searched=True),
    "`ball_sharpness`": Measure(ball, searched=True),
    "`ball_sharpness`, one step": Measure(ball, {"method": "one_step"}),
    "`ball_sharpness`, linf": Measure(
        ball, {"norm": "linf", "radius": 3e-3, "max_evaluations": 100}, searched=True
    ),
    "`ball_sharpness`, adaptive": Measure(ball, BY_WEIGHT, searched=True),
    "`ball_sharpness`, adaptive, one step": Measure(
        ball, {**BY_WEIGHT, "method": "one_step"}
    ),
    "`ball_sharpness`, adaptive, linf": Measure(
        ball, {"norm": "linf", "radius": 0.02, "adaptive": True}, searched=True
    ),
    "`ball_sharpness`, logits normalised": Measure(
        ball, normalized=True, searched=True
    ),
    "`ball_sharpness`, adaptive, logits normalised": Measure(
        ball, BY_WEIGHT, normalized=True, searched=True
    ),
    "`average_sharpness`": Measure(average, drawn=True),
    "`average_sharpness`, adaptive": Measure(average, BY_WEIGHT, drawn=True),
    "`average_sharpness`, adaptive, logits normalised": Measure(
        average, BY_WEIGHT, normalized=True, drawn=True
    ),
    "`flatness_radius`: σ": Measure(radius, searched=True, drawn=True),
    "`flatness_radius`: σ' (magnitude)": Measure(
        radius, {"magnitude": True}, searched=True, drawn=True
    ),
    "`flatness_radius`: α (worst)": Measure(
        radius, {"kind": "worst"}, searched=True, drawn=True
    ),
    "`flatness_radius`: α' (worst, magnitude)": Measure(
        radius, {"kind": "worst", "magnitude": True}, searched=True, drawn=True
    ),
    "`flatness_radius`: σ of the loss": Measure(
        radius, {"of": "loss"}, searched=True, drawn=True
    ),
    "`flatness_radius`: σ' of the loss": Measure(
        radius, {"of": "loss", "magnitude": True}, searched=True, drawn=True
    ),
    "`critical_sharpness`": Measure(sharpkit.critical_sharpness),
    "`directional_sharpness`": Measure(sharpkit.directional_sharpness),
    "`batch_sharpness`": Measure(
        sharpkit.batch_sharpness, {"batch_size": 12, "max_batches": 30}
    ),
    "`eigenvalues`, largest": Measure(sharpkit.eigenvalues, {"tol": 1e-6}),
    "`eigenvalues(preconditioner=)`, Adam's": Measure(
        sharpkit.eigenvalues, {"preconditioner": metric, "tol": 1e-6}
    ),
    "`renyi_sharpness`: Σ p_i²": Measure(evenness, drawn=True),
    "`trace`": Measure(sharpkit.trace, {"max_products": 120}),
    "`diagonal`, largest entry": Measure(largest_entry),
    "`fisher_rao`": Measure(sharpkit.fisher_rao),
    "`relative_flatness`, first matrix": Measure(relative(0)),
    "`relative_flatness`, last of those changed": Measure(relative(3)),
    "`normalized_flatness`": Measure(
        sharpkit.normalized_flatness, {"max_products": 120}
    ),
    "`gradient_norm`": Measure(sharpkit.gradient_norm),
    "`gradient_noise`: noise scale": Measure(sharpkit.gradient_noise),
    "`distance` from the start": Measure(
        sharpkit.distance, {"start": lambda network: network.start}
    ),
}


def factor(measure: str, transformation: str) -> float:
    """Return the value after the transformation, divided by that before."""
    before = _before(measure, TRANSFORMATIONS[transformation][0])
    return MEASURES[measure](transformed(transformation)[1]) / before


@cache
def _before(measure: str, network: str) -> float:
    return MEASURES[measure](trained(network))


def cell(measure: str, transformation: str) -> str:
    """Return what the table says of a measure and a transformation."""
    if transformation == "permutation" and MEASURES[measure].drawn:
        return "another draw"
    found = factor(measure, transformation)
    within = SEARCHED if MEASURES[measure].searched else SAME
    if abs(found - 1) <= within:
        return "same"
    return f"×{found:.3g}" if abs(found - 1) < 0.1 else f"×{found:.2g}"


def row(measure: str) -> str:
    """Return a row of the table."""
    return f"| {measure} | {' | '.join(cell(measure, t) for t in TRANSFORMATIONS)} |"


def committed() -> dict[str, list[str]]:
    """Return the cells of the table on the page, by measure."""
    text = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    rows = [line.strip("| ").split(" | ") for line in text.strip().splitlines()]
    return {first: cells for first, *cells in rows[2:]}


def write() -> None:
    """Write the table into the page."""
    head = f"| measure | {' | '.join(TRANSFORMATIONS)} |"
    lines = [head, "|---" * (len(TRANSFORMATIONS) + 1) + "|", *map(row, MEASURES)]
    table = "".join(f"{line}\n" for line in lines)
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(before + BEGIN + table + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    write()
