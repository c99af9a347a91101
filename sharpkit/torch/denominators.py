"""What a mean divides by, read from the graph of the loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

NODES = 64  # that are looked at, from the loss on
READ = "graph"  # how the names of places begin
MEAN, SUM = 1, 2  # how torch numbers reductions
# Operations through which a mean stays one, up to factors and constants.
LINEAR = tuple(
    "Add Sub Rsub Mul Div Neg Sum Nansum ToCopy View UnsafeView Reshape Squeeze "
    "Unsqueeze Select Clone Alias Expand Stack Cat".split()
)


class Step(NamedTuple):
    """One operation on the way to the loss.

    Attributes
    ----------
    place : str
        The way to it in the graph, and its name.
    number : float or None
        What a mean divides by here and on the way, over what it is multiplied by: the
        number of its elements, the sum of the class weights of the targets that count,
        or another divisor.
    mean, sums : bool
        Whether it forms a mean, or a sum, and this is one number. What divides a sum
        does both.
    other : bool
        Whether it is one number, and neither these nor linear.
    """

    place: str
    number: float | None
    mean: bool
    sums: bool
    other: bool


def steps(loss: Any) -> Iterator[Step]:
    """Yield the last operations of a graph, from the loss on, down to means.

    Yields
    ------
    step
        One operation after the other.
    """
    level: list[Any] = [(READ, 1.0, loss.grad_fn)]
    seen: set[Any] = set()
    while level and len(seen) < NODES:
        path, before, node = level.pop(0)
        if node is None or node in seen:
            continue
        seen.add(node)
        factor, mean = _divisor(node)
        number = before * factor
        divides = node.name().startswith("DivBackward")
        linear = node.name().startswith(LINEAR)
        sums = _is_sum(node)
        of_sum = divides and _is_scalar(node) and _is_sum(node.next_functions[0][0])
        yield Step(
            f"{path}:{node.name()}",
            number if mean or divides else None,
            mean=mean or of_sum,
            sums=sums or of_sum,
            other=_is_scalar(node) and not (mean or sums or linear),
        )
        if not mean and linear:
            below = enumerate(node.next_functions)
            level += [(f"{path}.{i}", number, each) for i, (each, _) in below]


def number_at(loss: Any, place: str) -> float | None:
    """Return what is divided by at a place that was found; None if it is not there."""
    path, _, name = place.partition(":")
    node, number = loss.grad_fn, 1.0
    for index in map(int, path.split(".")[1:]):
        number *= _divisor(node)[0]
        below = node.next_functions
        node = below[index][0] if index < len(below) else None
        if node is None:
            return None
    return number * _divisor(node)[0] if node.name() == name else None


def _divisor(node: Any) -> tuple[float, bool]:
    """Return what an operation divides by, and whether it forms a mean."""
    name = node.name()
    if name.startswith(("DivBackward", "MulBackward")):
        by = _constant(node)
        if by is None:
            return 1.0, False
        if name.startswith("Div"):
            return abs(by), False
        return 1 / abs(by) if by and _is_scalar(node) else 1.0, False
    if getattr(node, "_saved_reduction", None) == MEAN:
        weight = getattr(node, "_saved_total_weight", None)
        if weight is not None:
            return float(weight), True
        return float(node._saved_target.numel()), True
    if name.startswith("MeanBackward") and _is_scalar(node):
        return float(node._saved_self_sym_numel), True
    return 1.0, False


def _constant(node: Any) -> float | None:
    """Return the one number that a product or quotient is with, if it is one."""
    saved = [getattr(node, f"_saved_{name}", None) for name in ("self", "other")]
    found = [value for value in saved if value is not None]
    if len(found) != 1:
        return None
    if isinstance(found[0], torch.Tensor):
        return float(found[0].detach()) if found[0].numel() == 1 else None
    return float(found[0])


def _is_sum(node: Any) -> bool:
    if node is None or not _is_scalar(node):
        return False
    reduction = getattr(node, "_saved_reduction", None)
    return reduction == SUM or node.name().startswith(("SumBack", "NansumBack"))


def _is_scalar(node: Any) -> bool:
    return all(math.prod(part.shape) == 1 for part in node._input_metadata[:1])
