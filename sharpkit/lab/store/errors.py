"""What went wrong with a store: where, why, and what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60.0  # seconds to wait for another process that is writing

_ROOM = "make room on its disk and run the same command again; what was stored is kept"
_WRITABLE = "give a folder that can be written, or change its permissions"
_CAUSES = {
    _ROOM: (
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        *("SQLITE_FULL", "SQLITE_IOERR"),
    ),
    _WRITABLE: (
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST),
        *("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM"),
    ),
    "restore it from a copy, or give another folder": (
        *(errno.ENOENT, errno.EIO),
        *("SQLITE_CORRUPT", "SQLITE_ERROR"),
    ),
    f"another process has been writing for {PATIENCE:.0f} s; try again": (
        "SQLITE_BUSY",
    ),
    "it is no store; give another folder": ("SQLITE_NOTADB",),
}


class StoreError(RuntimeError):
    """A store cannot be opened, read or written, or refuses what it is given."""


@contextmanager
def located(path: Path) -> Iterator[None]:
    """Raise what the system and SQLite refuse inside as a `StoreError` of this file."""
    try:
        yield
    except OSError as error:
        at = os.fsdecode(error.filename) if error.filename else path
        msg = "; ".join([f"{at}: {error.strerror or error}", *_fixes(error.errno)])
        raise StoreError(msg) from error
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        primary = "_".join(name.split("_")[:2])  # SQLITE_IOERR of SQLITE_IOERR_WRITE
        reason = f"{path}: {error} ({name})" if name else f"{path}: {error}"
        raise StoreError("; ".join([reason, *_fixes(primary)])) from error


def _fixes(cause: int | str | None) -> list[str]:
    return [fix for fix, causes in _CAUSES.items() if cause in causes]
