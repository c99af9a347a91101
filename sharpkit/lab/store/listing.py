"""Fields of stored runs by name: to filter by, to list and to export."""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from sharpkit._inputs.names import printable
from sharpkit.lab.store.run import Run

OWN = ("key", "kind", "seed", "seconds", "created", "weights")
_NESTED = ("config", "metrics", "versions")
_NEAREST = 5
_FORMULA = ("=", "+", "-", "@")  # what begins one in a spreadsheet


class QueryError(ValueError):
    """A question about stored runs that names what they do not have."""


def fields(run: Run) -> dict[str, Any]:
    """Return every entry of a run by its dotted name, as ``config.network.name``.

    Lists, and dicts that are empty, are entries themselves.
    """
    nested = {name: getattr(run, name) for name in _NESTED}
    return {name: getattr(run, name) for name in OWN} | dict(_leaves(nested))


def setting(run: Run, name: str) -> str:
    """Return the first entry of the configuration whose name ends so; else nothing."""
    entries = _leaves(run.config, ".")
    return next((str(e) for whole, e in entries if whole.endswith(f".{name}")), "")


def _leaves(nested: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, entry in nested.items():
        if isinstance(entry, dict) and entry:
            yield from _leaves(entry, f"{before}{name}.")
        else:
            yield f"{before}{name}", entry


def resolve(name: str, names: Iterable[str]) -> str | None:
    """Return the one of a run's field names that a shorter one means, if any.

    The whole name goes first, then one without ``config``, ``metrics`` or
    ``versions``, then the last components alone; ``network`` means ``network.name``.

    Raises
    ------
    QueryError
        If it may mean several.
    """
    there = tuple(names)
    within = [f"{part}.{name}" for part in _NESTED]
    named = [f"{one}.name" for one in (name, *within)]
    endings = (f".{name}", f".{name}.name")
    for found in (
        [one for one in there if one == name],
        [one for one in there if one in within or one in named],
        [one for one in there if one.endswith(endings)],
    ):
        if len(found) > 1:
            msg = f"{name} may mean {', '.join(found)}; give more of its name"
            raise QueryError(msg)
        if found:
            return found[0]
    return None


def select(runs: Sequence[Run], wanted: Iterable[str]) -> list[Run]:
    """Return the runs of which every ``NAME=VALUE`` is true.

    Numbers are compared as numbers, other values as JSON; a run without the field is
    left out.

    Raises
    ------
    QueryError
        If a condition is none, or no run has such a field, with the nearest ones.
    """
    found = list(runs)
    for condition in wanted:
        name, sign, value = condition.partition("=")
        if not (name and sign):
            msg = f"--where {condition}; give NAME=VALUE, such as network.name=F1"
            raise QueryError(msg)
        has = [(run, fields(run)) for run in runs]
        meant = {run.key: resolve(name, entries) for run, entries in has}
        if runs and not any(meant.values()):
            raise QueryError(_unknown(name, runs))
        matching = {
            run.key
            for run, entries in has
            if (field := meant[run.key]) and _matches(entries[field], value)
        }
        found = [run for run in found if run.key in matching]
    return found


def _matches(entry: Any, text: str) -> bool:
    if isinstance(entry, str):
        return entry == text
    try:
        wanted = json.loads(text)
    except ValueError:
        return False
    # True == 1 in Python, and not in JSON
    return bool(entry == wanted) and isinstance(entry, bool) == isinstance(wanted, bool)


def _unknown(name: str, runs: Iterable[Run]) -> str:
    short: dict[str, str] = {}
    for field in columns(runs):
        whole = field.split(".", 1)[1] if field.startswith(_NESTED) else field
        for spelling in (field, whole, field.rsplit(".", 1)[-1]):
            short.setdefault(spelling, whole)
    near = difflib.get_close_matches(name, short, n=2 * _NEAREST, cutoff=0.4)
    meant = list(dict.fromkeys(short[one] for one in near))[:_NEAREST]
    return f"no run has a field {name}; the nearest are {', '.join(meant or OWN)}"


def of_kind(runs: Sequence[Run], kind: str | None) -> list[Run]:
    """Return the runs of one kind, or all; QueryError if there are runs, but none."""
    found = [run for run in runs if kind in (None, run.kind)]
    if runs and not found:
        kinds = ", ".join(sorted({run.kind for run in runs}))
        msg = f"no run is of the kind {kind}; there are {kinds}"
        raise QueryError(msg)
    return found


def columns(runs: Iterable[Run]) -> list[str]:
    """Return the names of all fields that some run has, in the order of the first."""
    found = dict.fromkeys(OWN)
    for run in runs:
        found |= dict.fromkeys(fields(run))
    parts = ("", *_NESTED)
    return sorted(found, key=lambda name: parts.index(_part(name)))


def _part(name: str) -> str:
    first = name.split(".", 1)[0]
    return first if first in _NESTED else ""


def export(runs: Sequence[Run], stream: TextIO) -> None:
    """Write one row for each run, with all fields; empty where a run has none.

    Text stands as it is, everything else as JSON. An apostrophe stands before text that
    a spreadsheet would take for a formula, and escape sequences are spelt out.
    """
    names = columns(runs)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(_text, names))
    for run in runs:
        entries = fields(run)
        writer.writerow([_text(entries.get(name, "")) for name in names])


def _text(entry: Any) -> str:
    if not isinstance(entry, str):
        return json.dumps(entry)
    shown = printable(entry)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


def headline(run: Run) -> str:
    """Return the few figures of a run that tell most, in one line."""
    found = dict(_leaves(run.metrics))
    chosen = [
        (label, found[name])
        for name, label in (
            *(("train.loss", "train loss"), ("train.accuracy", "train accuracy")),
            *(("test.accuracy", "test accuracy"), ("epochs", "epochs")),
        )
        if name in found
    ]
    for name, entry in found.items():
        if isinstance(entry, list) and not chosen:
            chosen = _values(name, entry)
    numbers = [
        (name, entry)
        for name, entry in chosen or found.items()
        if isinstance(entry, int | float) and not isinstance(entry, bool)
    ]
    return ", ".join(f"{name} {entry:.4g}" for name, entry in numbers[:4])


def _values(name: str, entries: list[Any]) -> list[tuple[str, float]]:
    """Return the value of each record of a list, with the size of its box."""
    return [
        (f"{name} at {entry['epsilon']:g}" if "epsilon" in entry else name, value)
        for entry in entries
        if isinstance(entry, dict)
        and isinstance(value := entry.get("value"), int | float)
    ]
