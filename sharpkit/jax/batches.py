"""The data, batch by batch, as often as they are asked for."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import (
    all_leaves,
    keystr,
    tree_flatten_with_path,
    tree_leaves,
    tree_map,
    tree_map_with_path,
)

from sharpkit._inputs.loading import waiting
from sharpkit.jax.layout import as_array

Batch = Any  # a pytree of arrays


class Batches:
    """Pairs of a batch and its number of rows, again at every pass.

    The number is the common first dimension of the arrays of the batch, and None if
    they have none.

    Parameters
    ----------
    data
        The data as `sharpkit.jax.problem` takes them: a pytree of arrays, or an
        iterable of pytrees.
    micro_batch
        The number of rows that a batch has at most; None leaves each batch as it is.

    Attributes
    ----------
    several : bool
        Whether there is more than one, as far as is known.
    """

    def __init__(self, data: Any, micro_batch: int | None) -> None:
        self._micro_batch = micro_batch
        self.several = True
        self._batches: Iterable[Batch] = data
        if isinstance(data, list):
            _require_batches(data)
            self.several = micro_batch is not None or len(data) > 1
        elif _is_pytree(data):
            whole = _converted("data", data)
            _require_rows(whole)
            if micro_batch is None:  # on the device once and for all
                whole = tree_map(jnp.asarray, whole)
            self._batches = [whole]
            self.several = micro_batch is not None and micro_batch < (_rows(whole) or 0)
        else:
            _require_iterable(data)

    def few(self, size: int) -> Batches:
        """Return some rows of the first batch alone, or all where none can be cut."""
        batch, rows = next(iter(self))
        return Batches([_cut(batch, 0, min(rows, size)) if rows else batch], None)

    @property
    def indexed(self) -> bool:
        """Whether single samples can be taken out of the data."""
        return isinstance(self._batches, list) and all(map(_rows, self._batches))

    @property
    def samples(self) -> int:
        """The number of samples, where they are `indexed`."""
        return sum(_rows(batch) or 0 for batch in self._batches)

    def subset(self, indices: Any) -> Batches:
        """Return the batches of some samples, cut as these are.

        Parameters
        ----------
        indices : (k,)
            The samples, which must be `indexed`: rows of the arrays, or in the order of
            the batches.
        """
        part, start = copy.copy(self), 0
        own: list[Batch] = []
        for batch in self._batches:
            stop = start + (_rows(batch) or 0)
            here = indices[(start <= indices) & (indices < stop)] - start
            if here.size:
                own.append(_taken(batch, here))
            start = stop
        part._batches = own
        size = self._micro_batch or len(indices)
        part.several = len(own) > 1 or len(indices) > size
        return part

    def __iter__(self) -> Iterator[tuple[Batch, int | None]]:
        for index, each in enumerate(waiting(self._batches)):
            batch = _converted(f"batch {index} of data", each)
            rows = _rows(batch)
            if self._micro_batch is None:
                yield batch, rows
            elif rows is None:
                msg = (
                    f"micro_batch={self._micro_batch}, but the arrays of batch {index} "
                    f"of data have shapes {_shapes(batch)}, of no common first "
                    "dimension to cut; give micro_batch=None and smaller batches"
                )
                raise ValueError(msg)
            else:
                for start in range(0, rows, self._micro_batch):
                    size = min(self._micro_batch, rows - start)
                    yield _cut(batch, start, size), size


def _is_pytree(data: Any) -> bool:
    """Return whether the data are arrays, or a container that JAX looks into."""
    return hasattr(data, "__array__") or not all_leaves([data])


def _converted(name: str, batch: Batch) -> Batch:
    def converted(path: Any, leaf: Any) -> Any:
        if isinstance(leaf, bool | int | float | complex):
            return leaf
        return as_array(f"{name}{keystr(path)}", leaf)

    return tree_map_with_path(converted, batch)


def _rows(batch: Batch) -> int | None:
    sizes = {shape[0] for shape in _shapes(batch) if shape}
    return sizes.pop() if len(sizes) == 1 else None


def _shapes(batch: Batch) -> list[tuple[int, ...]]:
    return [tuple(getattr(leaf, "shape", ())) for leaf in tree_leaves(batch)]


def _cut(batch: Batch, start: int, size: int) -> Batch:
    def rows(leaf: Any) -> Any:
        if not getattr(leaf, "shape", ()):
            return leaf
        if isinstance(leaf, jax.Array):  # with the start as an operand: compiled once
            return jax.lax.dynamic_slice_in_dim(leaf, start, size)
        return leaf[start : start + size]

    return batch if _rows(batch) == size else tree_map(rows, batch)


def _taken(batch: Batch, indices: Any) -> Batch:
    def rows(leaf: Any) -> Any:
        if not getattr(leaf, "shape", ()):
            return leaf
        if isinstance(leaf, jax.Array):  # with the indices as an operand: compiled once
            return jnp.take(leaf, indices, axis=0)
        return leaf[indices]

    return tree_map(rows, batch)


def _require_rows(data: Any) -> None:
    leaves = tree_flatten_with_path(data)[0]
    rows: int | None = None
    for path, leaf in leaves:
        shape = tuple(getattr(leaf, "shape", ()))
        if not shape:
            msg = (
                f"data{keystr(path)} is a single number; give arrays with one row for "
                "each sample, and let the loss close over constants"
            )
            raise ValueError(msg)
        rows = shape[0] if rows is None else rows
        if shape[0] != rows:
            msg = (
                f"data{keystr(path)} has {shape[0]} rows, and the array before it has "
                f"{rows}; give one row for each sample in every array, or a list of "
                "batches"
            )
            raise ValueError(msg)
    if not rows:
        msg = "data has no rows; give at least one sample"
        raise ValueError(msg)


def _require_iterable(data: Any) -> None:
    name = type(data).__name__
    if not isinstance(data, Iterable):
        msg = (
            f"data is of type {name}; give arrays, such as a tuple (inputs, targets), "
            "or an iterable of batches"
        )
        raise TypeError(msg)
    if isinstance(data, Iterator):
        msg = (
            f"data is an iterator ({name}), which is exhausted after one pass, and a "
            "measurement takes many; give a list of the batches, or an object that "
            "starts anew in __iter__"
        )
        raise TypeError(msg)


def _require_batches(data: list[Any]) -> None:
    # A list of inputs and targets is a slip: it would be taken for two batches.
    if not data:
        msg = "data is an empty list; give at least one batch"
        raise ValueError(msg)
    bare = [each for each in data if hasattr(each, "__array__")]
    kinds = {(tuple(each.shape[1:]), str(each.dtype)) for each in bare}
    if len(kinds) > 1:
        shapes = ", ".join(str(tuple(each.shape)) for each in bare[:4])
        msg = (
            f"data is a list of bare arrays of shapes {shapes}; a list holds batches: "
            "give a tuple (inputs, targets) of arrays, or a list of such tuples"
        )
        raise ValueError(msg)
