"""The data, batch by batch, as often as they are asked for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from operator import length_hint
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from sharpkit._inputs.checks import at_least
from sharpkit._inputs.loading import waiting
from sharpkit._inputs.warn import warn
from sharpkit.torch.lending import Lending


class Batches:
    """Batches on the device of the parameters, with floating tensors in their dtype.

    Parameters
    ----------
    data
        The data: ``(inputs, targets)``, a tensor, or a mapping of tensors, all with as
        many rows; or an iterable of batches, or a function that returns one.
    micro_batch
        The number of rows at a time if the data are tensors; None takes all.
    device, dtype
        The device and the dtype of the parameters.
    pairs
        Whether batches are pairs ``(inputs, targets)``: a list of two tensors is then
        one of them, and otherwise it is two batches.

    Attributes
    ----------
    data
        The data as given.
    count : int or None
        The number of batches of one pass; None as long as it is not known.
    cuts_rows : bool
        Whether batches are cut from tensors.
    """

    def __init__(
        self, data: Any, micro_batch: Any, device: Any, dtype: Any, *, pairs: bool
    ) -> None:
        data = _Passes(data) if _starts_passes(data) else _as_tensors(data)
        self.data, self._device, self._dtype = data, device, dtype
        self._lending = Lending()
        batches = isinstance(data, list) and not pairs
        self._rows = _common_rows(data) if _is_rows(data) and not batches else None
        self.count: int | None = None
        self._seen: int | None = None  # the samples of the last whole pass
        self._warned = self.cuts_rows = False
        if self._rows is None:
            _require_iterable(data, micro_batch)
            return
        self._step = self._rows
        if micro_batch is not None:
            self._step = at_least("micro_batch", micro_batch, 1)
        self.count = -(-self._rows // self._step)
        self.cuts_rows = self.count > 1

    @property
    def several(self) -> bool:
        """Whether there is more than one batch, as far as is known."""
        count = length_hint(self.data, 2) if self._rows is None else 1
        return (self.count or count) != 1

    @property
    def adds_up(self) -> bool:
        """Whether sums go over more than one batch, for all that is known before."""
        known = self.count if self._rows is not None else length_hint(self.data, 2)
        return known != 1

    def __iter__(self) -> Iterator[Any]:
        return self._lending.each(self.bare())

    @property
    def indexed(self) -> bool:
        """Whether single samples can be taken out of the data."""
        if self._rows is not None:
            return True
        if isinstance(self.data, torch.utils.data.DataLoader):
            return _is_indexed(self.data)
        return isinstance(self.data, (list, tuple)) and all(map(_has_rows, self.data))

    def subset(self, indices: Any) -> Batches:
        """Return the batches of some samples, cut as these are.

        Parameters
        ----------
        indices : (k,)
            The samples, which must be `indexed`: the rows of the tensors, in the data
            set of a loader, or in the order of the batches.
        """
        part = copy.copy(self)
        part._lending = Lending()
        if self._rows is not None:
            part.data, part._rows = (
                _cut(self.data, torch.from_numpy(indices)),
                len(indices),
            )
            part._step = min(self._step, part._rows)
            part.count = -(-part._rows // part._step)
            part.cuts_rows, part._seen = part.count > 1, None
            return part
        part.count = part._seen = None
        if isinstance(self.data, torch.utils.data.DataLoader):
            part.data = _loader(self.data, indices)
            return part
        part.data, start = [], 0
        for batch in self.data:
            stop = start + _common_rows(batch)
            own = indices[(start <= indices) & (indices < stop)] - start
            if own.size:
                part.data.append(_cut(batch, torch.from_numpy(own)))
            start = stop
        return part

    def bare(self) -> Iterator[Any]:
        """Yield the batches for those who only look at them.

        Yields
        ------
        batch
            One batch after the other.

        Raises
        ------
        ValueError
            If there is none.

        Warns
        -----
        SharpkitWarning
            Once, if a pass gives another number of samples than the one before.
        """
        count = seen = 0
        for batch in self._pieces():
            yield _moved(batch, self._device, self._dtype)
            count += 1
            with suppress(TypeError):  # what has no rows is not counted
                seen += rows(batch)
        if not count:
            msg = "data gave no batch; give at least one at every pass"
            raise ValueError(msg)
        if self._seen not in (None, seen) and not self._warned:
            self._warned = True
            warn(
                f"data gave {seen} samples at this pass and {self._seen} at the one "
                "before, so that evaluations are not of one function; give data that "
                "are the same at every pass"
            )
        self.count, self._seen = count, seen

    def _pieces(self) -> Iterator[Any]:
        if self._rows is None:
            yield from waiting(self.data)
            return
        for start in range(0, self._rows, self._step):
            yield _cut(self.data, slice(start, start + self._step))


class _Passes:
    """Batches that a function starts anew at each pass."""

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start = start

    def __iter__(self) -> Iterator[Any]:
        batches = self._start()
        if not isinstance(batches, Iterable):
            msg = (
                f"data() returned {type(batches).__name__}; return an iterable of "
                "batches at each call"
            )
            raise TypeError(msg)
        return iter(batches)


def _starts_passes(data: Any) -> bool:
    others = Iterable, type, torch.nn.Module, torch.utils.data.Dataset
    return callable(data) and not isinstance(data, others)


def rows(batch: Any) -> int:
    """Return the number of samples of a batch.

    It is the first dimension of the targets of a pair, and else of the first tensor.

    Raises
    ------
    TypeError
        If there is no such tensor.
    """
    nested = batch[::-1] if is_pair(batch) else batch
    first = next(tensors(nested), None)
    if first is None or not first.dim():
        what = "no tensor" if first is None else "a tensor of no dimension"
        msg = (
            f"a batch is of type {type(batch).__name__} and has {what} to count its "
            "samples by; give tensors whose first dimension counts them, or a "
            'loss(model, batch) that returns {"loss": mean, "weight": weight}'
        )
        raise TypeError(msg)
    return int(first.shape[0])


def is_pair(batch: Any) -> bool:
    """Return whether a batch looks like ``(inputs, targets)``."""
    return isinstance(batch, (tuple, list)) and len(batch) == 2


def tensors(value: Any) -> Iterator[Any]:
    """Yield the tensors of nested tuples, lists and mappings.

    Yields
    ------
    tensor
        One tensor after the other.
    """
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors(part)


def _is_rows(data: Any) -> bool:
    """Return whether data are tensors to be cut, rather than batches."""
    if is_pair(data):
        inputs, targets = data
        nested = isinstance(inputs, (tuple, list)) and all(
            isinstance(part, torch.Tensor) for part in inputs
        )
        single = isinstance(inputs, (torch.Tensor, Mapping))
        return isinstance(targets, torch.Tensor) and (single or nested)
    return isinstance(data, (torch.Tensor, Mapping))


def _common_rows(data: Any) -> int:
    shapes = [tuple(tensor.shape) for tensor in tensors(data)]
    counts = {shape[:1] for shape in shapes}
    if len(counts) != 1 or counts == {()}:
        msg = (
            f"data has tensors of shapes {', '.join(map(str, shapes)) or 'none'}; give "
            "tensors with the same first dimension, the number of samples"
        )
        raise ValueError(msg)
    count = int(shapes[0][0])
    if not count:
        msg = "data is empty; give at least one sample"
        raise ValueError(msg)
    return count


def _require_iterable(data: Any, micro_batch: Any) -> None:
    plain = isinstance(data, tuple) and data
    if plain and all(isinstance(part, torch.Tensor) for part in data):
        msg = (
            f"data is a tuple of {len(data)} tensors; give (inputs, targets), where "
            "the inputs may be a tuple, or give a list of batches"
        )
        raise TypeError(msg)
    per_sample = isinstance(data, torch.utils.data.Dataset) and not isinstance(
        data, torch.utils.data.IterableDataset
    )
    if per_sample or not isinstance(data, Iterable):
        msg = (
            f"data is of type {type(data).__name__}; give (inputs, targets), a "
            "torch.utils.data.DataLoader, another iterable of batches, or a function "
            "that returns one"
        )
        raise TypeError(msg)
    if isinstance(data, Iterator):
        msg = (
            f"data is a {type(data).__name__}, which is empty after one pass; give "
            "what can be passed over again, such as list(data), or a function that "
            "returns a new one at each pass"
        )
        raise TypeError(msg)
    if micro_batch is not None:
        msg = (
            f"micro_batch={micro_batch!r} cuts tensors, and data comes in batches "
            "already; choose the size of these batches instead"
        )
        raise ValueError(msg)
    if not length_hint(data, 1):
        msg = "data is empty; give at least one batch"
        raise ValueError(msg)


def _has_rows(batch: Any) -> bool:
    """Return whether a batch is of tensors that have one row for each sample."""
    shapes = [tuple(tensor.shape[:1]) for tensor in tensors(batch)]
    return _is_of_tensors(batch) and len(set(shapes)) == 1 and shapes[0] > (0,)


def _is_of_tensors(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_of_tensors, value.values()))
    if isinstance(value, (tuple, list)) and not isinstance(value, PackedSequence):
        return all(map(_is_of_tensors, value))
    return isinstance(value, torch.Tensor)


def _is_indexed(loader: Any) -> bool:
    """Return whether a loader serves each sample of its data set, or the first ones."""
    data, sampler = loader.dataset, loader.sampler
    usual = torch.utils.data.SequentialSampler, torch.utils.data.RandomSampler
    if (
        loader.batch_size is None
        or isinstance(data, torch.utils.data.IterableDataset)
        or type(sampler) not in usual
        or type(loader.batch_sampler) is not torch.utils.data.BatchSampler
        or sampler.data_source is not data
        or not (hasattr(data, "__len__") and hasattr(data, "__getitem__"))
    ):
        return False
    if type(sampler) is usual[0]:
        return True
    every = not sampler.replacement and sampler.num_samples == len(data)
    return every and not (loader.drop_last and len(data) % loader.batch_size)


def _loader(loader: Any, indices: Any) -> Any:
    """Return a loader of some samples alone, which has no need of workers if few."""
    few = len(indices) <= loader.batch_size
    workers = (
        {}
        if few or not loader.num_workers
        else {
            "num_workers": loader.num_workers,
            "prefetch_factor": loader.prefetch_factor,
            "multiprocessing_context": loader.multiprocessing_context,
            "worker_init_fn": loader.worker_init_fn,
        }
    )
    return torch.utils.data.DataLoader(
        torch.utils.data.Subset(loader.dataset, indices.tolist()),
        batch_size=loader.batch_size,
        collate_fn=loader.collate_fn,
        generator=loader.generator,
        **workers,
    )


def _cut(value: Any, part: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value[part]
    if isinstance(value, Mapping):
        return {key: _cut(item, part) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(_cut(item, part) for item in value)
    return value


def _as_tensors(data: Any) -> Any:
    """Return data with tensors in place of arrays of NumPy, whose memory they share.

    Raises
    ------
    TypeError
        If an array is no array of numbers, or has a mask.
    """
    if isinstance(data, np.ndarray):
        if isinstance(data, np.ma.MaskedArray):
            msg = "data holds an array with a mask, which no tensor has; fill it first"
            raise TypeError(msg)
        try:
            # torch takes neither foreign byte orders nor steps backwards, and warns of
            # what cannot be written to
            native = np.asarray(data, data.dtype.newbyteorder("="), order="C")
            return torch.from_numpy(native if native.flags.writeable else native.copy())
        except TypeError as error:
            msg = (
                f"data holds an array of NumPy of dtype {data.dtype}: {error}; give a "
                "tensor, such as torch.from_numpy(array)"
            )
            raise TypeError(msg) from error
    if type(data) in (tuple, list):
        return type(data)(map(_as_tensors, data))
    if type(data) is dict:
        return {key: _as_tensors(value) for key, value in data.items()}
    return data


def _moved(value: Any, device: Any, dtype: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = _as_tensors(value)
    if isinstance(value, torch.Tensor):
        # autograd keeps no tensor that was made in inference mode
        own = value.clone() if value.is_inference() else value
        kind = dtype if own.is_floating_point() else own.dtype
        if own.is_complex():
            kind = dtype.to_complex()
        return own.to(device=device, dtype=kind)
    if isinstance(value, PackedSequence):
        return value.to(device, dtype)
    if isinstance(value, MutableMapping):
        moved = copy.copy(value)
        for key, item in value.items():
            moved[key] = _moved(item, device, dtype)
        return moved
    if isinstance(value, Mapping):
        return {key: _moved(item, device, dtype) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        items = [_moved(item, device, dtype) for item in value]
        if hasattr(value, "_fields"):  # a named tuple
            return type(value)(*items)
        return items if isinstance(value, list) else tuple(items)
    return value
