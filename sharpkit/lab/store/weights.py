"""The arrays of a run as a file that is told from a damaged one."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpkit.lab.store.errors import StoreError, located


def to_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as an uncompressed npz file, the same bytes for the same arrays.

    Raises
    ------
    StoreError
        If a name is empty, not printable or ends in ".npy", which `numpy.load` would
        cut off, or if an array holds Python objects.
    """
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, given in arrays.items():
            array = np.asarray(given)
            if not name or not name.isprintable() or name.endswith(".npy"):
                msg = f"arrays: name {name!r}; give a printable one, not ending in .npy"
                raise StoreError(msg)
            if array.dtype.hasobject:
                msg = f"arrays[{name!r}] holds Python objects; give an array of numbers"
                raise StoreError(msg)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return made.getvalue()


def checksum(payload: bytes) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal digits."""
    return hashlib.sha256(payload).hexdigest()


def load(path: Path, expected: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file whose checksum is the expected one.

    Raises
    ------
    StoreError
        If the file is missing or another.
    """
    with located(path), open(path, "rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != expected:
            msg = (
                f"{path} is damaged: it is not the file that was written; delete the "
                "store, or restore the file from a copy"
            )
            raise StoreError(msg)
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as loaded:
            return dict(loaded)
