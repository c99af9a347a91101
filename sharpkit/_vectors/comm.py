"""How ranks that each hold a piece of the weights agree on a number."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Comm(Protocol):
    """Reductions over ranks; all a `Space` needs to work on sharded vectors."""

    offset: int
    """Global index of the first local coordinate."""

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the elementwise sum over ranks, in the order of the ranks."""
        ...

    def max(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the elementwise maximum over ranks."""
        ...


class Serial:
    """One rank that holds everything."""

    offset = 0

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``values``."""
        return values

    def max(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``values``."""
        return values
