"""Measures that can be killed, and go on in a later call with the same bits.

What is saved is not the state of each algorithm but what it has been told, and the
vectors that it holds: see `sharpkit._inputs.journal`. A later call does again what the
measure does at the weights, a handful of evaluations, which also shows that the loss is
the same; the search or the estimate then goes on where it was saved last.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import numbers
import os
import pickle
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from sharpkit import __version__
from sharpkit._inputs import kept
from sharpkit._inputs.arrays import is_array, to_host
from sharpkit._inputs.files import alone
from sharpkit._inputs.foreign import native
from sharpkit._inputs.journal import Journal, Past
from sharpkit._vectors.comm import Comm
from sharpkit.measures._point import Point

P = ParamSpec("P")
R = TypeVar("R")

FORMAT = 1
INTAKE = ("hvp", "backend")  # what a point is made of, beside problem and loss_fn
# Options that change no result, or that are told of in other words.
UNTOLD = (
    *("problem", "loss_fn", "hvp", "backend"),
    *("progress", "on_result", "checkpoint"),
)
PIECE = 1 << 24  # entries that are hashed at a time


def resumable(measure: Callable[P, R]) -> Callable[P, R]:
    """Let a measure with an argument ``checkpoint`` save what it knows, and go on."""
    signature = inspect.signature(measure)

    @functools.wraps(measure)
    def resumed(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs.get("checkpoint") is None:
            return measure(*args, **kwargs)
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        options = given.arguments
        _require_one_rank(options.get("comm"))
        path = _checked_path(options["checkpoint"])
        record = _record(measure.__name__, options)
        take = functools.partial(measure, *args, **kwargs)
        with ExitStack() as inside:
            try:
                inside.enter_context(alone(path))
            except BlockingIOError as error:
                msg = (
                    f"checkpoint={str(path)!r} is in use by another call; give each a "
                    "file of its own"
                )
                raise ValueError(msg) from error
            return _taken(path, record, take)

    return resumed


def _taken(path: Path, record: dict[str, Any], take: Callable[[], R]) -> R:
    """Return the result that a file has, or take the measure, from where it was."""
    past = None
    if path.exists():
        found = kept.read(path)
        _require_same(path, found.record, record)
        if found.ended:
            result: R = kept.result(path, _Loader)
            return result
        calls, load = found.record["calls"], functools.partial(kept.load, path)
        past = Past(found.numbers, calls, load)
    for part in path.parent.glob(f".{path.stem}.*.part{path.suffix}"):
        part.unlink(missing_ok=True)  # of a run that was killed while it saved

    def save(journal: Journal) -> None:
        now = record | {"calls": journal.calls}
        kept.write(path, now, journal.numbers, journal.arrays())

    journal = Journal(past, save)
    with journal.current():
        result = take()
    if getattr(result, "complete", True):  # a report that was interrupted is not
        kept.write(path, record, ended=result)
    return result


class _Loader(pickle.Unpickler):
    """Makes results only: a file can name no other class, and no function."""

    def find_class(self, module: str, name: str) -> Any:
        # Looking a name up imports its module, so that comes last.
        rooms = ("results", "_box", "_spectrum")
        if module.startswith(tuple(f"sharpkit.{room}." for room in rooms)):
            found = super().find_class(module, name)
            if isinstance(found, type):
                return found
        if module.split(".")[0] in ("numpy", "cupy") and name in (
            *("_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer", "array"),
        ):
            return super().find_class(module, name)
        msg = f"{module}.{name} is no part of a result"
        raise pickle.UnpicklingError(msg)


def _checked_path(path: Any) -> Path:
    """Return the file that is meant.

    Raises
    ------
    TypeError
        If it is no path.
    ValueError
        If no file can be written there.
    """
    if not isinstance(path, (str, os.PathLike)):
        msg = f"checkpoint={path!r} is of type {type(path).__name__}; give a path"
        raise TypeError(msg)
    file = Path(path)
    if not file.parent.is_dir() or (file.exists() and not file.is_file()):
        msg = f"checkpoint={str(path)!r}: give a file in a folder that exists"
        raise ValueError(msg)
    return file


def _require_one_rank(comm: Comm | None) -> None:
    """Raise unless this process holds all weights.

    Raises
    ------
    ValueError
        If it does not.
    """
    if comm is not None:
        msg = (
            "checkpoint= is given, and the weights are spread over ranks, whose files "
            "would not be of one moment; give it for weights of one process"
        )
        raise ValueError(msg)


def _record(measure: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that decides a result, in words: equal records, equal bits."""
    intake = {name: options[name] for name in INTAKE if name in options}
    point = Point.of(options["problem"], options.get("loss_fn"), **intake)
    known = {name: options[name] for name in options if name not in UNTOLD}
    return {
        "format": FORMAT,
        "sharpkit": __version__,
        "measure": measure,
        "weights": _digest(point.weights),
        "backend": point.backend,
        "hvp": "none" if options.get("hvp") is None else "given",
        **{name: _text(value) for name, value in known.items()},
    }


def _require_same(path: Path, saved: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise unless a file is of the same computation.

    Raises
    ------
    ValueError
        If it is not; the message says all that differs.
    """
    names = [name for name in now if saved.get(name) != now[name]]
    if names:
        parts = [f"{name} {saved.get(name)}, now {now[name]}" for name in names]
        msg = (
            f"checkpoint={str(path)!r} was saved with {'; '.join(parts)}: give the "
            "same, or another path, or delete it to begin anew"
        )
        raise ValueError(msg)


def _text(value: Any) -> str:
    """Return a value of an option in words, with digests in the place of arrays."""
    if isinstance(value, numbers.Integral):
        return str(value)
    if isinstance(value, numbers.Real):
        return repr(float(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        parts = [f"{each.name}={_text(getattr(value, each.name))}" for each in fields]
        return f"{type(value).__name__}({', '.join(parts)})"
    if isinstance(value, Mapping):
        return str({name: _text(each) for name, each in value.items()})
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_text, value))}]"
    array, _ = native(value)
    return _digest(array) if is_array(array) else repr(value)


def _digest(array: Any) -> str:
    """Return a short hash of an array's type, shape and bytes."""
    found = hashlib.blake2b(f"{array.dtype} {array.shape}".encode(), digest_size=12)
    flat = array.reshape(-1)
    for begin in range(0, flat.size, PIECE):
        piece = to_host(flat[begin : begin + PIECE])
        found.update(np.ascontiguousarray(piece).data)
    return f"{array.dtype} {tuple(array.shape)} {found.hexdigest()}"
