"""The results along an update: critical and directional sharpness."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, ClassVar

from sharpkit.results.common import Headline, Run, plain


class CriticalStatus(enum.Enum):
    """How the search for the critical step ended; each value is advice."""

    CONVERGED = "converged: the critical step is known to one part in 16"
    NO_DESCENT = (
        "no descent: nowhere along the update did the loss fall by more than its "
        "noise; the value is a lower bound, check the update's sign (weights - step * "
        "direction), or make the loss deterministic and use float64"
    )
    NO_RISE = (
        "no rise: however long the step, the loss did not rise above that at the "
        "weights; the value is an upper bound"
    )
    BELOW_NOISE = (
        "below noise: rise and fall cannot be told from the noise of the loss near the "
        "critical step; the interval says how far it is known"
    )


@dataclass(frozen=True, repr=False)
class CriticalResult(Headline):
    """The critical sharpness along an update; ``float(result)`` is `value`.

    Attributes
    ----------
    value : float
        ``2 / step``: the curvature along the update that would make `step` the largest
        stable one. It is not the largest eigenvalue, and may be 20 times below it.
    step : float
        The critical step: the first at which ``loss(weights - step * direction)`` comes
        above the loss at the weights. Give it as ``guess=`` for the next measurement.
    bracket : (float, float)
        The steps between which it lies, as the search saw it: not above, and above.
    interval : (float, float)
        The values between which the sharpness lies, once noise is allowed for: from the
        steps at which the loss surely was above and below.
    loss : float
        The loss at the weights.
    noise : float
        The noise of the loss, by two calls at the weights, ten if they differ.
    evaluations : int
        The forward passes, those at the weights included.
    gradients : int
        The gradients that were taken: 1 where the update was not given as a vector.
    status : CriticalStatus
        How the search ended; its value is advice.
    run : Run
        How the result was obtained: calls, seconds, backend, dtype.
    """

    headline: ClassVar[str] = "critical sharpness"

    value: float
    step: float
    bracket: tuple[float, float]
    interval: tuple[float, float]
    loss: float
    noise: float
    evaluations: int
    gradients: int
    status: CriticalStatus
    run: Run

    def __float__(self) -> float:
        """Return `value`."""
        return self.value

    @property
    def error(self) -> float:
        """Half the width of `interval`."""
        return (self.interval[1] - self.interval[0]) / 2

    def __repr__(self) -> str:
        low, high = self.interval
        return "\n".join(
            [
                f"critical sharpness {self.value:.4g}  ({low:.4g} to {high:.4g})",
                f"  critical step {self.step:.4g}, loss {self.loss:.6g} (noise "
                f"{self.noise:.1g}), n = {self.n:,}",
                f"  {self.evaluations} forward passes; {self.run}",
                f"  {self.status.value}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        return _record(self)


@dataclass(frozen=True, repr=False)
class DirectionalResult(Headline):
    """The directional sharpness along an update; ``float(result)`` is `value`.

    Attributes
    ----------
    value : float
        ``d.Hd / d.g`` for the update d, which is taken off the weights. It is negative
        where the loss curves downwards, or where d leads uphill.
    stderr : float
        The error of the value, from those of the product and of the gradient.
    curvature, slope : float
        ``d.Hd`` and ``d.g``.
    run : Run
        How the result was obtained: products, calls, seconds, backend, dtype.
    """

    headline: ClassVar[str] = "directional sharpness"

    value: float
    stderr: float
    curvature: float
    slope: float
    run: Run

    def __float__(self) -> float:
        """Return `value`."""
        return self.value

    @property
    def error(self) -> float:
        """The error of the value."""
        return self.stderr

    def __repr__(self) -> str:
        return "\n".join(
            [
                f"directional sharpness {self.value:.6g} ± {self.stderr:.2g}",
                f"  d.Hd = {self.curvature:.4g}, d.g = {self.slope:.4g}, n = "
                f"{self.n:,}",
                f"  {self.run}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        return _record(self)


@dataclass(frozen=True, repr=False)
class NormResult(Headline):
    """A length in the space of the weights; ``float(result)`` is `value`.

    Attributes
    ----------
    value : float
        The Euclidean length.
    relative : float
        The same as a share of the length of the weights; NaN where they are zero.
    layers : dict of str to float
        The length within each layer, where the problem has layers.
    stderr : float
        The error of the value: 0 but for rounding where all is given, half the change
        between two calls where a callback is asked.
    run : Run
        How the result was obtained: calls, seconds, backend, dtype.
    """

    headline: ClassVar[str] = "length"

    value: float
    relative: float
    layers: dict[str, float]
    stderr: float
    run: Run

    def __float__(self) -> float:
        """Return `value`."""
        return self.value

    @property
    def error(self) -> float:
        """The error of the value."""
        return self.stderr

    def __repr__(self) -> str:
        lines = [
            f"{self.headline} {self.value:.6g} ± {self.error:.2g}, {self.relative:.4g} "
            f"of the weights' length, n = {self.n:,}"
        ]
        lines += [f"  {name} {length:.4g}" for name, length in self.layers.items()]
        return "\n".join([*lines, f"  {self.run}"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        return _record(self)


class DistanceResult(NormResult):
    """The distance of the weights from their start."""

    headline = "distance from the start"


class GradientNormResult(NormResult):
    """The length of the gradient at the weights."""

    headline = "gradient norm"


def _record(result: Headline) -> dict[str, Any]:
    record = {name: each for name, each in vars(result).items() if name != "run"}
    if "status" in record:
        record["status"] = record["status"].name
    return {**plain(record), **result.run.to_dict()}
