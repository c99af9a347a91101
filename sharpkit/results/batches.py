"""The results of measures that look at batches, or at samples one by one."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, ClassVar

from sharpkit._spectrum.estimate import History
from sharpkit.results.common import Headline, Run, plain


class SamplingStatus(enum.Enum):
    """How an estimate over samples ended; each value is advice to the user."""

    CONVERGED = "converged: the standard error is within the tolerance"
    BUDGET = "budget: the batches ran out first; allow more for a smaller error"
    COMPLETE = "complete: all batches asked for were taken; see the error"
    EXACT = (
        "exact: all samples were taken; only rounding, and the error of products, is "
        "left"
    )


class Estimate(Headline):
    """What estimates over samples share: a value, its error and its interval."""

    value: float
    stderr: float
    interval: tuple[float, float]
    status: SamplingStatus

    def __float__(self) -> float:
        """Return `value`."""
        return self.value

    @property
    def error(self) -> float:
        """The standard error of the value."""
        return self.stderr

    def _lines(self, what: str) -> str:
        low, high = self.interval
        return "\n".join(
            [
                f"{self.headline} {self.value:.6g} ± {self.stderr:.2g}  (95 %: "
                f"{low:.6g} to {high:.6g})",
                f"  {what}, n = {self.n:,}",
                f"  {self.run}",
                f"  {self.status.value}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        own = {name: value for name, value in vars(self).items() if name != "run"}
        own["status"] = self.status.name
        return {**plain(own), **plain(self.run.to_dict())}


@dataclass(frozen=True, repr=False)
class BatchSharpnessResult(Estimate):
    """The batch sharpness and how it was obtained; ``float(result)`` is `value`.

    Attributes
    ----------
    value : float
        The mean over batches of the curvature along their gradients.
    stderr : float
        The standard error of the value: the batches' spread, and the error of products.
        It is 0 where one batch holds all samples and products are exact.
    interval : (float, float)
        The interval that holds the expectation with a probability of about 95 %.
    status : SamplingStatus
        How the estimate ended; its value is advice.
    batch_size, samples : int
        The samples of a batch, and those there are.
    batches : int
        The batches that were drawn.
    flat : int
        Those of them whose gradient is zero, which are left out.
    history : tuple of (batches, value, stderr)
        The estimates on the way, the last one included.
    run : Run
        How the result was obtained: products, calls (each of one batch), seconds.
    """

    headline: ClassVar[str] = "batch sharpness"

    value: float
    stderr: float
    interval: tuple[float, float]
    status: SamplingStatus
    batch_size: int
    samples: int
    batches: int
    flat: int
    history: History
    run: Run

    def __repr__(self) -> str:
        left_out = f", {self.flat} without a gradient" if self.flat else ""
        return self._lines(
            f"{self.batches} batches of {self.batch_size} of {self.samples:,} samples"
            f"{left_out}"
        )


@dataclass(frozen=True, repr=False)
class GradientNoiseResult(Estimate):
    """The noise of the gradient; ``float(result)`` is `value`, the noise scale.

    Attributes
    ----------
    value : float
        The simple noise scale ``gradient_variance / gradient_norm**2``, in samples: the
        batch size at which noise and gradient are of one size. It is infinite where the
        gradient cannot be told from zero.
    stderr : float
        Its standard error; NaN where it is infinite.
    interval : (float, float)
        The interval that holds it with a probability of about 95 %.
    gradient_norm : float
        The norm of the gradient of the loss over all samples.
    gradient_norm_stderr : float
        Its standard error, to first order; 0 where all samples were taken.
    gradient_norm_interval : (float, float)
        The interval that holds the norm with a probability of about 95 %, that of its
        square: it counts where the norm is not well above its error.
    gradient_variance : float
        The trace of the covariance of the gradients of single samples.
    gradient_variance_stderr : float
        Its standard error; 0 where every sample was taken.
    gradient_variance_interval : (float, float)
        The interval that holds the variance with a probability of about 95 %.
    status : SamplingStatus
        How the estimate ended; its value is advice.
    batch_size, large_batch, samples : int
        The samples of a small and of a large batch, and those there are.
    batches : int
        The small batches that were drawn.
    run : Run
        How the result was obtained: calls, seconds, backend, dtype, seed.
    """

    headline: ClassVar[str] = "gradient noise scale"

    value: float
    stderr: float
    interval: tuple[float, float]
    gradient_norm: float
    gradient_norm_stderr: float
    gradient_norm_interval: tuple[float, float]
    gradient_variance: float
    gradient_variance_stderr: float
    gradient_variance_interval: tuple[float, float]
    status: SamplingStatus
    batch_size: int
    large_batch: int
    samples: int
    batches: int
    run: Run

    def __repr__(self) -> str:
        return self._lines(
            f"gradient norm {self.gradient_norm:.4g} ± {self.gradient_norm_stderr:.1g},"
            f" variance {self.gradient_variance:.4g} ± "
            f"{self.gradient_variance_stderr:.1g}; {self.batches} batches of "
            f"{self.batch_size} and {self.large_batch} of {self.samples:,} samples"
        )


@dataclass(frozen=True, repr=False)
class FisherRaoResult(Estimate):
    """The Fisher-Rao norm and how it was obtained; ``float(result)`` is `value`.

    Attributes
    ----------
    value : float
        ``w^T F w``, the mean over samples of ``(w . grad l_i)^2``: the square of the
        norm.
    stderr : float
        The standard error of the value; 0 where all samples were taken.
    interval : (float, float)
        The interval that holds the mean over all samples with a probability of about
        95 %.
    norm : float
        The root of the value.
    method : {"forward", "gradients"}
        Where the derivatives came from: forward passes with a tangent, or the gradients
        of single samples.
    status : SamplingStatus
        How the estimate ended; its value is advice.
    samples, taken : int
        The samples that there are, and those that were looked at.
    run : Run
        How the result was obtained: calls, seconds, backend, dtype, seed.
    """

    headline: ClassVar[str] = "Fisher-Rao norm, squared"

    value: float
    stderr: float
    interval: tuple[float, float]
    norm: float
    method: str
    status: SamplingStatus
    samples: int
    taken: int
    run: Run

    def __repr__(self) -> str:
        return self._lines(
            f"norm {self.norm:.6g}, {self.taken:,} of {self.samples:,} samples by "
            f"{self.method}"
        )
