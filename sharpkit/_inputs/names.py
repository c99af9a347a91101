"""Names of arrays: some of them chosen by patterns, and a few shown in messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

Choice = str | Iterable[str] | Callable[[str], bool]
"""A name, a pattern such as ``"encoder.*"``, several of these, or a function of it."""

SHOWN = 8


# What a terminal would obey, or show in another order, but for the end of a line.
_UNSEEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return a text from a file as a terminal may show it, on as many lines."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def listed(names: Collection[str]) -> str:
    """Return the first few of some names, for an error message."""
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(map(printable, islice(names, SHOWN))) or "none") + rest


def chosen_names(choice: Choice, names: Mapping[str, Collection[str]]) -> list[str]:
    """Return the names of those parameters that a choice is of, in their order.

    Parameters
    ----------
    choice
        What the user gave as ``parameters``.
    names
        The names of all parameters. Each stands with all names of the same array; it
        is chosen if one of these is.

    Raises
    ------
    ValueError
        If a pattern, or the function, chooses nothing.
    """
    if callable(choice):
        fitting = [name for name, tied in names.items() if any(map(choice, tied))]
        if not fitting:
            msg = (
                "parameters is a function that returned False for every name; let it "
                f"choose some of these: {listed(names)}"
            )
            raise ValueError(msg)
        return fitting
    found: set[str] = set()
    for pattern in _patterns(choice):
        matched = {
            name
            for name, tied in names.items()
            if any(each == pattern or fnmatchcase(each, pattern) for each in tied)
        }
        if not matched:
            msg = (
                f"parameters={pattern!r} matches no parameter; choose some of these: "
                f"{listed(names)}"
            )
            raise ValueError(msg)
        found |= matched
    return [name for name in names if name in found]


def _patterns(choice: str | Iterable[str]) -> list[str]:
    given: Any = choice
    several = list(given) if isinstance(given, Iterable) else []
    patterns = [given] if isinstance(given, str) else several
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        msg = (
            f"parameters={choice!r}; give names or patterns such as 'encoder.*', or "
            "a function of the name"
        )
        raise TypeError(msg)
    return patterns
