"""The words in which signatures speak of arrays and callbacks."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""A NumPy array, or an array of CuPy, which has the same methods."""

Vector = NDArray[np.float64]
"""A vector on the host, as long as a basis or as steps are many."""

Matrix = NDArray[np.float64]
"""A matrix on the host, of that size."""

XpArray = Any
"""An array of a library that is chosen at run time: CuPy, PyTorch or JAX."""

LossFn = Callable[[Any], Any]
"""``w -> loss``, or ``w -> (loss, gradient)``."""

Hvp = Callable[[Any, Any], Any]
"""``(w, v) -> H(w) v``."""

Report = Callable[[int, float], None]
"""``(work done, value so far)``: how an algorithm tells of its progress."""

Path = str | os.PathLike[str]
"""A file."""
