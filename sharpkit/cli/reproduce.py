"""``sharpkit reproduce`` and ``demo``: the paper's experiments, one command each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Device = Annotated[
    Literal["cpu", "cuda"],
    typer.Option(help="Where F1 and F2 are trained and measured."),
]
Trials = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="The number of trials, each from a starting point of its own. Without it "
        "the preset decides.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="The number of processes that work at the same time. Without it one for "
        "each core, and a single one on a CUDA device.",
    ),
]
Store = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="The folder in which every finished run is kept; it is made if needed.",
    ),
]
_STORE = Path("sharpkit-store")
_DEMO = ("table2", "table3", "table4", "distance", "fig3", "curvature")


def demo(
    data: Annotated[
        Literal["glyphs", "digits"] | None,
        typer.Option(
            help="The data: drawn glyphs or real handwritten digits. Without it both."
        ),
    ] = None,
    trials: Trials = None,
    device: Device = "cpu",
    workers: Workers = None,
    store: Store = _STORE,
) -> None:
    """Show the experiment in minutes, on drawn and on real digits.

    Networks are trained with small and with large batches from the same starting
    points. At every minimum the accuracy, the sharpness and the curvature are measured.
    The command prints them as tables, says which of the paper's claims hold, and draws
    figures. It takes about three minutes on two cores.

    It is `sharpkit reproduce` at the preset "demo": what is finished is kept in the
    store, and the same command goes on where it was stopped.

    Example: sharpkit demo --data digits
    """
    from sharpkit.cli.running import run
    from sharpkit.lab.experiments.study import study

    studies = [
        study("F1", "demo", data=name, trials=trials, device=device)
        for name in ([data] if data else ["glyphs", "digits"])
    ]
    run([(name, each) for each in studies for name in _DEMO], store, workers)


def reproduce(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help="The experiments: table2, table3, table4, table6, table7, fig2, "
            "fig3, fig4, fig5, fig6, fig7, distance, remedies, optimizers, curvature, "
            "ranking, eos, catapult, or all but the last three: all.",
        ),
    ],
    network: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="The network: F1, F2, C1, C2, C3 or C4. Give the option once for "
            "each. Without it an experiment runs on all that the paper has it for.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The data set. Drawn: glyphs (F1), frames (F2), shapes (C1 to C4). "
            "Part of sharpkit: digits (F1). Read from files: mnist (F1), timit (F2), "
            "cifar10 (C1, C2), cifar100 (C3, C4). Without it the drawn one.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The folder with the original files of a data set."
        ),
    ] = None,
    download: Annotated[
        bool,
        typer.Option(
            "--download",
            help="Fetch the files of mnist, cifar10 or cifar100 where they are "
            "published, once, into the cache (or the folder SHARPKIT_DATA).",
        ),
    ] = False,
    preset: Annotated[
        Literal["demo", "quick", "medium", "paper"],
        typer.Option(
            help="The sizes of networks and data: seconds (demo, for F1 alone; quick) "
            "or minutes (medium) for each training, or those of the paper."
        ),
    ] = "quick",
    trials: Trials = None,
    first_seed: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="The seed of the first trial; the next have 1 more.",
        ),
    ] = 0,
    data_seed: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="The seed by which data are drawn or chosen."
        ),
    ] = 0,
    optimizer: Annotated[
        Literal["adam", "sgd", "momentum", "adagrad"],
        typer.Option(help="The optimiser that trains with both batch sizes."),
    ] = "adam",
    stop: Annotated[
        Literal["loss", "plateau"],
        typer.Option(
            help="When training ends: at a training loss common to both batch sizes, "
            "or once the loss ceases to improve."
        ),
    ] = "loss",
    batch_norm: Annotated[
        Literal["running", "batch", "frozen"],
        typer.Option(
            help="The batch-norm statistics while the sharpness is measured: running "
            "averages, those of the whole set at the weights in hand, or those of the "
            "whole set at the minimum."
        ),
    ] = "running",
    definition: Annotated[
        Literal["code", "text"] | None,
        typer.Option(
            help="Whether C1 to C4 are built as in the authors' code or as in the "
            "paper's text. Without it as in the code, but for small C2 and C4, which "
            "learn nothing with its dropout."
        ),
    ] = None,
    device: Device = "cpu",
    workers: Workers = None,
    store: Store = _STORE,
) -> None:
    """Run experiments of the paper, and say which of its claims hold.

    The command prints each table beside the paper's numbers, says of each claim that it
    holds, does not hold or is not decided here, and draws the figures.

    Every finished run is kept in the store at once. The same command goes on where it
    was stopped, and experiments share their runs. `sharpkit report` makes a page of
    all that a store holds.

    Example: sharpkit reproduce table3 fig3 --network F1 --network F2
    """
    from rich.markup import escape

    from sharpkit.cli.console import console
    from sharpkit.cli.running import run
    from sharpkit.lab.experiments import choose
    from sharpkit.lab.experiments.study import study

    pairs, left = choose(names, network, data)
    for reason in left:
        console().print(f"[yellow]Left out:[/] {escape(reason)}", highlight=False)
    asked = [
        (
            name,
            study(
                each,
                preset,
                data=data,
                folder=None if folder is None else str(folder),
                download=download,
                data_seed=data_seed,
                first_seed=first_seed,
                trials=trials,
                optimizer=optimizer,
                batch_norm=batch_norm,
                definition=definition,
                stop=stop,
                device=device,
            ),
        )
        for name, each in pairs
    ]
    run(asked, store, workers)
