"""What sharpkit finds of a Hessian's spectrum, and how right candidates are."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

import sharpkit
from bench import peers
from bench.network import SIZES, trained_f1
from bench.peers import Found, clocked
from bench.table import CaseError
from bench.timing import in_turns
from bench.torch_network import Counted, TorchNetwork
from sharpkit.lab.problem import Problem

Array = NDArray[Any]
Record = dict[str, Any]

OURS, PLAIN = "sharpkit", "sharpkit, plain"  # without reorthogonalisation
K, TOL = 5, 1e-3  # eigenvalues, and their residuals as a share of the largest
STEPS = 100
# epochs, samples and widths of the network
FULL = (5, 2000, SIZES)
QUICK = (2, 300, (SIZES[0], 32, 32, SIZES[-1]))
# The long run that others are judged by: residuals as a share of each eigenvalue, and
# vectors that it keeps.
TRUE_TOL, TRUE_VECTORS = 1e-5, 40
RIGHT = 0.01  # who claims a small residual must have the eigenvalues to this


def trained(
    epochs: int, samples: int, sizes: tuple[int, ...]
) -> tuple[Array, Problem, TorchNetwork]:
    """Return the lab's weights and problem, and the same in PyTorch."""
    weights, problem = trained_f1(epochs=epochs, samples=samples, sizes=tuple(sizes))
    network = TorchNetwork(problem, weights)
    network.retain()
    return weights, problem, network


def our_eigenvalues(network: TorchNetwork, k: int, *, seed: int = 0) -> Found:
    """Find the top ``k`` by sharpkit on the shared product."""
    counted = Counted(network.hvp)
    found, spent = clocked(
        counted,
        lambda: sharpkit.eigenvalues(
            network.weights, hvp=counted, k=k, tol=TOL, seed=seed, progress=False
        ),
    )
    return Found(
        OURS,
        f"shared graph; tol={TOL:g}; {found.status.name}",
        np.asarray(found.values),
        vectors=np.asarray(found.vectors),
        **spent,
    )


def our_density(
    network: TorchNetwork, steps: int, *, reorthogonalize: bool = True, seed: int = 0
) -> Found:
    """Estimate the density by sharpkit, one probe, on the shared product."""
    counted = Counted(network.hvp)
    found, spent = clocked(
        counted,
        lambda: sharpkit.spectral_density(
            network.weights,
            hvp=counted,
            max_products=steps,
            probes=1,
            reorthogonalize=reorthogonalize,
            seed=seed,
            progress=False,
        ),
    )
    return Found(
        OURS if reorthogonalize else PLAIN,
        f"shared graph; reorthogonalize={reorthogonalize}",
        np.asarray(found.nodes)[0],
        weights=np.asarray(found.weights)[0],
        **spent,
    )


def our_trace(
    network: TorchNetwork, method: str, products: int, *, seed: int = 0
) -> Found:
    """Estimate the trace by sharpkit on the shared product."""
    counted = Counted(network.hvp)
    found, spent = clocked(
        counted,
        lambda: sharpkit.trace(
            network.weights,
            hvp=counted,
            method=method,
            max_products=products,
            seed=seed,
            progress=False,
        ),
    )
    return Found(
        method,
        "shared graph",
        np.array([found.value]),
        stderr=float(found.stderr),
        **spent,
    )


def true_eigenvalues(network: TorchNetwork, k: int) -> Array:
    """Return the top ``k``, found by SciPy in float64 to a small residual."""
    n = network.weights.size

    def product(vector: Array) -> Array:
        rounded = vector.ravel().astype(np.float32)
        return network.hvp(network.weights, rounded).astype(np.float64)

    start = np.random.default_rng(99).standard_normal(n)
    values = eigsh(
        LinearOperator((n, n), matvec=product, dtype=np.float64),
        k=k,
        which="LA",
        v0=start,
        ncv=TRUE_VECTORS,
        tol=TRUE_TOL,
        return_eigenvectors=False,
    )
    return np.sort(values)[::-1]


def eigenvalue_records(
    network: TorchNetwork, truth: Array, *, rounds: int
) -> list[Record]:
    """Return the record of each method that finds the top eigenvalues.

    Those that are judged take ``rounds`` turns, the others one.
    """
    judged = {OURS: our_eigenvalues, peers.PYHESSIAN: peers.pyhessian_eigenvalues}
    others = {
        name: call for name, call in peers.EIGENVALUES.items() if name not in judged
    }
    records = []
    for methods, turns in ((judged, rounds), (others, 1)):
        there = {
            name: _bound(call, network)
            for name, call in methods.items()
            if name == OURS or peers.version(name)
        }
        taken = in_turns(there, turns)
        for name in methods:
            found = taken.get(name)
            records.append(
                eigenvalue_record(network, truth, found) if found else missing(name)
            )
    return records


def _bound(call: Callable[..., Found], network: TorchNetwork) -> Callable[[], Found]:
    return lambda: call(network, K)


def eigenvalue_record(
    network: TorchNetwork, truth: Array, taken: list[Found]
) -> Record:
    """Return what a method found in its turns; residuals by one product each.

    Raises
    ------
    CaseError
        If one that stops at small residuals has other eigenvalues than the truth.
    """
    found = taken[0]
    assert found.vectors is not None
    largest, residuals = float(np.abs(truth).max()), []
    for value, vector in zip(found.values, found.vectors, strict=True):
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        off = network.hvp(network.weights, unit) - np.float32(value) * unit
        residuals.append(float(np.linalg.norm(off)) / largest)
    error = float(np.max(np.abs(found.values - truth) / np.abs(truth)))
    if found.method in (OURS, peers.SCIPY, peers.CURVLINOPS) and not error <= RIGHT:
        msg = f"{found.method} found {found.values}, the eigenvalues are {truth}"
        raise CaseError(msg)
    return {
        **spent(taken),
        "values": [float(value) for value in found.values],
        "residuals": residuals,
        "residual": max(residuals),
        "error": error,
    }


def spent(taken: list[Found]) -> Record:
    """Return what a method took: medians of its turns."""
    found = taken[0]
    cpu = [each.cpu for each in taken]
    return {
        "method": found.method,
        "how": found.how,
        "products": found.products,
        "turns": len(taken),
        "cpu": statistics.median(cpu),
        "scatter": (max(cpu) - min(cpu)) / statistics.median(cpu),
        "cpu_outside": statistics.median(each.cpu - each.cpu_inside for each in taken),
        "outside": statistics.median(each.outside for each in taken),
    }


def missing(method: str) -> Record:
    """Return the record of a peer whose package is not there."""
    return {
        "method": method,
        "missing": "not installed",
        "package": peers.PACKAGES[method],
    }
