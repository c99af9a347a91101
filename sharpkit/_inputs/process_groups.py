"""Process groups of torch.distributed, as users hand them in."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from sharpkit._inputs.extras import needs


def started(process_group: Any) -> Any:
    """Return the process group that is meant; True means the default one.

    Raises
    ------
    TypeError
        If it is none.
    ModuleNotFoundError
        If the default one is meant, and torch is not installed.
    ValueError
        If torch.distributed has not been started, or this process is not in the group.
    """
    if process_group is True:
        with needs("process_group=True", "torch", extra="torch"):
            importlib.import_module("torch.distributed")
    # Whoever has a group has loaded what it is of.
    dist: Any = sys.modules.get("torch.distributed")
    known = dist is not None and dist.is_available()
    if not known or not (
        process_group is True or isinstance(process_group, dist.ProcessGroup)
    ):
        msg = (
            f"process_group={process_group!r} of type {type(process_group).__name__}; "
            "give a ProcessGroup of torch.distributed, or True for the default one"
        )
        raise TypeError(msg)
    if not dist.is_initialized():
        msg = (
            f"process_group={process_group!r}, and torch.distributed has not been "
            "started; call torch.distributed.init_process_group() in a program that "
            "torchrun starts, or give None where this process has all"
        )
        raise ValueError(msg)
    group = dist.group.WORLD if process_group is True else process_group
    if dist.get_rank(group) < 0:
        msg = "process_group does not hold this process; give one that does"
        raise ValueError(msg)
    return group
