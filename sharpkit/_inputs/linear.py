"""Linear operators of other libraries as products: those of SciPy, curvlinops and such.

Such an operator has a shape and is multiplied with ``@``; it is that of one point.
"""

from __future__ import annotations

import importlib
from typing import Any

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.foreign import native
from sharpkit._inputs.types import Hvp, XpArray


def as_product(name: str, given: Any, weights: XpArray) -> Hvp:
    """Return a linear operator as a product, and what is none as it is.

    Parameters
    ----------
    name
        The name of the argument.
    given
        What was given for it: a function, or an operator with a shape and ``@``.
    weights
        The weights, (n,), at which the operator was made.

    Raises
    ------
    ValueError
        If it has another shape than the weights ask for.
    """
    shape, whole = getattr(given, "shape", None), getattr(weights, "shape", None)
    # What is no vector of weights is refused by others.
    if shape is None or not hasattr(given, "__matmul__") or not whole:
        product: Hvp = given
        return product
    n = whole[0]
    if tuple(shape) != (n, n):
        msg = (
            f"{name} is a linear operator of shape {tuple(shape)}, and there are {n} "
            f"weights; give one of shape ({n}, {n}), or a function {name}(w, v)"
        )
        raise ValueError(msg)
    return _AtOnePoint(name, given, weights)


class _AtOnePoint:
    """The product with a linear operator, at the weights that it was made at."""

    def __init__(self, name: str, operator: Any, weights: XpArray) -> None:
        self._name, self._operator = name, operator
        self._weights, _ = native(weights)
        self._weights = self._weights.copy()
        # Operators of PyTorch take tensors, all others arrays of NumPy.
        self._takes_tensors = "torch" in str(getattr(operator, "dtype", ""))

    def __call__(self, w: XpArray, v: XpArray) -> XpArray:
        own, kind = native(w)
        if own.shape != self._weights.shape or not bool((own == self._weights).all()):
            msg = (
                f"{self._name} is a linear operator, known at the weights of the "
                "problem only, and a product at others was asked for; give a function "
                f"{self._name}(w, v) of the weights"
            )
            raise ValueError(msg)
        array, _ = native(v)
        if self._takes_tensors:
            return self._by_tensors(v, array, kind)
        product = self._operator @ array
        out: XpArray = array_module(own).asarray(product, dtype=own.dtype)
        return out if kind is None else kind.given(out)

    def _by_tensors(self, v: XpArray, array: XpArray, kind: Any) -> XpArray:
        """Return the product of an operator of PyTorch, of the kind of v."""
        torch: Any = importlib.import_module("torch")  # whoever made it has loaded it
        given = torch.from_dlpack(array.copy())
        product = (self._operator @ given.to(self._operator.dtype)).to(given.dtype)
        if kind is None or kind.holds(product):
            return product if kind is not None else native(product)[0]
        return kind.given(native(product)[0])
