"""The loss and the product of a group of the weights, all others held fixed."""

from __future__ import annotations

from typing import Any

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.objective import ReturnedVector
from sharpkit._inputs.seal import Seal
from sharpkit._inputs.types import Array, Hvp, LossFn


class Rest:
    """All weights, of which one group varies. Memory: one vector, two for products.

    Parameters
    ----------
    weights : (n,)
        All weights.
    places
        The ranges of the weights that make up the group.
    """

    def __init__(self, weights: Array, places: tuple[slice, ...]) -> None:
        self._whole, self._places = weights.copy(), places

    def taken(self, vector: Array) -> Array:
        """Return the group's entries of a vector: a view where they are one range."""
        parts = [vector[place] for place in self._places]
        joined: Array = array_module(vector).concatenate(parts)
        return parts[0] if len(parts) == 1 else joined

    def loss(self, loss_fn: LossFn) -> LossFn:
        """Return the loss as a function of the group."""
        gradients = ReturnedVector("loss_fn", "gradient", self._whole)

        def call(x: Array) -> Any:
            self._put(x, self._whole)
            seal = Seal(self._whole)  # the rest stays from call to call
            returned = loss_fn(self._whole)
            seal.require_intact("loss_fn", "w")
            if not (isinstance(returned, tuple) and len(returned) == 2):
                return returned
            return returned[0], self.taken(gradients.checked(returned[1]))

        return call

    def product(self, hvp: Hvp) -> Hvp:
        """Return the product with the group's block of the Hessian."""
        products = ReturnedVector("hvp", "product", self._whole)
        whole = self._whole.copy()
        whole[:] = 0

        def call(x: Array, v: Array) -> Array:
            self._put(x, self._whole)
            self._put(v, whole)
            seals = {"w": Seal(self._whole), "v": Seal(whole)}
            returned = hvp(self._whole, whole)
            for name, seal in seals.items():
                seal.require_intact("hvp", name)
            return self.taken(products.checked(returned))

        return call

    def _put(self, group: Array, whole: Array) -> None:
        begin = 0
        for place in self._places:
            end = begin + place.stop - place.start
            whole[place] = group[begin:end]
            begin = end
