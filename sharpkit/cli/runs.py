"""``sharpkit runs``: what a store holds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sharpkit.cli.console import console

if TYPE_CHECKING:
    from sharpkit.lab.store import Run

_DIGITS = 8  # of a key
_MINUTE = len("2026-11-23T01:16")
_SETTINGS = ("network.name", "data.name", "batch_size")
_UNLIMITED = 1000  # a pipe has no width to keep to: each run stays on one line


def runs(
    store: Annotated[
        Path,
        typer.Argument(metavar="STORE", help="The folder that `reproduce` filled."),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="The kind of the runs: train, sharpness, path, curvature, measures, "
            "descent, watch or monitor. Without it all.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A field and the value that the runs must have, such as network=F1, "
            "regime.batch_size=32 or seed=3. Give the option once for each.",
        ),
    ] = None,
    csv: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The file to write all fields of the runs to, or - to print them.",
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The folder to copy the whole store to, without the weights.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="The number of runs to show, the latest."
        ),
    ] = None,
) -> None:
    """List the runs that a store holds, oldest first, or export them.

    A field of a run is named as config.network.name, or by as much of its end as tells
    it from others. The first line of the CSV has all names.

    Example: sharpkit runs sharpkit-store --where network=F1 --csv runs.csv
    """
    from sharpkit.lab.store import Store
    from sharpkit.lab.store.listing import of_kind, select

    with Store(store, create=False) as opened:
        there = opened.runs()
        if records is not None:
            opened.copy_records(records)
            _say(f"{len(there)} runs copied to {records}.")
            return
    found = select(of_kind(there, kind), where or [])
    shown = found[-limit:] if limit else found
    if csv is None:
        _show(shown, len(found), len(there))
    else:
        _export(shown, csv)


def _show(shown: list[Run], matching: int, stored: int) -> None:
    from sharpkit.lab.rendering.terminal import Grid
    from sharpkit.lab.store.listing import headline, setting

    heads = ("key", "kind", "network", "data", "batch", "seed")
    rows: list[tuple[str, ...]] = [(*heads, "seconds", "created", "metrics")]
    for run in shown:
        settings = [setting(run, name) for name in _SETTINGS]
        created = run.created[:_MINUTE].replace("T", " ")
        figures = (str(run.seed), f"{run.seconds:.1f}", created, headline(run))
        rows.append((run.key[:_DIGITS], run.kind, *settings, *figures))
    left = ("kind", "network", "data", "created", "metrics")
    table = Grid(zip(*rows, strict=True), left)
    show = console(width=None if sys.stdout.isatty() else _UNLIMITED, highlight=False)
    if shown:
        show.print(table)
    show.print(_count(len(shown), matching, stored))


def _count(shown: int, matching: int, stored: int) -> str:
    if not stored:
        return "The store holds no runs."
    latest = f"; the latest {shown} are shown" if shown < matching else ""
    return f"{matching} of {stored} runs match{latest}."


def _export(shown: list[Run], place: str) -> None:
    from sharpkit.lab.store.errors import located
    from sharpkit.lab.store.listing import export

    if place == "-":
        export(shown, sys.stdout)
        return
    with located(Path(place)), open(place, "w", newline="", encoding="utf-8") as file:
        export(shown, file)
    _say(f"{len(shown)} runs written to {place}.")


def _say(text: str) -> None:
    console(soft_wrap=True, highlight=False, markup=False).print(text)
