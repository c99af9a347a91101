"""One finished run, and the row that it becomes."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import Any

from sharpkit.lab.store.errors import StoreError

FIELDS = "key, kind, config, seed, metrics, versions, seconds, created, weights"
_KEY = re.compile(r"[0-9A-Za-z_-]{1,128}")  # it names a file, too
_LARGEST = 2**63 - 1  # of SQLite's integers


@dataclass(frozen=True)
class Run:
    """What one finished piece of work was, and what it found.

    Attributes
    ----------
    key : str
        The SHA-256, in hexadecimal digits, of the kind, the configuration and the keys
        of the runs it needs.
    kind : str
        The kind of work, such as ``"train"`` or ``"sharpness"``.
    config, metrics : dict
        What was done and found: nested dicts of what JSON knows, with finite numbers.
        Tuples come back as lists.
    seed : int
        The seed of its random numbers.
    versions : dict of str
        The versions of sharpkit, python, numpy and so on.
    seconds : float
        How long it took.
    created : str
        When it was stored, ISO 8601 in UTC; the store fills it in.
    weights : str or None
        The file of its arrays, relative to the store; the store fills it in.
    """

    key: str
    kind: str
    config: dict[str, Any]
    seed: int
    metrics: dict[str, Any]
    versions: dict[str, str]
    seconds: float
    created: str = ""
    weights: str | None = None


def to_row(run: Run) -> tuple[Any, ...]:
    """Return the values of `FIELDS` up to ``seconds``.

    Raises
    ------
    StoreError
        If the run would not come back as it is, naming the entry and the fix.
    """
    if not (isinstance(run.key, str) and _KEY.fullmatch(run.key)):
        msg = f"key={run.key!r}; give the hexadecimal digits of a SHA-256"
        raise StoreError(msg)
    check_name(run.kind, "kind")
    if type(run.seed) is not int or not 0 <= run.seed <= _LARGEST:
        msg = f"seed={run.seed!r}; give an int from 0 to {_LARGEST}"
        raise StoreError(msg)
    if not (isinstance(run.seconds, int | float) and math.isfinite(run.seconds)):
        msg = f"seconds={run.seconds!r}; give a finite float"
        raise StoreError(msg)
    return (
        *(run.key, run.kind, to_json(run.config, "config"), run.seed),
        *(to_json(run.metrics, "metrics"), to_json(run.versions, "versions")),
        float(run.seconds),
    )


def digest(*values: Any) -> str:
    """Return what tells a row with these values from one of which a bit has flipped."""
    return hashlib.sha256(json.dumps(values, default=repr).encode()).hexdigest()


def from_row(row: tuple[Any, ...]) -> Run:
    """Return the run of a row of `FIELDS`."""
    key, kind, config, seed, metrics, versions, *others = row
    found = (json.loads(text) for text in (metrics, versions))
    return Run(key, kind, json.loads(config), seed, *found, *others)


def check_name(value: object, name: str) -> None:
    """Refuse what is no word on one line, with a `StoreError`."""
    if not (isinstance(value, str) and value and value.isprintable()):
        msg = f"{name}={value!r}; give a printable str"
        raise StoreError(msg)


def to_json(value: object, name: str) -> str:
    """Return a dict as JSON.

    Raises
    ------
    StoreError
        Naming the entry that JSON does not know, such as ``metrics.train.loss``.
    """
    if not isinstance(value, dict):
        msg = f"{name}={value!r}; give a dict"
        raise StoreError(msg)
    _check_entry(value, name)
    return json.dumps(value, allow_nan=False)


def _check_entry(value: Any, name: str) -> None:
    if isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(key, str):
                msg = f"{name} has the key {key!r}; give keys that are str"
                raise StoreError(msg)
            _check_entry(entry, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            _check_entry(entry, f"{name}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        msg = f"{name}={value}; give a finite number, or None where there is none"
        raise StoreError(msg)
    elif not isinstance(value, str | int | float | None):
        msg = f"{name}={value!r}; give a bool, int, float, str, None, list or dict"
        raise StoreError(msg)
