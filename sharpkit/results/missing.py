"""What a search may have missed."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Missing:
    """What a search may have missed: the experience with searches like it.

    Searches of boxes of trained networks were held against the largest value that long
    searches found there. The figures are those of the runs that saw what this one saw.
    They are no guarantee, least of all in boxes of another kind.

    Attributes
    ----------
    within_95, within_80 : float
        The chances that the value is at least 0.95 and 0.80 of the largest one known,
        ``(k + 1) / (runs + 2)`` where k runs were: never 0 or 1.
    share : float
        The share of the largest value that is missing on average.
    at_most : float
        The share missing that 95 % of the runs do not exceed.
    runs : int
        The number of runs behind these figures.
    evidence : str
        What this search saw, in words.
    """

    within_95: float
    within_80: float
    share: float
    at_most: float
    runs: int
    evidence: str

    def above(self, value: float) -> float:
        """Return how far above a value the maximum lies in 95 % of the runs at most."""
        if self.at_most >= 1:
            return math.inf
        return value * self.at_most / (1 - self.at_most)

    def __str__(self) -> str:
        return (
            f"chance {self.within_95:.2f} that this is at least 95 % of the maximum, "
            f"{self.within_80:.2f} for 80 % ({self.runs} runs on boxes of trained "
            "networks)"
        )
