"""The result of `sharpkit.normalized_flatness`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit.results.common import Headline, Run, finite


@dataclass(frozen=True, repr=False)
class NormalizedFlatness(Headline):
    """The normalised flatness of a network; ``float(result)`` is `value`.

    Attributes
    ----------
    value : float
        The sum over the layers.
    stderr : float
        The standard error of the value, by that of the Hessian's diagonal.
    quantile : float
        The half width of a 95 % interval in standard errors: ``value +- quantile *
        stderr``.
    layers : dict of str to (float, float)
        The value of each layer and its standard error.
    status : SpectrumStatus
        How the estimate of the diagonal ended; its value is advice.
    method : str
        The estimator of the diagonal.
    run : Run
        How the result was obtained: products, calls, seconds, backend, dtype, seed.
    """

    headline: ClassVar[str] = "normalised flatness"

    value: float
    stderr: float
    quantile: float
    layers: dict[str, tuple[float, float]]
    status: SpectrumStatus
    method: str
    run: Run

    def __float__(self) -> float:
        """Return `value`."""
        return self.value

    @property
    def error(self) -> float:
        """The standard error of the value."""
        return self.stderr

    @property
    def interval(self) -> tuple[float, float]:
        """The interval that holds the value with a probability of about 95 %."""
        width = self.quantile * self.stderr
        return self.value - width, self.value + width

    def __repr__(self) -> str:
        low, high = self.interval
        each = [
            f"  {name}  {value:.4g} ± {error:.1g}"
            for name, (value, error) in self.layers.items()
        ]
        return "\n".join(
            [
                f"normalised flatness {self.value:.6g} ± {self.stderr:.2g}  (95 %: "
                f"{low:.6g} to {high:.6g})",
                *each,
                f"  {self.method}, n = {self.n:,}",
                f"  {self.run}",
                f"  {self.status.value}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        return {
            "value": finite(self.value),
            "stderr": finite(self.stderr),
            "quantile": self.quantile,
            "interval": [finite(end) for end in self.interval],
            "layers": {
                name: [finite(value), finite(error)]
                for name, (value, error) in self.layers.items()
            },
            "status": self.status.name,
            "method": self.method,
            **self.run.to_dict(),
        }
