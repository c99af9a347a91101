"""``sharpkit monitor``: the record of a training, finished or running."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Group

    from sharpkit.monitor.log import MonitorLog

WIDTH = 20  # characters of a course
LEVEL = 1e-3  # of the value: what differs by less is drawn level
PAUSE = 2.0  # seconds between two looks at a file
SPARKS = "▁▂▃▄▅▆▇█"


def monitor(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The file of JSON lines of a monitor."),
    ],
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Save a picture, such as curves.png."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Save one HTML page, with curves to zoom into; it needs no network.",
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show it anew until the training ends.")
    ] = False,
) -> None:
    """Draw the record of a training that is watched, or was.

    Each quantity is a line of the terminal: its course, its last value, and what share
    of its threshold that is.

    Example: sharpkit monitor run.jsonl --html run.html
    """
    from sharpkit import read_monitor
    from sharpkit.cli.console import console

    show = console(highlight=False, markup=False)
    log = _followed(file) if follow else read_monitor(file)
    if not follow:
        show.print(_shown(log))
    if plot is not None:
        log.plot(plot)
        show.print(f"Picture: {plot}", soft_wrap=True)
    if html is not None:
        log.to_html(html)
        show.print(f"Page: {html}", soft_wrap=True)


def _followed(file: Path) -> MonitorLog:
    """Show a record until it ends; return it."""
    import time
    import warnings

    from rich.live import Live

    from sharpkit import SharpkitWarning, read_monitor
    from sharpkit.cli.console import console

    with warnings.catch_warnings():
        # The last line may be half written, now.
        warnings.simplefilter("ignore", SharpkitWarning)
        with Live(console=console(highlight=False), auto_refresh=False) as live:
            while True:
                log = read_monitor(file)
                live.update(_shown(log), refresh=True)
                if log.closed:
                    return log
                time.sleep(PAUSE)


def _shown(log: MonitorLog) -> Group:
    from rich.console import Group
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("quantity", "course", "last", "of threshold", "step"):
        table.add_column(title, no_wrap=title != "course")
    for name in log.names:
        rows = [row for row in log.rows if row.name == name]
        good = [row for row in rows if row.value is not None]
        if not good:
            table.add_row(name, "", rows[-1].status, "", str(rows[-1].step))
            continue
        last = good[-1]
        ratio = "" if last.ratio is None else f"{last.ratio:.3g}"
        values = log.curve(name).values
        course = _sparks([x for x in values.tolist() if math.isfinite(x)])
        error = "" if last.error is None else f" ± {last.error:.1g}"
        table.add_row(name, course, f"{last.value:.5g}{error}", ratio, str(last.step))
    state = "ended" if log.closed else "running, or stopped"
    said = f"{len(log.rows)} values, {state}, {log.share:.1%} of wall time"
    return Group(table, said)


def _sparks(values: list[float]) -> str:
    """Return the course of values, each character the mean of some of them."""
    parts = min(len(values), WIDTH)
    bounds = [len(values) * part // parts for part in range(parts + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(bounds)]
    low, high = min(means), max(means)
    width = max(high - low, LEVEL * abs(high)) or 1.0
    top = len(SPARKS) - 1
    return "".join(SPARKS[round((mean - low) / width * top)] for mean in means)
