"""Weights spread over 1, 2 and 4 ranks: the same numbers, and what reductions take.

Each rank has a piece of the weights of a separable loss, of uneven length. Random
numbers must be the same bits on any number of ranks, and values equal to the rounding
of sums in another order. Larger worlds are simulated, for the number of reductions.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import sharpkit
from bench.ranks import Reductions, Simulated, on_ranks, seconds_of_one, tell
from bench.table import CaseError, Table
from sharpkit._vectors import groups
from sharpkit._vectors.backends import kernels_for

N, QUICK_N = 4_000_000, 40_000
RANKS, WORLDS = (1, 2, 4), (8, 64)
LOCAL = 10_000  # weights of a simulated rank
SAME = 1e-12  # relative, of values in float64
MEASURES: dict[str, dict[str, Any]] = {
    "sharpness": {"max_evaluations": 25, "progress": False},
    "eigenvalues": {"k": 2, "ncv": 20, "max_products": 20, "progress": False},
    "trace": {"max_products": 20, "progress": False},
    "spectral_density": {"max_products": 20, "probes": 1, "progress": False},
    "critical_sharpness": {},
}


def run(*, quick: bool) -> Table:
    n = QUICK_N if quick else N
    found = {ranks: on_ranks(ranks, "bench.cases.shards", n=n) for ranks in RANKS}
    alone, rows, worst = found[1][0], [], 0.0
    for ranks, told in found.items():
        if any(each["bits"] != alone["bits"] for each in told):
            msg = f"random numbers on {ranks} ranks are others than on one"
            raise CaseError(msg)
        for name, took in told[0]["taken"].items():
            apart = abs(took["value"] / alone["taken"][name]["value"] - 1)
            worst = max(worst, apart)
            rows.append(_row(ranks, name, took, apart, told[0]["one"]))
    if worst > SAME:
        msg = f"values on several ranks differ by {worst:.1e} from those on one"
        raise CaseError(msg)
    simulated = {str(world): _simulated(world) for world in WORLDS}
    return Table(
        title=f"{n:,} weights of float64 over ranks of gloo",
        columns=(
            "ranks",
            "measure",
            "apart",
            "s",
            "reductions",
            "share",
            "at least",
        ),
        rows=rows,
        notes=(
            "random numbers have the same bits on any number of ranks",
            "share: of the time of rank 0, in reductions and waiting for others there",
            "at least: in reductions for which all ranks are ready",
            *(f"{world} ranks, simulated: {took}" for world, took in simulated.items()),
        ),
        data={
            "n": n,
            "ranks": {str(ranks): told[0] for ranks, told in found.items()},
            "simulated": simulated,
            "targets": {f"values within {SAME:g}": worst <= SAME},
        },
    )


def _row(
    ranks: int, name: str, took: dict[str, Any], apart: float, one: float
) -> tuple[str, ...]:
    share, least = took["reducing"], took["reductions"] * one
    return (
        str(ranks),
        name,
        f"{apart:.1e}",
        f"{took['seconds']:.3g}",
        str(took["reductions"]),
        f"{share / took['seconds']:.1%}",
        f"{least / took['seconds']:.1%}",
    )


def _problem(mine: slice, n: int, summed: Callable[[float], float]) -> Any:
    """Return a rank's piece of a separable loss, of which some weights are steep."""
    steep = 1.0 + 99.0 * (np.arange(n)[mine] >= n - 3)
    h, w = np.linspace(-1, 3, n)[mine] * steep, np.linspace(-2, 1, n)[mine] ** 3

    def loss_fn(w: Any) -> Any:
        own = 0.5 * h @ w**2 + 0.25 * float((w**4).sum())
        return summed(own) / n, (h * w + w**3) / n

    def hvp(w: Any, v: Any) -> Any:
        return (h + 3 * w**2) * v / n

    return sharpkit.Problem(w, loss_fn, hvp=hvp)


def main() -> None:
    """Take the measures on one rank."""
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    n = json.loads(sys.argv[1])["n"]
    ends = [n * i // ranks + 3 * (0 < i < ranks) for i in range(ranks + 1)]

    def summed(value: float) -> float:
        total = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(total)
        return float(total)

    problem = _problem(slice(ends[rank], ends[rank + 1]), n, summed)
    one, reductions, taken = _seconds_of_one(), Reductions(), {}
    for name, options in MEASURES.items():
        measure = getattr(sharpkit, name)
        measure(_problem(slice(0, 99), 99, summed), process_group=True)  # compiles
        result, took = reductions.of(
            lambda m=measure, o=options: m(problem, process_group=True, **o)
        )
        calls, products = result.run.calls, result.run.products
        took |= {"value": _value(result), "calls": calls, "products": products}
        taken[name] = took
    bits = _bits(ends[rank + 1] - ends[rank], ends[rank], summed)
    tell(rank, {"taken": taken, "bits": bits, "one": one})
    dist.barrier()
    dist.destroy_process_group()


def _seconds_of_one() -> float:
    """Return the seconds of one gathering between these ranks."""
    ranks = groups.ranks_of(True, None)
    assert ranks is not None
    return seconds_of_one(ranks)


def _simulated(world: int) -> dict[str, int]:
    """Return how many reductions measures take on a simulated world."""
    reductions, found = Reductions(Simulated), {}
    problem = _problem(slice(0, LOCAL), world * LOCAL, lambda value: world * value)
    for name, options in MEASURES.items():
        measure = getattr(sharpkit, name)
        _, took = reductions.of(
            lambda m=measure, o=options: Simulated.taken(m, world, problem, **o)
        )
        found[name] = took["reductions"]
    return found


def _value(result: Any) -> float:
    """Return the number of a result: of a density its mean eigenvalue."""
    if hasattr(result, "nodes"):
        return float(np.sum(result.nodes * result.weights))
    return float(result.values[0] if hasattr(result, "values") else result.value)


def _bits(n: int, begin: int, summed: Callable[[float], float]) -> list[float]:
    """Return check sums of the random numbers of all ranks, in whole numbers."""
    found, own = [], np.empty(n)
    kernels = kernels_for(None, own)[1]
    for fill in (kernels.fill_signs, kernels.fill_normal):
        fill(own, 7, 1, begin)
        places = np.arange(begin, begin + n, dtype=np.uint64) + np.uint64(1)
        mixed = own.view(np.uint64) * places
        for shift in (0, 24, 48):  # of 24 bits sums are exact in float64
            part = mixed >> np.uint64(shift) & np.uint64(0xFFFFFF)
            found.append(summed(float(part.sum(dtype=np.uint64))))
    return found


if __name__ == "__main__":
    main()
