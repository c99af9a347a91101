"""The density of a Hessian's spectrum: its time, and its memory in other processes."""

from __future__ import annotations

from collections.abc import Callable

from bench import peers
from bench.fresh import in_fresh_process
from bench.memory import measurable
from bench.network import BATCH
from bench.peak_memory import PeakMemory, hand_back_at_once
from bench.peers import Found
from bench.spectra import OURS, PLAIN, Record, missing, our_density, spent, trained
from bench.table import CaseError
from bench.timing import in_turns
from bench.torch_network import TorchNetwork, one_thread

# Epochs, samples and widths. The memory that a method takes beside the product depends
# on the number of weights alone, so that few samples do.
SAMPLES = BATCH
WARM = (1, SAMPLES, (784, 8, 10))  # a network on which each method runs first
WARM_STEPS = 5
TOP = 0.01  # the largest node is the largest eigenvalue to this
WEIGHTS = 1e-3  # the weights of the nodes sum to 1 within this

METHODS: dict[str, Callable[[TorchNetwork, int], Found]] = {
    OURS: our_density,
    PLAIN: lambda network, steps: our_density(network, steps, reorthogonalize=False),
    peers.PYHESSIAN: peers.pyhessian_density,
}


def density_records(
    network: TorchNetwork, steps: int, largest: float, *, together: bool = False
) -> list[Record]:
    """Return the record of each method.

    ``largest`` is the largest eigenvalue; a density that misses it is wrong. With
    ``together``, the memory of all is measured in one process, which is quicker.
    """
    there = [method for method in METHODS if _there(method)]
    taken = in_turns({method: _bound(method, network, steps) for method in there}, 1)
    for (found,) in taken.values():
        check_density(found, largest)
    memory = memories(there, network.sizes, steps, together=together)
    return [
        _record(taken[method], memory.get(method, {}), steps)
        if method in there
        else missing(method)
        for method in METHODS
    ]


def _there(method: str) -> bool:
    return method != peers.PYHESSIAN or peers.version(method) is not None


def _bound(method: str, network: TorchNetwork, steps: int) -> Callable[[], Found]:
    return lambda: METHODS[method](network, steps)


def _record(taken: list[Found], memory: Record, steps: int) -> Record:
    (found,) = taken
    assert found.weights is not None
    return {
        **spent(taken),
        "steps": steps,
        "nodes": found.values.tolist(),
        "weights": found.weights.tolist(),
        "top": float(found.values.max()),
        "bytes": memory.get("bytes"),
        "memory": memory,
    }


def memories(
    methods: list[str], sizes: list[int], steps: int, *, together: bool
) -> dict[str, Record]:
    """Return each method's memory, by its name, measured in processes of their own."""
    if not measurable():
        return {}
    groups = [methods] if together else [[method] for method in methods]
    return {
        record["method"]: record
        for group in groups
        for record in in_fresh_process(
            "bench.densities", "peaks", methods=group, sizes=sizes, steps=steps
        )
    }


def peaks(methods: list[str], sizes: list[int], steps: int) -> list[Record]:
    """Return what each method adds to the peak of one product alone, in bytes.

    To be called in a process of its own. Weights, network and graph are there before,
    and each has run on a small network.
    """
    hand_back_at_once()
    with one_thread():
        small = trained(*WARM)[2]
        for method in methods:
            METHODS[method](small, WARM_STEPS)
        large = trained(1, SAMPLES, tuple(sizes))[2]
        return [_peak(method, large, steps) for method in methods]


def _peak(method: str, network: TorchNetwork, steps: int) -> Record:
    network.hvp(network.weights, network.weights)
    with PeakMemory() as product:
        network.hvp(network.weights, network.weights)
    found = METHODS[method](network, steps)
    assert found.bytes is not None
    assert product.bytes is not None
    return {
        "method": method,
        "n": int(network.weights.size),
        "steps": steps,
        "samples": SAMPLES,
        "product_bytes": product.bytes,
        "total_bytes": found.bytes,
        "bytes": found.bytes - product.bytes,
    }


def check_density(found: Found, largest: float) -> None:
    """Raise unless the largest eigenvalue is a node and the weights sum to 1."""
    assert found.weights is not None
    top, weight = float(found.values.max()), float(found.weights.sum())
    if not abs(top / largest - 1) <= TOP or not abs(weight - 1) <= WEIGHTS:
        msg = (
            f"{found.method}, density: the largest node is {top}, the largest "
            f"eigenvalue {largest}; the weights sum to {weight}"
        )
        raise CaseError(msg)
