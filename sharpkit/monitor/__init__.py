"""Watching a training: records at some of its steps, within a share of its time.

`loop` watches a bare loop over flat weights; ``sharpkit.torch.monitor`` and
``sharpkit.jax.monitor`` watch models. `sharpkit.read_monitor` reads a record back.
"""

from sharpkit.monitor.core import Monitor
from sharpkit.monitor.entries import NAMES
from sharpkit.monitor.log import MonitorLog
from sharpkit.monitor.loop import loop
from sharpkit.monitor.rows import Row

__all__ = ["NAMES", "Monitor", "MonitorLog", "Row", "loop"]


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
