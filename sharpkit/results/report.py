"""The result of `sharpkit.measure`: all measures of one point."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sharpkit.results.common import Drawn, Recorded, Run, finite, plain
from sharpkit.results.density import DensityResult
from sharpkit.results.eigen import EigenResult
from sharpkit.results.sharpness import SharpnessResult
from sharpkit.results.trace import TraceResult


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
            return "undefined"
        if not error:
            return f"{value:.6g}"
        digits = 1 - math.floor(math.log10(error)) if math.isfinite(error) else -1
        if 1e-3 <= abs(value) < 1e6 and 0 <= digits < 6 - math.log10(abs(value)):
            return f"{value:.{digits}f} ± {error:.{digits}f}"
        return f"{value:.6g} ± {error:.1g}"


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


@dataclass(frozen=True, eq=False, repr=False)
class Report(Recorded, Drawn):
    """All measures of one point; None where one was not asked for.

    Attributes
    ----------
    fit : Fit
        The loss and the accuracy.
    norm : float
        The Euclidean norm of the weights.
    run : Run
        How the report was obtained, all measures together.
    sharpness : SharpnessResult or None
        The result of the repeat that found the largest sharpness. Its `status` and
        what it may be `missing` are judged by all repeats.
    sharpness_values : tuple of float
        The sharpness that each repeat found, in per cent.
    eigenvalues : EigenResult or None
        The largest eigenvalues of the Hessian.
    trace : TraceResult or None
        The trace of the Hessian.
    spectral_density : DensityResult or None
        The density of the Hessian's eigenvalues.
    undefined : dict of str to str
        Why a measure that was asked for has no value at this point, by its name.
    """

    fit: Fit
    norm: float
    run: Run
    sharpness: SharpnessResult | None = None
    sharpness_values: tuple[float, ...] = ()
    eigenvalues: EigenResult | None = None
    trace: TraceResult | None = None
    spectral_density: DensityResult | None = None
    undefined: dict[str, str] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """The loss."""
        return self.fit.loss

    @property
    def accuracy(self) -> float | None:
        """The accuracy, from 0 to 1, where the problem gives one."""
        return self.fit.accuracy

    @property
    def sharpness_error(self) -> float:
        """Per cent: `SharpnessResult.error`, or the repeats' deviation if larger.

        Each repeat is a lower bound, and so is their largest. The error has what the
        repeats together may have missed, where that is known. NaN without a sharpness.
        """
        if self.sharpness is None:
            return math.nan
        values = self.sharpness_values
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        return max(spread, self.sharpness.error)

    def measured(self) -> list[Quantity]:
        """Return what the measures found, with errors, and the norm of the weights.

        Errors: `sharpness_error`, the residual of each eigenvalue, standard errors of
        the trace and of what follows from the density: the share of negative curvature,
        by size, and the mean size of an eigenvalue.
        """
        found = []
        if self.sharpness is not None:
            value, status = self.sharpness.value, _word(self.sharpness.status)
            error = self.sharpness_error
            found.append(Quantity("sharpness", "%", value, error, status))
        elif "sharpness" in self.undefined:
            why = f"undefined: {self.undefined['sharpness']}"
            found.append(Quantity("sharpness", "%", math.nan, None, why))
        if self.eigenvalues is not None:
            found += _eigenvalues(self.eigenvalues)
        if self.trace is not None:
            trace, status = self.trace, _word(self.trace.status)
            found.append(Quantity("trace", "", trace.value, trace.stderr, status))
        if self.spectral_density is not None:
            found += _density(self.spectral_density)
        return [*found, Quantity("norm", "", self.norm, 0.0)]

    def __repr__(self) -> str:
        rows = [*self.fit.quantities(), *self.measured()]
        width, reach = (
            max(map(len, cells))
            for cells in ([row.label for row in rows], [str(row) for row in rows])
        )
        lines = [f"report of n = {self.n:,} weights"]
        for row in rows:
            line = f"  {row.label:{width}}  {row!s:{reach}}  {row.status}"
            lines.append(line.rstrip())
        if len(self.sharpness_values) > 1:
            low, high = min(self.sharpness_values), max(self.sharpness_values)
            count = len(self.sharpness_values)
            lines.append(f"  {count} searches reached {low:.4g} to {high:.4g} %")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        results = (self.sharpness, self.eigenvalues, self.trace, self.spectral_density)
        names = ("sharpness", "eigenvalues", "trace", "spectral_density")
        record: dict[str, Any] = {
            **self.fit.to_dict(),
            "norm": finite(self.norm),
            "sharpness_values": list(self.sharpness_values),
            "sharpness_error": finite(self.sharpness_error),
            "run": self.run.to_dict(),
            "undefined": dict(self.undefined),
        }
        for name, result in zip(names, results, strict=True):
            record[name] = None if result is None else plain(result.to_dict())
        return record


def _eigenvalues(result: EigenResult) -> list[Quantity]:
    return [
        Quantity(
            "largest eigenvalue" if not index else f"eigenvalue {index + 1}",
            "",
            float(value),
            float(residual),
            _word(result.status) if not index else "",
        )
        for index, (value, residual) in enumerate(
            zip(result.values, result.residuals, strict=True)
        )
    ]


def _density(result: DensityResult) -> list[Quantity]:
    share, size = result.negative_share(), result.mean(np.abs)
    status = _word(result.status)
    return [
        Quantity("negative share", "%", 100 * share.value, 100 * share.stderr, status),
        Quantity("mean |eigenvalue|", "", size.value, size.stderr),
    ]


def _word(status: Any) -> str:
    return str(status.name).lower().replace("_", " ")
