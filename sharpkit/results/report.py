"""The result of `measure` and `profile`: all measures of one point, in a table."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sharpkit._inputs.files import replacing
from sharpkit._inputs.types import Path as PathLike
from sharpkit.results.common import Drawn, Recorded, Run, finite, plain, wrapped
from sharpkit.results.density import DensityResult
from sharpkit.results.eigen import EigenResult
from sharpkit.results.sharpness import SharpnessResult
from sharpkit.results.trace import TraceResult

FAILED = "failed: "  # so begins the reason of a measure that raised


class Quantity(NamedTuple):
    """A number of a table.

    Attributes
    ----------
    name, unit : str
        What the number is, and its unit; empty where it has none.
    value : float
        The number.
    error : float or None
        The error of the number: 0 where it is exact, None where it is not known.
    status : str
        How the search or the estimate ended; empty where there was none.
    """

    name: str
    unit: str
    value: float
    error: float | None
    status: str = ""

    @property
    def label(self) -> str:
        """Name and unit."""
        return f"{self.name}, {self.unit}" if self.unit else self.name

    @property
    def undefined(self) -> bool:
        """Whether there is no such number: it is NaN, and nothing is known of it."""
        return math.isnan(self.value) and self.error is None

    def __str__(self) -> str:
        value, error = self.value, self.error
        if self.undefined:
            return self.status.partition(":")[0] or "undefined"
        if not error:
            return f"{value:.6g}"
        digits = 1 - math.floor(math.log10(error)) if math.isfinite(error) else -1
        if math.isfinite(error) and 1e-3 <= abs(value) < 1e6:
            if digits < 6 - math.log10(abs(value)):
                value, error = round(value, digits), round(error, digits)
                digits = max(digits, 0)
                return f"{value:.{digits}f} ± {error:.{digits}f}"
        figures = 6
        if value and math.isfinite(value + error):
            figures = math.floor(math.log10(abs(value))) + digits + 1
        return f"{value:.{min(max(figures, 1), 6)}g} ± {error:.1g}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        return {name: plain(value) for name, value in self._asdict().items()}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Quantity:
        """Return the number of which `to_dict` has made the record."""
        value = math.nan if record["value"] is None else record["value"]
        return cls(**record | {"value": value})


@dataclass(frozen=True)
class Fit:
    """How well some weights fit one data set.

    Attributes
    ----------
    loss, noise : float
        The loss, and what repeated calls, rounding, and noise near the weights change
        of it.
    accuracy : float or None
        The share of right answers, from 0 to 1; None where there is none.
    samples : int or None
        The number of samples that the accuracy is a share of, where it is known.
    """

    loss: float
    noise: float
    accuracy: float | None
    samples: int | None

    def quantities(self, data: str = "") -> list[Quantity]:
        """Return loss and accuracy (per cent) with their errors.

        That of the accuracy p is binomial, ``sqrt(p (1 - p) / samples)``, as if the
        samples were drawn anew; unknown without their number.
        """
        where = f" ({data})" if data else ""
        found = [Quantity(f"loss{where}", "", self.loss, self.noise)]
        if self.accuracy is not None:
            p, error = self.accuracy, None
            if self.samples is not None:
                error = 100 * math.sqrt(p * (1 - p) / self.samples)
            found.append(Quantity(f"accuracy{where}", "%", 100 * p, error))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON."""
        return {name: plain(value) for name, value in asdict(self).items()}


class Taken(NamedTuple):
    """One measure of a report: what it found, or why it has no value, and its cost.

    Attributes
    ----------
    name : str
        The name of the measure.
    quantities : tuple of Quantity
        The numbers that it found.
    reason : str
        Why there are none; empty where there are.
    calls, products : int
        The calls of the callback, products included, and the products with the Hessian.
    seconds : float
        The wall time.
    record : dict or None
        The full result as plain Python values.
    """

    name: str
    quantities: tuple[Quantity, ...] = ()
    reason: str = ""
    calls: int = 0
    products: int = 0
    seconds: float = 0.0
    record: dict[str, Any] | None = None

    @property
    def shown(self) -> tuple[Quantity, ...]:
        """The numbers of the table: one that is none says why."""
        if not self.reason:
            return self.quantities
        return (Quantity(self.name.replace("_", " "), "", math.nan, None, self.reason),)

    @property
    def cost(self) -> str:
        """The cost in words, empty where there was none."""
        if not self.calls:
            return ""
        did = f"{self.products} products" if self.products else f"{self.calls} calls"
        digits = 2 if self.seconds < 10 else 0
        return f"{did}, {self.seconds:.{digits}f} s"

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON, without the full result."""
        found = self._asdict() | {"quantities": [q.to_dict() for q in self.quantities]}
        del found["record"]
        return found


@dataclass(frozen=True)
class Settings:
    """What a report was asked for.

    Attributes
    ----------
    epsilon : float
        The size of the box of the sharpness.
    repeats : int
        The number of searches for the sharpness, at most.
    measures : tuple of str
        The names of the measures.
    k : int
        The number of eigenvalues.
    seed : int
        The seed of all random vectors.
    max_evaluations : int or None
        What all measures together may cost, in evaluations of loss and gradient.
    time_budget : float or None
        The seconds that they may take.
    """

    epsilon: float
    repeats: int
    measures: tuple[str, ...]
    k: int
    seed: int
    max_evaluations: int | None = None
    time_budget: float | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Report(Recorded, Drawn):
    """All measures of one point in a table, each with its error and its cost.

    Attributes
    ----------
    fit : Fit
        The loss and the accuracy.
    norm : float
        The Euclidean norm of the weights.
    run : Run
        How the report was obtained, all measures together.
    settings : Settings
        What was asked for.
    taken : tuple of Taken
        The measures, in the order of the table.
    results : dict of str to result
        The full result of each measure by its name; empty where the report was read
        from a file.
    complete : bool
        Whether all measures have been seen to; not so while it goes on, and after an
        interrupt.
    """

    fit: Fit
    norm: float
    run: Run
    settings: Settings
    taken: tuple[Taken, ...] = ()
    results: dict[str, Any] = field(default_factory=dict)
    complete: bool = False

    @property
    def finished(self) -> bool:
        """Whether at least one measure has a value."""
        return any(each.quantities for each in self.taken)

    @property
    def loss(self) -> float:
        """The loss."""
        return self.fit.loss

    @property
    def accuracy(self) -> float | None:
        """The accuracy, from 0 to 1, where the problem gives one."""
        return self.fit.accuracy

    @property
    def sharpness(self) -> SharpnessResult | None:
        """The result of all searches for the sharpness, if there is one."""
        return self.results.get("sharpness")

    @property
    def eigenvalues(self) -> EigenResult | None:
        """The largest eigenvalues of the Hessian, if there are any."""
        return self.results.get("eigenvalues")

    @property
    def trace(self) -> TraceResult | None:
        """The trace of the Hessian, if there is one."""
        return self.results.get("trace")

    @property
    def spectral_density(self) -> DensityResult | None:
        """The density of the Hessian's eigenvalues, if there is one."""
        return self.results.get("spectral_density")

    @property
    def undefined(self) -> dict[str, str]:
        """Why a measure has no value at this point, by its name."""
        return {each.name: each.reason for each in self.taken if each.reason}

    @property
    def failed(self) -> bool:
        """Whether a measure has no value because the loss or its product raised."""
        return any(reason.startswith(FAILED) for reason in self.undefined.values())

    @property
    def sharpness_values(self) -> tuple[float, ...]:
        """The sharpness that each search found, in per cent."""
        return tuple((self.record("sharpness") or {}).get("repeats", ()))

    @property
    def sharpness_error(self) -> float:
        """Per cent: `SharpnessResult.error`, or the repeats' deviation if larger.

        Each repeat is a lower bound, and so is their largest. The error has what the
        repeats together may have missed, where that is known. NaN without a sharpness.
        """
        error = self.quantity("sharpness").error
        return math.nan if error is None else error

    def record(self, name: str) -> dict[str, Any] | None:
        """Return the full result of a measure as plain values, None where none is."""
        return next((each.record for each in self.taken if each.name == name), None)

    def quantity(self, name: str) -> Quantity:
        """Return the first number of a measure, an undefined one where there is none.

        Parameters
        ----------
        name
            The name of the measure.
        """
        none = Quantity(name, "", math.nan, None)
        found = [q for each in self.taken if each.name == name for q in each.shown]
        return [*found, none][0]

    def measured(self) -> list[Quantity]:
        """Return what the measures found, with errors, and the norm of the weights."""
        found = [quantity for each in self.taken for quantity in each.shown]
        return [*found, Quantity("norm", "", self.norm, 0.0)]

    def __repr__(self) -> str:
        rows = [(row, "") for row in self.fit.quantities()]
        for each in self.taken:
            found = enumerate(each.quantities)
            rows += [(q, "" if i else each.cost) for i, q in found]
        rows.append((Quantity("norm", "", self.norm, 0.0), ""))
        cells = [
            (row.label, "" if row.undefined else str(row), cost, row.status)
            for row, cost in rows
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [f"report of n = {self.n:,} weights"]
        for line in cells:
            padded = [cell.ljust(w) for cell, w in zip(line, widths, strict=True)]
            lines.append("  " + "  ".join(padded).rstrip())
        lines += self._valueless()
        if len(self.sharpness_values) > 1:
            low, high = min(self.sharpness_values), max(self.sharpness_values)
            count = len(self.sharpness_values)
            lines.append(f"  {count} searches reached {low:.4g} to {high:.4g} %")
        notes = [line for note in self._notes() for line in wrapped(note)]
        return "\n".join([*lines, *notes])

    def _valueless(self) -> list[str]:
        """Return lines of the measures without a value, under their reasons."""
        reasons: dict[str, list[str]] = {}
        for name, reason in self.undefined.items():
            reasons.setdefault(reason, []).append(name.replace("_", " "))
        lines = []
        for reason, names in reasons.items():
            lines += wrapped(f"{', '.join(names)}: {reason}")
        return lines

    def _notes(self) -> list[str]:
        spent = f"{self.calls} calls and {self.products} products in all"
        notes = [f"{spent}, {self.seconds:.3g} s"]
        if not self.complete:
            done = {each.name for each in self.taken}
            left = [
                n.replace("_", " ") for n in self.settings.measures if n not in done
            ]
            more = f"; not begun: {', '.join(left)}" if left else ""
            notes.append(f"not complete: it was stopped, or is still going on{more}")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite.

        The full result of each measure stands under its name, its cost in the table
        ``"taken"``.
        """
        record: dict[str, Any] = {
            **self.fit.to_dict(),
            "norm": finite(self.norm),
            "sharpness_values": list(self.sharpness_values),
            "sharpness_error": finite(self.sharpness_error),
            "run": self.run.to_dict(),
            "settings": plain(asdict(self.settings)),
            "complete": self.complete,
            "undefined": self.undefined,
            "taken": [each.to_dict() for each in self.taken],
        }
        names = ("sharpness", "eigenvalues", "trace", "spectral_density")
        return (
            record
            | dict.fromkeys(names)
            | {each.name: each.record for each in self.taken}
        )

    def save(self, path: PathLike) -> None:
        """Write the report as JSON, so that a crash leaves the old or the new file.

        Parameters
        ----------
        path
            The file.
        """
        with replacing(Path(path)) as part:
            part.write_text(json.dumps(self.to_dict(), indent=1, allow_nan=False))

    @classmethod
    def load(cls, path: PathLike) -> Report:
        """Return a report that `save` has written: all but the full `results`.

        Parameters
        ----------
        path
            The file.

        Raises
        ------
        ValueError
            If the file holds no report.
        """
        try:
            found = json.loads(Path(path).read_text())
            return cls._from_dict(found)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"path={str(path)!r} holds no report; give a file that save() wrote"
            raise ValueError(msg) from error

    @classmethod
    def _from_dict(cls, found: dict[str, Any]) -> Report:
        def taken(each: dict[str, Any]) -> Taken:
            quantities = tuple(map(Quantity.from_dict, each["quantities"]))
            record = found[each["name"]]
            return Taken(**each | {"quantities": quantities, "record": record})

        settings = found["settings"]
        fit = {name: found[name] for name in ("loss", "noise", "accuracy", "samples")}
        return cls(
            fit=Fit(**fit),
            norm=math.nan if found["norm"] is None else found["norm"],
            run=Run(**found["run"]),
            settings=Settings(**settings | {"measures": tuple(settings["measures"])}),
            taken=tuple(map(taken, found["taken"])),
            complete=found["complete"],
        )
