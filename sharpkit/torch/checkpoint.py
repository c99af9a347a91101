"""The tensors of a model, as a checkpoint of it has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sharpkit._inputs.names import listed
from sharpkit._inputs.state_names import renamed, require_mapping
from sharpkit.torch.layout import Layout, Values, carrying


def values_in(named: Any, layout: Layout, own: Values) -> Values:
    """Return the values that a checkpoint holds.

    Tied tensors may be there by any of their names. Buffers that a checkpoint does
    not save, and may therefore lack, keep their own values. Where parameters are
    frozen, so does all the rest if there are the measured ones alone.

    Parameters
    ----------
    named
        The arrays or tensors of the checkpoint, by their names.
    layout
        The layout of the model.
    own
        The values of the problem so far.

    Raises
    ------
    TypeError
        If ``named`` is no mapping.
    """
    require_mapping(named, "such as model.state_dict()")
    known = {**layout.parameter_names, **layout.buffer_names}
    given = renamed(named, known, layout.names)
    ours = {**layout.views(own.weights), **own.constants, **own.buffers}
    found, missing, wrong = {}, [], []
    alone = bool(own.constants)  # whether only what is measured is there
    for name, tied in known.items():
        there = {each: given.pop(each) for each in tied if each in given}
        found[name] = ours[name]
        if there:
            found[name], fault = _taken(name, there, ours[name])
            wrong += fault
        elif name in layout.parameter_names or name in layout.saved_buffers:
            missing.append(name)
        alone = alone and bool(there) == (name in layout.names)
    _require_none([] if alone else missing, list(given), wrong)
    constants = {
        name: _constant(name, found[name], constant)
        for name, constant in own.constants.items()
    }
    return Values(
        weights=layout.joined(found),
        constants=constants,
        buffers={name: found[name] for name in own.buffers},
    )


def _constant(name: str, found: Any, own: Any) -> Any:
    """Return a checkpoint's constant, or our own if it holds the same.

    Raises
    ------
    ValueError
        If it differs, and our own carries tensors that no checkpoint holds.
    """
    if torch.equal(found, own):
        return own
    if any(isinstance(each, torch.Tensor) for each in vars(own).values()):
        msg = (
            f"parameter {name} is another one in the checkpoint, and carries "
            f"{listed(vars(own))}, which no checkpoint holds; load it into the "
            "model and make a problem of that"
        )
        raise ValueError(msg)
    return carrying(found, vars(own))


def _taken(name: str, there: dict[str, Any], like: Any) -> tuple[Any, list[str]]:
    """Return a checkpoint's tensor, by each of its names there, and what is wrong."""
    tensors = [_tensor(each, value) for each, value in there.items()]
    if like.is_complex() != tensors[0].is_complex():
        return like, [f"{name} {tensors[0].dtype} for {like.dtype}"]
    if any(tensor.shape != like.shape for tensor in tensors):  # before it is copied
        shapes = " and ".join(str(tuple(tensor.shape)) for tensor in tensors)
        return like, [f"{name} {shapes} for {tuple(like.shape)}"]
    found = tensors[0].to(device=like.device, dtype=like.dtype, copy=True)
    if any(not torch.equal(tensors[0], tensor) for tensor in tensors[1:]):
        return found, [f"{' and '.join(there)}, tied in the model, differ"]
    return found, []


def _require_none(missing: list[str], unexpected: list[str], wrong: list[str]) -> None:
    faults = [
        f"{what}: {listed(names)}"
        for what, names in (
            ("missing", missing),
            ("not the model's", unexpected),
            ("of another shape", wrong),
        )
        if names
    ]
    if faults:
        msg = (
            f"the checkpoint is not one of this model; {'; '.join(faults)}. Give "
            "the names and shapes of model.state_dict()"
        )
        raise ValueError(msg)


def _tensor(name: str, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach()
    try:
        return torch.from_numpy(np.array(value))
    except TypeError as error:
        msg = f"named[{name!r}]: {error}; give a tensor or an array of numbers"
        raise TypeError(msg) from error
