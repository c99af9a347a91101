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
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    from bench.transformer import Transformer

    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), json.loads(sys.argv[1])["size"]
    with torch.device("meta"):
        model = Transformer(**size).bfloat16()
    precise = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    for block in model.blocks:
        fully_shard(block, mp_policy=precise)
    fully_shard(model, mp_policy=precise)
    model.to_empty(device="cpu")
    drawn = torch.Generator().manual_seed(rank)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            local = parameter.to_local()
            if "norm" in name or name.endswith("bias"):
                local.fill_(float("norm" in name and name.endswith("weight")))
            else:
                local.normal_(std=0.02, generator=drawn)
    x = torch.randint(size["vocabulary"], (1, size["tokens"]), generator=drawn)
    data = [(x, x.roll(-1, 1))]
    problem = sharpkit.torch.problem(model, torch.nn.CrossEntropyLoss(), data)
    taken = {}
    for name, options in MEASURES.items():
        began = time.perf_counter()
        result = getattr(sharpkit, name)(problem, **options)
        value = result.values[0] if hasattr(result, "values") else result.value
        taken[name] = {
            "value": float(value),
            "calls": result.run.calls,
            "seconds": time.perf_counter() - began,
            "peak": _peak(),
            "report": str(result),
        }
        del result
    n = np.asarray(problem.weights).size
    tell(rank, {"n": n, "peak": _peak(), "taken": taken})
    dist.barrier()
    dist.destroy_process_group()


def _peak() -> int:
    """Return the most bytes that this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
