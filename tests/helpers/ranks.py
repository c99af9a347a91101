"""Programs on several ranks: real processes of torch.distributed (gloo) or of MPI."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

PATIENCE = 300.0  # seconds until a program that hangs is ended
PROLOGUE = """
import json, os, sys, warnings
import numpy as np
warnings.simplefilter("error")

def tell(**found):
    print("TOLD " + json.dumps(found), flush=True)
"""
GLOO = (
    PROLOGUE
    + """
from datetime import timedelta
import torch, torch.distributed as dist
torch.set_num_threads(1)
dist.init_process_group("gloo", timeout=timedelta(seconds=50))
rank, ranks = dist.get_rank(), dist.get_world_size()
KNOWN = {"process_group": True}

def summed(values):
    out = torch.tensor(np.array(values, np.float64))
    dist.all_reduce(out)
    return out.numpy()
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
        What each rank has told with ``tell(...)``; the last where there are several.
    errors : list of str
        What each printed on stderr.
    codes : list of int
        How each ended.
    seconds : float
        How long it took.
    """

    def __init__(self, outputs, errors, codes, seconds):
        self.told = [_told(output) for output in outputs]
        self.errors, self.codes, self.seconds = errors, codes, seconds

    def fine(self):
        """Return what was told, if all ended well."""
        assert not any(self.codes), "\n".join(self.errors)
        return self.told


def on_gloo(ranks, program):
    """Run a program on ranks of torch.distributed."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    known = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    known |= {"WORLD_SIZE": str(ranks), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-c", GLOO + program]
    return _ended([(command, known | {"RANK": str(r)}) for r in range(ranks)])


def on_mpi(ranks, program):
    """Run a program on ranks of MPI; what all print comes as that of one."""
    command = [mpiexec(), "-n", str(ranks), sys.executable, "-c", MPI + program]
    return _ended([(command, {})])


def mpiexec():
    """Return the program that starts ranks of MPI, or None."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def _ended(starts):
    began = time.monotonic()
    root = str(Path(__file__).parents[2])
    processes = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"} | known,
        )
        for command, known in starts
    ]
    try:
        ends = [
            process.communicate(timeout=max(PATIENCE - time.monotonic() + began, 1))
            for process in processes
        ]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    outputs, errors = zip(*ends, strict=True)
    codes = [process.returncode for process in processes]
    return Ended(outputs, errors, codes, time.monotonic() - began)


def _told(output):
    lines = [line[5:] for line in output.splitlines() if line.startswith("TOLD ")]
    return json.loads(lines[-1]) if lines else None
