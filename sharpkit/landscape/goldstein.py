"""Surfaces in the layout of Li et al.'s code, github.com/tomgoldstein/loss-landscape.

A file has ``xcoordinates``, of planes ``ycoordinates``, too, ``train_loss``,
``train_acc`` in per cent, the same of ``test``, and ``dir_file``, the name of the
directions. What has not been taken is -1. That code counts the points of a plane with
x running fastest, in an array of shape (x, y); its conversion to VTK reads them so.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpkit._inputs.extras import needs
from sharpkit._inputs.warn import warn
from sharpkit.landscape.surface import (
    ACCURACY,
    LOSS,
    Axis,
    Floats,
    LineResult,
    PlaneResult,
    Surface,
    Values,
)
from sharpkit.results.common import Run

if TYPE_CHECKING:
    from sharpkit._inputs.types import Array

MISSING = -1.0
KEYS = {LOSS: "loss", ACCURACY: "acc"}
WHAT = re.compile(r".+_(loss|acc)")
WANTED = ("xcoordinates", "ycoordinates", "_loss", "_acc", "dir_file")
NORMS = ("filter", "layer", "weight")


def write(result: Any, file: Path) -> None:
    """Write a line or a plane as that code does; marks and errors have no place there.

    Parameters
    ----------
    result
        The line or plane.
    file
        The file.

    Raises
    ------
    TypeError
        If it is a curve.

    Warns
    -----
    SharpkitWarning
        If a value is -1, which means not taken there.
    """
    if not isinstance(result, Surface):
        msg = (
            f"a {type(result).__name__} has no place in a .h5 file; save .npz or .json"
        )
        raise TypeError(msg)
    h5py = _h5py()
    with h5py.File(file, "w") as entries:
        entries["dir_file"] = _dir_file(result.axes)
        entries["xcoordinates"] = result.x
        if isinstance(result, PlaneResult):
            entries["ycoordinates"] = result.y
        for name, grid in result.values.items():
            data, _, what = name.rpartition(" ")
            key = f"{data or 'train'}_{KEYS.get(what, what)}".replace(" ", "_")
            kept = grid * 100 if what == ACCURACY else grid
            if (result.taken & (kept == MISSING)).any():
                warn(f"{name} is -1 at some points, which means not taken in .h5 files")
            kept = np.where(result.taken, kept, MISSING)
            entries[key] = kept.T.reshape(kept.shape)
        entries.attrs["directions"] = "; ".join(map(str, result.axes))


def read(file: Path) -> LineResult | PlaneResult:
    """Read a line or a plane that this code, or one like it, has written.

    Parameters
    ----------
    file
        The file.

    Returns
    -------
    LineResult or PlaneResult
        Its values, ``"train loss"`` and so on, NaN where they have not been taken.

    Raises
    ------
    ValueError
        If it is no such file.
    """
    h5py = _h5py()
    with file.open("rb"):  # what cannot be opened says so in its own words
        pass
    try:
        with h5py.File(file, "r") as entries:
            found = {
                name: entry[()]
                for name, entry in entries.items()
                if isinstance(entry, h5py.Dataset) and name.endswith(WANTED)
            }
    except Exception as error:  # damage has no end of forms
        msg = f"{str(file)!r} is no HDF5 file, or it is damaged ({error})"
        raise ValueError(msg) from error
    return _surface(file, found)


def _surface(file: Path, found: dict[str, Any]) -> LineResult | PlaneResult:
    """Return the result that the entries of a file are.

    Raises
    ------
    ValueError
        If they are none.
    """
    names = [f"{each}coordinates" for each in "xy"]
    at = [
        _floats(file, found, name) for name in names if name in found or name[0] == "x"
    ]
    shape = tuple(map(len, at))
    values: Values = {}
    taken = np.zeros(shape, bool)
    for key in sorted(filter(WHAT.fullmatch, found), key=_rank):
        data, what = key.rsplit("_", 1)
        raw = _floats(file, found, key, math.prod(shape)).reshape(shape[::-1]).T
        taken |= raw != MISSING
        grid = np.where(raw == MISSING, math.nan, raw)
        with np.errstate(invalid="ignore"):  # of a NaN that signals
            grid /= 100 if what == "acc" else 1
        name = LOSS if what == "loss" else ACCURACY
        values[f"{data} {name}".replace("_", " ")] = np.ascontiguousarray(grid)
    if not any(name.endswith(LOSS) for name in values):
        msg = f"{str(file)!r} has no train_loss or test_loss, but {list(found)}"
        raise ValueError(msg)
    called = found.get("dir_file", b"")
    called = called.decode("utf-8", "replace") if isinstance(called, bytes) else ""
    known: dict[str, Any] = {
        "x": at[0],
        "values": values,
        "taken": taken,
        "axes": tuple(_axis(each, called + file.name) for each in "xy"[: len(at)]),
        "run": Run(0, "a file of Li et al.'s layout", 0, 0.0, 0.0, "", "", 0),
    }
    return PlaneResult(**known, y=at[1]) if len(at) == 2 else LineResult(**known)


def _floats(
    file: Path, found: dict[str, Any], key: str, size: int | None = None
) -> Floats:
    """Return an entry as a vector of real numbers, of a size if one is given.

    Raises
    ------
    ValueError
        If it is missing, no such vector, or of another size.
    """
    value: Array = np.asarray(found.get(key, ()))
    if (
        value.dtype.kind not in "fiu"
        or not value.size
        or size not in (None, value.size)
    ):
        wanted = "a vector of numbers" if size is None else f"{size} numbers"
        msg = f"{str(file)!r} needs {wanted} as {key!r}; it has {value.shape} there"
        raise ValueError(msg)
    return value.astype(np.float64).ravel()


def _rank(key: str) -> tuple[bool, bool, str]:
    """Return by what values are ordered: losses, and what is of training, first."""
    return not key.endswith("loss"), not key.startswith("train"), key


def _axis(which: str, name: str) -> Axis:
    """Return what the name of the directions says of one of them."""
    norm = re.search(rf"_{which}norm=({'|'.join(NORMS)})", name)
    fixed = f"_{which}ignore=biasbn" in name
    if norm is None and not fixed:
        return Axis(f"{which}direction", math.nan)
    what = "random" if fixed else "random, biases and batch norms moved"
    return Axis(what, math.nan, norm[1] if norm else "none")


def _dir_file(axes: tuple[Axis, ...]) -> str:
    """Return directions in the words of that code's names."""
    name = "sharpkit_weights"
    for which, axis in zip("xy", axes, strict=False):
        if axis.normalize in NORMS:
            name += f"_{which}ignore=biasbn_{which}norm={axis.normalize}"
    return name + ".h5"


def _h5py() -> Any:
    with needs("a .h5 file", "h5py", extra="landscape"):
        import h5py
    return h5py
