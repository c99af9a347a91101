"""``sharpkit compare``: two checkpoints of one problem."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

import sharpkit
from sharpkit.cli.app import INTERRUPTED, app

if TYPE_CHECKING:
    from sharpkit.reports.command import Kept


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
    ] = "sharpness,eigenvalues,trace,density",
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
    from sharpkit.reports.checkpoints import load
    from sharpkit.reports.command import Kept, problem_from
    from sharpkit.reports.compare import compare as run

    origin = {"a": str(a), "b": str(b), "problem": problem}
    kept = Kept(out, {"sharpkit": sharpkit.__version__, "origin": origin})
    with _reported(Console(), kept):
        run(
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
    from sharpkit.reports.command import is_of_input

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
    from sharpkit.reports.command import FIGURE, RESULTS, table

    assert kept.comparison is not None
    kept.draw()
    console.print(table(kept.comparison))
    console.print(f"Figure: {kept.folder / FIGURE}\nResults: {kept.folder / RESULTS}")
