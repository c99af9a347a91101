"""The result of a measure taken for each group of weights, such as a layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sharpkit.results.common import Drawn, Headline, Run, finite

R = TypeVar("R", bound=Headline)


@dataclass(frozen=True, eq=False, repr=False)
class GroupResults(Mapping[str, R], Drawn, Generic[R]):
    """One result per group of weights, the others held fixed: a mapping by name.

    Attributes
    ----------
    results : dict of str to result
        The result of the measure for each group.
    sizes : dict of str to int
        The number of weights in each group.
    run : Run
        How the results were obtained, all groups together.
    """

    results: dict[str, R]
    sizes: dict[str, int]
    run: Run

    @property
    def headline(self) -> str:
        """What the number of each result is, with its unit."""
        return next(iter(self.results.values())).headline

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
        """Return the number of each group and its error."""
        return {name: (float(result), result.error) for name, result in self.items()}

    def __repr__(self) -> str:
        width = max(len(str(name)) for name in self.results)
        shown = {
            name: (f"{value:.4g}", f"± {error:.1g}")
            for name, (value, error) in self.numbers().items()
        }
        columns = [max(len(row[i]) for row in shown.values()) for i in (0, 1)]
        digits = max(len(f"{size:,}") for size in self.sizes.values())
        groups = "1 group" if len(self) == 1 else f"{len(self)} groups"
        lines = [f"{self.headline} of {groups} of weights, the others fixed"]
        for name, (value, error) in shown.items():
            lines.append(
                f"  {name!s:{width}}  {self.sizes[name]:>{digits},} weights  "
                f"{value:>{columns[0]}} {error:{columns[1]}}  "
                f"{self[name].status.name.lower()}"
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON: the whole result of each group.

        Beside it stand ``weights``, the size of the group, and ``error``.
        """
        return {
            name: {
                **result.to_dict(),
                "weights": self.sizes[name],
                "error": finite(result.error),
            }
            for name, result in self.items()
        }
