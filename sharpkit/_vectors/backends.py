"""Which kernels run: a backend is a name and a module behind it, loaded when used."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np

from sharpkit._inputs.arrays import array_module

MODULES = {
    "cpu": "sharpkit._vectors.kernels.cpu",
    "cuda": "sharpkit._vectors.kernels.cuda",
    "reference": "sharpkit._vectors.kernels.reference",
}


def backends() -> dict[str, str]:
    """Return each backend's name with ``"available"`` or the reason why it is not."""
    return {name: _reason(name) or "available" for name in MODULES}


def kernels_for(backend: str | None, weights: Any) -> tuple[str, ModuleType]:
    """Return the name and the kernels of a backend.

    Parameters
    ----------
    backend : {None, "cpu", "cuda", "reference"}
        The name of the backend; None chooses by where the weights live.
    weights
        The weights, an array of NumPy or CuPy.

    Raises
    ------
    ValueError
        If the name is unknown, or the weights live elsewhere: nothing is moved between
        host and device in silence.
    RuntimeError
        If the backend cannot be had on this machine; the message says why.
    """
    on_host = array_module(weights) is np
    name = ("cpu" if on_host else "cuda") if backend is None else backend
    if not isinstance(name, str) or name not in MODULES:
        known = ", ".join(map(repr, MODULES))
        msg = f"backend={backend!r}; give one of {known}, or None to choose"
        raise ValueError(msg)
    reason = _reason(name)
    if reason:
        msg = f"backend={name!r} cannot be used here: {reason}"
        raise RuntimeError(msg)
    if on_host == (name == "cuda"):
        have, fix = (
            ("a NumPy array", "cupy.asarray(weights)")
            if on_host
            else ("on a CUDA device", "cupy.asnumpy(weights)")
        )
        msg = f"backend={name!r}, but weights is {have}; give {fix}, or backend=None"
        raise ValueError(msg)
    return name, importlib.import_module(MODULES[name])


def _reason(name: str) -> str:
    try:
        importlib.import_module(MODULES[name])
    except ImportError as error:
        return str(error)
    return ""
