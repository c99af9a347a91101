"""Whether a callback has written to what it was given."""

from __future__ import annotations

import numpy as np

from sharpkit._inputs.types import Array

LOOKED_AT = 4096  # entries, all over a vector


class Seal:
    """What tells of a write to a vector: some of its entries, and the sum of its bits.

    A single write changes the sum; what leaves that as it was, such as sorting, changes
    the entries. It takes a pass over the vector to make, another to look at, and next
    to no memory.

    Parameters
    ----------
    vector : (n,) float32 or float64
        The vector, as it is to stay.
    """

    def __init__(self, vector: Array) -> None:
        self._vector, self._bits = vector, vector.view(f"u{vector.dtype.itemsize}")
        self._stride = max(-(-vector.size // LOOKED_AT), 1)
        self._some, self._sum = self._bits[:: self._stride].copy(), self._total()

    def require_intact(self, source: str, name: str) -> None:
        """Raise if the vector has been written to.

        Parameters
        ----------
        source
            Who may have written, as the user knows it: ``"loss_fn"`` or ``"hvp"``.
        name
            What the vector is called in the fix: ``"w"`` or ``"v"``.

        Raises
        ------
        ValueError
            If it has.
        """
        moved = self._bits[:: self._stride] != self._some
        if not bool(moved.any() | (self._total() != self._sum)):  # one look at a device
            return
        seen = ""
        if bool(moved.any()):
            where = int(moved.argmax()) * self._stride
            seen = f" ({name}[{where}] became {self._vector[where]!r})"
        msg = (
            f"{source} wrote into its argument {name}{seen}; work on a copy: "
            f"{name} = {name}.copy()"
        )
        raise ValueError(msg)

    def _total(self) -> Array:
        total: Array = self._bits.sum(dtype=np.uint64)  # which wraps around
        return total
