"""What all results share: how they were obtained."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """How an estimate of the spectrum was obtained; part of every such result.

    products : int
        Products with the operator.
    calls : int
        Calls of the callback, all included.
    source : str
        ``"hvp"``, or differences of the gradient and their step.
    product_error : float
        Estimated error of a product with a unit vector, 0 where only rounding is known.
    backend, dtype : str
    seed : int
    seconds, callback_seconds : float
        Wall time in total and inside the callback.
    """

    products: int
    calls: int
    source: str
    product_error: float
    backend: str
    dtype: str
    seed: int
    seconds: float
    callback_seconds: float

    def __str__(self) -> str:
        own = max(self.seconds - self.callback_seconds, 0.0)
        error = f" (error {self.product_error:.1g})" if self.product_error else ""
        return (
            f"{self.products} products by {self.source}{error}, seed {self.seed}, "
            f"{self.backend} {self.dtype}, {self.seconds:.2f} s ({own:.2f} s outside "
            "the callback)"
        )


class Ran:
    """What results with a `Run` share: its figures, as if they were their own."""

    run: Run

    @property
    def products(self) -> int:
        """Products with the operator."""
        return self.run.products

    @property
    def seconds(self) -> float:
        """Wall time in total."""
        return self.run.seconds

    @property
    def callback_seconds(self) -> float:
        """Wall time inside the callback."""
        return self.run.callback_seconds


def finite(number: float) -> float | None:
    """Return the number, None if it is not finite: JSON has no NaN."""
    return float(number) if math.isfinite(number) else None
