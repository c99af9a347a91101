"""``sharpkit compare``: two checkpoints of one problem."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

import sharpkit
from sharpkit._inputs.files import replacing
from sharpkit.cli.app import INTERRUPTED, app
from sharpkit.reports.checkpoints import load

RESULTS, FIGURE = "compare.json", "compare.png"
_PACKAGE = str(Path(__file__).parents[1]) + os.sep


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Checkpoint A; see the formats above.")],
    b: Annotated[Path, typer.Argument(help="Checkpoint B.")],
    problem: Annotated[
        str,
        typer.Option(
            help="module:function, also of the current folder; it returns a problem, "
            "or {'train': problem, 'test': problem}."
        ),
    ],
    epsilon: Annotated[float, typer.Option(help="Size of the box.")] = 1e-3,
    measures: Annotated[
        str, typer.Option(help="Which, separated by commas.")
    ] = "sharpness,eigenvalues,trace,spectral_density",
    repeats: Annotated[
        int, typer.Option(min=1, help="Searches for the sharpness.")
    ] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of all random numbers.")] = 0,
    out: Annotated[Path, typer.Option(help="Where results are written.")] = Path(
        "sharpkit-compare"
    ),
) -> None:
    """Compare two checkpoints of one problem: measures with errors, and the path.

    Formats: npz, npy, safetensors, and PyTorch's pt, pth, bin and ckpt, read with
    weights_only=True: nothing in a file is executed.

    Prints a table and writes compare.json, after every finished measurement, and
    compare.png.
    """
    origin = {"a": str(a), "b": str(b), "problem": problem}
    kept = Kept(out, {"sharpkit": sharpkit.__version__, "origin": origin})
    with _reported(Console(), kept):
        sharpkit.compare(
            load(a),
            load(b),
            problem_from(problem),
            names=(a.stem, b.stem) if a.stem != b.stem else ("A", "B"),
            epsilon=epsilon,
            repeats=repeats,
            measures=[name.strip() for name in measures.split(",")],
            seed=seed,
            on_result=kept.keep,
        )


@contextmanager
def _reported(console: Console, kept: Kept) -> Iterator[None]:
    """Show what is kept, however the work inside ends, and exit as it ended."""
    try:
        try:
            yield
        finally:
            if kept.comparison is not None:
                _show_comparison(console, kept)
    except KeyboardInterrupt as interrupt:
        done = "What was finished is kept."
        nothing = "It was before anything was finished."
        console.print(f"Stopped. {done if kept.comparison else nothing}")
        raise typer.Exit(INTERRUPTED) from interrupt
    except Exception as error:
        if not is_of_input(error):
            raise
        console.print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error


def _show_comparison(console: Console, kept: Kept) -> None:
    assert kept.comparison is not None
    kept.draw()
    console.print(table(kept.comparison))
    console.print(f"Figure: {kept.folder / FIGURE}\nResults: {kept.folder / RESULTS}")


def problem_from(place: str) -> Any:
    """Return what ``function()`` of ``"module:function"`` returns.

    Modules in the current folder are found, too. What the module or the function raise
    comes through unchanged.

    Raises
    ------
    ValueError
        If there is no such module or function.
    """
    module_name, _, name = place.partition(":")
    if not module_name or not name:
        msg = (
            f"--problem {place}; give module:function, where function() returns a "
            "problem or a mapping such as {'train': problem, 'test': problem}"
        )
        raise ValueError(msg)
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and misses another
        msg = (
            f"--problem {place}: there is no module {error.name!r} in {Path.cwd()} or "
            "among the installed ones; give module:function"
        )
        raise ValueError(msg) from error
    function = getattr(module, name, None)
    if not callable(function):
        msg = (
            f"--problem {place}: {module_name} has no function {name!r}; give one "
            "without arguments that returns a problem"
        )
        raise ValueError(msg)  # noqa: TRY004
    return function()


@dataclass
class Kept:
    """The comparison so far, in memory and in ``compare.json``.

    folder : Path
        Made when the first result is there.
    header : dict
        What the file says of its origin.
    """

    folder: Path
    header: dict[str, Any]
    comparison: sharpkit.Comparison | None = None

    def keep(self, comparison: sharpkit.Comparison) -> None:
        """Write everything so that a crash leaves the old or the new file."""
        self.comparison = comparison
        self.folder.mkdir(parents=True, exist_ok=True)
        record = self.header | comparison.to_dict()
        with replacing(self.folder / RESULTS) as part:
            part.write_text(json.dumps(record, indent=1, allow_nan=False))

    def draw(self) -> None:
        """Write ``compare.png`` of what there is."""
        assert self.comparison is not None  # there is nothing to draw before
        self.comparison.plot(self.folder / FIGURE)


def table(comparison: sharpkit.Comparison) -> RenderableType:
    """Return the comparison as a table with its notes."""
    title, *columns = comparison.header
    drawn = Table(title, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in columns:
        drawn.add_column(column, justify="right")
    for row in comparison.rows:
        drawn.add_row(*row.cells())
    return Group(drawn, Text("\n".join(comparison.notes())))


def is_of_input(error: Exception) -> bool:
    """Return whether sharpkit refuses its input, rather than code that it calls."""
    refusals = (ImportError, OSError, RuntimeError, TypeError, ValueError)
    if not isinstance(error, refusals):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename.startswith(_PACKAGE)
