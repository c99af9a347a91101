"""Disjoint random subsets of samples, for measures that are means over them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from sharpkit._inputs.checks import at_least
from sharpkit._inputs.types import Vector
from sharpkit.measures._point import Point

USUAL = 100  # subsets that are measured by default, at most


class Parts:
    """The subsets that a measure takes the mean over, or the problem itself.

    Parameters
    ----------
    point
        The point of the whole problem.
    subset
        The samples of each subset; None for the whole problem.
    subsets
        The subsets that are measured; None for all up to `USUAL`.
    seed
        The seed of the permutation that splits the samples.

    Attributes
    ----------
    size : int or None
        The samples of each subset.
    whole : int
        The subsets that the samples make.
    count : int
        The subsets that are measured.
    dropped : int
        The samples that are in none of them because they do not fill one.

    Raises
    ------
    ValueError
        If the problem has no such subsets. Other types are a TypeError.
    """

    def __init__(self, point: Point, subset: Any, subsets: Any, seed: int) -> None:
        self._point, self.size = point, None
        self.whole = self.count = 1
        self.dropped = 0
        if subset is None:
            if subsets is not None:
                at_least("subsets", subsets, 1)
                msg = f"subsets={subsets}, but subset=None; give the samples of each"
                raise ValueError(msg)
            return
        self.size = at_least("subset", subset, 1)
        self._over = point.subsets(f"subset={subset}")
        samples = point.samples
        assert samples is not None  # where there are subsets
        if self.size > samples:
            msg = f"subset={subset}, but there are {samples} samples; give fewer"
            raise ValueError(msg)
        self.whole, self.dropped = divmod(samples, self.size)
        most = min(self.whole, USUAL)
        self.count = most if subsets is None else at_least("subsets", subsets, 1)
        if self.count > self.whole or self.count < min(2, self.whole):
            msg = (
                f"subsets={subsets}; {samples} samples make {self.whole} subsets of "
                f"{subset}: give {min(2, self.whole)} to {self.whole}"
            )
            raise ValueError(msg)
        self._order = np.random.default_rng(seed).permutation(samples)

    def points(self) -> Iterator[Point]:
        """Yield the point of each subset.

        Yields
        ------
        Point
            The same weights, and the loss over the subset.
        """
        if self.size is None:
            yield self._point
            return
        for part in range(self.count):
            chosen = self._order[part * self.size : (part + 1) * self.size]
            yield self._over(np.sort(chosen))

    def stderr(self, values: Vector) -> float:
        """Return the standard error of a mean over subsets for that over all."""
        if self.count == self.whole:
            return 0.0
        spread = float(np.std(values, ddof=1)) / math.sqrt(self.count)
        return spread * math.sqrt(1 - self.count / self.whole)

    def __str__(self) -> str:
        if self.size is None:
            return ""
        left = f", {self.dropped} samples left out" if self.dropped else ""
        return f"{self.count} of {self.whole} subsets of {self.size} samples{left}"
