"""Weights from files, by name; nothing in a file is ever executed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sharpkit.reports.checkpoint_files import (
    Refused,
    Room,
    Shapes,
    numpy_file,
    safetensors_file,
    torch_file,
)

Named = dict[str, Any]
Reader = Callable[[Path, Room], Named]

READERS: dict[str, Reader] = {
    **dict.fromkeys((".npz", ".npy"), numpy_file),
    ".safetensors": safetensors_file,
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt", ".pth.tar"), torch_file),
}
SUFFIXES = ", ".join(READERS)
PACKED = 1032  # the most bytes that deflate packs into one
# So much is read in any case: what is wrong with its names and shapes is then told.
ALWAYS, TIMES = 1_000_000, 4


class CheckpointError(ValueError):
    """A file that is no whole checkpoint of arrays, or cannot be one of the model."""


def load(path: str | os.PathLike[str], *, entries: int | None = None) -> Named:
    """Return the arrays of a checkpoint by name.

    ``.npz`` and ``.npy`` (whose array is called ``"weights"``), ``.safetensors``, and
    PyTorch's ``.pt``, ``.pth``, ``.bin``, ``.ckpt`` and ``.pth.tar`` with
    ``weights_only=True``, on the CPU. Of a PyTorch file that holds the weights under a
    name such as ``state_dict``, ``model`` or ``net``, that part is taken.

    Parameters
    ----------
    path
        The file.
    entries
        The number of entries that a checkpoint of the model holds at the most. A file
        that declares many times as many is refused before anything is allocated. None
        allows as many as the file can hold.

    Returns
    -------
    dict of str to array
        NumPy arrays, or tensors where PyTorch or bfloat16 are involved.

    Raises
    ------
    CheckpointError
        If it is damaged, declares more than there can be, or holds anything but arrays:
        pickled objects are refused, for they could run any code.
    ModuleNotFoundError
        If the library that reads it is not installed. `reader_of` raises more.
    """
    file, read = Path(path), reader_of(path)
    most = PACKED * file.stat().st_size
    if entries is not None:
        most = min(most, max(ALWAYS, TIMES * entries))
    try:
        return read(file, lambda shapes: _require_room(shapes, most))
    except Refused as error:
        msg = f"checkpoint {str(file)!r} {error}"
        raise CheckpointError(msg) from error


def reader_of(path: str | os.PathLike[str]) -> Reader:
    """Return what reads a file with this suffix.

    Parameters
    ----------
    path
        The file, of which only the name is looked at.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    IsADirectoryError
        If it is a folder.
    CheckpointError
        If no checkpoint has such a suffix.
    """
    file = Path(path)
    if file.is_dir():
        msg = f"checkpoint {str(file)!r} is a folder; give a file: {SUFFIXES}"
        raise IsADirectoryError(msg)
    if not file.exists():
        msg = f"checkpoint {str(file)!r} does not exist; give a file: {SUFFIXES}"
        raise FileNotFoundError(msg)
    *_, suffix = "", *[each for each in READERS if file.name.lower().endswith(each)]
    if not suffix:
        msg = (
            f"checkpoint {str(file)!r} has the suffix {file.suffix!r}; give one of "
            f"{SUFFIXES}"
        )
        raise CheckpointError(msg)
    return READERS[suffix]


def _require_room(shapes: Shapes, most: int) -> None:
    total = sum(map(math.prod, shapes.values()))
    if total > most:
        name = max(shapes, key=lambda each: math.prod(shapes[each]))
        msg = (
            f"declares {total:,} numbers ({name!r} has the shape {shapes[name]}), more "
            "than the file or the model can hold; give a checkpoint of this model"
        )
        raise Refused(msg)
