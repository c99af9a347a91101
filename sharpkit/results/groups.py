"""The result of a measure taken for each group of weights, such as a layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sharpkit.results.common import finite
from sharpkit.results.eigen import EigenResult
from sharpkit.results.sharpness import SharpnessResult
from sharpkit.results.trace import TraceResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

R = TypeVar("R", bound=SharpnessResult | EigenResult | TraceResult)


@dataclass(frozen=True, eq=False, repr=False)
class GroupResults(Mapping[str, R], Generic[R]):
    """One result per group of weights, the others held fixed: a mapping by name.

    results : dict of str to SharpnessResult, EigenResult or TraceResult
    sizes : dict of str to int
        Weights in each group.
    what : str
        The number of each result, with its unit.
    """

    results: dict[str, R]
    sizes: dict[str, int]
    what: str

    def __getitem__(self, name: str) -> R:
        """Return the result of one group."""
        return self.results[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in the order given."""
        return iter(self.results)

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self.results)

    def numbers(self) -> dict[str, tuple[float, float]]:
        """Return (value, error) of each group, as `headline` has them."""
        return {name: headline(result) for name, result in self.items()}

    def __repr__(self) -> str:
        width = max(map(len, self.results))
        shown = {
            name: (f"{value:.4g}", f"± {error:.1g}")
            for name, (value, error) in self.numbers().items()
        }
        columns = [max(len(row[i]) for row in shown.values()) for i in (0, 1)]
        digits = max(len(f"{size:,}") for size in self.sizes.values())
        lines = [f"{self.what} of {len(self)} groups of weights, the others fixed"]
        for name, (value, error) in shown.items():
            lines.append(
                f"  {name:{width}}  {self.sizes[name]:>{digits},} weights  "
                f"{value:>{columns[0]}} {error:{columns[1]}}  "
                f"{self[name].status.name.lower()}"
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON: the whole result of each group.

        Beside it ``weights``, the size of the group, and ``error``.
        """
        return {
            name: {
                **result.to_dict(),
                "weights": self.sizes[name],
                "error": finite(headline(result)[1]),
            }
            for name, result in self.items()
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw a bar per group with its error; return the axes."""
        from sharpkit.plot import plot_groups

        return plot_groups(self, ax)


def headline(result: R) -> tuple[float, float]:
    """Return the number that a result stands for, and its error.

    The sharpness and its noise (the value is a lower bound besides), the most extreme
    eigenvalue and its residual, the trace and its standard error.
    """
    if isinstance(result, EigenResult):
        if not len(result.values):
            return math.nan, math.inf
        return float(result), float(result.residuals[0])
    error = result.noise if isinstance(result, SharpnessResult) else result.stderr
    return result.value, error
