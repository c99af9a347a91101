"""One line of a record: a value, its error, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from sharpkit.results.common import finite, plain

FORMAT = 1  # of the file; readers refuse a later one


@dataclass(frozen=True)
class Row:
    """One value of a record.

    Attributes
    ----------
    step : int
        The step of the training at whose weights the value was taken: 0 is before the
        first.
    wall : float
        The seconds since the first step.
    name : str
        What was measured.
    value, error : float or None
        The value and its error; None where it failed, is not finite or not known.
    threshold : float or None
        Where the optimiser ceases to be stable, for values that are held against it.
    seconds : float
        The time that this value took.
    calls, products : int
        The calls of the loss, and the products with the Hessian, that it took.
    status : str
        How the measurement ended, such as ``"converged"``; ``"failed"`` if it did not.
    spent : float
        The seconds that the monitor has taken since the first step, all together.
    reason : str
        Why it failed, or why it may be doubted; empty otherwise.
    """

    step: int
    wall: float
    name: str
    value: float | None
    error: float | None
    threshold: float | None
    seconds: float
    calls: int
    products: int
    status: str
    spent: float
    reason: str = ""

    @property
    def ratio(self) -> float | None:
        """The value over its threshold: above 1 the optimiser is not stable."""
        if self.value is None or not self.threshold:
            return None
        return self.value / self.threshold

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON."""
        found: dict[str, Any] = plain(asdict(self))
        return found

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Row:
        """Return the row of a record; what it knows besides is left out."""
        return cls(**{key: record[key] for key in _KEYS if key in record})


_KEYS = tuple(each.name for each in fields(Row))


def line(record: Mapping[str, Any]) -> bytes:
    """Return a record as one line of JSON."""
    text = json.dumps(plain(dict(record)), separators=(",", ":"), allow_nan=False)
    return text.encode() + b"\n"


def known(number: Any) -> float | None:
    """Return a finite float, or None."""
    return None if number is None else finite(float(number))
