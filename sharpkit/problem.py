"""A problem: weights, their loss, and what else is known, in one object.

`measure`, `compare` and the command take problems. `sharpkit.torch.problem` and
`sharpkit.jax.problem` make them from models; `Problem` makes one from a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.arrays import array_module, to_host
from sharpkit._inputs.checks import at_least, checked_weights, require_callable
from sharpkit._inputs.foreign import native
from sharpkit._inputs.types import XpArray

Product = Callable[[XpArray, XpArray], XpArray]


@dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """Weights and a loss as a bare function; called like ``loss_fn``.

    weights : (n,) float32 or float64, NumPy, CuPy, torch or JAX
        A copy is kept.
    loss_fn
        ``loss_fn(w) -> (loss, gradient)``, the mean loss over the samples.
    hvp, gauss_newton
        ``hvp(w, v) -> H v``, exact products with the Hessian and with the Gauss-Newton
        matrix, where there are any.
    layers : mapping of str to slice
        Which weights belong to which layer.
    accuracy
        ``accuracy(w) -> float``, the share of right answers, from 0 to 1.
    samples : int
        How many samples the loss and the accuracy are means of.

    Raises
    ------
    TypeError, ValueError
        If a value cannot be used; the message names it and the fix.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> problem = sharpkit.Problem(np.zeros(2), lambda w: (float(w @ w), 2 * w))
    >>> float(problem.at({"weights": np.ones(2)}).weights.sum())
    2.0
    """

    weights: XpArray
    loss_fn: Callable[[XpArray], Any]
    hvp: Product | None = field(default=None, kw_only=True)
    gauss_newton: Product | None = field(default=None, kw_only=True)
    layers: Mapping[str, slice] | None = field(default=None, kw_only=True)
    accuracy: Callable[[XpArray], float] | None = field(default=None, kw_only=True)
    samples: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        own, kind = native(self.weights)
        own = checked_weights(own)
        object.__setattr__(self, "weights", own if kind is None else kind.given(own))
        require_callable("loss_fn", self.loss_fn)
        for name in ("hvp", "gauss_newton", "accuracy"):
            given = getattr(self, name)
            if given is not None:
                require_callable(name, given)
        if self.samples is not None:
            at_least("samples", self.samples, 1)
        if self.layers is not None:
            _require_mapping("layers", self.layers, "slices, such as slice(0, 100)")

    def __call__(self, w: XpArray) -> Any:
        """Return what ``loss_fn`` returns at w."""
        return self.loss_fn(w)

    def __repr__(self) -> str:
        n, dtype = self.weights.shape[0], str(self.weights.dtype)
        return f"Problem of n = {n:,} weights, {dtype.removeprefix('torch.')}"

    def at(self, named: Mapping[str, XpArray]) -> Problem:
        """Return the same problem at other weights.

        They are converted to the dtype of its own.

        Parameters
        ----------
        named
            One flat vector, as ``"weights"`` or the only entry; or one array for each
            of the `layers`, raveled into its slice.

        Raises
        ------
        TypeError, ValueError
            If the entries are neither.
        """
        own, kind = native(self.weights)
        xp = array_module(own)
        flat = xp.empty_like(own)
        for name, where in self._slices(named).items():
            entry = _floating(name, named[name])
            if entry.size != flat[where].size or (
                where == slice(None) and entry.ndim != 1
            ):
                msg = (
                    f"entry {name!r} has shape {entry.shape}; the problem has "
                    f"{flat[where].size} weights there: give as many"
                    f"{', flattened' if where == slice(None) else ''}"
                )
                raise ValueError(msg)
            here = to_host(entry) if xp is np else xp.asarray(entry)
            flat[where] = here.ravel()
        return replace(self, weights=flat if kind is None else kind.given(flat))

    def on_line(self) -> Problem:
        """Return the problem to evaluate straight lines with: itself."""
        return self

    def _slices(self, named: Mapping[str, XpArray]) -> dict[str, slice]:
        """Return where each entry belongs."""
        _require_mapping("named", named, "arrays, such as {'weights': vector}")
        if self.layers and set(self.layers) == set(named):
            self._require_cover(self.layers)
            return dict(self.layers)
        if "weights" in named:
            return {"weights": slice(None)}
        if len(named) == 1:
            return {next(iter(named)): slice(None)}
        wanted = "'weights', one flat vector"
        if self.layers:
            wanted += f", or all of the layers: {_names(self.layers)}"
        msg = f"the entries are {_names(named)}; the problem needs {wanted}"
        raise ValueError(msg)

    def _require_cover(self, layers: Mapping[str, slice]) -> None:
        times = np.zeros(self.weights.shape[0], np.int64)
        for where in layers.values():
            times[where] += 1
        if (times != 1).any():
            first = int((times != 1).argmax())
            msg = (
                f"layers have weight {first} {times[first]} times; to put a checkpoint "
                "together they must have each weight once: give {'weights': vector}"
            )
            raise ValueError(msg)


def _require_mapping(name: str, value: Any, what: str) -> None:
    if not isinstance(value, Mapping):
        msg = f"{name} is of type {type(value).__name__}; give a mapping to {what}"
        raise TypeError(msg)


def _floating(name: str, value: Any) -> NDArray[Any]:
    """Return an entry of a checkpoint as a NumPy or CuPy array of real numbers."""
    if "bfloat16" in str(getattr(value, "dtype", "")):  # NumPy has no such dtype
        value = value.float() if hasattr(value, "float") else value.astype("float32")
    array, _ = native(value)
    if getattr(getattr(array, "dtype", None), "kind", "") != "f":
        kind = getattr(array, "dtype", type(array).__name__)
        msg = f"entry {name!r} is of type {kind}; give an array of real numbers"
        raise TypeError(msg)
    entry: NDArray[Any] = array
    return entry


def _names(named: Mapping[str, Any]) -> str:
    shown = [repr(name) for name in list(named)[:6]]
    return ", ".join(shown) + (", ..." if len(named) > 6 else "") or "none"
