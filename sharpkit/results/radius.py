"""The result of `sharpkit.flatness_radius`."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from sharpkit.results.common import Headline, Run, plain

NAMES = {
    ("average", False): "sigma",
    ("average", True): "sigma'",
    ("worst", False): "alpha",
    ("worst", True): "alpha'",
}


class RadiusStatus(enum.Enum):
    """How the search for a radius ended; each value is advice to the user."""

    CONVERGED = "converged: the interval holds the radius in about 95 of 100 runs"
    UPPER_BOUND = (
        "upper bound: the rise was found at this radius, and the last search in the "
        "box found no more than it; another basin may rise at a smaller one"
    )
    BUDGET = (
        "budget: the evaluations ran out before the radius had settled; allow more "
        "(max_evaluations)"
    )
    UNREACHED = (
        "unreached: nowhere did it rise by the target, up to scales far above those of "
        "the weights; give a smaller target, and check that the weights matter"
    )
    FLOOR = (
        "floor: the 1e-3 that is added to the magnitudes alone makes it rise by the "
        "target, so that sigma' is next to 0; use magnitude=False, or a larger target"
    )
    NON_FINITE = (
        "non-finite: before the rise came to the target, some of what was to rise was "
        "infinite or NaN; the radius is where that begins, bound the loss"
    )
    BELOW_NOISE = (
        "below noise: the target cannot be told from the noise of what is to rise; "
        "make it deterministic, or give a larger target"
    )


class Bound(NamedTuple):
    """One of the measures that are made of a radius.

    Attributes
    ----------
    value : float
        The square root of the formula over the number of samples; NaN where that is
        negative.
    interval : (float, float)
        The same at the ends of the radius's interval, in order.
    """

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, repr=False)
class RadiusResult(Headline):
    """The radius at which error or loss has risen; ``float(result)`` is `value`.

    Attributes
    ----------
    value : float
        The radius. For the worst kind it is an upper bound: a point with the rise is
        known in its box, and there may be another in a smaller one.
    interval : (float, float)
        For the average kind, what holds the radius with a probability of about 95 %;
        infinity is an end where the draws do not exclude it. For the worst kind the
        lower end is NaN, for it cannot be known, and the upper end is the value.
    kind : str
        ``"average"`` or ``"worst"``.
    magnitude : bool
        Whether the perturbation of a weight is measured by its magnitude.
    of : str
        What rises: ``"error"`` or ``"loss"``.
    target : float
        The rise above the centre.
    centre : float
        The error or the loss at the weights.
    rise : float
        The rise that was found at the radius, the mean over the draws for the average
        kind.
    noise : float
        The noise of what rises, by repeated calls and looks near the weights.
    evaluations : int
        The evaluations of loss or error, all included.
    draws : int
        The perturbations that were averaged; 0 for the worst kind.
    bounds : dict of str to Bound
        The measures that are made of the radius, by their names in the paper; those
        that end in "init" need ``start=``. Empty where the number of samples is not
        known.
    status : RadiusStatus
        How the search ended; its value is advice.
    run : Run
        How the result was obtained: calls, seconds, backend, dtype, seed.
    """

    headline: ClassVar[str] = "flatness radius"

    value: float
    interval: tuple[float, float]
    kind: str
    magnitude: bool
    of: str
    target: float
    centre: float
    rise: float
    noise: float
    evaluations: int
    draws: int
    bounds: dict[str, Bound]
    status: RadiusStatus
    run: Run

    def __float__(self) -> float:
        """Return `value`."""
        return self.value

    @property
    def error(self) -> float:
        """A quarter of the width of `interval`; NaN or infinite where that is."""
        low, high = self.interval
        return (high - low) / 4

    def __repr__(self) -> str:
        low, high = self.interval
        how = "mean" if self.kind == "average" else "largest"
        sure = "an upper bound" if math.isnan(low) else f"95 %: {low:.4g} to {high:.4g}"
        lines = [
            f"{NAMES[self.kind, self.magnitude]} {self.value:.4g}  ({sure})",
            f"  the {how} {self.of} rises from {self.centre:.4g} by {self.rise:.4g}, "
            f"asked for {self.target:g}, n = {self.n:,}",
            f"  {self.evaluations} evaluations; {self.run}",
        ]
        lines += [f"  {name} {each.value:.4g}" for name, each in self.bounds.items()]
        return "\n".join([*lines, f"  {self.status.value}"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        record = {
            name: value
            for name, value in vars(self).items()
            if name not in ("run", "status", "bounds")
        }
        record["bounds"] = {name: each._asdict() for name, each in self.bounds.items()}
        record["status"] = self.status.name
        return {**plain(record), **self.run.to_dict()}
