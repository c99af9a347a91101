"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Give another name in the same folder, which becomes ``file`` at the end.

    It is on the disk then. If the work inside fails, ``file`` stays as it was and
    nothing is left behind; a killed process may leave the other name, a hidden file.
    The suffix is kept, and the name is this process's own. Links are not followed:
    one in the place of ``file`` is replaced itself.
    """
    part = file.with_name(f".{file.stem}.{os.getpid()}.part{file.suffix}")
    try:
        part.unlink(missing_ok=True)  # of a process that was killed, or a link
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield part
        _onto_disk(part, os.O_RDWR)
        os.replace(part, file)
        if os.name != "nt":  # Windows opens no folders
            _onto_disk(file.parent, os.O_RDONLY)
    finally:
        part.unlink(missing_ok=True)


def _onto_disk(path: Path, how: int) -> None:
    opened = os.open(path, how)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
