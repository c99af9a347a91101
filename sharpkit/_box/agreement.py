"""Whether starts of a search agree, which tells how rare the highest basin is."""

from __future__ import annotations

from collections.abc import Sequence

CLOSE = 0.03  # of the best rise: what ends within that of it agrees with it


def close(rise: float, best: float) -> bool:
    """Return whether a rise agrees with the best one."""
    return rise >= (1 - CLOSE) * best


def confirmed(rises: Sequence[float], kin: Sequence[bool]) -> bool:
    """Return whether a start came close to the best one that owes it nothing.

    Parameters
    ----------
    rises
        How far the loss rose from the centre to where each start ended.
    kin
        Of each start, whether it owes its direction to others.
    """
    best = max(range(len(rises)), key=rises.__getitem__, default=None)
    return best is not None and any(
        index != best and not owing and close(rise, rises[best])
        for index, (rise, owing) in enumerate(zip(rises, kin, strict=True))
    )
