"""One process of a small data-parallel training on gloo, for tests: run it as a script.

Arguments: rank, the file by which the processes meet, the folder for what it writes,
and "watched" or "alone".
"""

import sys
from pathlib import Path

import torch
from torch import distributed, nn

import sharpkit

PROCESSES, STEPS = 2, 6


def main(rank: int, meeting: str, folder: Path, *, watched: bool) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=PROCESSES
    )
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 3)
    )
    x, y = torch.randn(64, 4), torch.randint(0, 3, (64,))
    parallel = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.Adam(parallel.parameters(), 1e-2)
    loss = nn.CrossEntropyLoss()
    monitor = None
    if watched:
        monitor = sharpkit.torch.monitor(
            parallel, loss, (x, y), optimizer=optimizer, budget=None,
            path=folder / f"{rank}.jsonl",
        )  # fmt: skip
    for step in range(STEPS):
        own = torch.arange(rank + PROCESSES * step, 64, PROCESSES * STEPS)
        optimizer.zero_grad()
        loss(parallel(x[own]), y[own]).backward()
        if monitor is not None:
            monitor.step()
        optimizer.step()
    if monitor is not None:
        monitor.close()
    torch.save(model.state_dict(), folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    rank, meeting, folder, how = sys.argv[1:]
    main(int(rank), meeting, Path(folder), watched=how == "watched")
