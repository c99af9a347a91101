"""The result of `sharpkit.compare`: two sides, each of one checkpoint or several."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass
from typing import Any

from sharpkit._inputs.types import Vector
from sharpkit.results.common import Drawn, Recorded, Run, finite, plain, wrapped
from sharpkit.results.report import Fit, Quantity, Report, Settings

CERTAIN = 10  # a difference of more errors than this is shown as that

Fits = tuple[Fit, ...]  # of each checkpoint of a side


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


def mean_of(quantities: list[Quantity]) -> Quantity:
    """Return the mean over several checkpoints, with what it varies by as its error.

    Parameters
    ----------
    quantities
        One number at each checkpoint that has it; at least one.
    """
    first, values = quantities[0], [each.value for each in quantities]
    words = " / ".join(dict.fromkeys(each.status for each in quantities))
    if any(each.undefined for each in quantities):
        return Quantity(first.name, first.unit, math.nan, None, words)
    error = None
    if len(values) > 1:
        error = statistics.stdev(values) / math.sqrt(len(values))
    return Quantity(first.name, first.unit, statistics.fmean(values), error, words)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Recorded, Drawn):
    """Two sides A and B of one problem side by side.

    Attributes
    ----------
    reports : (tuple of Report, tuple of Report)
        All measures of each checkpoint of A, and of B, on the first data set.
    names : (str, str)
        What A and B are called.
    fits : dict of str to (tuple of Fit, tuple of Fit)
        The loss and the accuracy of each checkpoint on each data set.
    distance : float
        The distance ``||B - A||`` of the weights, of the first checkpoints.
    paths : dict of str to Path
        The line through the first checkpoints on each data set.
    settings : Settings
        What was asked for at each checkpoint.
    complete : bool
        Whether all that was asked for has been done.
    run : Run
        How all reports were obtained, together; the line is not counted.
    """

    reports: tuple[tuple[Report, ...], tuple[Report, ...]]
    names: tuple[str, str]
    fits: dict[str, tuple[Fits, Fits]]
    distance: float
    paths: dict[str, Path]
    settings: Settings
    complete: bool

    @property
    def a(self) -> Report:
        """All measures of the first checkpoint of A."""
        return self.reports[0][0]

    @property
    def b(self) -> Report:
        """All measures of the first checkpoint of B."""
        return self.reports[1][0]

    @property
    def several(self) -> bool:
        """Whether a side has more than one checkpoint."""
        return max(map(len, self.reports)) > 1

    @property
    def finished(self) -> bool:
        """Whether anything beyond the losses has been measured."""
        measured = [each for side in self.reports for each in side]
        return bool(self.paths) or any(each.finished for each in measured)

    @property
    def run(self) -> Run:  # type: ignore[override]
        """How all reports were obtained, together; the line is not counted."""
        return Run.together(each.run for side in self.reports for each in side)

    @property
    def rows(self) -> list[Row]:
        """The table: losses and accuracies of all data sets, then the measures."""
        a, b = (self._side(index) for index in (0, 1))
        longer, other = (a, b) if len(a) >= len(b) else (b, a)
        names = [*longer, *(name for name in other if name not in longer)]
        return [Row(a.get(name), b.get(name)) for name in names]

    def _side(self, index: int) -> dict[str, Quantity]:
        """Return the numbers of one side by name, means where there are several."""
        single, found = len(self.fits) == 1, dict[str, list[Quantity]]()
        for place, report in enumerate(self.reports[index]):
            fits = [
                quantity
                for data, sides in self.fits.items()
                for quantity in sides[index][place].quantities("" if single else data)
            ]
            for each in [*fits, *report.measured()]:
                found.setdefault(each.name, []).append(each)
        return {
            name: mean_of(each) if self.several else each[0]
            for name, each in found.items()
        }

    @property
    def header(self) -> tuple[str, str, str, str, str]:
        """The titles of the table's columns."""
        unit = "in standard errors" if self.several else "in errors of measurement"
        return ("", *self.names, f"{self.names[1]} - {self.names[0]}", unit)

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
        if self.several:
            counts = " and ".join(str(len(side)) for side in self.reports)
            lines.append(
                f"means of {counts} checkpoints, with the standard errors of what "
                "varies between them; the distance is that of the first"
            )
            if min(map(len, self.reports)) == 1:
                lines.append(
                    "a side of one checkpoint has no standard error: give at least two "
                    "of each"
                )
        else:
            lines.append(
                "one pair decides nothing about how they were trained: another seed "
                "may differ by more than errors of measurement; give several "
                "checkpoints of each"
            )
        if self._within_reach():
            lines.append(
                "the sharpness differs by no more than the searches may have missed: "
                f"search more often (repeats={2 * self.settings.repeats})"
            )
        if self.complete and len(self.paths) < len(self.fits):
            lines.append("the time budget ended before the line was taken")
        if not self.complete:
            lines.append("not complete: it was stopped, or is still going on")
        return lines

    def _within_reach(self) -> bool:
        """Whether the searches may have missed what the sharpness differs by."""
        a, b = self.a.sharpness, self.b.sharpness
        if a is None or b is None or self.several:
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
        notes = [line for note in self.notes() for line in wrapped(note)]
        return "\n".join([*lines, *notes])

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
                data: {"a": one[0].to_dict(), "b": other[0].to_dict()}
                for data, (one, other) in self.fits.items()
            },
            "paths": {data: path.to_dict() for data, path in self.paths.items()},
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
        } | {
            f"more_{side}": [each.to_dict() for each in reports[1:]]
            for side, reports in zip(("a", "b"), self.reports, strict=True)
            if self.several
        }
