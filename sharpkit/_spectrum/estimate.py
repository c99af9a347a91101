"""What an estimate of the spectrum is, and how it ended."""

from __future__ import annotations

import enum
from typing import NamedTuple

from sharpkit._inputs.types import Array

History = tuple[tuple[int, float, float], ...]


class SpectrumStatus(enum.Enum):
    """How an estimate of the spectrum ended; each value is advice to the user."""

    CONVERGED = "converged: the sign and size of every value is within the tolerance"
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
        "rounding, and the error of products, is left"
    )
    PRODUCT_ERROR = (
        "product error: the products themselves are less exact than the tolerance; "
        "give hvp=, use float64, or raise tol"
    )
    ROUNDING = (
        "rounding: what is not marked converged is so small beside the largest "
        "eigenvalue that rounding hides its size, perhaps its sign; use float64, or "
        "take it for zero"
    )
    ASYMMETRIC = (
        "asymmetric: the products are not those of a symmetric operator; check hvp: "
        "u.Hv must equal v.Hu"
    )


class TraceEstimate(NamedTuple):
    """What an estimator of the trace finds.

    Attributes
    ----------
    value, stderr : float
        The trace and its standard error.
    degrees : float
        The degrees of freedom of the error; infinite where it is not one of a sample.
    status : SpectrumStatus
        How the estimate ended.
    history : tuple of (products, value, stderr)
        What was known after so many products.
    """

    value: float
    stderr: float
    degrees: float
    status: SpectrumStatus
    history: History


class DiagonalEstimate(NamedTuple):
    """What an estimator of the diagonal finds.

    Attributes
    ----------
    values, stderr : (n,), of the operator's dtype
        The entries of the diagonal and their standard errors.
    degrees : float
        The degrees of freedom of the errors; infinite where they are not of a sample.
    status : SpectrumStatus
        How the estimate ended.
    """

    values: Array
    stderr: Array
    degrees: float
    status: SpectrumStatus
