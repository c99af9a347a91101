"""``sharpkit reproduce``: the paper's tables and figures, one command each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from sharpkit._vectors.parallel import available_cores
from sharpkit.cli.app import INTERRUPTED, app, progress
from sharpkit.cli.demo import BatchNorm

if TYPE_CHECKING:
    from sharpkit.lab.experiments.study import Study
    from sharpkit.lab.jobs.pool import Failure

Asked = list[tuple[str, "Study"]]

FAILED = 1


class Preset(StrEnum):
    """Sizes of a study."""

    quick = "quick"
    medium = "medium"
    paper = "paper"


class OptimizerName(StrEnum):
    """Optimisers by name."""

    adam = "adam"
    sgd = "sgd"
    momentum = "momentum"
    adagrad = "adagrad"


class Definition(StrEnum):
    """Of the convolutional networks, where the authors' code and the paper differ."""

    code = "code"
    text = "text"


class Stop(StrEnum):
    """When training ends: at a common loss, or once the loss ceases to improve."""

    loss = "loss"
    plateau = "plateau"


@app.command()
def reproduce(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="table2 table3 table4 table6 table7 fig2 fig3 fig4 fig5 fig6 fig7 "
            "distance remedies optimizers, or all.",
        ),
    ],
    network: Annotated[
        list[str] | None,
        typer.Option(help="F1 F2 C1 C2 C3 C4; may be repeated. All it is shown for."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="glyphs frames shapes (drawn), mnist timit cifar10 cifar100 (files); "
            "the drawn ones that stand in for the paper's if left."
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the files of the original data are.")
    ] = None,
    preset: Annotated[Preset, typer.Option(help="Size.")] = Preset.quick,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Starting points; the preset's if left.")
    ] = None,
    first_seed: Annotated[int, typer.Option(min=0, help="Seed of the first.")] = 0,
    data_seed: Annotated[int, typer.Option(min=0, help="Seed of the data.")] = 0,
    optimizer: Annotated[
        OptimizerName, typer.Option(help="Of both batch sizes.")
    ] = OptimizerName.adam,
    stop: Annotated[
        Stop, typer.Option(help="At the same training loss, or when it stays.")
    ] = Stop.loss,
    batch_norm: Annotated[
        BatchNorm, typer.Option(help="Statistics while the sharpness is measured.")
    ] = BatchNorm.running,
    definition: Annotated[
        Definition | None,
        typer.Option(
            help="C1 to C4 as in the authors' code or in the paper's text; the code if "
            "left, but for small C2 and C4, which learn nothing with its dropout."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; one per core if left.")
    ] = None,
    store: Annotated[Path, typer.Option(help="Where finished runs are kept.")] = Path(
        "sharpkit-store"
    ),
) -> None:
    """Reproduce tables and figures of the paper; print them with a verdict per claim.

    Every finished run is kept in the store at once: the same command goes on where it
    was stopped, and experiments share their runs. `sharpkit report` makes a page.
    """
    from sharpkit.lab.experiments import choose
    from sharpkit.lab.experiments.study import study

    console = Console()
    with _reported(console):
        pairs, left = choose(names, network, data)
        for reason in left:
            console.print(f"[yellow]Left out:[/] {escape(reason)}", highlight=False)
        asked: Asked = []
        for name, each in pairs:
            made = study(
                each,
                preset.value,
                data=data,
                folder=None if folder is None else str(folder),
                data_seed=data_seed,
                first_seed=first_seed,
                trials=trials,
                optimizer=optimizer.value,
                batch_norm=batch_norm.value,
                definition=None if definition is None else definition.value,
                stop=stop.value,
            )
            asked.append((name, made))
        failures = _carry_out(console, asked, store, workers or available_cores())
        _show(console, asked, store)
    if failures:
        for failure in failures:
            console.print(f"[bold red]Failed:[/] {failure.task}: {failure.reason}")
        raise typer.Exit(FAILED)


def _carry_out(
    console: Console, asked: Asked, folder: Path, workers: int
) -> list[Failure]:
    """Run what the store lacks, with a bar for each network."""
    from sharpkit.lab.experiments import ask, tasks
    from sharpkit.lab.jobs.pool import carry_out
    from sharpkit.lab.jobs.task import with_needs
    from sharpkit.lab.store import Store

    with console.status("Preparing the data ..."):
        for source in {study.source for _, study in asked}:
            source.load()
    with Store(folder) as opened:
        for name, study in asked:
            ask(opened, name, study)
    everything = {
        (study.network, task.key): task
        for name, study in asked
        for task in with_needs(tasks(name, study))
    }
    with progress(console) as bars:
        rows = {}
        network_of: dict[str, str] = {}
        for network in dict.fromkeys(network for network, _ in everything):
            own = [task for (its, _), task in everything.items() if its == network]
            network_of |= {task.key: network for task in own}
            rows[network] = bars.add_task(network, total=sum(t.cost for t in own))
        return carry_out(
            list(everything.values()),
            folder,
            workers=workers,
            advance=lambda task: bars.advance(rows[network_of[task.key]], task.cost),
        )


def _show(console: Console, asked: Asked, folder: Path) -> None:
    """Print every outcome and draw its charts."""
    from sharpkit.lab.experiments import outcome
    from sharpkit.lab.rendering.pictures import draw
    from sharpkit.lab.rendering.terminal import shown
    from sharpkit.lab.store import Store

    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    with Store(folder, create=False) as opened:
        for name, study in asked:
            found = outcome(name, study, opened)
            console.print(shown(found))
            if found.charts:
                file = figures / f"{found.name}.png"
                draw(found, file)
                console.print(f"Figure: {file}", highlight=False)
    console.print(f"Runs: {folder}. For a page of all: sharpkit report {folder}")


@contextmanager
def _reported(console: Console) -> Iterator[None]:
    """Say what went wrong in a line; bad input ends with 2, Ctrl-C with 130."""
    from sharpkit.lab.store import StoreError

    try:
        yield
    except KeyboardInterrupt as interrupt:
        console.print("Stopped. What was finished is kept: the same command goes on.")
        raise typer.Exit(INTERRUPTED) from interrupt
    except (ValueError, OSError, ImportError, StoreError) as error:
        console.print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error
