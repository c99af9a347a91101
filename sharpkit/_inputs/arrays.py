"""Which library an array belongs to: NumPy, or CuPy on a CUDA device.

CuPy is never imported here. Whoever holds one of its arrays has loaded it already, so
a look at the loaded modules is enough, and NumPy users never wait for a CUDA library.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.types import XpArray


def is_array(x: object) -> bool:
    """Return whether ``x`` is a NumPy or a CuPy array."""
    return isinstance(x, np.ndarray) or _is_cupy(x)


def array_module(array: XpArray) -> ModuleType:
    """Return the module, numpy or cupy, whose functions work where ``array`` lives.

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


def to_host(array: XpArray) -> NDArray[Any]:
    """Return ``array`` as a NumPy array: copied from a device, itself otherwise.

    Raises
    ------
    TypeError
        If ``array`` is neither a NumPy nor a CuPy array.
    """
    if array_module(array) is np:
        host: NDArray[Any] = array
        return host
    copied: NDArray[Any] = array.get()
    return copied


def _is_cupy(x: object) -> bool:
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(x, cupy.ndarray)
