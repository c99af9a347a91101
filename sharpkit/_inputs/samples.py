"""Which samples of the data a problem is to be taken of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.arrays import is_array, to_host
from sharpkit._inputs.foreign import native

Indices = NDArray[np.int64]


def checked_indices(value: Any, samples: int) -> Indices:
    """Return the indices of chosen samples, (k,), as they were given.

    Parameters
    ----------
    value
        The indices: a list or a range of whole numbers, or an array of any library.
    samples
        The number of samples that there are.

    Raises
    ------
    TypeError
        If they are no whole numbers.
    ValueError
        If there are none, or one is out of range or there twice.
    """
    array, _ = native(value)
    found = to_host(array) if is_array(array) else _listed(value)
    if found.ndim != 1 or not found.size:
        msg = (
            f"indices has shape {found.shape}; give at least one sample, as a flat "
            "list such as [0, 5, 7]"
        )
        raise ValueError(msg)
    if found.dtype.kind not in "iu":
        cure = ": numpy.flatnonzero(indices)" if found.dtype.kind == "b" else ""
        msg = f"indices are of type {found.dtype}; give whole numbers{cure}"
        raise TypeError(msg)
    outside = (found < 0) | (found >= samples)
    if outside.any():
        msg = (
            f"indices holds {found[outside][0]}, and there are {samples} samples; give "
            f"whole numbers from 0 to {samples - 1}"
        )
        raise ValueError(msg)
    indices = found.astype(np.int64)
    in_order = np.sort(indices)
    twice = in_order[1:] == in_order[:-1]
    if twice.any():
        msg = (
            f"indices holds {in_order[1:][twice][0]} more than once; give each sample "
            "once"
        )
        raise ValueError(msg)
    return indices


def _listed(value: Any) -> NDArray[Any]:
    if isinstance(value, (list, tuple, range)):
        try:
            return np.asarray(value)
        except (ValueError, TypeError, OverflowError):
            pass  # ragged
    msg = (
        f"indices is of type {type(value).__name__}; give whole numbers, as a list or "
        "an array such as numpy.arange(10)"
    )
    raise TypeError(msg)
