"""Parameters that a loss holds itself, as in a closure over ``model.parameters()``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from sharpkit.torch.layout import Layout
from sharpkit.torch.leaves import Leaves, nodes
from sharpkit.torch.state import ALONE


class Elsewhere:
    """The measured parameters themselves, which are no part of the flat vector.

    During an evaluation the modules hold parts of the flat vector in place of their
    parameters. Code that holds the parameters has constants: that they are in the graph
    of a loss tells of it. From then on every function of torch is given the parts
    instead.

    Parameters
    ----------
    model
        The model of the user.
    layout
        Its measured parameters.
    """

    def __init__(self, model: Any, layout: Layout) -> None:
        self._names: dict[int, str] = {}
        self._kept = []  # an identity is one only as long as its owner lives
        with ALONE:
            for name in layout.names:
                for alias in layout.parameter_names[name]:
                    parameter = model.get_parameter(alias)
                    self._names[id(parameter)] = name
                    self._kept.append(parameter)
        self._looked = self.swaps = False

    @property
    def known(self) -> bool:
        """Whether it is known by now; the graph of a loss is no longer needed."""
        return self._looked

    @contextmanager
    def swapped(self, leaves: Leaves) -> Iterator[None]:
        """Give functions of torch the leaves inside, if need be."""
        if not self.swaps:
            yield
            return
        parts = {key: leaves.named[name] for key, name in self._names.items()}
        with _Swapping(parts):
            yield

    def found_in(self, loss: Any) -> bool:
        """Return whether a loss has to be computed again, with the parts.

        Raises
        ------
        ValueError
            If parameters are in its graph in spite of that.
        """
        if self._looked:
            return False
        names = sorted({self._names[key] for key in self._leaves(loss)})
        self._looked = self.swaps or not names
        if names and self.swaps:
            self._looked = False
            msg = (
                f"the loss depends on parameter {names[0]!r} by another way than the "
                f"given model ({len(names)} in all), so that it would be a constant: "
                "something was computed from it before, or by code that torch cannot "
                "see; compute it inside the loss, from the given model and its "
                "parameters()"
            )
            raise ValueError(msg)
        self.swaps = bool(names) or self.swaps
        return bool(names)

    def _leaves(self, loss: Any) -> Iterator[int]:
        reached = (getattr(node, "variable", None) for node in nodes(loss))
        yield from (id(each) for each in reached if id(each) in self._names)


class _Swapping(TorchFunctionMode):  # type: ignore[misc]
    """Each function of torch is given other tensors in place of some."""

    def __init__(self, parts: Mapping[int, Any]) -> None:
        super().__init__()
        self._parts = parts

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        def other(value: Any) -> Any:
            return self._parts.get(id(value), value)

        if func is torch.Tensor.grad.__get__:  # which only leaves have
            return func(*args, **(kwargs or {}))
        return func(*tree_map(other, args), **tree_map(other, kwargs or {}))
