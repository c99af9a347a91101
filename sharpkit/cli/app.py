"""The application: its commands, and how each of them ends when it cannot go on.

The commands' own modules import what they work with only when they are called, so that
``sharpkit --help`` is there at once, and without the libraries that only some need.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

import sharpkit
from sharpkit._inputs.names import printable
from sharpkit.cli import landscape
from sharpkit.cli.compare import compare
from sharpkit.cli.console import console
from sharpkit.cli.monitor import monitor
from sharpkit.cli.profile import check, measure, profile
from sharpkit.cli.report import report
from sharpkit.cli.reproduce import demo, reproduce
from sharpkit.cli.runs import runs

INTERRUPTED = 130  # what a shell reports for a command that was ended by Ctrl-C
REFUSED = 2  # the input cannot be used
_REFUSALS = (ImportError, OSError, RuntimeError, TypeError, ValueError)
_OF_LAB = ("jinja2", "matplotlib", "plotly", "threadpoolctl")
_PACKAGE = Path(sharpkit.__file__).parent


@contextmanager
def reported() -> Iterator[None]:
    """Say in a line why the work inside cannot go on, and exit as a shell expects."""
    say = console(stderr=True, soft_wrap=True, highlight=False).print
    shown, warnings.formatwarning = warnings.formatwarning, _warning
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt as interrupt:
        say(f"Stopped. {escape(str(interrupt))}".rstrip())
        raise typer.Exit(INTERRUPTED) from interrupt
    except Exception as error:
        reason, missing = str(error), ""
        if isinstance(error, ModuleNotFoundError):
            missing = (error.name or "").partition(".")[0]
        if missing in _OF_LAB:
            reason = f"the command needs {missing}: pip install 'sharpkit[lab]'"
        elif not _is_of_input(error):
            raise
        say(f"[bold red]Error:[/] {escape(reason)}")
        raise typer.Exit(REFUSED) from error
    finally:
        warnings.formatwarning = shown


def _warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Return the text of a warning: of sharpkit's without a line of code."""
    if issubclass(category, sharpkit.SharpkitWarning):
        return f"Warning: {printable(str(message))}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


def _is_of_input(error: Exception) -> bool:
    """Return whether sharpkit refuses its input, or the system a file by its name.

    Otherwise code that was called has failed, the user's or sharpkit's own: whoever
    wrote it wants to see where.
    """
    if isinstance(error, OSError) and error.filename is not None:
        return True
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, _REFUSALS) and (
        bool(frames) and Path(frames[-1].filename).is_relative_to(_PACKAGE)
    )


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sharpkit {sharpkit.__version__}")
        raise typer.Exit


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Measure how sharp a minimum of a loss is.

    `demo` shows in minutes what it is about; `profile`, `measure` and `check` tell of a
    checkpoint of your own model, `compare` of two kinds, `monitor` of a training;
    `landscape` draws the loss on lines and planes;
    `reproduce` runs the experiments of Keskar et al. (arXiv 1609.04836), and `report`
    and `runs` show what they found. `sharpkit COMMAND --help` explains one.
    """


_COMMANDS = demo, profile, measure, check, compare, monitor, reproduce, report, runs
for _command in _COMMANDS:
    app.command()(reported()(_command))

_landscape = typer.Typer(
    help="Draw the loss along lines, on planes and along curves.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for _each in (landscape.line, landscape.plane, landscape.curve, landscape.show):
    _landscape.command()(reported()(_each))
app.add_typer(_landscape, name="landscape")
