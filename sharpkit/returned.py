"""What a callback returns in place of a vector, checked before anything uses it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from sharpkit.arrays import array_module, is_array
from sharpkit.warn import warn

Array = NDArray[Any]


class ReturnedVector:
    """One entry per weight, of the weights' kind and dtype, or an error that says why.

    Parameters
    ----------
    source
        Who returns it, as the user knows it: ``"loss_fn"`` or ``"hvp"``.
    name
        What it is, such as ``"gradient"``.
    weights : (n,)
    """

    def __init__(self, source: str, name: str, weights: Array) -> None:
        self._source, self._name = source, name
        self._n, self._dtype = weights.size, weights.dtype
        self._xp, self._array_type = array_module(weights), type(weights)
        self._warned = False

    def checked(self, value: Any) -> Array:
        """Return ``value`` as a contiguous (n,) array of the weights' dtype.

        Raises
        ------
        TypeError, ValueError
            If it is no real array of the weights' library, or has another shape.

        Warns
        -----
        SharpkitWarning
            Once, if it has another dtype and is converted.
        """
        if not isinstance(value, self._array_type):
            name = self._xp.__name__
            msg = (
                f"{self._source} returned {kind_of(value)} as the {self._name}; the "
                f"weights are a {name} array: return one too, for instance "
                f"{name}.asarray({self._name})"
            )
            raise TypeError(msg)
        if value.shape != (self._n,):
            msg = (
                f"{self._source} returned a {self._name} of shape {value.shape}; the "
                f"weights have shape ({self._n},): return one entry per weight, "
                "flattened"
            )
            raise ValueError(msg)
        if value.dtype.kind != "f":
            msg = (
                f"{self._source} returned a {self._name} of dtype {value.dtype}; "
                f"return {self._dtype}, the dtype of the weights"
            )
            raise TypeError(msg)
        if value.dtype != self._dtype and not self._warned:
            self._warned = True
            warn(
                f"{self._source} returns {self._name}s of dtype {value.dtype} for "
                f"weights of dtype {self._dtype}; they are converted at every call: "
                f"return {self._name}.astype({str(self._dtype)!r}), or pass the "
                f"weights in {value.dtype}"
            )
        kept: Array = self._xp.ascontiguousarray(value, self._dtype)
        return kept


def kind_of(value: Any) -> str:
    """Describe a value that cannot be used, for an error message."""
    if is_array(value):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    return f"{value!r} of type {type(value).__name__}"[:120]
