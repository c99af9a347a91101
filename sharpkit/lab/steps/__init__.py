"""Elementwise steps of training: `plain` is the specification; two are fast.

All modules have the same functions, and so have those of curvature products, whose
names end in ``_products``. The plain ones are written on whatever array module
their arguments come from (NumPy, CuPy); `fused` makes one Numba pass over memory on the
CPU, and `cuda` launches kernels of `csrc/steps.cu` on a device. Matrix products are not
here: they belong to the BLAS.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from sharpkit._inputs.arrays import array_module

__all__ = ["array_module", "check_labels", "product_steps_for", "steps_for"]


def steps_for(array: Any) -> ModuleType:
    """Return the steps to use where ``array`` lives: Numba's on the host, or CUDA's."""
    if array_module(array) is np:
        from sharpkit.lab.steps import fused

        return fused
    from sharpkit.lab.steps import cuda

    return cuda


def product_steps_for(array: Any) -> ModuleType:
    """Return the steps of curvature products to use where ``array`` lives."""
    if array_module(array) is np:
        from sharpkit.lab.steps import fused_products

        return fused_products
    from sharpkit.lab.steps import cuda_products

    return cuda_products


def check_labels(labels: Any, rows: int, classes: int) -> None:
    """Check that there is a label for each row, in ``range(classes)``.

    Raises
    ------
    IndexError
        If not. CuPy would wrap such a label around, and count another class.
    """
    if labels.shape != (rows,):
        msg = f"labels have shape {labels.shape}; give ({rows},), one per row"
        raise IndexError(msg)
    if rows and (labels.min() < 0 or labels.max() >= classes):
        msg = (
            f"labels go from {labels.min()} to {labels.max()}; the last layer has "
            f"outputs 0 to {classes - 1}"
        )
        raise IndexError(msg)
