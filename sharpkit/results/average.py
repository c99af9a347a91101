"""The result of `sharpkit.average_sharpness`."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from sharpkit.results.common import Headline, Run, finite


class AverageStatus(enum.Enum):
    """How an average came out; each value is advice to the user."""

    CLEAR = "clear: the interval does not hold 0"
    UNCERTAIN = (
        "uncertain: the interval holds 0, so that the sign is unknown; take more "
        "samples"
    )
    BELOW_NOISE = (
        "below noise: the value cannot be told from the noise of the loss; make the "
        "loss deterministic, use float64 without autocast or TF32, or raise radius "
        "(sharpkit.check tells more)"
    )
    NON_FINITE = (
        "non-finite: the loss is infinite or NaN at some of the samples, and so there "
        "is no mean; lower radius or bound the loss"
    )


@dataclass(frozen=True, repr=False)
class AverageResult(Headline):
    """The mean rise of the loss under noise; ``float(result)`` is `value`.

    Attributes
    ----------
    value : float
        The mean rise, ``E L(w + d) - L(w)``: unbiased, absolute, and negative where
        the loss curves downwards on average. NaN where a loss is not finite.
    stderr : float
        The standard error of the value: the spread of the samples, and that of the
        subsets where only some are measured.
    interval : (float, float)
        The interval that holds the mean in about 95 of 100 runs with different seeds.
    loss, mean_loss : float
        The loss at the weights, and its mean under the noise: the low-pass filtered
        loss (LPF).
    values : tuple of float
        The mean rise of each subset; one without them.
    noise : float
        The change of the loss that repeated calls, one rounding of it, and noise or
        kinks near the weights explain.
    status : AverageStatus
        How it came out; its value is advice.
    radius : float
        The size of the noise.
    adaptive : bool
        Whether it is relative to each weight.
    distribution : {"normal", "uniform"}
        The law of the noise.
    samples : int
        The displacements d, half of them the opposites of the others.
    evaluations : int
        The evaluations that were spent, those at the weights included.
    subset : int or None
        The samples of each subset; None for all samples at once.
    subsets : str
        Which subsets were measured, and what was left out, in words.
    run : Run
        How the result was obtained: calls, seconds, backend, dtype, seed.
    """

    headline: ClassVar[str] = "mean rise of the loss"

    value: float
    stderr: float
    interval: tuple[float, float]
    loss: float
    mean_loss: float
    values: tuple[float, ...]
    noise: float
    status: AverageStatus
    radius: float
    adaptive: bool
    distribution: str
    samples: int
    evaluations: int
    subset: int | None
    subsets: str
    run: Run

    def __float__(self) -> float:
        """Return `value`."""
        return self.value

    @property
    def error(self) -> float:
        """The standard error and the noise, in squares."""
        return math.hypot(self.stderr, self.noise)

    def __repr__(self) -> str:
        low, high = self.interval
        kind = "adaptive " if self.adaptive else ""
        lines = [
            f"average sharpness {self.value:.4g} ± {self.error:.1g}  (95 %: {low:.4g} "
            f"to {high:.4g})",
            f"  loss {self.loss:.6g} -> {self.mean_loss:.6g} on average under "
            f"{kind}{self.distribution} noise of radius {self.radius:g}, "
            f"n = {self.n:,}",
            f"  {self.samples} samples, {self.evaluations} evaluations, {self.run}",
        ]
        if self.subsets:
            lines.append(f"  {self.subsets}")
        lines.append(f"  {self.status.value}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        del record["run"]
        record |= {
            "value": finite(self.value),
            "stderr": finite(self.stderr),
            "interval": [finite(end) for end in self.interval],
            "mean_loss": finite(self.mean_loss),
            "values": [finite(each) for each in self.values],
            "status": self.status.name,
        }
        return record | self.run.to_dict()
