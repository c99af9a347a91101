"""Checks of arguments; each error names the argument, the value and the fix."""

from __future__ import annotations

import math
import numbers
from contextlib import suppress
from typing import Any

import numpy as np

from sharpkit._inputs.arrays import array_module, is_array, is_masked
from sharpkit._inputs.models import model_message
from sharpkit._inputs.types import Array
from sharpkit._inputs.warn import warn

LARGEST = 2**64 - 1  # whole number


def checked_weights(weights: Any, *, empty: bool = False) -> Array:
    """Return a copy of ``weights``, contiguous, finite and float32 or float64.

    It is a copy, because a callback may load its argument into the very arrays that
    ``weights`` is a view of.

    Parameters
    ----------
    weights
        The weights.
    empty
        Whether there may be none, as on one of several ranks.

    Raises
    ------
    TypeError
        If it is no array of NumPy or CuPy, or one of other numbers.
    ValueError
        If it is empty, no vector, or not finite.
    """
    if not is_array(weights):
        msg = model_message(weights) or (
            f"weights is of type {type(weights).__name__}; give a flat NumPy, CuPy, "
            "torch or JAX vector, for instance numpy.asarray(weights).ravel()"
        )
        raise TypeError(msg)
    if is_masked(weights):
        msg = (
            "weights is a masked array, and every weight is measured; give the plain "
            "array: weights.data, or weights.compressed() and a loss of those alone"
        )
        raise TypeError(msg)
    if weights.ndim != 1:
        msg = (
            f"weights has shape {weights.shape}; give a vector: flatten and "
            "concatenate all parameters, for instance weights.ravel()"
        )
        raise ValueError(msg)
    if not (weights.size or empty):
        msg = "weights is empty; give at least one weight"
        raise ValueError(msg)
    if weights.dtype.kind != "f" or weights.dtype.itemsize > 8:
        msg = (
            f"weights has dtype {weights.dtype}; give float32 or float64, for instance "
            "weights.astype(numpy.float64)"
        )
        raise TypeError(msg)
    if weights.dtype == np.float16:
        warn(
            "weights has dtype float16, in which a step of epsilon (|w| + 1) does not "
            "exist; measuring a float32 copy, and loss_fn is called with float32"
        )
    bad = ~np.isfinite(weights)
    if bad.any():
        first = int(bad.argmax())
        msg = (
            f"weights has {int(bad.sum())} non-finite entries, the first is "
            f"weights[{first}] = {weights[first]}; give the weights of a finite model"
        )
        raise ValueError(msg)
    half = weights.dtype == np.float16
    native = np.float32 if half else weights.dtype.newbyteorder("=")
    copied: Array = array_module(weights).array(weights, dtype=native, order="C")
    return copied


def require_callable(name: str, value: Any) -> None:
    """Raise unless ``value`` can be called.

    Raises
    ------
    TypeError
        If it cannot.
    """
    if not callable(value):
        msg = (
            f"{name}={value!r} of type {type(value).__name__} is not callable; give a "
            "function of the weights that returns the loss, or (loss, gradient)"
        )
        raise TypeError(msg)


def as_float(value: numbers.Real) -> float:
    """Return a number as a float; a whole number too large for one is infinite."""
    with suppress(OverflowError):
        return float(value)
    return math.inf


def checked_epsilon(epsilon: Any, weights: Array) -> float:
    """Return ``epsilon`` as a float if the box fits into the range of the dtype.

    Raises
    ------
    TypeError
        If it is not a number.
    ValueError
        If it is not above 0 and finite, or the box is beyond the range of the dtype.
    """
    if isinstance(epsilon, bool) or not isinstance(epsilon, numbers.Real):
        msg = f"epsilon={epsilon!r} is not a number; give one above 0, such as 1e-3"
        raise TypeError(msg)
    number = as_float(epsilon)
    if not (math.isfinite(number) and number > 0):
        msg = f"epsilon={epsilon!r}; give a finite number above 0, such as 1e-3"
        raise ValueError(msg)
    largest = float(np.abs(weights).max()) if weights.size else 0.0
    widest = 2 * (number * (largest + 1))  # w + z must fit too
    limits = np.finfo(weights.dtype)
    if number < float(limits.tiny) or widest > float(limits.max):
        msg = (
            f"epsilon={epsilon!r} makes a box beyond the range of {weights.dtype}; "
            "give a number such as 1e-3"
        )
        raise ValueError(msg)
    return number


def at_least(name: str, value: Any, least: int) -> int:
    """Return ``value`` as an int if it is a whole number of at least ``least``.

    Raises
    ------
    TypeError
        If it is not a whole number.
    ValueError
        If it is too small, or has more than 64 bits.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        msg = f"{name}={value!r} is not a whole number; give one of at least {least}"
        raise TypeError(msg)
    if not least <= int(value) <= LARGEST:
        most = "" if int(value) < least else f" and at most {LARGEST}"
        msg = f"{name}={value!r}; give a whole number of at least {least}{most}"
        raise ValueError(msg)
    return int(value)


def checked_seed(seed: Any) -> int:
    """Return ``seed`` as an int if it is a whole number of 64 bits.

    Raises
    ------
    ValueError
        If it is negative or too large. Another type is a TypeError.
    """
    return at_least("seed", seed, 0)


def checked_rtol(rtol: Any) -> float | None:
    """Return ``rtol`` as a float if it is a number above 0, or None.

    Raises
    ------
    TypeError
        If it is not a number.
    ValueError
        If it is not above 0 and finite.
    """
    if rtol is None:
        return None
    if isinstance(rtol, bool) or not isinstance(rtol, numbers.Real):
        msg = f"rtol={rtol!r} is not a number; give one such as 0.01, or None"
        raise TypeError(msg)
    if not 0 < as_float(rtol) < math.inf:
        msg = f"rtol={rtol!r}; give a number above 0, such as 0.01"
        raise ValueError(msg)
    return float(rtol)


def true_or_false(name: str, value: Any) -> bool:
    """Return ``value`` as a bool if it is one.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if not isinstance(value, bool | np.bool_):
        msg = f"{name}={value!r} is of type {type(value).__name__}; give True or False"
        raise TypeError(msg)
    return bool(value)


def one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    """Raise unless ``value`` is one of the ``known`` names.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not isinstance(value, str) or value not in known:
        msg = f"{name}={value!r}; give one of {', '.join(map(repr, known))}"
        raise ValueError(msg)
