"""``sharpkit demo``: the gap between small and large batches, in minutes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sharpkit._vectors.parallel import available_cores
from sharpkit.cli.app import INTERRUPTED, app, progress

if TYPE_CHECKING:
    from sharpkit.lab.demo.run import Results


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


@app.command()
def demo(
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
    from sharpkit.lab.demo.run import RESULTS, reproduce as run, total_steps, warm_up
    from sharpkit.lab.demo.settings import setting
    from sharpkit.lab.training.devices import DeviceError, array_library

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
    with progress(console) as bars:
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


def _show(console: Console, results: Results) -> None:
    from sharpkit.lab.demo.run import RESULTS
    from sharpkit.lab.demo.tables import report

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
