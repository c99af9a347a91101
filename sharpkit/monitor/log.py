"""A record read back: its rows, its curves, its picture."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sharpkit._inputs.extras import needs
from sharpkit._inputs.files import replacing
from sharpkit._inputs.types import Vector
from sharpkit._inputs.warn import warn
from sharpkit.monitor.rows import FORMAT, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sharpkit._inputs import types

COLUMNS = 3  # of a picture


class Curve(NamedTuple):
    """One quantity over the steps; NaN where something is not known.

    Attributes
    ----------
    steps, values, errors, thresholds : (k,) float64
        The steps, and what was recorded at them.
    """

    steps: Vector
    values: Vector
    errors: Vector
    thresholds: Vector


@dataclass(frozen=True, eq=False, repr=False)
class MonitorLog:
    """What a monitor has recorded.

    Attributes
    ----------
    rows : tuple of Row
        All values, in the order in which they were written.
    heads : tuple of dict
        What each run wrote at its beginning: version, budget, settings.
    torn : int
        The lines that could not be read, as the last one of a process that was killed.
    closed : bool
        Whether the last run has ended; it may be running otherwise.
    """

    rows: tuple[Row, ...]
    heads: tuple[dict[str, Any], ...]
    torn: int
    closed: bool

    @property
    def names(self) -> tuple[str, ...]:
        """What was recorded."""
        return tuple(dict.fromkeys(row.name for row in self.rows))

    @property
    def share(self) -> float:
        """The share of wall time that the monitor took, in the last run."""
        last = self.rows[-1] if self.rows else None
        return last.spent / last.wall if last is not None and last.wall else 0.0

    def curve(self, name: str) -> Curve:
        """Return one quantity over the steps, which only ever rise.

        Where a training went on from an earlier step, what was recorded after that step
        before is left out; it is in `rows`.

        Parameters
        ----------
        name
            One of `names`.

        Raises
        ------
        KeyError
            If there is none of that name.
        """
        rows: list[Row] = []
        for row in reversed(self.rows):
            if row.name == name and (not rows or row.step < rows[-1].step):
                rows.append(row)
        if not rows:
            msg = f"there is no {name!r}; give one of {', '.join(self.names)}"
            raise KeyError(msg)
        table = [(row.step, row.value, row.error, row.threshold) for row in rows[::-1]]
        return Curve(*np.array(table, dtype=np.float64).T)

    def frame(self) -> Any:
        """Return the rows as a DataFrame of pandas, with the ratio to the threshold."""
        with needs("MonitorLog.frame", "pandas", extra="all"):
            import pandas as pd
        table = [row.to_dict() | {"ratio": row.ratio} for row in self.rows]
        return pd.DataFrame(table)

    def plot(
        self,
        path: types.Path | None = None,
        *,
        names: Sequence[str] | None = None,
        ax: Axes | None = None,
    ) -> Figure:
        """Draw the curves with matplotlib, and the thresholds of stability.

        Parameters
        ----------
        path
            The file that the picture is saved to, of a type that matplotlib writes.
        names
            Which of `names` to draw; None draws all.
        ax
            The axes to draw on, where it is one; None makes a new figure.

        Returns
        -------
        Figure
            The figure that was drawn on.

        Raises
        ------
        ValueError
            If nothing was recorded yet.
        """
        from sharpkit.plot import figure_of, monitor_panels

        chosen = self.names if names is None else tuple(names)
        if not chosen:
            msg = "there is nothing to draw: no value was recorded yet"
            raise ValueError(msg)
        return figure_of(monitor_panels(self, chosen), path, ax, columns=COLUMNS)

    def to_html(self, path: types.Path) -> None:
        """Write one page with all curves, which needs no other file and no network.

        Parameters
        ----------
        path
            The file, which is replaced.
        """
        from sharpkit.monitor.page import page

        with replacing(Path(os.fspath(path))) as part:
            part.write_text(page(self), encoding="utf-8", newline="\n")

    def __repr__(self) -> str:
        state = "ended" if self.closed else "running, or stopped"
        lines = [
            f"{len(self.rows)} values of {len(self.names)} quantities, {state}; "
            f"{self.share:.1%} of wall time"
        ]
        for name in self.names:
            rows = [row for row in self.rows if row.name == name]
            lines.append(f"  {name:26s} {_told(rows)}")
        if self.torn:
            lines.append(f"  {self.torn} lines could not be read")
        return "\n".join(lines)


def _told(rows: list[Row]) -> str:
    good = [row for row in rows if row.value is not None]
    failed = f", {len(rows) - len(good)} without a value" * (len(good) < len(rows))
    if not good:
        return f"{rows[-1].status}: {rows[-1].reason}"
    last = good[-1]
    ratio = "" if last.ratio is None else f", {last.ratio:.3g} of its threshold"
    error = "" if last.error is None else f" ± {last.error:.1g}"
    return f"{last.value:.5g}{error} at step {last.step}{ratio} ({len(good)}{failed})"


def read_monitor(path: types.Path) -> MonitorLog:
    """Read what a monitor has recorded, finished or not.

    Parameters
    ----------
    path
        The file of JSON lines, as ``path=`` of the monitor named it.

    Returns
    -------
    MonitorLog
        Its rows, curves and pictures.

    Raises
    ------
    ValueError
        If it is no such file, or one of a later version.

    Warns
    -----
    SharpkitWarning
        If lines cannot be read: the last one, of a process that was killed while it
        wrote, or others.

    Examples
    --------
    >>> import numpy as np, sharpkit, tempfile
    >>> w = np.ones(2)
    >>> path = tempfile.mkdtemp() + "/run.jsonl"
    >>> with sharpkit.monitor.loop(w, lambda w: (w @ w / 2, w), path=path) as monitor:
    ...     for _ in range(3):
    ...         rows = monitor.step(w)
    >>> sharpkit.read_monitor(path).closed
    True
    """
    rows: list[Row] = []
    heads: list[dict[str, Any]] = []
    torn, closed = 0, False
    for text in Path(os.fspath(path)).read_bytes().split(b"\n"):
        if not text:
            continue
        record = _record(text)
        if record is None:
            torn += 1
        elif "sharpkit" in record:
            _require_readable(path, record)
            heads.append(record)
            closed = False
        elif record.get("closed"):
            closed = True
        else:
            rows.append(Row.from_dict(record))
    if not heads:
        msg = f"{path} is no record of a monitor: it has no head; give such a file"
        raise ValueError(msg)
    if torn:
        warn(
            f"{path}: {torn} lines cannot be read, as the last one of a process that "
            "was killed; all others are there"
        )
    return MonitorLog(tuple(rows), tuple(heads), torn, closed)


def _record(text: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(text)
    except ValueError:
        return None
    whole = isinstance(record, dict) and (
        {"sharpkit", "closed"} & record.keys() or {"step", "name"} <= record.keys()
    )
    return record if whole else None


def _require_readable(path: Any, head: dict[str, Any]) -> None:
    if head.get("format", 0) > FORMAT:
        msg = (
            f"{path} was written by sharpkit {head['sharpkit']}, in a later format; "
            "read it with that version"
        )
        raise ValueError(msg)
