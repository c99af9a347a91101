"""Ranks of torch.distributed and of MPI, as users hand them in."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from datetime import timedelta
from typing import Any

import numpy as np

from sharpkit._inputs.process_groups import started
from sharpkit._inputs.types import Matrix, Vector
from sharpkit._vectors.ranks import RankError, Ranks

FORWARDING = 1.0  # seconds in which mpiexec passes on what was printed
POLL = 1e-3  # seconds between two looks at MPI, while a failed rank waits


def ranks_of(process_group: Any, comm: Any) -> Ranks | None:
    """Return the ranks that a user means; None where there are none.

    Parameters
    ----------
    process_group
        A ``ProcessGroup`` of torch.distributed, or True for the default one.
    comm
        A communicator of mpi4py.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If there are both, or the group cannot be used.
    """
    if process_group is None or process_group is False:
        return None if comm is None else _mpi(comm)
    if comm is not None:
        msg = "process_group and comm are both given; give the one that holds the ranks"
        raise ValueError(msg)
    return _TorchRanks(started(process_group))


def _mpi(given: Any) -> Ranks:
    mpi = sys.modules.get("mpi4py.MPI")  # whoever has a communicator has loaded it
    if mpi is None or not isinstance(given, mpi.Intracomm):
        msg = (
            f"comm={given!r} of type {type(given).__name__}; give a communicator of "
            "mpi4py, such as mpi4py.MPI.COMM_WORLD, or process_group= for "
            "torch.distributed"
        )
        raise TypeError(msg)
    return _MPIRanks(given, mpi)


class _TorchRanks(Ranks):
    """Ranks of a process group; its device holds what travels."""

    def __init__(self, group: Any) -> None:
        import torch
        import torch.distributed as dist

        super().__init__(dist.get_rank(group), dist.get_world_size(group))
        self._torch, self._dist, self._group = torch, dist, group
        on_host = "cpu" in {device.type for device in group._device_types}
        self._device = "cpu" if on_host else torch.cuda.current_device()

    def gather(self, row: Vector, patience: float | None = None) -> Matrix:
        own = self._torch.from_numpy(row.copy()).to(self._device)
        rows = [self._torch.empty_like(own) for _ in range(self.count)]
        options = self._dist.distributed_c10d.AllgatherOptions()
        if patience is not None:
            options.timeout = timedelta(seconds=patience)
        try:
            self._group.allgather([rows], [own], options).wait()
        except RuntimeError as error:
            raise _unreachable(self.count, error) from error
        return np.stack([each.cpu().numpy() for each in rows])


class _MPIRanks(Ranks):
    """Ranks of a communicator."""

    def __init__(self, comm: Any, mpi: Any) -> None:
        super().__init__(comm.Get_rank(), comm.Get_size())
        self._comm, self._mpi = comm, mpi

    def gather(self, row: Vector, patience: float | None = None) -> Matrix:
        rows = np.empty((self.count, row.size))
        try:
            request = self._comm.Iallgather(row.copy(), rows)
            if patience is None:
                request.Wait()
                return rows
            end = time.monotonic() + patience
            while not request.Test():
                if time.monotonic() > end:
                    self._abort()
                time.sleep(POLL)
        except self._mpi.Exception as error:
            raise _unreachable(self.count, error) from error
        return rows

    def _abort(self) -> None:
        """End all processes: MPI has no other way to reach those that wait."""
        traceback.print_exc()
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        time.sleep(FORWARDING)
        self._comm.Abort(1)


def _unreachable(count: int, error: Exception) -> RankError:
    return RankError(
        f"one of the {count} ranks has ended, or is not to be reached "
        f"({str(error).splitlines()[0]}); see what it has printed"
    )
