"""What the lab's own Hessian products cost, in losses with their gradients."""

from __future__ import annotations

import time

import numpy as np

from bench.spectra import Array, Record
from bench.timing import interleaved
from bench.torch_network import ROUNDED_PRODUCT, TorchNetwork, in_torch_order, same
from sharpkit.lab.problem import Problem, frozen_statistics

PRODUCTS = ("hvp", "gauss_newton")


def modes(weights: Array, problem: Problem) -> dict[str, Problem]:
    """Return the problem with each choice of the batch norms' statistics."""
    network, x, y = problem.network, problem.x, problem.y
    frozen = frozen_statistics(network, weights, x, y)
    return {
        "running": problem,
        "frozen": Problem(network, x, y, batch_norm="frozen", statistics=frozen),
        "batch": Problem(network, x, y, batch_norm="batch"),
    }


def exact_records(weights: Array, problem: Problem, *, rounds: int) -> list[Record]:
    """Return the cost of both products for each mode; PyTorch checks them first."""
    vector = np.random.default_rng(7).standard_normal(weights.size, dtype=np.float32)
    return [
        {"mode": mode, **_record(weights, each, vector, rounds)}
        for mode, each in modes(weights, problem).items()
    ]


def _record(weights: Array, problem: Problem, vector: Array, rounds: int) -> Record:
    off = check_products(weights, problem, vector)
    times = interleaved(
        {
            "loss": lambda: problem(weights),
            "hvp": lambda: problem.hvp(weights, vector),
            "gauss_newton": lambda: problem.gauss_newton(weights, vector),
        },
        rounds=rounds,
        clock=time.process_time,
    )
    loss = times["loss"].median
    return {
        "loss_cpu": loss,
        "scatter": max(timing.spread for timing in times.values()),
        "off": off,
        "hvp": times["hvp"].median / loss,
        "gauss_newton": times["gauss_newton"].median / loss,
    }


def check_products(weights: Array, problem: Problem, vector: Array) -> dict[str, float]:
    """Return how far both products lie from PyTorch's, as shares; raise if far."""
    network = TorchNetwork(problem, weights)
    turned = in_torch_order(problem.network, vector)
    mode = problem.batch_norm
    pairs = {
        "hvp": (problem.hvp(weights, vector), network.hvp(network.weights, turned)),
        "gauss_newton": (
            problem.gauss_newton(weights, vector),
            network.gauss_newton(turned),
        ),
    }
    return {
        name: same(
            f"problem.{name} and PyTorch's, {mode}",
            in_torch_order(problem.network, ours),
            theirs,
            ROUNDED_PRODUCT,
        )
        for name, (ours, theirs) in pairs.items()
    }
