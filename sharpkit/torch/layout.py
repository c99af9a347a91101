"""Which parameters are measured, and where each lies in the flat vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch

from sharpkit._inputs.warn import warn

Choice = str | Iterable[str] | Callable[[str], bool] | None

SHOWN = 8  # names in a message


@dataclass(frozen=True)
class Values:
    """A model's tensors at one point: measured, constant, and buffers.

    Copies, but for constants that have the dtype already: a frozen model may be large.
    """

    weights: Any
    constants: dict[str, Any]
    buffers: dict[str, Any]


class Layout:
    """The flat vector of the chosen parameters.

    Parameters
    ----------
    model
    choice
        Patterns, or a function of the name; None: all that require a gradient.
    dtype
        Of the vector; None: the widest of the parameters, float32 at least.

    Attributes
    ----------
    names, shapes, sizes
        Of the parameters, in the model's order; tied ones once, by their first name.
    parameter_names, buffer_names : dict[str, list[str]]
        First name to all names, of every parameter and buffer of the model.
    saved_buffers
        First names of the buffers that a checkpoint must have.
    layers : dict[str, slice]
        The module that owns parameters to where they lie.
    """

    def __init__(self, model: Any, choice: Choice, dtype: Any) -> None:
        parameters = dict(model.named_parameters(remove_duplicate=False))
        buffers = dict(model.named_buffers(remove_duplicate=False))
        self.parameter_names = _first_names(parameters)
        self.buffer_names = _first_names(buffers)
        saved = set(model.state_dict())
        self.saved_buffers = {
            name
            for name, tied in self.buffer_names.items()
            # old checkpoints have no such count, and no value depends on it
            if saved.intersection(tied) and not name.endswith("num_batches_tracked")
        }
        self.names = _chosen(self.parameter_names, parameters, choice)
        chosen = {name: parameters[name] for name in self.names}
        _require_usable(chosen, parameters)
        self.dtype = _dtype_of(chosen, dtype)
        self.device = next(iter(chosen.values())).device
        self.shapes = [tuple(tensor.shape) for tensor in chosen.values()]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.n = sum(self.sizes)
        self.layers = _layers(self.names, self.sizes)

    def views(self, flat: Any) -> dict[str, Any]:
        """Return the parts of a flat vector, by name and in their shapes."""
        parts = zip(self.names, flat.split(self.sizes), self.shapes, strict=True)
        return {name: part.view(shape) for name, part, shape in parts}

    def joined(self, tensors: dict[str, Any]) -> Any:
        """Return the chosen of some named tensors as one flat vector, a copy."""
        parts = [self.cast(tensors[name]).reshape(-1) for name in self.names]
        with torch.inference_mode(False):
            return torch.cat(parts)

    def cast(self, tensor: Any) -> Any:
        """Return a copy of a tensor, in the vector's dtype if it is floating."""
        dtype = self.dtype if tensor.is_floating_point() else tensor.dtype
        with torch.inference_mode(False):  # autograd keeps none made in that mode
            return tensor.detach().to(device=self.device, dtype=dtype, copy=True)

    def _shared(self, tensor: Any) -> Any:
        floating = tensor.is_floating_point()
        same = not floating or tensor.dtype == self.dtype
        if same and not tensor.is_inference():
            return tensor.detach()
        return self.cast(tensor)

    def values(self, model: Any) -> Values:
        """Return a copy of the model's tensors."""
        parameters = dict(model.named_parameters())
        constants = parameters.keys() - set(self.names)
        return Values(
            weights=self.joined(parameters),
            constants={name: self._shared(parameters[name]) for name in constants},
            buffers={name: self.cast(x) for name, x in model.named_buffers()},
        )

    def checked(self, name: str, vector: Any) -> Any:
        """Return a vector of this layout, detached.

        Raises
        ------
        TypeError, ValueError
            If it is none.
        """
        if not isinstance(vector, torch.Tensor):
            msg = (
                f"{name} is of type {type(vector).__name__}; give a flat torch tensor "
                f"of {self.n} entries, such as problem.weights"
            )
            raise TypeError(msg)
        if vector.shape != (self.n,):
            msg = (
                f"{name} has shape {tuple(vector.shape)}; give ({self.n},), one entry "
                "per chosen parameter, such as problem.weights"
            )
            raise ValueError(msg)
        if vector.dtype != self.dtype or vector.device != self.device:
            msg = (
                f"{name} is {vector.dtype} on {vector.device}; give {self.dtype} on "
                f"{self.device}, as problem.weights"
            )
            raise TypeError(msg)
        return self.cast(vector) if vector.is_inference() else vector.detach()


def some(names: Iterable[str]) -> str:
    """Return the first few of some names, for a message."""
    listed = list(names)
    more = len(listed) - SHOWN
    return ", ".join(listed[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _first_names(tensors: dict[str, Any]) -> dict[str, list[str]]:
    first: dict[int, str] = {}
    names: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        names.setdefault(first.setdefault(id(tensor), name), []).append(name)
    return names


def _chosen(
    names: dict[str, list[str]], parameters: dict[str, Any], choice: Choice
) -> list[str]:
    if choice is None:
        chosen = {name for name in names if parameters[name].requires_grad}
        if not chosen:
            msg = (
                "no parameter of the model requires a gradient; name those to measure "
                f"by parameters=, of: {some(names) or 'none at all'}"
            )
            raise ValueError(msg)
    elif callable(choice):
        chosen = {name for name, tied in names.items() if any(map(choice, tied))}
        if not chosen:
            msg = (
                "parameters= returned False for every name; choose some of: "
                f"{some(names)}"
            )
            raise ValueError(msg)
    else:
        chosen = set()
        for pattern in _patterns(choice):
            found = {
                name
                for name, tied in names.items()
                if any(fnmatchcase(alias, pattern) for alias in tied)
            }
            if not found:
                msg = (
                    f"parameters={pattern!r} matches no parameter; there are: "
                    f"{some(names)}"
                )
                raise ValueError(msg)
            chosen |= found
    return [name for name in names if name in chosen]


def _patterns(choice: str | Iterable[str]) -> list[str]:
    patterns = [choice] if isinstance(choice, str) else list(choice)
    wrong = [pattern for pattern in patterns if not isinstance(pattern, str)]
    if wrong or not patterns:
        msg = (
            f"parameters={patterns!r}; give names or patterns such as 'encoder.*', or "
            "a function of the name"
        )
        raise TypeError(msg)
    return patterns


def _require_usable(chosen: dict[str, Any], parameters: dict[str, Any]) -> None:
    for name, tensor in parameters.items():
        if torch.nn.parameter.is_lazy(tensor) or tensor.device.type == "meta":
            msg = (
                f"parameter {name} has no values yet; run the model once, or load its "
                "weights, first"
            )
            raise ValueError(msg)
    for name, tensor in chosen.items():
        if not tensor.is_floating_point():
            msg = (
                f"parameter {name} is {tensor.dtype}; only real floating ones can be "
                "measured, not complex or quantised ones: leave it out by parameters="
            )
            raise TypeError(msg)
    devices = sorted({str(tensor.device) for tensor in parameters.values()})
    if len(devices) > 1:
        msg = (
            f"the parameters are on {', '.join(devices)}; move the model to one "
            "device: model.to(device)"
        )
        raise ValueError(msg)


def _dtype_of(chosen: dict[str, Any], dtype: Any) -> Any:
    if dtype is not None:
        if dtype not in (torch.float32, torch.float64):
            msg = f"dtype={dtype!r}; give torch.float32, torch.float64 or None"
            raise ValueError(msg)
        return dtype
    found = {tensor.dtype for tensor in chosen.values()}
    narrow = found - {torch.float32, torch.float64}
    if narrow:
        warn(
            f"the model has parameters of {some(sorted(map(str, narrow)))}, in which "
            "a step of epsilon (|w| + 1) does not exist; measuring a copy in float32 "
            "or wider: give dtype=torch.float32 to say so"
        )
    return torch.float64 if torch.float64 in found else torch.float32


def _layers(names: list[str], sizes: list[int]) -> dict[str, slice]:
    layers: dict[str, slice] = {}
    end = 0
    for name, size in zip(names, sizes, strict=True):
        layer = name.rpartition(".")[0] or name
        start, end = end, end + size
        # a module's own parameters follow one another
        layers[layer] = slice(layers[layer].start if layer in layers else start, end)
    return layers
