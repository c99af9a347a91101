"""The user's callback behind checks, a clock and a count: all it returns is checked."""

from __future__ import annotations

import copy
import time
from typing import Any

import numpy as np

from sharpkit._inputs.arrays import array_module, is_array, is_masked, to_host
from sharpkit._inputs.journal import (
    ALONE,
    RAISED,
    WITH_GRADIENT,
    Journal,
    Repeated,
    journal,
    tracked,
)
from sharpkit._inputs.seal import Seal
from sharpkit._inputs.types import Array, LossFn
from sharpkit._inputs.warn import warn

# Two calls at one point may differ by so many roundings of 1 + |loss| before the loss
# counts as not deterministic: threaded sums in another order stay well below.
ROUNDINGS = 64
# Squares of what is larger are beyond float64, in differences of losses for instance.
LARGEST = 1e150


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
        TypeError
            If it is no real array of the weights' library.
        ValueError
            If it has another shape.

        Warns
        -----
        SharpkitWarning
            Once, if it has another dtype and is converted.
        """
        if not isinstance(value, self._array_type) or is_masked(value):
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


class Objective:
    """``loss_fn`` with its results checked: shape, dtype and kind, at every call.

    Whether the callback returns a gradient is decided by its first call and enforced
    after that. Its own exceptions come through unchanged.

    Parameters
    ----------
    loss_fn
        ``loss_fn(w) -> float`` or ``(float, gradient)``.
    weights : (n,) float32 or float64
    """

    def __init__(self, loss_fn: LossFn, weights: Array) -> None:
        self._loss_fn = loss_fn
        self.dtype = weights.dtype
        self._gradient = ReturnedVector("loss_fn", "gradient", weights)
        self.calls, self.seconds = 0, 0.0
        self.has_gradient: bool | None = None

    def fresh(self) -> Objective:
        """Return the same callback with all counts at 0."""
        again = copy.copy(self)
        again.calls, again.seconds = 0, 0.0
        return again

    def __call__(self, x: Array) -> tuple[float, Array | None]:
        """Return the loss at ``x`` and its gradient, (n,) of the weights' dtype.

        Raises
        ------
        TypeError
            If what is returned is no loss, or not of the kind returned before.
        ValueError
            If the callback wrote into its argument.
        """
        kept = journal()
        return self._called(x) if kept is None else self._noted(x, kept)

    def _noted(self, x: Array, kept: Journal) -> tuple[float, Array | None]:
        """Call it, or return what it returned before, with x for a gradient."""
        with kept.calling() as known:
            if known:
                self.calls += 1
                loss, kind = kept.repeated()
                if kind == RAISED:
                    raise Repeated
                self.has_gradient = kind == WITH_GRADIENT
                return loss, x if self.has_gradient else None
            try:
                loss, gradient = self._called(x)
            except Exception:
                kept.answer(np.nan, RAISED)
                raise
            kind = ALONE if gradient is None else WITH_GRADIENT
            return kept.answer(loss, kind)[0], gradient

    def _called(self, x: Array) -> tuple[float, Array | None]:
        seal = Seal(x)
        began = time.perf_counter()
        try:
            returned = self._loss_fn(x)
        finally:
            self.seconds += time.perf_counter() - began
            self.calls += 1
        seal.require_intact("loss_fn", "w")
        with_gradient = isinstance(returned, tuple)
        if self.has_gradient is None:
            self.has_gradient = with_gradient
        elif self.has_gradient != with_gradient:
            msg = (
                f"loss_fn returned {_contract(with_gradient)} after it had returned "
                f"{_contract(self.has_gradient)}; return the same kind at every call"
            )
            raise TypeError(msg)
        if not with_gradient:
            return as_loss(returned), None
        if len(returned) != 2:
            msg = (
                f"loss_fn returned a tuple of {len(returned)}; return the loss, or "
                "(loss, gradient)"
            )
            raise TypeError(msg)
        return as_loss(returned[0]), self._gradient.checked(returned[1])

    def centre(self, weights: Array) -> tuple[float, Array | None, float]:
        """Evaluate twice at ``weights``: return loss, gradient and noise of the loss.

        Raises
        ------
        ValueError
            If the loss or its gradient is not finite there, or the callback changed
            its argument.
        """
        x = weights.copy()
        loss, gradient = self(x)
        if not np.isfinite(loss):
            msg = (
                f"loss_fn returned {loss} at the given weights; a measurement "
                "needs a finite loss there"
            )
            raise ValueError(msg)
        if gradient is not None:
            _require_finite_gradient(gradient)
            gradient = tracked(gradient.copy())  # the callback may reuse its buffer
        again, _ = self(x)
        if not np.isfinite(again):
            msg = (
                f"loss_fn returned {loss!r} and then {again!r} at the same weights; "
                "make it deterministic"
            )
            raise ValueError(msg)
        rounding = float(np.finfo(self.dtype).eps) * abs(loss)
        difference = abs(again - loss)
        allowed = ROUNDINGS * float(np.finfo(self.dtype).eps) * (1 + abs(loss))
        if difference > allowed:
            warn(
                f"loss_fn is not deterministic: it returned {loss!r} and then "
                f"{again!r} at the same weights; switch off dropout and sampling, fix "
                "its seed, and choose the batch-norm statistics"
            )
        return loss, gradient, max(difference, rounding)


def gradient_rounding(
    gradient: float, loss: float, weights: float, dtype: Any
) -> float:
    """Return by how much two gradients at the same weights may differ for rounding.

    At a minimum a gradient is what is left of terms that cancel, and so is its
    rounding: terms that would change the loss by its own size when the weights change
    by theirs.

    Parameters
    ----------
    gradient, weights
        The norms of the gradient and of the weights.
    loss
        The loss there.
    dtype
        The weights' dtype.
    """
    terms = (1 + abs(loss)) / (1 + weights)
    return ROUNDINGS * float(np.finfo(dtype).eps) * max(gradient, terms)


def require_moderate(loss: float) -> None:
    """Raise unless the square of a loss is a number of float64.

    Raises
    ------
    ValueError
        If it is not.
    """
    if abs(loss) > LARGEST:
        msg = (
            f"loss_fn returned {loss} at the given weights, whose square is beyond the "
            "range of float64; divide the loss by a large number, such as 1e100"
        )
        raise ValueError(msg)


def as_loss(value: Any) -> float:
    """Return what a callback returned as the loss as a float.

    Raises
    ------
    TypeError
        If it is no real number.
    """
    if isinstance(value, list):
        msg = (
            f"loss_fn returned a list of {len(value)}; return the loss, or a tuple "
            "(loss, gradient)"
        )
        raise TypeError(msg)
    if is_array(value):
        value = to_host(value)
    if (
        isinstance(value, (str, bytes, bool, np.bool_, complex, np.complexfloating))
        or is_masked(value)
        or (np.ndim(value) and np.size(value) != 1)
    ):
        msg = (
            f"loss_fn returned {kind_of(value)} as the loss; return one real number, "
            "averaged over the samples"
        )
        raise TypeError(msg)
    try:
        return float(np.asarray(value).item())
    # RuntimeError is torch's, OverflowError that of whole numbers.
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        msg = (
            f"loss_fn returned {kind_of(value)} as the loss; return one real number, "
            "or a tuple (loss, gradient)"
        )
        raise TypeError(msg) from error


def _require_finite_gradient(gradient: Array) -> None:
    bad = ~np.isfinite(gradient)
    if bad.any():
        first = int(bad.argmax())
        msg = (
            f"loss_fn returned a gradient with {int(bad.sum())} non-finite entries at "
            f"the given weights, the first is gradient[{first}] = {gradient[first]}; "
            "check it against differences of the loss"
        )
        raise ValueError(msg)


def _contract(with_gradient: bool) -> str:
    return "(loss, gradient)" if with_gradient else "a loss alone"


def kind_of(value: Any) -> str:
    """Describe a value that cannot be used, for an error message."""
    if is_array(value):
        masked = "a masked array" if is_masked(value) else "an array"
        return f"{masked} of shape {value.shape} and dtype {value.dtype}"
    return f"{value!r} of type {type(value).__name__}"[:120]
