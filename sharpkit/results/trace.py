"""The results of `sharpkit.trace` and `sharpkit.diagonal`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sharpkit._inputs.types import Array
from sharpkit._spectrum.estimate import History, SpectrumStatus
from sharpkit.results.common import Headline, Run, finite


@dataclass(frozen=True, repr=False)
class TraceResult(Headline):
    """The trace of a Hessian and how it was obtained; ``float(result)`` is `value`.

    Attributes
    ----------
    value : float
        The trace. It is unbiased where all products were done; stopping at a tolerance
        makes it too small by up to a quarter of a standard error.
    stderr : float
        The standard error of the value: the probes' spread, the products' own error and
        rounding.
    interval : (float, float)
        The interval that holds the trace with a probability of about 95 %.
    status : SpectrumStatus
        How the estimate ended; its value is advice.
    method : str
        The estimator.
    history : tuple of (products, value, stderr)
        The estimates on the way, the last one included, where the method makes any.
    run : Run
        How the result was obtained: products, calls, seconds, backend, dtype, seed.
    """

    headline: ClassVar[str] = "trace"

    value: float
    stderr: float
    interval: tuple[float, float]
    status: SpectrumStatus
    method: str
    history: History
    run: Run

    def __float__(self) -> float:
        """Return `value`."""
        return self.value

    @property
    def error(self) -> float:
        """The standard error of the value."""
        return self.stderr

    def __repr__(self) -> str:
        low, high = self.interval
        return "\n".join(
            [
                f"trace {self.value:.6g} ± {self.stderr:.2g}  (95 %: {low:.6g} to "
                f"{high:.6g})",
                f"  {self.method}, n = {self.n:,}, mean eigenvalue "
                f"{self.value / self.n:.4g}",
                f"  {self.run}",
                f"  {self.status.value}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        return {
            "value": finite(self.value),
            "stderr": finite(self.stderr),
            "interval": [finite(end) for end in self.interval],
            "status": self.status.name,
            "method": self.method,
            "history": [
                [products, finite(value), finite(stderr)]
                for products, value, stderr in self.history
            ],
            **self.run.to_dict(),
        }


@dataclass(frozen=True, repr=False)
class RelativeFlatness(TraceResult):
    """The relative flatness of a layer; ``float(result)`` is `value`.

    All else is as in `TraceResult`: it is the trace of a Hessian in other coordinates.

    Attributes
    ----------
    shape : (int, int)
        The layer's outputs, its neurons, and the inputs of each.
    """

    headline: ClassVar[str] = "relative flatness"

    shape: tuple[int, int]

    def __repr__(self) -> str:
        rows, columns = self.shape
        low, high = self.interval
        return "\n".join(
            [
                f"relative flatness {self.value:.6g} ± {self.stderr:.2g}  (95 %: "
                f"{low:.6g} to {high:.6g})",
                f"  {self.method}, {rows:,} neurons of {columns:,} weights",
                f"  {self.run}",
                f"  {self.status.value}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        return {"shape": list(self.shape), **super().to_dict()}


@dataclass(frozen=True, eq=False, repr=False)
class DiagonalResult(Headline):
    """The diagonal of a Hessian, entry by entry, and how it was obtained.

    Attributes
    ----------
    values : (n,), of the weights' dtype, NumPy or CuPy
        The entries of the diagonal, unbiased.
    stderr : (n,), of the weights' dtype, NumPy or CuPy
        The standard error of each value.
    quantile : float
        The half width of 95 % intervals in standard errors (Student's t):
        ``values +- quantile * stderr``.
    status : SpectrumStatus
        How the estimate ended; its value is advice.
    method : str
        The estimator.
    run : Run
        How the result was obtained: products, calls, seconds, backend, dtype, seed.
    """

    headline: ClassVar[str] = "mean of the diagonal"

    values: Array
    stderr: Array
    quantile: float
    status: SpectrumStatus
    method: str
    run: Run

    def __float__(self) -> float:
        """Return the mean of the diagonal, which is that of the eigenvalues."""
        return float(self.values.mean())

    @property
    def error(self) -> float:
        """The mean of the standard errors, which bounds that of the mean."""
        return float(self.stderr.mean())

    def __repr__(self) -> str:
        low, high = float(self.values.min()), float(self.values.max())
        return "\n".join(
            [
                f"diagonal from {low:.4g} to {high:.4g}, mean {float(self):.4g}; "
                f"standard error {self.error:.2g} on average",
                f"  {self.method}, n = {self.n:,}",
                f"  {self.run}",
                f"  {self.status.value}",
            ]
        )

    def to_dict(self, *, values: bool = False) -> dict[str, Any]:
        """Return plain Python values, ready for JSON.

        Parameters
        ----------
        values
            Whether `values` and `stderr`, as long as the weights, are included.
        """
        record: dict[str, Any] = {
            "quantile": self.quantile,
            "status": self.status.name,
            "method": self.method,
            **self.run.to_dict(),
        }
        if values:
            record["values"] = self.values.tolist()
            record["stderr"] = self.stderr.tolist()
        return record
