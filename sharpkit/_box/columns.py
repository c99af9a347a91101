"""The random columns of a subspace, drawn slab by slab.

A slab is all columns over one range of coordinates, a (p, width) block. Its numbers
are a hash of (seed, stream, global index), so that it can be drawn again at any time:
the columns are kept where they fit into the memory they are given, and drawn anew for
every product where they do not. Both do the same arithmetic and give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from sharpkit._inputs.types import Array, Matrix, Vector
from sharpkit._vectors.space import Space
from sharpkit._vectors.streams import Stream

Distribution = Literal["normal", "rademacher"]

MEMORY = 1 << 30  # bytes, by default
SLAB_BYTES = 1 << 27


class RandomColumns:
    """p columns of independent entries, mean 0 and variance 1, in n dimensions.

    Parameters
    ----------
    space
        The space that the columns are vectors of.
    count
        The number of columns, p.
    distribution : {"normal", "rademacher"}
        The distribution of the entries: standard normal, or 1 and -1 alike.
    seed
        The seed of the entries; the same seed gives the same bits.
    memory
        The bytes that all columns together may take; if they would take more, only one
        slab of `SLAB_BYTES` is held.
    """

    def __init__(
        self,
        space: Space,
        count: int,
        *,
        distribution: Distribution,
        seed: int,
        memory: int = MEMORY,
    ) -> None:
        self._space, self._count, self._seed = space, count, seed
        self._fill = {"normal": space.fill_normal, "rademacher": space.fill_signs}[
            distribution
        ]
        bytes_per_row = count * space.dtype.itemsize
        # Whole multiples of 2^15, the unit in which kernels share work among threads.
        width = max(SLAB_BYTES // bytes_per_row >> 15 << 15, 1 << 10)
        self._width = max(min(width, space.n), 1)
        self._kept: list[Array] | None = None
        if space.n * bytes_per_row <= memory:
            self._kept = [
                self._drawn(begin, self._empty(begin)) for begin in self._begins()
            ]

    def gram(self) -> Matrix:
        """Return the inner products of the columns with each other."""
        return self._space.gram_sum((slab, slab) for _, slab in self._slabs())

    def dot(self, vector: Array) -> Vector:
        """Return the inner products of the columns with a vector."""
        pieces = (
            (slab, vector[None, begin : begin + slab.shape[1]])
            for begin, slab in self._slabs()
        )
        return self._space.gram_sum(pieces)[:, 0]

    def add(self, factors: Vector, out: Array) -> None:
        """``out += sum_j factors_j column_j``."""
        for begin, slab in self._slabs():
            part = out[None, begin : begin + slab.shape[1]]
            self._space.combine(factors[None], slab, part, beta=1.0)

    def _slabs(self) -> Iterator[tuple[int, Array]]:
        if self._kept is not None:
            yield from zip(self._begins(), self._kept, strict=True)
            return
        whole = self._empty(0).ravel()
        for begin in self._begins():
            width = min(self._width, self._space.n - begin)
            slab = whole[: self._count * width].reshape(self._count, width)
            yield begin, self._drawn(begin, slab)

    def _begins(self) -> range:
        return range(0, max(self._space.n, 1), self._width)

    def _empty(self, begin: int) -> Array:
        width = min(self._width, self._space.n - begin)
        shape = (self._count, width)
        slab: Array = self._space.kernels.empty(shape, self._space.dtype)
        return slab

    def _drawn(self, begin: int, slab: Array) -> Array:
        for index in range(self._count):
            self._fill(slab[index], self._seed, Stream.SUBSPACE + index, begin)
        return slab
