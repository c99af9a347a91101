"""Files that are there whole or not at all, and that one has alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Keep other users of ``file`` out while the work inside goes on.

    A hidden file beside it is locked, whose lock ends with the process.

    Raises
    ------
    BlockingIOError
        If another one is at work.
    """
    lock = file.with_name(f".{file.name}.lock")
    while True:
        opened = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(opened)
            same = lock.exists() and os.path.samestat(os.fstat(opened), lock.stat())
        except (BlockingIOError, PermissionError) as error:
            os.close(opened)
            raise BlockingIOError(str(lock)) from error
        if same:
            break
        os.close(opened)  # its last user has just removed it
    try:
        yield
    finally:
        with suppress(PermissionError):  # Windows removes no open file
            lock.unlink()
        os.close(opened)


def _lock(opened: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(opened, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _onto_disk(path: Path, how: int) -> None:
    opened = os.open(path, how)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
