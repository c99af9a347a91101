"""The result of `sharpkit.sharpness`."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sharpkit.results.common import finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Status(enum.Enum):
    """How a search ended; each value is advice to the user."""

    CONVERGED = (
        "converged: no first-order step inside the box gains more than 1 % of the rise"
    )
    BUDGET = (
        "budget: the evaluations ran out before the search had converged; the value is "
        "a lower bound, raise max_evaluations (or max_iter) to tighten it"
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
        "loss deterministic, use float64, or raise epsilon (sharpkit.check tells more)"
    )
    NON_FINITE = (
        "non-finite: the loss is infinite or NaN somewhere in the box; the value is "
        "the largest finite one found, lower epsilon or bound the loss"
    )


@dataclass(frozen=True)
class Subspace:
    """The random subspace of a measurement: ``columns`` of A, their law and scale."""

    columns: int
    law: str
    scale: str


@dataclass(frozen=True, eq=False, repr=False)
class SharpnessResult:
    """The sharpness of one point and how it was obtained; ``float(result)`` is `value`.

    value : float
        ``100 (max_loss - loss) / (1 + loss)``, per cent: Metric 2.1, Eq. 4. Never
        negative, and a lower bound: the maximum is searched, not proven.
    loss, max_loss : float
        The loss at the weights and the largest finite one found in the box.
    displacement : (n,), of the weights' dtype, NumPy or CuPy
        ``loss_fn(weights + displacement)`` is `max_loss`, in a subspace to rounding.
    evaluations, calls : int
        Loss-and-gradient evaluations spent, and calls of the callback (more than
        evaluations only where gradients are taken numerically).
    history : (evaluations,) float64
        The best value so far after each evaluation, per cent.
    starts : tuple of float
        The best value reached from each starting point, per cent, where any finite one
        was: their spread tells how many basins the box has.
    gap : float
        The first-order gain still possible inside the box at the best point, as a
        share of the rise: ``max_s <g, s - z> / (max_loss - loss)``; NaN if unknown.
    noise : float
        The change of the value, per cent, that repeated calls and one rounding of the
        loss explain; `check` looks for noise that no repeated call shows.
    status : Status
        How the search ended; its value is advice.
    epsilon : float
    subspace : Subspace or None
    solver, backend, dtype : str
    seed : int
    seconds, callback_seconds : float
        Wall time in total and inside the callback.
    """

    value: float
    loss: float
    max_loss: float
    displacement: NDArray[Any]
    evaluations: int
    calls: int
    history: NDArray[np.float64]
    starts: tuple[float, ...]
    gap: float
    noise: float
    status: Status
    epsilon: float
    subspace: Subspace | None
    solver: str
    backend: str
    dtype: str
    seed: int
    seconds: float
    callback_seconds: float

    def __float__(self) -> float:
        """Return `value`."""
        return self.value

    def __repr__(self) -> str:
        where = (
            "full space"
            if self.subspace is None
            else f"random subspace of {self.subspace.columns} "
            f"({self.subspace.law}, {self.subspace.scale})"
        )
        own = max(self.seconds - self.callback_seconds, 0.0)
        lines = [
            f"sharpness {self.value:.4g} %  (noise {self.noise:.1g} %)",
            f"  loss {self.loss:.6g} -> {self.max_loss:.6g} in the box of epsilon "
            f"{self.epsilon:g}, {where}, n = {self.displacement.size:,}",
            f"  {self.solver}, {self.evaluations} evaluations, seed {self.seed}, "
            f"{self.backend} {self.dtype}, {self.seconds:.2f} s "
            f"({own:.2f} s outside the loss)",
        ]
        if len(self.starts) > 1:
            reached = f"{min(self.starts):.4g} to {max(self.starts):.4g} %"
            lines.append(f"  {len(self.starts)} starts reached {reached}")
        lines.append(f"  {self.status.value}")
        return "\n".join(lines)

    def to_dict(self, *, displacement: bool = False) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite.

        The displacement, as long as the weights, is left out unless asked for.
        """
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        record["history"] = self.history.tolist()
        record["starts"] = list(self.starts)
        record["gap"] = finite(self.gap)
        record["status"] = self.status.name
        record["subspace"] = None if self.subspace is None else asdict(self.subspace)
        if displacement:
            record["displacement"] = self.displacement.tolist()
        else:
            del record["displacement"]
        return record

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the best value against the evaluations spent; return the axes."""
        from sharpkit.plot import plot_sharpness

        return plot_sharpness(self, ax)
