"""A transformer of half a billion weights over 4 ranks: memory, evaluations, seconds.

Random weights of bfloat16 under ``fully_shard`` on gloo, measured in float32. The model
is made on no device, and each rank fills its own shards.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import numpy as np

import sharpkit
from bench.ranks import on_ranks, tell
from bench.table import Table

RANKS = 4
SIZE = {"vocabulary": 16_640, "tokens": 16, "width": 1024, "heads": 16, "depth": 37}
QUICK = {"vocabulary": 500, "tokens": 16, "width": 64, "heads": 4, "depth": 2}
MOST_GIB = 20.0  # of all ranks together
MEASURES: dict[str, dict[str, Any]] = {
    "critical_sharpness": {},
    "sharpness": {"max_evaluations": 5, "memory": "lean"},
}

# As few vectors as there can be, and no second look.
LARGEST = {"k": 1, "ncv": 4, "max_products": 6, "tol": 0.1, "verify": False}
STEP = 0.02  # of differences, as a share of the length of the weights


def run(*, quick: bool) -> Table:
    size = QUICK if quick else SIZE
    told = on_ranks(RANKS, "bench.cases.sharded_model", size=size)
    gib = sum(each["peak"] for each in told) / 2**30
    rows = [
        (name, f"{took['value']:.6g}", str(took["calls"]), f"{took['seconds']:.3g}")
        for name, took in told[0]["taken"].items()
    ]
    n = int(sum(each["n"] for each in told))
    return Table(
        title=f"a transformer of {n:,} weights over {RANKS} ranks",
        columns=("measure", "value", "calls", "s"),
        rows=rows,
        notes=(
            f"at most {gib:.1f} GiB resident in all {RANKS} processes, PyTorch among "
            f"it (target: {MOST_GIB:g})",
        ),
        data={
            "n": n,
            "gib": gib,
            "ranks": told,
            "targets": {f"at most {MOST_GIB:g} GiB": gib <= MOST_GIB},
        },
    )


def main() -> None:
    """Take the measures on one rank."""
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), json.loads(sys.argv[1])["size"]
    drawn = torch.Generator().manual_seed(rank)
    model = _model(size, drawn)
    x = torch.randint(size["vocabulary"], (1, size["tokens"]), generator=drawn)
    data = [(x, x.roll(-1, 1))]
    problem = sharpkit.torch.problem(model, torch.nn.CrossEntropyLoss(), data)
    taken = {
        name: _taken(getattr(sharpkit, name), problem, **options)
        for name, options in MEASURES.items()
    }
    products = _Products(problem, dist)
    taken["eigenvalues"] = _taken(
        sharpkit.eigenvalues,
        problem.weights,
        hvp=products,
        process_group=True,
        **LARGEST,
    )
    taken["eigenvalues"]["calls"] = products.calls
    n = np.asarray(problem.weights).size
    tell(rank, {"n": n, "peak": _peak(), "taken": taken})
    dist.barrier()
    dist.destroy_process_group()


def _model(size: dict[str, int], drawn: Any) -> Any:
    """Return the model, of whose shards this rank has drawn its own."""
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    from bench.transformer import Transformer

    with torch.device("meta"):
        model = Transformer(**size).bfloat16()
    precise = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    for block in model.blocks:
        fully_shard(block, mp_policy=precise)
    fully_shard(model, mp_policy=precise)
    model.to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            local = parameter.to_local()
            if "norm" in name or name.endswith("bias"):
                local.fill_(float("norm" in name and name.endswith("weight")))
            else:
                local.normal_(std=0.02, generator=drawn)
    return model


class _Products:
    """Products by differences with one step, which bfloat16 does not round away."""

    def __init__(self, problem: Any, dist: Any) -> None:
        self._problem, self.calls = problem, 0
        square = problem.weights.double().square().sum()
        dist.all_reduce(square)
        self._step = STEP * float(square) ** 0.5

    def __call__(self, w: Any, v: Any) -> Any:
        self.calls += 2
        x = w.add(v, alpha=self._step)
        product = self._problem(x)[1]
        x.copy_(w).sub_(v, alpha=self._step)
        return product.sub_(self._problem(x)[1]).div_(2 * self._step)


def _taken(measure: Any, *args: Any, **options: Any) -> dict[str, Any]:
    """Return the number of a measure, and what it took."""
    began = time.perf_counter()
    result = measure(*args, **options)
    value = result.values[0] if hasattr(result, "values") else result.value
    return {
        "value": float(value),
        "calls": result.run.calls,
        "seconds": time.perf_counter() - began,
        "peak": _peak(),
        "report": str(result),
    }


def _peak() -> int:
    """Return the most bytes that this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
