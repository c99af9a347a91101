"""Weights spread over 1, 2 and 4 ranks: the same numbers, and what reductions take.

Each rank has a piece of the weights of a separable loss, of uneven length. Random
numbers must be the same bits on any number of ranks, and values equal to the rounding
of sums in another order.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

import sharpkit
from bench.ranks import Reductions, on_ranks, tell
from bench.table import CaseError, Table
from sharpkit._vectors.backends import kernels_for
from sharpkit._vectors.space import Space

N, QUICK_N = 4_000_000, 40_000
RANKS = (1, 2, 4)
SAME = 1e-12  # relative, of values in float64
MEASURES: dict[str, dict[str, Any]] = {
    "sharpness": {"max_evaluations": 25},
    "eigenvalues": {"k": 2, "ncv": 20, "tol": 1e-6, "max_products": 60},
    "trace": {"max_products": 20},
    "spectral_density": {"max_products": 20, "probes": 1},
    "critical_sharpness": {},
}


def run(*, quick: bool) -> Table:
    n = QUICK_N if quick else N
    found = {ranks: on_ranks(ranks, "bench.cases.shards", n=n) for ranks in RANKS}
    alone = found[1][0]
    rows, data = [], {"n": n, "ranks": {}}
    worst = 0.0
    for ranks, told in found.items():
        if any(each["bits"] != alone["bits"] for each in told):
            msg = f"random numbers on {ranks} ranks are others than on one"
            raise CaseError(msg)
        for name, took in told[0]["taken"].items():
            apart = abs(took["value"] / alone["taken"][name]["value"] - 1)
            worst = max(worst, apart)
            rows.append(_row(ranks, name, took, apart))
        data["ranks"][str(ranks)] = told[0]["taken"]
    if worst > SAME:
        msg = f"values on several ranks differ by {worst:.1e} from those on one"
        raise CaseError(msg)
    return Table(
        title=f"{n:,} weights of float64 over ranks of gloo",
        columns=("ranks", "measure", "difference", "s", "reductions", "KiB", "share"),
        rows=rows,
        notes=(
            "random numbers have the same bits on any number of ranks",
            "share: of the time of rank 0 that is spent in reductions, and in waiting",
        ),
        data=data | {"targets": {f"values within {SAME:g}": worst <= SAME}},
    )


def _row(ranks: int, name: str, took: dict[str, float], apart: float) -> tuple[str, ...]:
    return (
        str(ranks),
        name,
        f"{apart:.1e}",
        f"{took['seconds']:.3g}",
        str(took["reductions"]),
        f"{took['bytes'] / 1024:.1f}",
        f"{took['reducing'] / took['seconds']:.1%}",
    )


def main() -> None:
    """Take the measures on one rank."""
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    n = json.loads(sys.argv[1])["n"]
    ends = [n * i // ranks + 3 * (0 < i < ranks) for i in range(ranks + 1)]
    mine = slice(ends[rank], ends[rank + 1])
    h, w = np.linspace(-1, 3, n)[mine], np.linspace(-2, 1, n)[mine] ** 3
    steep = 1 + 99 * (np.arange(n)[mine] < 3)  # eigenvalues that stand apart

    def summed(value: float) -> float:
        total = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(total)
        return float(total)

    def loss_fn(w: Any) -> Any:
        own = 0.5 * (h * steep) @ w**2 + 0.25 * float((w**4).sum())
        return summed(own) / n, (h * steep * w + w**3) / n

    def hvp(w: Any, v: Any) -> Any:
        return (h * steep + 3 * w**2) * v / n

    reductions, taken = Reductions(), {}
    problem = sharpkit.Problem(w, loss_fn, hvp=hvp)
    for name, options in MEASURES.items():
        measure = getattr(sharpkit, name)
        call = {**options, "process_group": True, "progress": False}
        if name == "critical_sharpness":
            del call["progress"]
        small = sharpkit.Problem(w[:100], lambda w: (summed(w @ w), 2 * w))
        measure(small, process_group=True)  # compiles the kernels
        result, took = reductions.of(lambda m=measure, c=call: m(problem, **c))
        value = _value(result)
        calls, products = result.run.calls, result.run.products
        taken[name] = {"value": value, "calls": calls, "products": products, **took}
    bits = _bits(w.size, ends[rank], summed)
    tell(rank, {"taken": taken, "bits": bits})


def _value(result: Any) -> float:
    """Return the number of a result: of a density its mean eigenvalue."""
    if hasattr(result, "nodes"):
        return float(np.sum(result.nodes * result.weights))
    return float(result.values[0] if hasattr(result, "values") else result.value)


def _bits(n: int, begin: int, summed: Any) -> list[float]:
    """Return check sums of the random numbers of all ranks, in whole numbers."""
    found = []
    for name in ("fill_signs", "fill_normal"):
        own = np.empty(n)
        space = Space(kernels_for(None, own)[1], n, own.dtype)
        getattr(space.kernels, name)(own, 7, 1, begin)
        places = np.arange(begin, begin + n, dtype=np.uint64) + np.uint64(1)
        mixed = own.view(np.uint64) * places
        for shift in (0, 24, 48):  # of 24 bits sums are exact in float64
            part = mixed >> np.uint64(shift) & np.uint64(0xFFFFFF)
            found.append(summed(float(part.sum(dtype=np.uint64))))
    return found


if __name__ == "__main__":
    main()
