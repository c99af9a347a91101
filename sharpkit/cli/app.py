"""The application that the commands are registered with, and what they share."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

import sharpkit

INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="How sharp is this minimum?",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sharpkit {sharpkit.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, help="Print the version.")
    ] = False,
) -> None:
    pass


def progress(console: Console) -> Progress:
    """Return a bar for each of several tasks, with shares, counts and times left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )
