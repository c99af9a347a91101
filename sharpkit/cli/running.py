"""Carry experiments out with a bar for each study, and print what they found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from sharpkit.cli.console import console
from sharpkit.lab import reproduction
from sharpkit.lab.experiments import outcome, tasks
from sharpkit.lab.experiments.study import Study
from sharpkit.lab.jobs.pool import Failure
from sharpkit.lab.jobs.task import with_needs
from sharpkit.lab.rendering.pictures import draw
from sharpkit.lab.rendering.terminal import shown
from sharpkit.lab.reproduction import Asked, begin
from sharpkit.lab.store import Store

FAILED = 1  # the exit code if a run failed


def run(asked: Asked, folder: Path, executor: Any) -> None:
    """Carry out what a store lacks of some experiments, and show all of them.

    Raises
    ------
    KeyboardInterrupt
        With a word on what is kept.
    typer.Exit
        If a run failed; the others are shown.
    """
    show = console()
    try:
        failures = _carry_out(show, asked, folder, executor)
        _show(show, asked, folder)
    except KeyboardInterrupt as interrupt:
        interrupt.args = ("What was finished is kept: the same command goes on.",)
        raise
    for failure in failures:
        reason = escape(f"{failure.task}: {failure.reason}")
        show.print(f"[bold red]Failed:[/] {reason}")
    if failures:
        raise typer.Exit(FAILED)


def _carry_out(
    show: Console, asked: Asked, folder: Path, executor: Any
) -> list[Failure]:
    with show.status("Preparing the data ..."):
        begin(asked, folder)
    everything = {
        (_row(study), task.key): task
        for name, study in asked
        for task in with_needs(tasks(name, study))
    }
    with _progress(show) as bars:
        rows = {
            row: bars.add_task(
                row,
                total=sum(t.cost for (its, _), t in everything.items() if its == row),
            )
            for row in dict.fromkeys(row for row, _ in everything)
        }
        row_of = {key: rows[row] for row, key in everything}
        return reproduction.run(
            asked,
            list(everything.values()),
            folder,
            executor,
            lambda task: bars.advance(row_of[task.key], task.cost),
        )


def _row(study: Study) -> str:
    return f"{study.network} on {study.source.name}"


def _progress(show: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=show,
    )


def _show(show: Console, asked: Asked, folder: Path) -> None:
    """Print every outcome and draw its charts."""
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    before = None
    with Store(folder, create=False) as opened:
        for name, study in asked:
            found = outcome(name, study, opened)
            show.print(shown(found, before))
            before = found
            if found.charts:
                file = figures / f"{found.name}.png"
                draw(found, file)
                show.print(f"Figure: {file}", highlight=False, markup=False)
    said = f"Runs: {folder}. For a page of all: sharpkit report {folder}"
    show.print(said, markup=False)
