"""The ``sharpkit`` command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

import sharpkit
from sharpkit.parallel import available_cores

if TYPE_CHECKING:
    from sharpkit.lab.reproduce import Results
    from sharpkit.reports.command import Kept

INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C


class Data(StrEnum):
    """Data sets by name."""

    digits = "digits"
    glyphs = "glyphs"
    mnist = "mnist"


class Preset(StrEnum):
    """Sizes of an experiment."""

    quick = "quick"
    standard = "standard"
    paper = "paper"


class BatchNorm(StrEnum):
    """Batch-norm statistics used while the sharpness is measured."""

    running = "running"
    batch = "batch"
    frozen = "frozen"


class Device(StrEnum):
    """Where training and measuring run."""

    cpu = "cpu"
    cuda = "cuda"


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


@app.command()
def reproduce(
    data: Annotated[
        Data | None,
        typer.Option(help="Data set; glyphs and digits if left."),
    ] = None,
    preset: Annotated[Preset, typer.Option(help="Size.")] = Preset.quick,
    seeds: Annotated[int, typer.Option(min=1, help="Number of trials.")] = 5,
    first_seed: Annotated[int, typer.Option(min=0, help="Seed of the first.")] = 0,
    data_seed: Annotated[int, typer.Option(min=0, help="Seed of the data.")] = 0,
    batch_norm: Annotated[
        BatchNorm, typer.Option(help="Statistics while the sharpness is measured.")
    ] = BatchNorm.running,
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the MNIST files, for --data mnist.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where results are written.")] = Path(
        "sharpkit-results"
    ),
    device: Annotated[
        Device, typer.Option(help="Where training and measuring run.")
    ] = Device.cpu,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes; one per core if left, on CUDA one in all."
        ),
    ] = None,
) -> None:
    """Train with small and large batches, measure both minimisers, compare.

    Prints the paper's Tables 2, 3 and 4 for the setting, with two controls, the
    curvature and a verdict, and writes results.json, the parametric plot and the
    densities of the Hessian's eigenvalues.
    """
    from sharpkit.lab.devices import DeviceError, array_library
    from sharpkit.lab.reproduce import RESULTS, total_steps, warm_up
    from sharpkit.lab.reproduce import reproduce as run
    from sharpkit.lab.settings import setting

    console = Console()
    names = ["glyphs", "digits"] if data is None else [data.value]
    try:
        array_library(device.value)
        settings = [
            setting(
                name,
                preset.value,
                batch_norm=batch_norm.value,
                data_seed=data_seed,
                folder=None if folder is None else str(folder),
                device=device.value,
            )
            for name in names
        ]
        with console.status("Preparing the data and the kernels ..."):
            for each in settings:
                each.load()
            warm_up(settings[-1])
    except (OSError, ValueError, DeviceError) as error:
        console.print(f"[bold red]Error:[/] {error}", highlight=False)
        raise typer.Exit(2) from error
    chosen = list(range(first_seed, first_seed + seeds))
    with _progress(console) as bars:
        tasks = {
            each.name: bars.add_task(each.name, total=total_steps(chosen))
            for each in settings
        }
        results = run(
            settings,
            chosen,
            out,
            # Processes would take turns on the device, and each hold its own memory.
            workers=workers or (1 if device is Device.cuda else available_cores()),
            advance=lambda name, steps: bars.advance(tasks[name], steps),
        )
    _show(console, results)
    if not results.complete:
        console.print(f"Stopped. What was finished is in {out / RESULTS}.")
        raise typer.Exit(INTERRUPTED)


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


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _show(console: Console, results: Results) -> None:
    from sharpkit.lab.reproduce import RESULTS
    from sharpkit.lab.tables import report

    for each in results.settings:
        trials = results.trials.get(each.name, [])
        if not trials:
            continue
        console.rule(f"{each.name}, {len(trials)} trials")
        console.print(
            f"{each.train or 'all'} samples, width {each.width}, batches {each.small} "
            f"and {each.large}, Adam {each.rate:g}, until loss {each.until_loss:g}; "
            f"sharpness with {each.batch_norm} batch-norm statistics; "
            f"on {each.device}",
            highlight=False,
        )
        console.print(report(trials))
    figures = results.draw()
    if figures:
        shown = ", ".join(map(str, figures))
        console.print(f"Figures: {shown}\nResults: {results.folder / RESULTS}")


def main() -> None:
    """Run the command line."""
    app()
