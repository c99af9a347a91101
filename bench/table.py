"""What a bench case hands over: rows for the screen and the same for a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Table:
    """The result of one case.

    ``columns`` and ``rows`` are printed as they are, ``notes`` below them, a line each:
    how the figures were taken and which targets they meet. ``data`` has the same
    unrounded, plain Python values ready for JSON.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)


class CaseError(Exception):
    """A case cannot run here, or found a wrong result; the message says which."""
