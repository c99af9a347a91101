"""Where rows go: a file of JSON lines, trackers of experiments, any function."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from sharpkit.monitor.rows import Row, line

PREFIX = "sharpkit"


@runtime_checkable
class Sink(Protocol):
    """What takes the rows of a record. Any object with these three methods is one."""

    def begin(self, head: Mapping[str, Any]) -> None:
        """Take the head of the record: version, budget, settings."""
        return

    def write(self, rows: Sequence[Row]) -> None:
        """Take the rows of one call."""

    def end(self, end: Mapping[str, Any]) -> None:
        """Take the last line: how many steps there were, and seconds; and close."""
        return


def sink_of(given: Any) -> Sink:
    """Return the sink that an object means.

    Parameters
    ----------
    given
        What `sharpkit.torch.monitor` takes as one of its ``sinks``.

    Raises
    ------
    TypeError
        If it is none.
    """
    if isinstance(given, Sink):
        return given
    for member, kind in _KINDS.items():
        if callable(getattr(given, member, None)):
            return kind(given)
    if callable(given):
        return Function(given)
    msg = (
        f"sinks has an entry of type {type(given).__name__}; give a function of a row, "
        "a SummaryWriter of TensorBoard, a run of Weights & Biases, mlflow, or a "
        "sharpkit.lab.store.StoreSink"
    )
    raise TypeError(msg)


class JsonLines(Sink):
    """A file that lines are only ever appended to, each written at once.

    A process that is killed leaves every line that it has written, and at most the last
    one torn, after which the next process begins a new one.

    Parameters
    ----------
    path
        The file, which may be there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        binary = getattr(os, "O_BINARY", 0)  # of Windows
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | binary
        self._file: int | None = os.open(path, flags, 0o666)
        size = os.fstat(self._file).st_size
        if size:
            os.lseek(self._file, size - 1, os.SEEK_SET)
            if os.read(self._file, 1) != b"\n":
                os.write(self._file, b"\n")

    def begin(self, head: Mapping[str, Any]) -> None:
        """Append the head."""
        self._append(line(head))

    def write(self, rows: Sequence[Row]) -> None:
        """Append the rows."""
        self._append(b"".join(line(row.to_dict()) for row in rows))

    def end(self, end: Mapping[str, Any]) -> None:
        """Append the last line, and close the file."""
        with contextlib.suppress(OSError):  # such as of a disk that is full
            self._append(line({"closed": True, **end}))
        self._close()

    def _append(self, text: bytes) -> None:
        """Append complete lines, which are the system's when this returns.

        Raises
        ------
        OSError
            If they cannot be written; the file is closed then.
        """
        try:
            while text and self._file is not None:
                text = text[os.write(self._file, text) :]
        except OSError as error:
            self._close()
            raise OSError(error.errno, error.strerror, self._path) from error

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Function(Sink):
    """Any function that is called with each row."""

    def __init__(self, function: Callable[[Row], Any]) -> None:
        self._function = function

    def write(self, rows: Sequence[Row]) -> None:
        """Call it."""
        for row in rows:
            self._function(row)


class TensorBoard(Sink):
    """A ``SummaryWriter``: one scalar for each name, one for each threshold."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, rows: Sequence[Row]) -> None:
        """Add the scalars."""
        for row in rows:
            for tag, value in _numbers(row).items():
                self._writer.add_scalar(tag, value, row.step)


class MLflow(Sink):
    """The module ``mlflow``, which logs to the active run."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def write(self, rows: Sequence[Row]) -> None:
        """Log the numbers of each step."""
        for step, numbers in _by_step(rows).items():
            if numbers:
                self._module.log_metrics(numbers, step=step)


class WeightsAndBiases(Sink):
    """A run of ``wandb``, or the module.

    Numbers join those that the user logs next (``commit=False``): a step of their own
    would have wandb throw away what the user logs at a step of his.
    """

    def __init__(self, run: Any) -> None:
        self._run = run

    def write(self, rows: Sequence[Row]) -> None:
        """Log the numbers, with the step that they belong to."""
        for step, numbers in _by_step(rows).items():
            if numbers:
                self._run.log({**numbers, f"{PREFIX}/step": step}, commit=False)


# By what each must have; the first that fits.
_KINDS: dict[str, Callable[[Any], Sink]] = {
    "add_scalar": TensorBoard,
    "log_metrics": MLflow,
    "log": WeightsAndBiases,
}


def _numbers(row: Row) -> dict[str, float]:
    tag = f"{PREFIX}/{row.name}"
    found = {tag: row.value, f"{tag}_threshold": row.threshold}
    if row.value is None:
        return {}
    return {name: value for name, value in found.items() if value is not None}


def _by_step(rows: Sequence[Row]) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row.step, {}).update(_numbers(row))
    return found
