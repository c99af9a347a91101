"""Flat weights as leaves of a graph, and derivatives by them as flat vectors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from sharpkit.torch.layout import Layout

# What code says that is differentiated by .backward() alone, as some checkpointing is.
BACKWARD_ONLY = re.compile(r"\.grad\b|\bbackward\(")


class BackwardOnlyError(RuntimeError):
    """A part of the model can be differentiated by ``.backward()`` alone."""


class Leaves:
    """Flat weights as leaves of a graph, one for each parameter.

    They are copies, to which a forward pass may write as to the parameters themselves.

    Parameters
    ----------
    layout
        The layout of the flat weights.
    flat
        The flat weights.

    Attributes
    ----------
    flat : (n,)
        The flat weights.
    tensors : list
        The leaves, which are real.
    named : dict of str to tensor
        The same as the parameters of the model, by name.
    """

    def __init__(self, layout: Layout, flat: Any) -> None:
        self._layout, self.flat = layout, flat
        # No views of one copy: autograd counts the writes to each by itself, and a
        # gradient may have a layout that no view has.
        each = zip(layout.parts(flat.detach()), layout.places, strict=True)
        self.tensors = [
            part.to(device, copy=True).requires_grad_() for part, device in each
        ]
        self.named = layout.named(self.tensors)

    def written(self, *, unseen: bool) -> list[str]:
        """Return the names of those that hold other values by now.

        Parameters
        ----------
        unseen
            Whether to look for writes that autograd does not see, at ``.data``.
        """
        each = zip(
            self._layout.names,
            self.tensors,
            self._layout.parts(self.flat),
            strict=True,
        )
        return [
            name
            for name, leaf, part in each
            if (unseen or leaf._version) and not _equal(leaf, part.to(leaf.device))
        ]

    def gradient(self, of: Any, along: Any = None, *, twice: bool = False) -> Any:
        """Return the derivative of a tensor as a flat vector.

        Parameters
        ----------
        of
            The tensor, such as the loss.
        along
            The factors of its entries, where it has several.
        twice
            Whether the derivative is to be differentiated again.

        Raises
        ------
        BackwardOnlyError
            If a part of the graph can be differentiated by ``.backward()`` alone.
        RuntimeError
            If torch says something else.
        """
        return self._joined(self._gradients(of, along, twice))

    def add_gradient(
        self, loss: Any, weight: float, out: Any, *, backward: bool = False
    ) -> None:
        """Add the gradient of a loss, times a weight, to a flat vector.

        Parameters
        ----------
        loss
            The loss.
        weight
            The weight.
        out
            The vector that is added to.
        backward
            Whether to call ``loss.backward()``. The gradients of tensors that are not
            ours stay as they are.

        Raises
        ------
        BackwardOnlyError
            If that is needed, and ``backward`` is false.
        """
        found = self._accumulated(loss) if backward else self._gradients(loss)
        for each, part in zip(found, self._layout.parts(out), strict=True):
            if each is not None:
                part.add_(_dense(each).to(part.device), alpha=weight)

    def _gradients(
        self, of: Any, along: Any = None, twice: bool = False
    ) -> Sequence[Any]:
        try:
            found = torch.autograd.grad(
                of, self.tensors, along, create_graph=twice, allow_unused=True
            )
        except RuntimeError as error:
            if BACKWARD_ONLY.search(str(error)):
                raise BackwardOnlyError(first_line(error)) from error
            raise
        if any(leaf.grad is not None for leaf in self.tensors):
            msg = "a part of the model calls .backward() by itself"
            raise BackwardOnlyError(msg)
        return _required(found)

    def _accumulated(self, loss: Any) -> Sequence[Any]:
        ours = {id(leaf) for leaf in self.tensors}
        reached = (getattr(node, "variable", None) for node in nodes(loss))
        others = [x for x in reached if x is not None and id(x) not in ours]
        with _gradients_kept(others):
            loss.backward()
        return _required([leaf.grad for leaf in self.tensors])

    def derivative(self, of: Any, along: Any, *, keep: bool) -> Any:
        """Return the derivative of a tensor along a vector as a flat vector.

        Parameters
        ----------
        of
            The tensor; one that does not depend on the leaves has derivative 0.
        along
            The vector.
        keep
            Whether the graph must last.
        """
        if not of.requires_grad:
            return torch.zeros_like(self.flat)
        found = torch.autograd.grad(
            of, self.tensors, along, retain_graph=keep, allow_unused=True
        )
        return self._joined(found).detach()

    def _joined(self, gradients: Sequence[Any]) -> Any:
        each = zip(gradients, self.tensors, strict=True)
        return torch.cat(
            [
                (torch.zeros_like(leaf) if found is None else _dense(found))
                .reshape(-1)
                .to(self.flat.device)
                for found, leaf in each
            ]
        )


def nodes(tensor: Any) -> Iterator[Any]:
    """Yield all nodes of the graph of a tensor.

    Yields
    ------
    node
        One node after the other.
    """
    seen, left = set(), [tensor.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            left += [below for below, _ in node.next_functions]
            yield node


def first_line(error: BaseException) -> str:
    """Return the first line of what torch says."""
    return str(error).strip().split("\n")[0]


def _required(gradients: Sequence[Any]) -> Sequence[Any]:
    if all(each is None for each in gradients):
        msg = (
            "loss does not depend on the chosen parameters; compute it from the given "
            "model, and from nothing else that needs a gradient"
        )
        raise ValueError(msg)
    return gradients


def _equal(one: Any, other: Any) -> bool:
    # the first is quick, and what is not a number equals itself by the second alone
    return bool(
        torch.equal(one, other)
        or torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
    )


def _dense(gradient: Any) -> Any:
    return gradient if gradient.layout is torch.strided else gradient.to_dense()


@contextmanager
def _gradients_kept(tensors: list[Any]) -> Iterator[None]:
    before = [tensor.grad for tensor in tensors]
    for tensor in tensors:
        tensor.grad = None  # what accumulates would write to it
    try:
        yield
    finally:
        for tensor, gradient in zip(tensors, before, strict=True):
            tensor.grad = gradient
