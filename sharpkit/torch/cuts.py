"""Some samples of a batch, and the numbers that its loss may be a mean over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from sharpkit.torch.batches import tensors
from sharpkit.torch.lending import copied

IGNORED = -100  # as in torch and in transformers


def lengths(batch: Any) -> dict[str, int]:
    """Return the numbers of samples that a batch may have, by where they stand."""
    found: dict[str, int] = {}
    own = list(tensors(batch))
    parts = list(batch.values()) if isinstance(batch, Mapping) else batch
    if isinstance(parts, (list, tuple)):
        for index, part in enumerate(parts):
            if isinstance(part, (list, tuple)):
                found[f"the length of list {index}"] = len(part)
        if isinstance(parts, list) and not isinstance(batch, Mapping):
            found["the length of the batch"] = len(parts)
    for axis in (0, 1):
        for index, tensor in enumerate(own):
            if tensor.dim() > axis:
                found[f"dimension {axis} of tensor {index}"] = tensor.shape[axis]
    return found


def counts(batch: Any) -> dict[str, Callable[[], float]]:
    """Return how to count what in a batch may have a loss, by its name."""
    found: dict[str, Callable[[], float]] = {
        name: partial(float, length) for name, length in lengths(batch).items()
    }
    for index, tensor in enumerate(tensors(batch)):
        found[f"the elements of tensor {index}"] = partial(float, tensor.numel())
        if tensor.is_floating_point() or tensor.is_complex():
            continue
        later = tensor[..., 1:] if tensor.dim() else tensor  # as of a next token
        for name, part in ((f"tensor {index}", tensor), (f"shifted {index}", later)):
            found[f"the entries of {name} that count"] = partial(_counted, part)
            found[f"the sum of {name}"] = partial(_total, part)
    return found


def _counted(labels: Any) -> float:
    return float((labels != IGNORED).sum())


def _total(mask: Any) -> float:
    return float(mask.sum())


def cut(batch: Any, length: int, places: list[int], *, lists: bool) -> tuple[Any, bool]:
    """Return copies of some samples, and whether all in the batch was cut.

    Parameters
    ----------
    batch
        The batch.
    length
        The number of its samples. Tensors are cut along their first dimension of this
        length, and lists of this length by their items.
    places
        The places of the samples.
    lists
        Whether lists are cut even if tensors in them have this length, too.

    Raises
    ------
    ValueError
        If nothing has this length, or if something is no tensor, mapping or sequence.
    """
    knife = _Knife(length, places, lists=lists)
    part = knife.part(batch)
    if not knife.cut:
        msg = f"nothing has length {length}"
        raise ValueError(msg)
    return part, knife.whole


class _Knife:
    def __init__(self, length: int, places: list[int], *, lists: bool) -> None:
        self._length, self._places, self._lists = length, places, lists
        self.cut, self.whole = False, True

    def part(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, PackedSequence):
            msg = "packed sequences are not cut"
            raise ValueError(msg)  # noqa: TRY004 - as for all that cannot be cut
        if isinstance(value, Mapping):
            own = {key: self.part(item) for key, item in value.items()}
            if type(value) is dict:
                return own
            again = copied(value)
            again.update(own)
            return again
        if isinstance(value, (tuple, list)):
            return self._sequence(value)
        if hasattr(value, "__dict__"):
            msg = f"a {type(value).__name__} is not cut"
            raise ValueError(msg)
        return value

    def _tensor(self, tensor: Any) -> Any:
        for axis in range(min(tensor.dim(), 2)):
            if tensor.shape[axis] == self._length:
                self.cut = True
                places = torch.tensor(self._places, device=tensor.device)
                return tensor.detach().index_select(axis, places)
        self.whole = self.whole and not tensor.dim()
        return tensor.detach().clone()

    def _sequence(self, value: Any) -> Any:
        inside = any(self._length in tensor.shape[:2] for tensor in tensors(value))
        if len(value) == self._length and (self._lists or not inside):
            self.cut = True
            return type(value)(copied(value[place]) for place in self._places)
        items = [self.part(item) for item in value]
        if hasattr(value, "_fields"):  # a named tuple
            return type(value)(*items)
        return items if isinstance(value, list) else tuple(items)
