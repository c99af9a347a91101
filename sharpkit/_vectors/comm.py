"""How ranks that each hold a piece of the weights agree on a number."""

from __future__ import annotations

from typing import Protocol

from sharpkit._inputs.types import Matrix


class Comm(Protocol):
    """Reductions over ranks: all that a `Space` needs to work on sharded vectors.

    Attributes
    ----------
    offset : int
        The global index of the first coordinate that this rank holds.
    pieces : list of (int, int) or None
        The length, and the first global index, of each range of coordinates that this
        rank holds; None where they are one range.
    """

    offset: int
    pieces: list[tuple[int, int]] | None

    def sum(self, values: Matrix) -> Matrix:
        """Return the elementwise sum over ranks, in the order of the ranks."""
        ...

    def max(self, values: Matrix) -> Matrix:
        """Return the elementwise maximum over ranks."""
        ...


class Serial:
    """The one rank there is, which holds everything."""

    offset = 0
    pieces: list[tuple[int, int]] | None = None

    def sum(self, values: Matrix) -> Matrix:
        """Return the values as they are."""
        return values

    def max(self, values: Matrix) -> Matrix:
        """Return the values as they are."""
        return values
