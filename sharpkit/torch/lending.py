"""The data of the user, which no model and no loss can write to."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import torch

ALIGNMENT = (
    64  # bytes; kernels may round otherwise where their operands begin elsewhere
)
DEPTH = 3  # of objects of other libraries, such as graphs, that hold tensors
Stamp = tuple[Any, int, bool]  # a tensor, its version and whether it needs a gradient


class Lending:
    """What is lent to model and loss in place of the user's data.

    In the first pass it is copies, which show whether something writes to them. If so,
    it is copies for ever; otherwise it is the data themselves, and their version
    counters tell of a write that comes later.
    """

    def __init__(self) -> None:
        self._copies = True
        self._written = self._late = False

    def each(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Yield what is lent for each batch, and look at it when it comes back.

        Yields
        ------
        batch
            The batch or a copy.
        """
        self._require_intact()
        for batch in batches:
            lent = copied(batch) if self._copies else batch
            stamps = [_stamp(tensor) for tensor in held(lent)]
            try:
                yield lent
            finally:  # also if the pass ends here
                self._look(batch, lent, stamps)
            self._require_intact()
        self._copies = self._written

    def _look(self, batch: Any, lent: Any, stamps: list[Stamp]) -> None:
        written = any(_stamp(stamp[0]) != stamp for stamp in stamps)
        if lent is batch:
            self._late = self._late or written
        elif not self._written:  # what no counter counts is seen by the content
            pairs = zip(held(batch), held(lent), strict=False)
            self._written = written or not all(_same(*pair) for pair in pairs)

    def _require_intact(self) -> None:
        if self._late:
            msg = (
                "the model or the loss wrote to a tensor of data, which it did not at "
                "the first evaluation, so that data are no longer what they were; make "
                "them anew, and write x = x + 1 in place of x += 1"
            )
            raise RuntimeError(msg)


def copied(value: Any) -> Any:
    """Return a copy of all tensors in nested containers and objects.

    A copy has the strides and the alignment of what it was made from, so that kernels
    round it alike.
    """
    if isinstance(value, torch.Tensor):
        return _copied_tensor(value)
    if isinstance(value, MutableMapping):
        own = copy.copy(value)
        for key, item in value.items():
            own[key] = copied(item)
        return own
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        items = [copied(item) for item in value]
        if hasattr(value, "_fields"):  # a named tuple
            return type(value)(*items)
        return items if isinstance(value, list) else tuple(items)
    if next(held(value), None) is None:
        return value
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


def held(value: Any, depth: int = DEPTH) -> Iterator[Any]:
    """Yield the tensors of nested containers, and of the attributes of objects.

    Yields
    ------
    tensor
        One tensor after the other.
    """
    if isinstance(value, torch.Tensor):
        yield value
        return
    if isinstance(value, Mapping):
        parts = list(value.values())
    elif isinstance(value, (tuple, list)):
        parts = list(value)
    else:
        parts = list(getattr(value, "__dict__", {}).values()) if depth else []
        depth -= 1
    for part in parts:
        yield from held(part, depth)


def _copied_tensor(tensor: Any) -> Any:
    plain = tensor.detach()
    dense = type(tensor) is torch.Tensor and plain.layout is torch.strided
    if not dense or plain.is_nested or not plain.numel() or plain.is_quantized:
        return plain.clone().requires_grad_(tensor.requires_grad)
    steps = zip(plain.shape, plain.stride(), strict=True)
    span = 1 + sum((size - 1) * step for size, step in steps)
    overlapping = span < plain.numel()
    if overlapping:
        return plain.clone().requires_grad_(tensor.requires_grad)
    room = plain.new_empty(span + ALIGNMENT)
    shift = (plain.data_ptr() - room.data_ptr()) % ALIGNMENT // plain.element_size()
    own = room.as_strided(plain.shape, plain.stride(), shift).detach()
    return own.copy_(plain).requires_grad_(tensor.requires_grad)


def _stamp(tensor: Any) -> Stamp:
    version = 0 if tensor.is_inference() else tensor._version
    return tensor, version, tensor.requires_grad


def _same(one: Any, other: Any) -> bool:
    if one.layout is not torch.strided or one.is_nested or one.is_quantized:
        return True
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    equal = (one == other) | ((one != one) & (other != other))
    return bool(equal.all())
