"""The results of `sharpkit.trace` and `sharpkit.diagonal`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from sharpkit._spectrum.estimate import History, SpectrumStatus
from sharpkit.results.common import Ran, Run, finite


@dataclass(frozen=True, repr=False)
class TraceResult(Ran):
    """The trace of a Hessian and how it was obtained; ``float(result)`` is `value`.

    value : float
        Unbiased where all products were done; stopping at a tolerance makes it too
        small by up to a quarter of a standard error.
    stderr : float
        Standard error of the value: the probes' spread, the products' own error and
        rounding.
    interval : (float, float)
        Holds the trace with a probability of about 95 %.
    status : SpectrumStatus
        How the estimate ended; its value is advice.
    method : str
    n : int
        ``value / n`` is the mean eigenvalue.
    history : tuple of (products, value, stderr)
        The estimates on the way, the last one included, where the method makes any.
    run : Run
        Products, source, backend, dtype, seed, seconds.
    """

    value: float
    stderr: float
    interval: tuple[float, float]
    status: SpectrumStatus
    method: str
    n: int
    history: History
    run: Run

    def __float__(self) -> float:
        """Return `value`."""
        return self.value

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
            "n": self.n,
            "history": [
                [products, finite(value), finite(stderr)]
                for products, value, stderr in self.history
            ],
            **asdict(self.run),
        }


@dataclass(frozen=True, eq=False, repr=False)
class DiagonalResult(Ran):
    """The diagonal of a Hessian, entry by entry, and how it was obtained.

    values : (n,), of the weights' dtype, NumPy or CuPy
        Unbiased.
    stderr : (n,), of the weights' dtype, NumPy or CuPy
        Standard error of each value.
    quantile : float
        ``values +- quantile * stderr`` are 95 % intervals (Student's t).
    status : SpectrumStatus
        How the estimate ended; its value is advice.
    method : str
    n : int
    run : Run
        Products, source, backend, dtype, seed, seconds.
    """

    values: NDArray[Any]
    stderr: NDArray[Any]
    quantile: float
    status: SpectrumStatus
    method: str
    n: int
    run: Run

    def __repr__(self) -> str:
        low, high = float(self.values.min()), float(self.values.max())
        mean, error = float(self.values.mean()), float(self.stderr.mean())
        return "\n".join(
            [
                f"diagonal from {low:.4g} to {high:.4g}, mean {mean:.4g}; standard "
                f"error {error:.2g} on average",
                f"  {self.method}, n = {self.n:,}",
                f"  {self.run}",
                f"  {self.status.value}",
            ]
        )

    def to_dict(self, *, values: bool = False) -> dict[str, Any]:
        """Return plain Python values, ready for JSON.

        `values` and `stderr`, as long as the weights, are left out unless asked for.
        """
        record: dict[str, Any] = {
            "quantile": self.quantile,
            "status": self.status.name,
            "method": self.method,
            "n": self.n,
            **asdict(self.run),
        }
        if values:
            record["values"] = self.values.tolist()
            record["stderr"] = self.stderr.tolist()
        return record
