"""Which library an array belongs to: NumPy, or CuPy on a CUDA device.

CuPy is never imported here. Whoever holds one of its arrays has loaded it already, so
a look at the loaded modules is enough, and NumPy users never wait for a CUDA library.
"""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np

from sharpkit._inputs.types import Array, XpArray


def is_array(x: object) -> bool:
    """Return whether ``x`` is a NumPy or a CuPy array."""
    return isinstance(x, np.ndarray) or _is_cupy(x)


def is_masked(x: object) -> bool:
    """Return whether ``x`` is a masked array, whose mask nothing here would heed."""
    return isinstance(x, np.ma.MaskedArray)


def array_module(array: XpArray) -> ModuleType:
    """Return the module, NumPy or CuPy, whose functions work where ``array`` lives.

    Raises
    ------
    TypeError
        If ``array`` is an array of neither.
    """
    if isinstance(array, np.ndarray):
        return np
    if _is_cupy(array):
        return sys.modules["cupy"]
    msg = f"got {type(array).__name__!r}; give a NumPy or a CuPy array"
    raise TypeError(msg)


def to_host(array: XpArray) -> Array:
    """Return ``array`` as a NumPy array: copied from a device, itself otherwise.

    It must be an array of NumPy or CuPy.
    """
    host: Array = array if array_module(array) is np else array.get()
    return host


def _is_cupy(x: object) -> bool:
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(x, cupy.ndarray)
