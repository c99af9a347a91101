"""The batches of a problem one after the other, and what each counts in the mean."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
from jax.tree_util import tree_leaves

from sharpkit._inputs.samples import checked_indices
from sharpkit._inputs.weighing import MAPPING
from sharpkit.jax.batches import Batches
from sharpkit.jax.weighing import Weighing

SAME = 1e-9  # relative; the weights of all batches add up to the same at every pass


class Pieces:
    """The arguments of the loss after params, with the number of rows of each.

    Parameters
    ----------
    batches
        The batches; None where the loss takes no data.
    split
        Whether a batch is a pair of inputs and targets.

    Attributes
    ----------
    weighted : bool
        Whether the loss says what a batch counts.
    """

    def __init__(self, batches: Batches | None, *, split: bool) -> None:
        self.batches, self._split, self.weighted = batches, split, True
        self._weight_sum: float | None = None
        self._weighing = Weighing(several=batches is not None and batches.several)

    def __iter__(self) -> Iterator[tuple[tuple[Any, ...], int | None]]:
        """Yield the arguments and the number of rows of each batch.

        Yields
        ------
        tuple
            Both.

        Raises
        ------
        ValueError
            If a batch is no pair, or nobody knows what it counts.
        """
        if self.batches is None:
            yield (), 1
            return
        for batch, rows in self.batches:
            if self._split and not (
                isinstance(batch, tuple | list) and len(batch) == 2
            ):
                size = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
                msg = (
                    f"a batch of data is of type {type(batch).__name__}{size}; with "
                    "model= give pairs (inputs, targets)"
                )
                raise ValueError(msg)
            self.require_weight((batch,), rows)
            yield (batch,), rows

    def subset(self, indices: Any) -> Pieces:
        """Return the batches of the rows of some indices."""
        assert self.batches is not None  # without data nobody asks
        chosen = checked_indices(indices, self.batches.samples)
        other = copy.copy(self)
        other.batches, other._weight_sum = self.batches.subset(chosen), None
        other._weighing = self._weighing.over(several=other.batches.several)
        return other

    def counted(
        self, arguments: Any, rows: int | None, loss: Callable[[Any], Any]
    ) -> float | None:
        """Return what a batch counts, if the loss does not say it."""
        if self.weighted or self.batches is None or rows is None:
            return rows
        return self._weighing.weight(loss, arguments, rows)

    def require_weight(self, arguments: Any, rows: int | None) -> None:
        """Raise an error if nobody knows what a batch counts.

        Raises
        ------
        ValueError
            If its arrays have no common number of rows.
        """
        if rows is None and not self.weighted:
            shapes = [jnp.shape(leaf) for leaf in tree_leaves(arguments)]
            msg = (
                f"a batch of data has arrays of shapes {shapes}, of no common first "
                "dimension, so that its share of the mean is unknown; "
                f"{MAPPING}"
            )
            raise ValueError(msg)

    def require_same(self, weight_sum: float) -> None:
        """Raise an error if the batches do not count as much as in the pass before.

        Raises
        ------
        ValueError
            If they add up to something else, or to nothing.
        """
        if not (math.isfinite(weight_sum) and weight_sum > 0):
            msg = (
                f"the weights of all batches add up to {weight_sum}; they must be "
                "positive numbers, such as the number of samples of each batch"
            )
            raise ValueError(msg)
        before = self._weight_sum = self._weight_sum or weight_sum
        if abs(weight_sum - before) > SAME * before:
            msg = (
                f"the weights of all batches add up to {weight_sum:.9g}, in the pass "
                f"before to {before:.9g}; data must give the same samples at every "
                "pass, and the weight that loss returns must not depend on params"
            )
            raise ValueError(msg)
