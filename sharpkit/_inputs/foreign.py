"""Weights of PyTorch or JAX: what they become at the entrance of a measure.

Inside there are NumPy and CuPy arrays only. A tensor is shared with them, not copied,
on the CPU and on CUDA; a callback is given tensors again, and may return them. Neither
library is imported here: whoever holds one of its arrays has loaded it.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Protocol

from sharpkit._inputs.objective import kind_of
from sharpkit._inputs.types import Hvp, LossFn, XpArray
from sharpkit._inputs.warn import warn


class Kind(Protocol):
    """How arrays of one library are taken in and given out."""

    name: str

    def holds(self, value: object) -> bool:
        """Return whether ``value`` is an array of this library."""
        ...

    def widened(self, value: XpArray) -> XpArray:
        """Return a float32 copy."""
        ...

    def taken(self, value: XpArray) -> XpArray:
        """Return the same memory as a NumPy or CuPy array."""
        ...

    def given(self, array: XpArray) -> XpArray:
        """Return an array of this library with the same values, where weights live."""
        ...


def native(weights: Any) -> tuple[XpArray, Kind | None]:
    """Return the weights as a NumPy or CuPy array, and the library they came from.

    NumPy and CuPy weights, and what is no array at all, come back as they are, of kind
    None.

    Raises
    ------
    TypeError
        If the weights live on a device without kernels.

    Warns
    -----
    SharpkitWarning
        If the weights are bfloat16: they become float32.
    """
    kind = _kind(weights)
    if kind is None:
        return weights, None
    if "bfloat16" in str(weights.dtype):
        warn(
            "weights has dtype bfloat16, in which a step of epsilon (|w| + 1) does not "
            "exist; measuring a float32 copy, and loss_fn is called with float32"
        )
        weights = kind.widened(weights)
    return kind.taken(weights), kind


def native_loss(loss_fn: LossFn, kind: Kind | None) -> LossFn:
    """Return ``loss_fn`` on NumPy or CuPy arrays; it sees and returns those of kind.

    The function returned raises a TypeError if the gradient is of another library.
    """
    if kind is None:
        return loss_fn

    def call(w: XpArray) -> Any:
        returned = loss_fn(kind.given(w))
        if isinstance(returned, tuple) and len(returned) == 2:
            loss, gradient = returned
            vector = _vector(kind, "loss_fn", "gradient", gradient)
            return _number(kind, loss), vector
        return returned if isinstance(returned, tuple) else _number(kind, returned)

    return call


def native_hvp(hvp: Hvp, kind: Kind | None) -> Hvp:
    """Return the product ``hvp`` on NumPy or CuPy arrays, as `native_loss` does."""
    if kind is None:
        return hvp

    def product(w: XpArray, v: XpArray) -> XpArray:
        returned = hvp(kind.given(w), kind.given(v))
        return _vector(kind, "hvp", "product", returned)

    return product


def _kind(weights: Any) -> Kind | None:
    torch, jax = (sys.modules.get(name) for name in ("torch", "jax"))
    if torch is not None and isinstance(weights, torch.Tensor):
        return _Torch(torch)
    if jax is not None and isinstance(weights, jax.Array):
        return _Jax(jax, weights)
    return None


def _number(kind: Kind, loss: Any) -> Any:
    return kind.taken(loss) if kind.holds(loss) else loss


def _vector(kind: Kind, source: str, name: str, value: Any) -> XpArray:
    if not kind.holds(value):
        msg = (
            f"{source} returned {kind_of(value)} as the {name}; the weights are a "
            f"{kind.name}: return one too"
        )
        raise TypeError(msg)
    return kind.taken(value)


def _cupy(what: str) -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        msg = f"{what} on a CUDA device needs CuPy: pip install 'sharpkit[cuda]'"
        raise RuntimeError(msg) from error


class _Torch:
    name = "torch tensor"

    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def holds(self, value: object) -> bool:
        return isinstance(value, self._torch.Tensor)

    def widened(self, value: XpArray) -> XpArray:
        return value.float()

    def taken(self, value: XpArray) -> XpArray:
        value, place = value.detach(), value.device.type
        if place == "cpu":
            return value.numpy()
        if place == "cuda":
            return _cupy("a torch tensor").from_dlpack(value)
        msg = f"a torch tensor on the device {value.device}; move it: weights.cpu()"
        raise TypeError(msg)

    def given(self, array: XpArray) -> XpArray:
        return self._torch.from_dlpack(array)


class _Jax:
    name = "JAX array"

    def __init__(self, jax: Any, weights: XpArray) -> None:
        self._jax, self._sharding = jax, weights.sharding
        self._device = min(weights.devices(), key=lambda device: device.id)

    def holds(self, value: object) -> bool:
        return isinstance(value, self._jax.Array)

    def widened(self, value: XpArray) -> XpArray:
        return value.astype("float32")

    def taken(self, value: XpArray) -> XpArray:
        place = self._device.platform
        if place == "cpu":
            return importlib.import_module("numpy").asarray(value)
        if place in ("gpu", "cuda"):
            whole = self._jax.device_put(value, self._device)
            return _cupy("a JAX array").from_dlpack(whole)
        msg = f"a JAX array on the device {self._device}; move it to the CPU or a GPU"
        raise TypeError(msg)

    def given(self, array: XpArray) -> XpArray:
        # A copy: JAX takes its arrays for immutable, and ours are overwritten.
        ours = array.copy()
        if self._device.platform != "cpu":
            ours = self._jax.dlpack.from_dlpack(ours)
        return self._jax.device_put(ours, self._sharding)
