"""What an entry of a profile is, and what entries have in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sharpkit._box.box import NUMERICAL_LIMIT
from sharpkit._box.solvers import Auto
from sharpkit.measures._searches import CENTRE_EVALUATIONS
from sharpkit.measures.sharpness import DEFAULT_EVALUATIONS
from sharpkit.reports.session import Cost, Session, Work
from sharpkit.results.report import Quantity

FIRST = Auto.first  # evaluations after which a search ends if another start agrees
WHOLE = DEFAULT_EVALUATIONS - CENTRE_EVALUATIONS  # of a search; the centre is known
GRADIENTLESS = "the problem returns no gradient: return (loss, gradient)"
SAMPLELESS = (
    "the problem has no samples to choose from: give a model its data as tensors or "
    "arrays, or sharpkit.Problem(..., samples=n, subset=function)"
)


def _nothing(session: Session) -> str:
    return ""


@dataclass(frozen=True)
class Entry:
    """One measure of a profile.

    Attributes
    ----------
    name : str
        The name that is asked for, that of the public function where there is one.
    take : callable
        The function ``take(session, work) -> result``. ``work`` is what it may spend;
        None stands for no limit. A result with a ``run`` is counted.
    rows : callable
        The function ``rows(result)`` that returns the numbers of the table.
    cost : callable
        The function ``cost(session)`` that says what it takes, knowing what others have
        left.
    needs : {"", "gradient", "products", "samples"}
        What the problem must have; those that need samples need a gradient, too.
    after : str
        The measure whose result this one is made of; empty if there is none.
    lacks : callable
        The function ``lacks(session)`` that says why the measure does not apply; empty
        text if it does.
    part : callable or None
        The function ``part(session)`` that says what share of an evaluation one of its
        calls is, as one over few samples is. None stands for calls like all others.
    asked : bool
        Whether it is taken only if it is asked for by name.
    builds : tuple of str
        What it calls first of all that may have to be compiled then, as the loss was:
        each is named once, and compiled once, whichever measures call it.
    """

    name: str
    take: Callable[[Session, Work | None], Any]
    rows: Callable[[Any], list[Quantity]]
    cost: Callable[[Session], Cost] = lambda session: Cost()
    needs: Literal["", "gradient", "products", "samples"] = ""
    after: str = ""
    lacks: Callable[[Session], str] = _nothing
    part: Callable[[Session], float] | None = None
    asked: bool = False
    builds: tuple[str, ...] = ()

    def reason(self, session: Session) -> str:
        """Return why the measure cannot be taken, as far as is known beforehand."""
        found = ""
        if self.needs == "products" and not session.has_products:
            found = f"{GRADIENTLESS}, or give hvp="
        elif self.needs in ("gradient", "samples") and not session.found.differentiable:
            found = GRADIENTLESS
        elif self.needs == "samples" and not session.has_samples:
            found = SAMPLELESS
        found = found or self.lacks(session)
        return f"undefined: {found}" if found else ""


def climbable(session: Session) -> str:
    """Return why the loss cannot be climbed; empty text if it can."""
    if session.found.differentiable or session.n <= NUMERICAL_LIMIT:
        return ""
    return f"{GRADIENTLESS}, for there are more than {NUMERICAL_LIMIT} weights"


def number(label: str, unit: str = "") -> Callable[[Any], list[Quantity]]:
    """Return the function that makes one row of a result: its headline."""
    return lambda result: [quantity(label, result, unit)]


def quantity(label: str, result: Any, unit: str = "") -> Quantity:
    """Return the headline of a result under a name, with its error if it is known."""
    status = getattr(result, "status", None)
    error = None if math.isnan(result.error) else result.error
    word = "" if status is None else status_word(status)
    return Quantity(label, unit, float(result), error, word)


def itself(result: Quantity) -> list[Quantity]:
    """Return the one row that a result is."""
    return [result]


def status_word(status: Any) -> str:
    """Return a status in words, as the table shows it."""
    return str(status.name).lower().replace("_", " ")
