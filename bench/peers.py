"""What other libraries find of a Hessian's spectrum, one adapter each.

Every package is optional (``pip install '.[peers]'``). An adapter sets up what the
package wants before the clocks start, and says in `Found.how` what was set, shared and
patched. PyHessian and curvlinops make their products themselves; hessian-eigenthings
and SciPy take those of the shared graph.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from time import process_time
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from bench.peak_memory import PeakMemory
from bench.torch_network import Counted, TorchNetwork, load_torch

Array = NDArray[Any]

PYHESSIAN, EIGENTHINGS = "PyHessian", "hessian-eigenthings"
CURVLINOPS, SCIPY = "curvlinops + eigsh", "eigsh"
PACKAGES = {
    PYHESSIAN: "pyhessian",
    EIGENTHINGS: "hessian-eigenthings",
    CURVLINOPS: "curvlinops-for-pytorch",
    SCIPY: "scipy",
}
# hessian-eigenthings takes as many steps as it is told; beyond 50 it stops
# re-orthogonalising unless told otherwise, and reports ghosts.
EIGENTHINGS_STEPS = 40
EIGSH_TOL = 1e-3  # of each eigenvalue


@dataclass(frozen=True)
class Found:
    """What one method found, and what that took.

    method, how
        Who found it; what was set, shared and patched.
    values
        Eigenvalues, the nodes of a density, or one trace.
    products
        Hessian-vector products.
    cpu, cpu_inside
        CPU seconds of all threads: in all, and within the products.
    bytes
        Resident memory added at the peak; None where the system does not tell. See
        `PeakMemory` for when it is exact.
    vectors : (k, n)
        The eigenvectors, in PyTorch's order of the weights.
    weights
        Those of a density's nodes.
    stderr
        The standard error of a trace, as reported; None where none is.
    """

    method: str
    how: str
    values: Array
    products: int
    cpu: float
    cpu_inside: float
    bytes: int | None
    vectors: Array | None = None
    weights: Array | None = None
    stderr: float | None = None

    @property
    def outside(self) -> float:
        """Share of the CPU time that passed outside the products."""
        return (self.cpu - self.cpu_inside) / self.cpu


def version(peer: str) -> str | None:
    """Return the version of a peer's package, or None if it is not there."""
    try:
        return metadata.version(PACKAGES[peer])
    except metadata.PackageNotFoundError:
        return None


def clocked(counted: Counted, call: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """Return what ``call`` does; its products, CPU seconds and bytes at its peak."""
    with PeakMemory() as memory:
        began = process_time()
        found = call()
        cpu = process_time() - began
    return found, {
        "products": counted.calls,
        "cpu": cpu,
        "cpu_inside": counted.cpu,
        "bytes": memory.bytes,
    }


@contextmanager
def _pyhessian(network: TorchNetwork, seed: int) -> Iterator[tuple[Any, Counted]]:
    """Yield PyHessian's object and its counted product.

    Its graph of the gradient is built here, before the clocks, by itself.
    """
    torch = load_torch()
    module = importlib.import_module("pyhessian.hessian")
    with warnings.catch_warnings():
        # backward(create_graph=True) warns of a cycle; the gradients are dropped below
        warnings.simplefilter("ignore", UserWarning)
        hessian = module.hessian(
            network.model,
            network.criterion,
            data=(network.inputs, network.labels),
            cuda=False,
        )
    network.model.zero_grad()
    counted = Counted(module.hessian_vector_product)
    with (
        torch.random.fork_rng(devices=[]),
        mock.patch.object(module, "hessian_vector_product", counted),
    ):
        torch.manual_seed(seed)
        yield hessian, counted


def pyhessian_eigenvalues(network: TorchNetwork, k: int, *, seed: int = 0) -> Found:
    """Find the top ``k`` by PyHessian's power iteration, with its own defaults."""
    with _pyhessian(network, seed) as (hessian, counted):
        (values, vectors), spent = clocked(
            counted, lambda: hessian.eigenvalues(top_n=k)
        )
    return Found(
        PYHESSIAN,
        "own graph; maxIter=100, tol=1e-3; unpatched",
        np.array(values),
        vectors=np.stack([network.joined(vector).numpy() for vector in vectors]),
        **spent,
    )


def pyhessian_trace(network: TorchNetwork, *, seed: int = 0) -> Found:
    """Estimate the trace by PyHessian, with its own defaults."""
    with _pyhessian(network, seed) as (hessian, counted):
        samples, spent = clocked(counted, hessian.trace)
    return Found(
        PYHESSIAN,
        "own graph; at most 100 probes, stops when two running means in a row lie "
        "within 1e-3; unpatched",
        np.array([np.mean(samples)]),
        **spent,
    )


def pyhessian_density(network: TorchNetwork, steps: int, *, seed: int = 0) -> Found:
    """Estimate the density by PyHessian, one probe.

    It calls ``torch.eig``, which PyTorch has removed: here the same for the matrix at
    hand, which is symmetric.
    """
    torch = load_torch()

    def eig(matrix: Any, *, eigenvectors: bool) -> tuple[Any, Any]:
        values, vectors = torch.linalg.eigh(matrix)
        return torch.stack((values, torch.zeros_like(values)), dim=1), vectors

    with (
        _pyhessian(network, seed) as (hessian, counted),
        mock.patch.object(torch, "eig", eig, create=True),
    ):
        (nodes, weights), spent = clocked(
            counted, lambda: hessian.density(iter=steps, n_v=1)
        )
    return Found(
        PYHESSIAN,
        "own graph; patched: torch.eig, which is gone, by torch.linalg.eigh",
        np.array(nodes[0]),
        weights=np.array(weights[0]),
        **spent,
    )


def eigenthings_eigenvalues(
    network: TorchNetwork, k: int, *, steps: int = EIGENTHINGS_STEPS, seed: int = 0
) -> Found:
    """Find the top ``k`` by the Lanczos steps of hessian-eigenthings."""
    package = importlib.import_module("hessian_eigenthings")
    counted = Counted(network.matvec)
    operator = package.LambdaOperator(counted, network.weights.size)
    found, spent = clocked(
        counted,
        lambda: package.lanczos(operator, k=k, max_iter=steps, which="LA", seed=seed),
    )
    return Found(
        EIGENTHINGS,
        f"shared graph; {steps} steps as told (it does not stop by itself); unpatched",
        found.eigenvalues.numpy(),
        vectors=found.eigenvectors.numpy(),
        **spent,
    )


def curvlinops_operator(network: TorchNetwork) -> LinearOperator:
    """Return the Hessian of curvlinops as SciPy takes it; it shares no graph.

    One product is made here: the first one imports and compiles.
    """
    with warnings.catch_warnings():
        # what it and PyTorch's forward mode import still calls torch.jit
        warnings.simplefilter("ignore", DeprecationWarning)
        package = importlib.import_module("curvlinops")
        made = _hessian(package, network)
        made.matvec(np.ones_like(network.weights))
    return made


def _hessian(package: ModuleType, network: TorchNetwork) -> LinearOperator:
    operator = package.HessianLinearOperator(
        network.model,
        network.criterion,
        network.parameters,
        [(network.inputs, network.labels)],
        check_deterministic=False,  # a check of its own, beside the measurement
    )
    return operator.to_scipy(dtype=np.float32)


def curvlinops_eigenvalues(network: TorchNetwork, k: int, *, seed: int = 0) -> Found:
    """Find the top ``k`` by SciPy's eigsh on curvlinops' own product."""
    return _eigsh(
        CURVLINOPS,
        f"own products (no shared graph); eigsh, tol={EIGSH_TOL:g}; unpatched",
        curvlinops_operator(network).matvec,
        network.weights.size,
        k,
        seed,
    )


def scipy_eigenvalues(network: TorchNetwork, k: int, *, seed: int = 0) -> Found:
    """Find the top ``k`` by SciPy's eigsh on the shared product."""
    return _eigsh(
        SCIPY,
        f"shared graph; tol={EIGSH_TOL:g}",
        lambda vector: network.hvp(network.weights, vector),
        network.weights.size,
        k,
        seed,
    )


def _eigsh(
    method: str, how: str, product: Callable[[Array], Array], n: int, k: int, seed: int
) -> Found:
    counted = Counted(product)
    operator = LinearOperator((n, n), matvec=counted, dtype=np.float32)
    start = np.random.default_rng(seed).standard_normal(n, dtype=np.float32)
    (values, vectors), spent = clocked(
        counted,
        lambda: eigsh(operator, k=k, which="LA", v0=start, tol=EIGSH_TOL),
    )
    order = np.argsort(values)[::-1]
    return Found(method, how, values[order], vectors=vectors.T[order], **spent)


EIGENVALUES: dict[str, Callable[..., Found]] = {
    PYHESSIAN: pyhessian_eigenvalues,
    EIGENTHINGS: eigenthings_eigenvalues,
    CURVLINOPS: curvlinops_eigenvalues,
    SCIPY: scipy_eigenvalues,
}
