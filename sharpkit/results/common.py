"""What all results share: the warning, and how an estimate of the spectrum ended."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass


class SharpkitWarning(UserWarning):
    """A measurement that is possible but should not be trusted as it stands."""


class SpectrumStatus(enum.Enum):
    """How an estimate of the spectrum ended; each value is advice to the user."""

    CONVERGED = "converged: every value asked for is within the tolerance"
    BUDGET = (
        "budget: the products ran out first; what is marked converged is, for the "
        "rest allow more products"
    )
    UNVERIFIED = (
        "unverified: every pair has converged, but the products ran out before it was "
        "shown that none was passed over; raise max_products"
    )
    COMPLETE = "complete: all products asked for were done; see the error"
    EXACT = (
        "exact: the operator's range was spanned before the products ran out; only "
        "rounding is left"
    )
    PRODUCT_ERROR = (
        "product error: the products themselves are less exact than the tolerance; "
        "give hvp=, use float64, or raise tol"
    )
    ASYMMETRIC = (
        "asymmetric: the products are not those of a symmetric operator; check hvp: "
        "u.Hv must equal v.Hu"
    )


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
