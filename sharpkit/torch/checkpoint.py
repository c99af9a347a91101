"""A checkpoint's named arrays as the values of a model's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from sharpkit.torch.layout import Layout, Values, some

PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile


def values_from(named: Any, layout: Layout, own: Values) -> Values:
    """Return the values that a checkpoint holds.

    Tied tensors may be there by any of their names. Buffers that it lacks because they
    are not saved keep the problem's own values.

    Raises
    ------
    TypeError, ValueError
        If it is no mapping, or names or shapes are not the model's.
    """
    if not isinstance(named, Mapping):
        msg = (
            f"named is of type {type(named).__name__}; give a mapping of names to "
            "arrays, such as model.state_dict()"
        )
        raise TypeError(msg)
    known = {**layout.parameter_names, **layout.buffer_names}
    given = _without_prefix(dict(named), {a for tied in known.values() for a in tied})
    ours = {**layout.views(own.weights), **own.constants, **own.buffers}
    found, missing, wrong = {}, [], []
    for name, tied in known.items():
        there = [alias for alias in tied if alias in given]
        if not there:
            found[name] = ours[name]
            if name in layout.parameter_names or name in layout.saved_buffers:
                missing.append(name)
            continue
        tensors = [_tensor(alias, given.pop(alias)) for alias in there]
        like = ours[name]
        found[name] = tensors[0].to(device=like.device, dtype=like.dtype, copy=True)
        if any(tensor.shape != like.shape for tensor in tensors):
            shapes = " and ".join(str(tuple(tensor.shape)) for tensor in tensors)
            wrong.append(f"{name} {shapes} for {tuple(like.shape)}")
        elif any(not torch.equal(tensors[0], tensor) for tensor in tensors[1:]):
            wrong.append(f"{' and '.join(there)}, tied in the model, differ")
    _report(missing, list(given), wrong)
    return Values(
        weights=layout.joined(found),
        constants={name: found[name] for name in own.constants},
        buffers={name: found[name] for name in own.buffers},
    )


def _report(missing: list[str], unexpected: list[str], wrong: list[str]) -> None:
    problems = [
        f"{what}: {some(names)}"
        for what, names in (
            ("missing", missing),
            ("not the model's", unexpected),
            ("of another shape", wrong),
        )
        if names
    ]
    if problems:
        msg = (
            f"the checkpoint is not one of this model; {'; '.join(problems)}. Give "
            "the names and shapes of model.state_dict()"
        )
        raise ValueError(msg)


def _without_prefix(given: dict[str, Any], known: set[str]) -> dict[str, Any]:
    for prefix in PREFIXES * 2:  # either may stand before the other
        theirs = all(name.startswith(prefix) for name in given)
        if theirs and not all(name.startswith(prefix) for name in known):
            given = {name.removeprefix(prefix): x for name, x in given.items()}
    return given


def _tensor(name: str, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach()
    try:
        return torch.from_numpy(np.array(value))
    except TypeError as error:
        msg = f"named[{name!r}]: {error}; give a tensor or an array of numbers"
        raise TypeError(msg) from error
