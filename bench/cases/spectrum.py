"""Eigenvalues, density and trace of network F1's Hessian, against other libraries.

Everyone gets one thread, the same network and, where the library lets one, the same
product: a retained graph of PyTorch's. Loss, gradient and products are compared first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bench import peers
from bench.densities import density_records
from bench.exact_products import exact_records
from bench.spectra import (
    FULL,
    QUICK,
    STEPS,
    Array,
    K,
    Record,
    eigenvalue_records,
    trained,
    true_eigenvalues,
)
from bench.spectrum_table import make_table
from bench.table import Table
from bench.torch_network import (
    ROUNDED_PRODUCT,
    TorchNetwork,
    check_network,
    in_torch_order,
    one_thread,
    same,
)
from bench.traces import MOST, POINTS, QUICK_MOST, QUICK_POINTS, trace_records
from sharpkit.lab.problem import Problem


class Setting(NamedTuple):
    """How much of everything: a network's epochs, samples and widths; turns; traces."""

    network: tuple[int, int, tuple[int, ...]]
    rounds: int
    points: dict[int, int]
    most: int
    together: bool  # the memory of all densities in one process


def settings(*, quick: bool) -> Setting:
    """Return what the case takes; tests make it smaller."""
    if quick:
        return Setting(QUICK, 1, QUICK_POINTS, QUICK_MOST, True)
    return Setting(FULL, 2, POINTS, MOST, False)


def run(*, quick: bool) -> Table:
    setting = settings(quick=quick)
    with one_thread():
        return make_table(measured(setting))


def measured(setting: Setting) -> dict[str, Any]:
    """Return all records; the candidates are compared before they are timed."""
    weights, problem, network = trained(*setting.network)
    checked = check(weights, problem, network)
    truth = true_eigenvalues(network, K)
    return {
        "network": {**checked, "full": setting.network == FULL},
        "truth": truth.tolist(),
        "eigenvalues": eigenvalue_records(network, truth, rounds=setting.rounds),
        "density": density_records(
            network, STEPS, float(truth[0]), together=setting.together
        ),
        "trace": trace_records(network, setting.points, setting.most),
        "exact": exact_records(weights, problem, rounds=2 * setting.rounds + 1),
    }


def check(weights: Array, problem: Problem, network: TorchNetwork) -> Record:
    """Return how far loss, gradient and products differ; raise if they do."""
    off = check_network(problem, weights, network)
    vector = np.random.default_rng(5).standard_normal(weights.size, dtype=np.float32)
    turned = in_torch_order(problem.network, vector)
    product = network.hvp(network.weights, turned)
    ours = in_torch_order(problem.network, problem.hvp(weights, vector))
    off["lab's product"] = same("the lab's product", ours, product, ROUNDED_PRODUCT)
    if peers.version(peers.CURVLINOPS):
        theirs = peers.curvlinops_operator(network).matvec(turned)
        off["curvlinops"] = same(
            "curvlinops' product", theirs, product, ROUNDED_PRODUCT
        )
    measured = problem.evaluate(weights)
    return {
        "sizes": list(problem.network.sizes),
        "n": int(weights.size),
        "samples": len(problem.x),
        "loss": measured.loss,
        "accuracy": measured.accuracy,
        "off": off,
        "versions": {name: peers.version(name) for name in peers.PACKAGES},
    }
