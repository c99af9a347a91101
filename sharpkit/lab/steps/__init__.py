"""Elementwise steps of training: `plain` is the specification, `fused` the fast one.

Both modules have the same functions. `plain` is written on whatever array module its
arguments come from (NumPy, CuPy); `fused` makes one Numba pass over memory on the CPU.
Matrix products are not here: they belong to the BLAS.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np


def array_module(array: Any) -> ModuleType:
    """Return the module (NumPy or CuPy) that ``array`` belongs to."""
    if isinstance(array, np.ndarray):
        return np
    import cupy

    module: ModuleType = cupy.get_array_module(array)
    return module


def steps_for(array: Any) -> ModuleType:
    """Return the steps to use where ``array`` lives: fused for NumPy, else plain."""
    if isinstance(array, np.ndarray):
        from sharpkit.lab.steps import fused

        return fused
    from sharpkit.lab.steps import plain

    return plain
