"""The loss in other coordinates of some of its weights: ``w = w0 + C (y - y0)``.

Its Hessian there is ``C^T H C``. Differences of the gradient choose their step in these
coordinates, and so estimate their error in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.foreign import native
from sharpkit._inputs.objective import ReturnedVector
from sharpkit._inputs.preconditioner import Preconditioner
from sharpkit._inputs.seal import Seal
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit.measures._point import Point

Linear = Callable[[Array], Array]
ALL = slice(None)


class Chart:
    """Coordinates y of the weights of one range, all others held fixed.

    Parameters
    ----------
    weights : (n,)
        All weights w0.
    start : (m,)
        The coordinates y0 of w0.
    out, back
        The linear map C, (m,) to the range, and its transpose.
    place
        The range of the weights.
    shift
        What is added to the diagonal of ``C^T H C``.
    """

    def __init__(
        self,
        weights: Array,
        start: Array,
        out: Linear,
        back: Linear,
        *,
        place: slice = ALL,
        shift: Array | None = None,
    ) -> None:
        self._weights, self.start, self._place = weights, start, place
        self._out, self._back, self._shift = out, back, shift

    def of(self, point: Point) -> Point:
        """Return the point in these coordinates."""

        def product() -> Hvp | None:
            hvp = point.trusted().hvp
            return None if hvp is None else self._product(hvp)

        return Point(
            self.start.copy(),
            None if point.loss_fn is None else self._loss(point.loss_fn),
            product,
            backend=point.backend,
            compared=False,
            comm=point.comm,
        )

    def _at(self, y: Array) -> Array:
        w = self._weights.copy()
        w[self._place] += self._out(y - self.start)
        return w

    def _taken(self, vector: Array, v: Array) -> Array:
        back = self._back(vector[self._place])
        return back if self._shift is None else back + self._shift * v

    def _loss(self, loss_fn: LossFn) -> LossFn:
        gradients = ReturnedVector("loss_fn", "gradient", self._weights)

        def call(y: Array) -> Any:
            w = self._at(y)
            seal = Seal(w)
            returned = loss_fn(w)
            seal.require_intact("loss_fn", "w")
            if not (isinstance(returned, tuple) and len(returned) == 2):
                return returned
            gradient = gradients.checked(returned[1])
            return returned[0], self._taken(gradient, y - self.start)

        return call

    def _product(self, hvp: Hvp) -> Hvp:
        products = ReturnedVector("hvp", "product", self._weights)
        whole = self._weights.copy()

        def call(y: Array, v: Array) -> Array:
            whole[:] = 0
            whole[self._place] = self._out(v)
            w = self._at(y)
            seals = {"w": Seal(w), "v": Seal(whole)}
            returned = hvp(w, whole)
            for name, seal in seals.items():
                seal.require_intact("hvp", name)
            return self._taken(products.checked(returned), v)

        return call


def in_metric(point: Point, metric: Preconditioner) -> Point:
    """Return the point in the coordinates ``P^1/2 w``, whose Hessian is preconditioned.

    Parameters
    ----------
    point
        The point.
    metric
        A metric that `checked_metric` has returned.
    """
    root = np.sqrt(metric.values)
    scale = 1 / root

    def scaled(v: Array) -> Array:
        product: Array = scale * v
        return product

    start = point.weights * root
    return Chart(point.weights, start, scaled, scaled, shift=metric.shift).of(point)


def checked_metric(given: Any, weights: Array) -> Preconditioner:
    """Return a metric whose arrays are like the weights.

    Raises
    ------
    TypeError
        If it is no metric and no array of numbers.
    ValueError
        If it has another shape, or is not above 0.
    """
    metric = given if isinstance(given, Preconditioner) else Preconditioner(given)
    values = _vector("preconditioner", metric.values, weights)
    if not bool((values > 0).all()):
        bad = int((~(values > 0)).argmax())
        msg = (
            f"preconditioner has {float(values[bad]):g} at weight {bad}; give a "
            "diagonal above 0 for every weight"
        )
        raise ValueError(msg)
    shift = metric.shift
    if shift is not None:
        shift = _vector("preconditioner.shift", shift, weights)
    return Preconditioner(values, metric.threshold, shift, metric.name)


def _vector(name: str, given: Any, weights: Array) -> Array:
    array, _ = native(given)
    kind = getattr(getattr(array, "dtype", None), "kind", "")
    if kind not in ("f", "i", "u"):
        msg = (
            f"{name} is of type {type(given).__name__}; give a vector of "
            f"{weights.size} real numbers, or a Preconditioner"
        )
        raise TypeError(msg)
    if array.shape != weights.shape:
        msg = (
            f"{name} has shape {array.shape}; give one number for each weight, a "
            f"vector of shape {weights.shape}"
        )
        raise ValueError(msg)
    own: Array = array_module(weights).asarray(array).astype(weights.dtype)
    if not bool(np.isfinite(own).all()):
        msg = f"{name} has entries that are not finite; give finite numbers"
        raise ValueError(msg)
    return own
