"""The result of `sharpkit.compare`: two points of one problem side by side."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from sharpkit._inputs.types import Vector
from sharpkit.results.common import Drawn, Recorded, Run, finite, plain
from sharpkit.results.report import Fit, Quantity, Report

CERTAIN = 1000  # a difference of more errors than this is shown as that


@dataclass(frozen=True)
class Row:
    """One quantity of both points.

    Attributes
    ----------
    a, b : Quantity or None
        The quantity at A and at B; None where it has not been measured.
    """

    a: Quantity | None
    b: Quantity | None

    @property
    def known(self) -> Quantity:
        """Whichever there is: for the name and the unit."""
        found = self.a or self.b
        assert found is not None  # a row is made of at least one
        return found

    @property
    def difference(self) -> float | None:
        """B - A, in the unit of the row: of per cent, points."""
        if self.a is None or self.b is None or self.a.undefined or self.b.undefined:
            return None
        return self.b.value - self.a.value

    @property
    def error(self) -> float | None:
        """``sqrt(a.error^2 + b.error^2)``; None where one is unknown or infinite."""
        if self.a is None or self.b is None:
            return None
        if self.a.error is None or self.b.error is None:
            return None
        error = math.hypot(self.a.error, self.b.error)
        return error if math.isfinite(error) else None

    @property
    def errors(self) -> float | None:
        """The difference in units of its error; None where that is 0 or unknown."""
        difference, error = self.difference, self.error
        if difference is None or not error or not math.isfinite(difference):
            return None
        return difference / error

    def statuses(self) -> list[str]:
        """Return how A and B ended, one word where it is the same."""
        words = [each.status for each in (self.a, self.b) if each is not None]
        return list(dict.fromkeys(filter(None, words)))

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return label, A, B, difference, and that in units of its error, as text."""
        shown = ["" if each is None else str(each) for each in (self.a, self.b)]
        if self.difference is None:
            return self.known.label, shown[0], shown[1], "", ""
        errors = "exact" if self.error == 0 else "unknown"
        if self.errors is not None:
            errors = f"{self.errors:+.1f}"
            if abs(self.errors) >= CERTAIN:
                errors = f"> {CERTAIN}" if self.errors > 0 else f"< -{CERTAIN}"
        return self.known.label, shown[0], shown[1], f"{self.difference:+.4g}", errors

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        sides = {
            side: None
            if found is None
            else {
                "value": plain(found.value),
                "error": plain(found.error),
                "status": found.status,
            }
            for side, found in (("a", self.a), ("b", self.b))
        }
        numbers = (self.difference, self.error, self.errors)
        names = ("difference", "difference_error", "difference_in_errors")
        known = self.known
        return (
            {"name": known.name, "unit": known.unit}
            | sides
            | {name: plain(number) for name, number in zip(names, numbers, strict=True)}
        )


@dataclass(frozen=True, eq=False)
class Path:
    """Loss and accuracy of one data set on the line ``(1 - alpha) A + alpha B``.

    Attributes
    ----------
    alpha, loss : (m,) float64
        The places on the line, and the loss there, which is not finite where the model
        is not.
    accuracy : (m,) float64 or None
        The share of right answers, from 0 to 1; None where there is none.
    """

    alpha: Vector
    loss: Vector
    accuracy: Vector | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        share = None if self.accuracy is None else plain(self.accuracy.tolist())
        return {
            "alpha": self.alpha.tolist(),
            "loss": plain(self.loss.tolist()),
            "accuracy": share,
        }


@dataclass(frozen=True)
class Settings:
    """What `sharpkit.compare` was asked for.

    Attributes
    ----------
    epsilon : float
        The size of the box of the sharpness.
    repeats : int
        The number of searches for the sharpness.
    measures : tuple of str
        The names of the measures.
    k : int
        The number of eigenvalues.
    seed : int
        The seed of all random vectors.
    """

    epsilon: float
    repeats: int
    measures: tuple[str, ...]
    k: int
    seed: int


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Recorded, Drawn):
    """Two points A and B of one problem side by side.

    Attributes
    ----------
    a, b : Report
        All measures of each, on the first data set.
    names : (str, str)
        What A and B are called.
    fits : dict of str to (Fit, Fit)
        The loss and the accuracy of A and B on each data set.
    distance : float
        The distance ``||B - A||`` of the weights.
    paths : dict of str to Path
        The line through both points on each data set.
    settings : Settings
        What was asked for.
    complete : bool
        Whether all that was asked for has been done.
    run : Run
        How both reports were obtained, together; the line is not counted.
    """

    a: Report
    b: Report
    names: tuple[str, str]
    fits: dict[str, tuple[Fit, Fit]]
    distance: float
    paths: dict[str, Path]
    settings: Settings
    complete: bool

    @property
    def run(self) -> Run:  # type: ignore[override]
        """How both reports were obtained, together; the line is not counted."""
        return Run.together([self.a.run, self.b.run])

    @property
    def rows(self) -> list[Row]:
        """The table: losses and accuracies of all data sets, then the measures."""
        single = len(self.fits) == 1
        sides: list[dict[str, Quantity]] = []
        for index, report in enumerate((self.a, self.b)):
            found = [
                quantity
                for data, pair in self.fits.items()
                for quantity in pair[index].quantities("" if single else data)
            ]
            sides.append({each.name: each for each in [*found, *report.measured()]})
        a, b = sides
        longer, other = (a, b) if len(a) >= len(b) else (b, a)
        names = [*longer, *(name for name in other if name not in longer)]
        return [Row(a.get(name), b.get(name)) for name in names]

    @property
    def header(self) -> tuple[str, str, str, str, str]:
        """The titles of the table's columns."""
        return ("", *self.names, f"{self.names[1]} - {self.names[0]}", "in errors")

    def notes(self) -> list[str]:
        """Return the distance and how each search or estimate ended, as lines."""
        a, b = self.names
        measured = next(iter(self.fits))
        on = "" if len(self.fits) == 1 else f"; measured on {measured}"
        lines = [f"distance of {a} and {b} {self.distance:.6g}, n = {self.a.n:,}{on}"]
        ended = [
            f"{row.known.name} {' / '.join(words)}"
            for row in self.rows
            if (words := row.statuses())
        ]
        if ended:
            lines.append(f"how each ended: {', '.join(ended)}")
        if self._within_reach():
            lines.append(
                "the sharpness differs by no more than the searches may have missed: "
                f"search more often (repeats={2 * self.settings.repeats})"
            )
        if not self.complete:
            lines.append("not complete: it was stopped, or is still going on")
        return lines

    def _within_reach(self) -> bool:
        """Whether the searches may have missed what the sharpness differs by."""
        a, b = self.a.sharpness, self.b.sharpness
        if a is None or b is None:
            return False
        missed = [each.missing.above(each.value) for each in (a, b) if each.missing]
        return 0 < abs(b.value - a.value) <= math.hypot(*missed)

    def __repr__(self) -> str:
        table = [self.header, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for first, *rest in table:
            cells = [first.ljust(widths[0])]
            cells += [
                cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join([*lines, *(f"  {note}" for note in self.notes())])

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite.

        Accuracies in ``fits`` and ``paths`` are shares, from 0 to 1; in ``rows`` they
        are in the unit named there.
        """
        return {
            "names": list(self.names),
            "complete": self.complete,
            "settings": plain(asdict(self.settings)),
            "rows": [row.to_dict() for row in self.rows],
            "distance": finite(self.distance),
            "fits": {
                data: {"a": one.to_dict(), "b": other.to_dict()}
                for data, (one, other) in self.fits.items()
            },
            "paths": {data: path.to_dict() for data, path in self.paths.items()},
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
        }
