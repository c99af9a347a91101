"""A file of all points that were taken, which survives the process that wrote it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any

from sharpkit.landscape.grid import Place
from sharpkit.landscape.values import Found

FORMAT = 1


class Record:
    """Lines of JSON: a head, then a point each, appended as soon as it is taken.

    A line that a killed process has not finished is taken off. Numbers are written so
    that they are read back to the bit.

    Parameters
    ----------
    path
        The file; one that is there is gone on with.
    key
        What the points depend on, as a fingerprint.
    shape
        The number of points along each axis.

    Attributes
    ----------
    found : dict
        The points that the file holds.

    Raises
    ------
    ValueError
        If the file is of another landscape, or no such file.
    """

    def __init__(self, path: Path, key: str, shape: tuple[int, ...]) -> None:
        self.found: dict[Place, Found] = {}
        self._path = path
        head = {"sharpkit landscape": FORMAT, "key": key, "shape": list(shape)}
        text = json.dumps(head)
        kept = self._kept(text) if path.exists() else 0
        self._file: IO[bytes] = open(path, "r+b" if kept else "wb", buffering=0)
        self._file.seek(kept)
        self._file.truncate()
        if not kept:
            self._write(text)

    def add(self, place: Place, found: Found) -> None:
        """Append a point."""
        self.found[place] = found
        self._write(json.dumps([place, found.values, found.errors]))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: str) -> None:
        self._file.write(line.encode() + b"\n")

    def _kept(self, head: str) -> int:
        """Read what is there; return how many bytes of it are whole lines.

        Raises
        ------
        ValueError
            If it is not of this landscape.
        """
        data = self._path.read_bytes()
        if not data.strip():
            return 0
        whole = data.rfind(b"\n") + 1
        lines = data[:whole].decode("utf-8", "replace").splitlines()
        if not lines:
            if head.startswith(data.decode("utf-8", "replace")):
                return 0  # killed while it was begun
            lines = [""]
        if lines[0] != head:
            raise ValueError(self._foreign(lines[0]))
        for line in lines[1:]:
            try:
                place, values, errors = json.loads(line)
                self.found[tuple(place)] = Found(values, errors)
            except (TypeError, ValueError) as error:
                msg = f"checkpoint={os.fspath(self._path)!r} is damaged: {line[:60]!r}"
                raise ValueError(msg) from error
        return whole

    def _foreign(self, first: str) -> str:
        name = f"checkpoint={os.fspath(self._path)!r}"
        try:
            known: Any = json.loads(first)["sharpkit landscape"] == FORMAT
        except (KeyError, TypeError, ValueError):
            known = False
        if known:
            return (
                f"{name} is of other weights, directions, points, samples or options; "
                "give the same as before, or another file"
            )
        return f"{name} is no record of a landscape of this version; give another file"
