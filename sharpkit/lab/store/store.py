"""The store: metadata in SQLite, arrays in npz files, both written atomically.

SQLite keeps a rollback journal rather than a write-ahead log: a run takes seconds and
its row milliseconds, so that waiting for each other costs nothing, and a store can be
copied, write-protected or put on a network disk.

SQLite has no checksums. So every row carries one of its own, a store is looked through
for lost rows when it is opened, and what does not fit is refused. Layout 1 had none:
whether its rows are what was written cannot be known, and it is not read.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from sharpkit._inputs.files import replacing
from sharpkit.lab.store.errors import PATIENCE, StoreError, located
from sharpkit.lab.store.listing import fields
from sharpkit.lab.store.run import (
    FIELDS,
    Run,
    check_name,
    digest,
    from_row,
    to_json,
    to_row,
)
from sharpkit.lab.store.weights import checksum, load, to_npz

DATABASE, WEIGHTS = "runs.sqlite", "weights"
_APPLICATION = 0x73686B74  # "shkt", in the file's header
_VERSION = 2  # of the schema
_ABANDONED = 3600.0  # seconds after which nobody is writing a file any more
_SCHEMA = (
    """CREATE TABLE runs (
        position INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
        config TEXT NOT NULL, seed INTEGER NOT NULL, metrics TEXT NOT NULL,
        versions TEXT NOT NULL, seconds REAL NOT NULL, created TEXT NOT NULL,
        weights TEXT, checksum TEXT, digest TEXT NOT NULL)""",
    """CREATE TABLE requests (
        position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
        request TEXT NOT NULL, digest TEXT NOT NULL)""",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)
_RUN, _REQUEST = f"{FIELDS}, checksum", "name, request"
_INSERT = f"""INSERT INTO runs ({_RUN}, digest)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_REMEMBER = f"""INSERT INTO requests ({_REQUEST}, digest) VALUES (?, ?, ?)
    ON CONFLICT (name)
    DO UPDATE SET request = excluded.request, digest = excluded.digest"""
_FORGET = f"""UPDATE runs SET weights = NULL, checksum = NULL,
    digest = digest({FIELDS.removesuffix("weights")} NULL, NULL)"""


class Store:
    """Finished runs in a folder that several processes may use at once.

    A run is there as a whole or not at all, whenever a process is killed or a disk is
    full. Every process and every thread opens a store of its own.

    Parameters
    ----------
    folder
        The folder.
    create
        Whether to make a store where there is none.

    Raises
    ------
    StoreError
        If a file cannot be read or written, or is not of a store, here and in every
        method: with its path, the reason and the fix.
    """

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self.folder = Path(folder)
        self._path = self.folder / DATABASE
        self._process = os.getpid()
        with located(self._path):
            if create:
                self._refuse_links()
                self.folder.mkdir(parents=True, exist_ok=True)
            elif not self._path.is_file():
                msg = (
                    f"{self.folder} holds no store (no {DATABASE}); give one that does"
                )
                raise StoreError(msg)
            address = self._path.absolute().as_uri()
            self._opened = sqlite3.connect(
                f"{address}?mode={'rwc' if create else 'rw'}",
                uri=True,
                timeout=PATIENCE,
                isolation_level=None,
            )
        try:
            self._identify(create)
        except BaseException:
            self.close()
            raise

    def __contains__(self, key: object) -> bool:
        found = self._select("SELECT 1 FROM runs WHERE key = ?", key)
        return bool(found)

    def get(self, key: str) -> Run:
        """Return the run of that key; KeyError if there is none."""
        found = self._rows("runs", _RUN, "WHERE key = ?", key)
        if not found:
            raise KeyError(key)
        return from_row(found[0][:-1])

    def put(self, run: Run, arrays: Mapping[str, NDArray[Any]] = {}) -> None:
        """Store a finished run with its arrays, for good when this returns.

        A key that is there already keeps what it has: two processes did the same work.

        Raises
        ------
        StoreError
            If the run or its arrays cannot be stored; nothing of them is then.
        """
        row = to_row(run)
        payload = to_npz(arrays) if arrays else None
        if run.key in self:
            return
        path = self._weights(run.key)
        if payload is not None:
            with located(path):
                path.parent.mkdir(exist_ok=True)
        try:
            with self._writing() as database:
                if run.key in self:  # another process was faster
                    return
                # Under the lock: until its row is there, the file is nobody else's.
                self._insert(database, row, path, payload)
        except StoreError:
            with suppress(StoreError):
                self._discard(run.key)
            raise

    def arrays(self, key: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of a run, none if it has none.

        Raises
        ------
        KeyError
            If there is no such run.
        StoreError
            If their file is missing or not the one that was written.
        """
        found = self._rows("runs", _RUN, "WHERE key = ?", key)
        if not found:
            raise KeyError(key)
        weights, expected = found[0][-2:]
        return {} if weights is None else load(self.folder / weights, expected)

    def runs(self, kind: str | None = None) -> list[Run]:
        """Return the runs, or those of one kind, in the order they were stored."""
        # Of a row that is damaged the kind may be, too.
        found = [from_row(row[:-1]) for row in self._rows("runs", _RUN)]
        return [run for run in found if kind in (None, run.kind)]

    def table(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return each run as a dict of dotted names, as `sharpkit.ranking` takes it."""
        return [fields(run) for run in self.runs(kind)]

    def remember(self, name: str, request: dict[str, Any]) -> None:
        """Note that an experiment was asked for, and how; the last request counts."""
        check_name(name, "name")
        text = to_json(request, "request")
        with self._writing() as database:
            database.execute(_REMEMBER, (name, text, digest(name, text)))

    def requests(self) -> dict[str, dict[str, Any]]:
        """Return what `remember` noted, in the order first asked."""
        found = self._rows("requests", _REQUEST)
        return {name: json.loads(request) for name, request in found}

    def copy_records(self, folder: Path) -> None:
        """Write a store of the same runs and requests, without arrays, to a folder.

        It is small, and all a report needs; no run can go on from it.

        Raises
        ------
        StoreError
            If there is a store already, or it cannot be written.
        """
        target = Path(folder) / DATABASE
        if os.path.lexists(target):
            msg = f"{target} exists; give another folder"
            raise StoreError(msg)
        self._rows("runs", _RUN)
        with located(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            self._select("VACUUM INTO ?", str(target))
            with closing(sqlite3.connect(target)) as copy, copy:
                copy.create_function("digest", -1, digest)
                copy.execute(_FORGET)

    def prune(self) -> int:
        """Delete files of over an hour ago that no run names; return how many.

        Processes that were killed leave them. Others may go on writing meanwhile.
        """
        before = time.time() - _ABANDONED
        deleted = 0
        with self._writing():
            named = {row[-2] for row in self._rows("runs", _RUN)}
            for path in sorted((self.folder / WEIGHTS).glob("*.npz")):
                if f"{WEIGHTS}/{path.name}" in named:
                    continue
                with suppress(FileNotFoundError):  # another process has finished it
                    found = path.lstat()  # and never what a link leads to
                    if stat.S_ISREG(found.st_mode) and found.st_mtime < before:
                        path.unlink()
                        deleted += 1
        return deleted

    def close(self) -> None:
        """Let go of the file; closing twice does no harm."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _database(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            msg = f"{self._path} was opened before a fork; open it in each process"
            raise StoreError(msg)
        return self._opened

    def _weights(self, key: str) -> Path:
        return self.folder / WEIGHTS / f"{key}.npz"

    def _identify(self, create: bool) -> None:
        """Make the tables where there is nothing yet; refuse what is not ours."""
        self._select("PRAGMA synchronous = EXTRA")
        if create and self._is_empty():
            with self._writing() as database:
                if self._is_empty():  # no other process made them meanwhile
                    for statement in _SCHEMA:
                        database.execute(statement)
        if self._select("PRAGMA application_id") != [(_APPLICATION,)]:
            msg = f"{self._path} is no store of sharpkit; give another folder"
            raise StoreError(msg)
        [(version,)] = self._select("PRAGMA user_version")
        if version != _VERSION:
            msg = (
                f"{self._path} has layout {version}, this sharpkit uses {_VERSION}; "
                "open it with the sharpkit that wrote it, or give another folder"
            )
            raise StoreError(msg)

        damage = self._select("PRAGMA integrity_check(1)")
        if damage != [("ok",)]:
            msg = (
                f"{self._path} is damaged: {damage[0][0]}; restore it from a copy, or "
                "delete it and run the same commands again"
            )
            raise StoreError(msg)

    def _refuse_links(self) -> None:
        """Refuse to write through a link inside the store, to a file of others."""
        journal = self._path.with_name(f"{DATABASE}-journal")
        for path in (self._path, journal, self.folder / WEIGHTS):
            if path.is_symlink():
                msg = (
                    f"{path} is a link, which is not followed; put what it leads to "
                    "in its place"
                )
                raise StoreError(msg)

    def _is_empty(self) -> bool:
        [(tables,)] = self._select("SELECT count(*) FROM sqlite_master")
        return not tables and self._select("PRAGMA application_id") == [(0,)]

    def _select(self, query: str, *values: Any) -> list[Any]:
        with located(self._path):
            return self._database.execute(query, values).fetchall()

    def _rows(self, table: str, columns: str, *which: str) -> list[Any]:
        """Return rows in the order they were stored, if their checksums fit.

        Raises
        ------
        StoreError
            If one does not, naming the row.
        """
        where, *values = which or ("",)
        found = self._select(
            f"SELECT position, digest, {columns} FROM {table} {where} "
            "ORDER BY position",
            *values,
        )
        for position, expected, *row in found:
            if digest(*row) != expected:
                msg = (
                    f"{self._path}: row {position} of the table {table} is damaged: "
                    "its checksum does not fit; restore the file from a copy, or "
                    f"delete the row, DELETE FROM {table} WHERE position = {position}, "
                    "and run the same command again"
                )
                raise StoreError(msg)
        return [tuple(row) for _, _, *row in found]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the store alone, and write all of what is done inside or nothing."""
        self._refuse_links()
        with located(self._path):
            database = self._database
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")

    def _insert(
        self,
        database: sqlite3.Connection,
        row: tuple[Any, ...],
        path: Path,
        payload: bytes | None,
    ) -> None:
        created = datetime.now(UTC).isoformat(timespec="milliseconds")
        if payload is None:
            values = (*row, created, None, None)
            database.execute(_INSERT, (*values, digest(*values)))
            return
        with located(path), replacing(path) as part:
            part.write_bytes(payload)
        weights = path.relative_to(self.folder).as_posix()
        values = (*row, created, weights, checksum(payload))
        database.execute(_INSERT, (*values, digest(*values)))

    def _discard(self, key: str) -> None:
        """Delete the file of a run whose row could not be written."""
        with self._writing():
            if key not in self:
                self._weights(key).unlink(missing_ok=True)
