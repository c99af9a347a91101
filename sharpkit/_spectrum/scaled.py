"""Operators of extreme scale, divided by a power of two so that squares stay in range.

Norms and inner products square what they are given: beyond some 1e±154 float64 has no
squares, and estimators take fourth powers. A power of two changes no digit, so that
results are the same bits wherever nothing was lost.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from sharpkit._inputs.types import Array, Report
from sharpkit._spectrum.estimate import DiagonalEstimate, TraceEstimate
from sharpkit._spectrum.operators import Operator

Number = TypeVar("Number", float, Array)


class Scaled:
    """An operator divided by a factor that its first product other than 0 decides.

    Parameters
    ----------
    operator
        The operator as it is.
    factor
        The factor, where it has been decided before.

    Attributes
    ----------
    original : Operator
        The operator as it was.
    factor : float
        A power of two: 1 unless entries of that product are beyond some 1e±30.
    """

    def __init__(self, operator: Operator, factor: float | None = None) -> None:
        self.original, self.space = operator, operator.space
        self.products, self.source = operator.products, operator.source
        self.error, self.drift, self.factor = operator.error, operator.drift, 1.0
        self._chosen = False
        if factor is not None:
            self._take(factor)

    @property
    def calls(self) -> int:
        """How often the callback was called."""
        return self.original.calls

    @property
    def seconds(self) -> float:
        """The seconds that were spent inside the callback."""
        return self.original.seconds

    def apply(self, v: Array, out: Array) -> None:
        """``out = A v / factor``."""
        try:
            self.original.apply(v, out)
        finally:
            self.products = self.original.products
        if not self._chosen:
            self._choose(out)
        if self.factor != 1:
            self.space.scale(out, 1 / self.factor)

    def error_along(self, v: Array) -> float:
        """Return an estimate of ``||computed - A v|| / factor`` for unit v."""
        return self.original.error_along(v) / self.factor

    def fresh(self) -> Scaled:
        """Return the same operator with all counts at 0."""
        return Scaled(self.original.fresh())

    def reported(self, report: Report) -> Report:
        """Return a report that is told of values of the operator as it was."""
        return lambda products, value: report(products, value * self.factor)

    def restored(self, value: Number) -> Number:
        """Return what a value, or values, are of the operator as it was.

        Raises
        ------
        ValueError
            If they are beyond the range of float64.
        """
        if self.factor == 1:
            return value
        found = value * self.factor  # Python's floats, and CuPy, overflow in silence
        if not bool(np.all(abs(found) < np.inf)):
            msg = (
                "the result is beyond the range of float64; divide the loss by a large "
                "number, such as 1e100"
            )
            raise ValueError(msg)
        return found

    def trace(self, found: TraceEstimate) -> TraceEstimate:
        """Return an estimate of the trace for the operator as it was."""
        history = tuple(
            (products, self.restored(value), self.restored(stderr))
            for products, value, stderr in found.history
        )
        value, stderr = (self.restored(each) for each in found[:2])
        return found._replace(value=value, stderr=stderr, history=history)

    def diagonal(self, found: DiagonalEstimate) -> DiagonalEstimate:
        """Return an estimate of the diagonal for the operator as it was."""
        values, stderr = (self.restored(each) for each in found[:2])
        return found._replace(values=values, stderr=stderr)

    def _choose(self, out: Array) -> None:
        factor = self.space.power_of(out)
        if factor is not None:
            self._take(factor)

    def _take(self, factor: float) -> None:
        self.factor, self._chosen = factor, True
        self.error = self.original.error / factor
        self.drift = self.original.drift / factor
