"""The result of `sharpkit.sharpness`."""

from __future__ import annotations

import enum
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from sharpkit._box.subspace import Subspace
from sharpkit._inputs.types import Array, Vector
from sharpkit.results.common import Headline, Run, finite
from sharpkit.results.missing import Missing


class Status(enum.Enum):
    """How a search ended; each value is advice to the user."""

    CONVERGED = (
        "converged: no first-order step inside the box gains more than 1 % of the "
        "rise; the value is a lower bound, for another basin may reach higher"
    )
    UNCONFIRMED = (
        "unconfirmed: the search converged, but no other start came within 3 % of it; "
        "ask for more evaluations (max_evaluations) or more searches (repeats)"
    )
    BUDGET = (
        "budget: the evaluations ran out before the search had converged; the value is "
        "a lower bound, allow more evaluations (or iterations) to tighten it"
    )
    STALLED = (
        "stalled: the solver stopped by itself where the loss can still rise; the "
        "value is a lower bound, use solver='auto'"
    )
    FLAT = (
        "flat: the loss rose nowhere in the box; check that the weights are those the "
        "loss uses, or raise epsilon"
    )
    BELOW_NOISE = (
        "below noise: the rise cannot be told from the noise of the loss; make the "
        "loss deterministic, use float64 without autocast or TF32, or raise epsilon "
        "(sharpkit.check tells more)"
    )
    WRONG_GRADIENT = (
        "wrong gradient: it is not that of the loss, so that the search went astray; "
        "the value is a lower bound, sharpkit.check tells more"
    )
    NON_FINITE = (
        "non-finite: the loss is infinite or NaN somewhere in the box; the value is "
        "the largest finite one found, lower epsilon or bound the loss"
    )


@dataclass(frozen=True, eq=False, repr=False)
class SharpnessResult(Headline):
    """The sharpness of one point and how it was obtained; ``float(result)`` is `value`.

    Attributes
    ----------
    value : float
        The sharpness, ``100 (max_loss - loss) / (1 + loss)``, in per cent: Metric 2.1,
        Eq. 4. It is never negative, and a lower bound: the maximum is searched, not
        proven.
    loss, max_loss : float
        The loss at the weights and the largest finite one found in the box.
    displacement : (n,), of the weights' dtype, NumPy or CuPy
        The step to the maximum: ``loss_fn(weights + displacement)`` is `max_loss`, in a
        subspace to rounding.
    evaluations : int
        The evaluations of loss and gradient that all searches spent. There are more
        `calls` only where gradients are taken numerically.
    history : (evaluations,) float64
        The best value so far after each evaluation, in per cent.
    repeats : tuple of float
        The value that each search found, in per cent; `value` is the largest.
    starts : tuple of float
        The best value reached from each starting point of the search that found
        `value`, in per cent, where any finite one was: their spread tells how many
        basins the box has.
    kin : tuple of bool
        Of each of these starts, whether it owes its direction to others (it lay between
        two of them, or came from the same gradient), so that it confirms nothing.
    outside : bool
        Whether gradients outside the box may have chosen starts: False with
        ``stay_inside=True``, where the loss cannot be evaluated there or leads down,
        and with the other solvers.
    gap : float
        The first-order gain still possible inside the box at the best point, as a
        share of the rise: ``max_s <g, s - z> / (max_loss - loss)``; NaN if unknown.
    noise : float
        The change of the value, in per cent, that repeated calls, one rounding of the
        loss, and noise or kinks near the weights explain.
    missing : Missing or None
        What searches that saw the same have missed: calibrated on boxes of trained
        networks, and no guarantee for others. None where nothing is known: with other
        solvers, in up to 40 dimensions, without gradients outside the box, and where
        the search met no rise, noise, a wrong gradient or what is not finite.
    status : Status
        How the search that found `value` ended; its value is advice.
    epsilon : float
        The size of the box.
    subspace : Subspace or None
        The random subspace that was searched; None for the full space.
    solver : str
        The solver and what it was asked for, in words.
    run : Run
        How the result was obtained: calls, seconds, backend, dtype, seed.
    """

    headline: ClassVar[str] = "sharpness, %"

    value: float
    loss: float
    max_loss: float
    displacement: Array
    evaluations: int
    history: Vector
    repeats: tuple[float, ...]
    starts: tuple[float, ...]
    kin: tuple[bool, ...]
    outside: bool
    gap: float
    noise: float
    missing: Missing | None
    status: Status
    epsilon: float
    subspace: Subspace | None
    solver: str
    run: Run

    def __float__(self) -> float:
        """Return `value`."""
        return self.value

    @property
    def error(self) -> float:
        """The noise of the value, and half of what it may be too low, in squares.

        That is ``value * at_most / (1 - at_most)`` with `Missing.at_most`, which 95 %
        of such searches do not exceed, and so is taken as two standard deviations.
        Where `missing` is None the noise stands alone.
        """
        lost = 0.0 if self.missing is None else self.missing.above(self.value)
        return math.hypot(self.noise, lost / 2)

    def __repr__(self) -> str:
        where = (
            "full space"
            if self.subspace is None
            else f"random subspace of {self.subspace.columns} "
            f"({self.subspace.distribution}, {self.subspace.scale})"
        )
        own = max(self.seconds - self.callback_seconds, 0.0)
        lines = [
            f"sharpness {self.value:.4g} %  (noise {self.noise:.1g} %)",
            f"  loss {self.loss:.6g} -> {self.max_loss:.6g} in the box of epsilon "
            f"{self.epsilon:g}, {where}, n = {self.n:,}",
            f"  {self.solver}, {self.evaluations} evaluations, seed {self.seed}, "
            f"{self.backend} {self.dtype}, {self.seconds:.2f} s "
            f"({own:.2f} s outside the callback)",
        ]
        if len(self.repeats) > 1:
            reached = f"{min(self.repeats):.4g} to {max(self.repeats):.4g} %"
            lines.append(f"  {len(self.repeats)} searches reached {reached}")
        if len(self.starts) > 1:
            reached = f"{min(self.starts):.4g} to {max(self.starts):.4g} %"
            lines.append(f"  {len(self.starts)} starts reached {reached}")
        if self.missing is not None:
            lines.append(f"  {self.missing}")
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
            "history": self.history.tolist(),
            "repeats": list(self.repeats),
            "starts": list(self.starts),
            "kin": list(self.kin),
            "gap": finite(self.gap),
            "missing": None if self.missing is None else asdict(self.missing),
            "status": self.status.name,
            "subspace": None if self.subspace is None else self.subspace.to_dict(),
            **self.run.to_dict(),
        }
        if displacement:
            record["displacement"] = self.displacement.tolist()
        return record
