"""Files of what a long computation knows: numbers, arrays and a record, as a zip.

A zip has a check sum for every entry, which is compared when it is opened: a file is
whole and right, or it is refused. Arrays are written and read piece by piece, so that
no second copy of them is made.
"""

from __future__ import annotations

import json
import math
import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sharpkit._inputs.arrays import array_module, to_host
from sharpkit._inputs.files import replacing
from sharpkit._inputs.types import Array

PIECE = 1 << 24  # bytes that are written or read at a time
RECORD, NUMBERS, RESULT = "record.json", "numbers", "result.pickle"


class Kept(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    record : dict
        What the computation is, and how far it has come.
    numbers : list of (...) float64
        What it has been told.
    ended : bool
        Whether there is its result.
    """

    record: dict[str, Any]
    numbers: list[Any]
    ended: bool


def write(
    path: Path,
    record: dict[str, Any],
    numbers: Sequence[Any] = (),
    arrays: Mapping[int, Array] | None = None,
    *,
    ended: Any = None,
) -> None:
    """Write a file, which replaces the one that is there.

    Parameters
    ----------
    path
        The file.
    record
        What the computation is, and how far it has come.
    numbers
        What it has been told.
    arrays
        The arrays that it holds, by their numbers.
    ended
        Its result, if it has ended.
    """
    record = record | {"shapes": [np.shape(each) for each in numbers]}
    parts = [np.ravel(each) for each in numbers]
    told = np.concatenate([*parts, np.empty(0)]).astype("<f8")
    with (
        replacing(path) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as file,
    ):
        file.writestr(RECORD, json.dumps(record))
        file.writestr(NUMBERS, told.tobytes())
        if ended is not None:
            with file.open(RESULT, "w", force_zip64=True) as entry:
                pickle.dump(ended, entry, protocol=5)
        for number, array in (arrays or {}).items():
            with file.open(str(number), "w", force_zip64=True) as entry:
                for piece in _pieces(array):
                    entry.write(np.ascontiguousarray(to_host(piece)).tobytes())


def read(path: Path) -> Kept:
    """Read a file, all but its arrays, whose check sums are compared.

    Raises
    ------
    ValueError
        If it is damaged, or no such file.
    """
    with _readable(path) as file:
        _require_intact(file)
        record = json.loads(file.read(RECORD))
        numbers = np.frombuffer(file.read(NUMBERS), "<f8")
        shapes = [tuple(each) for each in record.pop("shapes")]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        parts = np.split(numbers, ends)[: len(shapes)]
        pairs = zip(parts, shapes, strict=True)
        told = [part.reshape(shape) for part, shape in pairs]
        return Kept(record, told, RESULT in file.namelist())


@contextmanager
def _readable(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a file for reading.

    Raises
    ------
    ValueError
        If what is read of it makes no sense.
    """
    try:
        with zipfile.ZipFile(path) as file:
            yield file
    except Exception as error:  # a damaged zip, or JSON, raises all kinds
        msg = (
            f"checkpoint={str(path)!r} is damaged, or no checkpoint of sharpkit "
            f"({type(error).__name__}: {error}); delete it to begin anew, or give "
            "another path"
        )
        raise ValueError(msg) from error


def _require_intact(file: zipfile.ZipFile) -> None:
    """Raise unless all check sums are right.

    Raises
    ------
    BadZipFile
        If one is not.
    """
    wrong = file.testzip()
    if wrong is not None:
        msg = f"the check sum of {wrong} is wrong"
        raise zipfile.BadZipFile(msg)


def load(path: Path, arrays: dict[int, Array]) -> None:
    """Fill arrays with what a file has for their numbers.

    Parameters
    ----------
    path
        The file.
    arrays
        The arrays, by their numbers; those that the file lacks stay as they are.
    """
    with _readable(path) as file:
        known = set(file.namelist())
        for number, array in arrays.items():
            if str(number) not in known:
                continue
            with file.open(str(number)) as entry:
                for piece in _pieces(array):
                    data = entry.read(piece.nbytes)
                    values = np.frombuffer(data, piece.dtype).reshape(piece.shape)
                    piece[...] = array_module(piece).asarray(values)


def result(path: Path, loader: type[pickle.Unpickler]) -> Any:
    """Return the result that a file has.

    Parameters
    ----------
    path
        The file.
    loader
        What makes it, and nothing else.
    """
    with _readable(path) as file, file.open(RESULT) as entry:
        return loader(entry).load()


def _pieces(array: Array) -> Iterator[Array]:
    """Yield ranges of a contiguous array."""
    flat = array.reshape(-1)
    width = max(PIECE // array.itemsize, 1)
    for begin in range(0, flat.size, width):
        yield flat[begin : begin + width]
