"""Which parameters are measured, where each lies in the flat vector, and by what name.

A `Layout` turns a model into flat weights, and flat weights into tensors with names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from sharpkit._inputs.names import Choice, chosen_names, listed
from sharpkit._inputs.warn import warn
from sharpkit.torch.state import ALONE

# Layers whose parameters have inputs along the first axis, outputs along the second.
OUTPUTS_SECOND = (
    torch.nn.Embedding,
    torch.nn.EmbeddingBag,
    torch.nn.ConvTranspose1d,
    torch.nn.ConvTranspose2d,
    torch.nn.ConvTranspose3d,
)


@dataclass(frozen=True)
class Values:
    """The tensors of a model at one point.

    They are copies, except for constants that have the dtype already: the frozen part
    of a model may be large, and of a kind that no copy is like.

    Attributes
    ----------
    weights : (n,)
        The measured parameters as one flat vector.
    constants : dict of str to tensor
        The parameters that are not measured, by their first names.
    buffers : dict of str to tensor
        The buffers, by their first names.
    """

    weights: Any
    constants: dict[str, Any]
    buffers: dict[str, Any]


class Layout:
    """How the chosen parameters of a model lie in one flat vector.

    Tied parameters count once, and are called by the first of their names. Of a complex
    parameter each entry is two weights, its real and its imaginary part.

    Parameters
    ----------
    model
        The model. Its structure is kept, and none of its tensors.
    choice
        The names or patterns of the parameters to choose, or a function of the name;
        None chooses all that require a gradient.
    dtype
        The dtype of the vector; None is the widest of the chosen parameters, and
        float32 at least.

    Attributes
    ----------
    n : int
        The length of the vector.
    dtype, device
        The dtype and the device of the vector, that of the first chosen parameter.
    places : list of device
        The device of each chosen parameter, where its part of the vector is copied to.
    devices : list of device
        The devices of all parameters.
    names, shapes, sizes, complex : list
        The chosen parameters, in the order of the model: name, shape, number of
        weights, and whether these are real and imaginary parts.
    parameter_names, buffer_names : dict of str to list of str
        All names of every parameter and buffer of the model, by the first of them.
    saved_buffers : set of str
        The first names of those buffers that a checkpoint must have.
    layers : dict of str to slice
        Where the parameters of each module lie, by the name of the module.
    entries : int
        The number of entries of all parameters and buffers, by all their names.
    """

    def __init__(self, model: Any, choice: Choice | None, dtype: Any) -> None:
        with ALONE:
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
        if choice is None:
            self.names = _trained(self.parameter_names, parameters)
        else:
            self.names = chosen_names(choice, self.parameter_names)
        chosen = {name: parameters[name] for name in self.names}
        _require_usable(chosen, parameters, buffers)
        self.dtype = _dtype_of(chosen, dtype)
        self.places = [tensor.device for tensor in chosen.values()]
        self.device = self.places[0]
        self.devices = list({tensor.device: None for tensor in parameters.values()})
        self.shapes = [tuple(tensor.shape) for tensor in chosen.values()]
        self.complex = [tensor.is_complex() for tensor in chosen.values()]
        self.sizes = [
            math.prod(shape) * (1 + pairs)
            for shape, pairs in zip(self.shapes, self.complex, strict=True)
        ]
        self.n = sum(self.sizes)
        self.layers = layers_of(self.names, self.sizes)
        self.entries = sum(tensor.numel() for tensor in (parameters | buffers).values())

    def views(self, flat: Any) -> dict[str, Any]:
        """Return the parts of a flat vector, by name and in their own shapes."""
        return self.named(self.parts(flat))

    def parts(self, flat: Any) -> list[Any]:
        """Return the parts of a flat vector; complex ones end in an axis of pairs."""
        each = zip(flat.split(self.sizes), self.shapes, self.complex, strict=True)
        return [part.view(shape + (2,) * pairs) for part, shape, pairs in each]

    def named(self, parts: list[Any]) -> dict[str, Any]:
        """Return parts by name, those of complex parameters as complex numbers."""
        each = zip(self.names, parts, self.complex, strict=True)
        # A view as complex numbers cannot begin at any place of a vector, as pairs may,
        # nor can those that torch takes in its backward pass.
        return {
            name: torch.complex(*part.unbind(-1)) if pairs else part
            for name, part, pairs in each
        }

    def joined(self, tensors: dict[str, Any]) -> Any:
        """Return a copy of the chosen among named tensors, as one flat vector."""
        parts = [self.cast(tensors[name]) for name in self.names]
        with torch.inference_mode(False):
            return torch.cat(
                [
                    _real(part).reshape(-1) if pairs else part.reshape(-1)
                    for part, pairs in zip(parts, self.complex, strict=True)
                ]
            )

    def cast(self, tensor: Any, device: Any = None) -> Any:
        """Return a copy of a tensor; a floating one gets the dtype of the vector.

        A complex one gets that of its parts. It is on the device that is given, or on
        that of the vector.
        """
        dtype, device = self._kind(tensor), device or self.device
        with torch.inference_mode(False):  # autograd keeps none made in that mode
            return tensor.detach().to(device=device, dtype=dtype, copy=True)

    def _kept(self, tensor: Any) -> Any:
        """Return a copy on a device of the model, that of the tensor if it is one."""
        known = tensor.device in self.devices
        return self.cast(tensor, tensor.device if known else self.device)

    def _kind(self, tensor: Any) -> Any:
        if tensor.is_complex():
            return self.dtype.to_complex()
        return self.dtype if tensor.is_floating_point() else tensor.dtype

    def _shared(self, tensor: Any) -> Any:
        if tensor.dtype == self._kind(tensor) and not tensor.is_inference():
            # Itself, for one of a quantised model is of a class of its own.
            return tensor.detach() if tensor.requires_grad else tensor
        return carrying(self._kept(tensor), vars(tensor))

    def values(self, model: Any) -> Values:
        """Return a copy of the tensors of the model.

        Raises
        ------
        ValueError
            If it has other parameters or buffers than when this was made.
        """
        with ALONE:
            parameters = dict(model.named_parameters())
            buffers = dict(model.named_buffers())
            self._require_same(parameters, buffers)
            constants = parameters.keys() - set(self.names)
            return Values(
                weights=self.joined(parameters),
                constants={name: self._shared(parameters[name]) for name in constants},
                buffers={name: self._kept(x) for name, x in buffers.items()},
            )

    def matrices(self, model: Any) -> dict[str, tuple[slice, tuple[int, ...], int]]:
        """Return where each matrix lies, its shape, and the axis of its outputs."""
        found, end = {}, 0
        each = zip(self.names, self.shapes, self.sizes, self.complex, strict=True)
        for name, shape, size, pairs in each:
            begin, end = end, end + size
            if len(shape) > 1 and not pairs:
                module = model.get_submodule(name.rpartition(".")[0])
                second = isinstance(module, OUTPUTS_SECOND)
                # GPT-2's layer of this name has inputs first, too.
                second |= type(module).__name__ == "Conv1D"
                found[name] = (slice(begin, end), shape, int(second))
        return found

    def held(self, model: Any) -> Any:
        """Return the flat weights that the model holds now; None if it has others."""
        parameters = dict(model.named_parameters())
        if any(
            name not in parameters or tuple(parameters[name].shape) != shape
            for name, shape in zip(self.names, self.shapes, strict=True)
        ):
            return None
        return self.joined(parameters)

    def _require_same(
        self, parameters: dict[str, Any], buffers: dict[str, Any]
    ) -> None:
        shapes = [
            tuple(parameters[name].shape) for name in self.names if name in parameters
        ]
        names = self.parameter_names.keys(), self.buffer_names.keys()
        if (parameters.keys(), buffers.keys()) != names or shapes != self.shapes:
            msg = (
                "the model has other parameters or buffers than when the problem was "
                "made; make a new one with sharpkit.torch.problem"
            )
            raise ValueError(msg)

    def checked(self, name: str, vector: Any) -> Any:
        """Return a vector of this layout, detached from any graph.

        Raises
        ------
        TypeError
            If it is no tensor, or has another dtype or device.
        ValueError
            If it has another shape.
        """
        if not isinstance(vector, torch.Tensor):
            msg = (
                f"{name} is of type {type(vector).__name__}; give a flat torch tensor "
                f"of {self.n} entries, such as problem.weights"
            )
            raise TypeError(msg)
        if vector.shape != (self.n,):
            msg = (
                f"{name} has shape {tuple(vector.shape)}; give a vector of shape "
                f"({self.n},), one entry for each weight, such as problem.weights"
            )
            raise ValueError(msg)
        if vector.dtype != self.dtype or vector.device != self.device:
            msg = (
                f"{name} is {vector.dtype} on {vector.device}; give {self.dtype} on "
                f"{self.device}, as problem.weights is"
            )
            raise TypeError(msg)
        return self.cast(vector) if vector.is_inference() else vector.detach()


def carrying(tensor: Any, attributes: Mapping[str, Any]) -> Any:
    """Return a tensor with the attributes of the one that it stands for.

    Parameters
    ----------
    tensor
        The tensor, which gets them.
    attributes
        The attributes, which a model may read in a forward pass.
    """
    vars(tensor).update(attributes)
    return tensor


def _first_names(tensors: dict[str, Any]) -> dict[str, list[str]]:
    first: dict[int, str] = {}
    names: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        names.setdefault(first.setdefault(id(tensor), name), []).append(name)
    return names


def _trained(names: dict[str, list[str]], parameters: dict[str, Any]) -> list[str]:
    trained = [name for name in names if parameters[name].requires_grad]
    if not trained:
        msg = (
            "no parameter of the model requires a gradient; choose those to measure "
            f"with parameters=, among these: {listed(names)}"
        )
        raise ValueError(msg)
    return trained


def _require_usable(
    chosen: dict[str, Any], parameters: dict[str, Any], buffers: dict[str, Any]
) -> None:
    for name, tensor in (parameters | buffers).items():
        if torch.nn.parameter.is_lazy(tensor) or tensor.device.type == "meta":
            kind = "parameter" if name in parameters else "buffer"
            msg = (
                f"{kind} {name} has no values yet; run the model once, or load its "
                "weights, first; where accelerate has offloaded it to the CPU or the "
                "disk, load the model with a device_map that offloads nothing, such as "
                "device_map='cpu'"
            )
            raise ValueError(msg)
    for name, tensor in chosen.items():
        if tensor.layout is not torch.strided:
            msg = (
                f"parameter {name} has layout {tensor.layout}; make it dense, "
                "torch.nn.Parameter(parameter.to_dense()), or leave it out with "
                "parameters="
            )
            raise TypeError(msg)
        if not (tensor.is_floating_point() or tensor.is_complex()):
            msg = (
                f"parameter {name} has dtype {tensor.dtype}, and only floating numbers "
                "can be measured, not integer or quantised ones; leave it out with "
                "parameters="
            )
            raise TypeError(msg)


def _dtype_of(chosen: dict[str, Any], dtype: Any) -> Any:
    if dtype is not None:
        if dtype not in (torch.float32, torch.float64):
            msg = f"dtype={dtype!r}; give torch.float32, torch.float64, or None"
            raise ValueError(msg)
        return dtype
    found = {
        tensor.dtype.to_real() if tensor.is_complex() else tensor.dtype
        for tensor in chosen.values()
    }
    narrow = found - {torch.float32, torch.float64}
    if narrow:
        warn(
            f"the model has parameters of {listed(sorted(map(str, narrow)))}, in which "
            "a step of epsilon (|w| + 1) does not exist; a copy in float32 or wider is "
            "measured: give dtype=torch.float32 to say so"
        )
    return torch.float64 if torch.float64 in found else torch.float32


def _real(tensor: Any) -> Any:
    return torch.view_as_real(tensor.resolve_conj())


def layers_of(names: list[str], sizes: list[int]) -> dict[str, slice]:
    """Return where the parameters of each module lie in a flat vector of all."""
    layers: dict[str, slice] = {}
    end = 0
    for name, size in zip(names, sizes, strict=True):
        layer = name.rpartition(".")[0] or name
        start, end = end, end + size
        # The parameters of one module follow one another.
        layers[layer] = slice(layers[layer].start if layer in layers else start, end)
    return layers
