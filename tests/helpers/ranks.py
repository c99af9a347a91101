"""Programs on several ranks: real processes of torch.distributed (gloo) or of MPI."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

PATIENCE = 240  # seconds until a rank that hangs shows where, and ends
PROLOGUE = f"""
import faulthandler, json, os, sys, warnings
faulthandler.dump_traceback_later({PATIENCE}, exit=True)
import numpy as np
warnings.simplefilter("error")

def tell(**found):
    with open(os.path.join(os.environ["TOLD"], f"{{rank}}.json"), "w") as file:
        json.dump(found, file)
"""
TORCH = (
    PROLOGUE
    + """
from datetime import timedelta
import torch, torch.distributed as dist
torch.set_num_threads(1)
dist.init_process_group(BACKEND, timeout=timedelta(seconds=50))
rank, ranks = dist.get_rank(), dist.get_world_size()
device = torch.device("cpu" if BACKEND == "gloo" else f"cuda:{rank}")
if BACKEND != "gloo":
    torch.cuda.set_device(device)
KNOWN = {"process_group": True}

def summed(values):
    out = torch.tensor(np.array(values, np.float64), device=device)
    dist.all_reduce(out)
    return out.cpu().numpy()
"""
)
MPI = (
    PROLOGUE
    + """
from mpi4py import MPI
rank, ranks = MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size
KNOWN = {"comm": MPI.COMM_WORLD}

def summed(values):
    out = np.array(values, np.float64)
    MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, out)
    return out
"""
)


class Ended:
    """What a program on several ranks has printed.

    Attributes
    ----------
    told : list of dict
        What each rank has told with ``tell(...)``, in their order.
    errors : str
        What they printed on stderr.
    codes : list of int
        How each ended; one for all of MPI.
    """

    def __init__(self, told, errors, codes):
        self.told, self.errors, self.codes = told, errors, codes

    def fine(self):
        """Return what was told, if all ended well."""
        assert not any(self.codes), self.errors
        return self.told


def on_gloo(ranks, program, backend="gloo"):
    """Run a program on ranks of torch.distributed."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    known = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    known["WORLD_SIZE"] = str(ranks)
    if sys.platform == "linux":
        known["GLOO_SOCKET_IFNAME"] = "lo"  # whatever the host's name means
    text = f"BACKEND = {backend!r}\n{TORCH}{program}"
    command = [sys.executable, "-c", text]
    return _ended([(command, known | {"RANK": str(r)}) for r in range(ranks)])


def on_mpi(ranks, program):
    """Run a program on ranks of MPI."""
    command = [mpiexec(), "-n", str(ranks), sys.executable, "-c", MPI + program]
    return _ended([(command, {})])


def mpiexec():
    """Return the program that starts ranks of MPI, or None."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def _ended(starts):
    common = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    common |= {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as told:
        processes = [
            subprocess.Popen(
                command, stderr=subprocess.PIPE, text=True, env=common | known
            )
            for command, known in [(c, k | {"TOLD": told}) for c, k in starts]
        ]
        try:
            errors = [each.communicate(timeout=PATIENCE + 10)[1] for each in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        found = [json.loads(path.read_text()) for path in sorted(Path(told).iterdir())]
    return Ended(found, "\n".join(errors), [each.returncode for each in processes])
