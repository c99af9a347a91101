"""The result of `sharpkit.ball_sharpness`."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from sharpkit._inputs.types import Array, Vector
from sharpkit.results.common import Headline, Run, finite


class BallStatus(enum.Enum):
    """How a search of a ball ended; each value is advice to the user."""

    CONVERGED = (
        "converged: no first-order step inside the ball gains more than 1 % of the "
        "rise, and another start came within 3 % of it; the value is a lower bound, "
        "for another basin may reach higher (see ball_sharpness, Notes)"
    )
    UNCONFIRMED = (
        "unconfirmed: the search converged, but no other start came within 3 % of it; "
        "allow more evaluations (max_evaluations), or try another seed"
    )
    BUDGET = (
        "budget: the search ended before it had converged; the value is a lower bound, "
        "allow more evaluations (max_evaluations), or try another seed, to tighten it"
    )
    ONE_STEP = (
        "one step: the rise after one step along the gradient, as training with SAM "
        "takes it; the maximum may be higher (method='search')"
    )
    FLAT = (
        "flat: the loss rose nowhere that was looked at; check that the weights are "
        "those the loss uses and, if adaptive, not all 0; raise radius, or, for one "
        "step where the gradient is 0, give method='search'"
    )
    BELOW_NOISE = (
        "below noise: the rise cannot be told from the noise of the loss; make the "
        "loss deterministic, use float64 without autocast or TF32, or raise radius "
        "(sharpkit.check tells more)"
    )
    WRONG_GRADIENT = (
        "wrong gradient: it is not that of the loss, so that the search went astray; "
        "the value is a lower bound, sharpkit.check tells more"
    )
    NON_FINITE = (
        "non-finite: the loss is infinite or NaN somewhere in the ball; the value is "
        "the largest finite one found, lower radius or bound the loss"
    )


@dataclass(frozen=True, eq=False, repr=False)
class BallResult(Headline):
    """The sharpness in a ball and how it was obtained; ``float(result)`` is `value`.

    Attributes
    ----------
    value : float
        The rise of the loss, ``max_loss - loss``, absolute and not in per cent: a
        lower bound of the maximum, or the rise after one step, which may be negative.
        With subsets it is the mean over them.
    stderr : float
        The standard error of that mean over all the subsets that the samples make; 0
        where all were measured, and without subsets.
    values : tuple of float
        The rise of each subset; one without them.
    loss, max_loss : float
        The loss at the weights and the largest found; means with subsets.
    displacement : (n,), of the weights' dtype, NumPy or CuPy, or None
        The step to the maximum; None with subsets, each of which has its own.
    evaluations : int
        The evaluations of loss and gradient that all searches spent, those at the
        weights included.
    history : (evaluations,) float64
        The best rise so far after each evaluation; empty with subsets.
    starts : tuple of float
        The best rise from each start of the search; empty with subsets.
    kin : tuple of bool
        Of each of these starts, whether it owes its direction to others.
    gap : float
        The first-order gain still possible inside the ball at the best point, as a
        share of the rise, the largest one of all subsets; NaN if unknown.
    noise : float
        The change of the loss that repeated calls, one rounding of it, and noise or
        kinks near the weights explain.
    status : BallStatus
        How the search ended; its value is advice.
    radius : float
        The radius.
    norm : {"l2", "linf"}
        The norm.
    adaptive : bool
        Whether steps are relative to each weight.
    method : {"search", "one_step"}
        What was done.
    subset : int or None
        The samples of each subset; None for all samples at once.
    subsets : str
        Which subsets were measured, and what was left out, in words.
    run : Run
        How the result was obtained: calls, seconds, backend, dtype, seed.
    """

    headline: ClassVar[str] = "rise of the loss in a ball"

    value: float
    stderr: float
    values: tuple[float, ...]
    loss: float
    max_loss: float
    displacement: Array | None
    evaluations: int
    history: Vector
    starts: tuple[float, ...]
    kin: tuple[bool, ...]
    gap: float
    noise: float
    status: BallStatus
    radius: float
    norm: str
    adaptive: bool
    method: str
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
        kind = "adaptive " if self.adaptive else ""
        lines = [
            f"ball sharpness {self.value:.4g} ± {self.error:.1g}",
            f"  loss {self.loss:.6g} -> {self.max_loss:.6g} in the {kind}{self.norm} "
            f"ball of radius {self.radius:g}, n = {self.n:,}",
            f"  {self.method}, {self.evaluations} evaluations, {self.run}",
        ]
        if self.subsets:
            lines.append(f"  {self.subsets}")
        if len(self.starts) > 1:
            reached = f"{min(self.starts):.4g} to {max(self.starts):.4g}"
            lines.append(f"  {len(self.starts)} starts reached {reached}")
        lines.append(f"  {self.status.value}")
        return "\n".join(lines)

    def to_dict(self, *, displacement: bool = False) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite.

        Parameters
        ----------
        displacement
            Whether the displacement, as long as the weights, is included.
        """
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        del record["run"], record["displacement"]
        record |= {
            "values": list(self.values),
            "history": self.history.tolist(),
            "starts": list(self.starts),
            "kin": list(self.kin),
            "gap": finite(self.gap),
            "status": self.status.name,
            **self.run.to_dict(),
        }
        if displacement and self.displacement is not None:
            record["displacement"] = self.displacement.tolist()
        return record
