"""``sharpkit landscape``: lines, planes and curves of checkpoints, and their files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sharpkit.cli.compare import problem_from
from sharpkit.cli.console import console

OUT = [Path("sharpkit-landscape.npz"), Path("sharpkit-landscape.png")]

Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="The checkpoint that it begins at: a file of the type npz, npy, "
        "safetensors, pt, pth, bin or ckpt. Nothing in a file is executed.",
    ),
]
Place = Annotated[
    str,
    typer.Option(
        "--problem",
        metavar="MODULE:FUNCTION",
        help="A function without arguments that returns the problem that the "
        "checkpoints belong to, or a mapping such as {'train': one, 'test': other}, of "
        "which all are taken. Modules in the current folder are found, after all "
        "others.",
    ),
]
Points = Annotated[
    int, typer.Option(min=2, metavar="N", help="The number of points along each axis.")
]
Span = Annotated[
    str,
    typer.Option(
        metavar="LOW,HIGH",
        help="Both ends of each axis, or one number R for -R,R. Without it 1, or a "
        "quarter beyond what is marked.",
    ),
]
Normalize = Annotated[
    str,
    typer.Option(
        metavar="HOW",
        help="How random directions are scaled to the weights: filter, layer, weight, "
        "vector or none. Without it by filters, where the problem knows them.",
    ),
]
Samples = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="The number of samples to take, with their sampling error."
    ),
]
BatchNorm = Annotated[
    str,
    typer.Option(
        metavar="problem|data",
        help="The statistics of batch norms: those that the problem was made with, or "
        "those of the data at each point. Without it of the data between checkpoints.",
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, metavar="N", help="The seed of all random numbers.")
]
Processes = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="The number of processes; without it this one."
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Keep every point in a file; the same command goes on where it stopped.",
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        "--time-budget",
        metavar="SECONDS",
        help="The seconds that all may take; coarse points come first.",
    ),
]
Out = Annotated[
    list[Path],
    typer.Option(
        metavar="FILE",
        help="A file to write, of the type npz, json, h5 (of Li et al.), vtp (for "
        "ParaView), html (a page to look at) or a picture. The option may be repeated.",
    ),
]


def line(
    model: Model,
    problem: Place,
    to: Annotated[
        Path | None,
        typer.Argument(metavar="[OTHER]", help="A second checkpoint, at x = 1."),
    ] = None,
    direction: Annotated[
        str,
        typer.Option(metavar="NAME", help="random, gradient or eigenvector."),
    ] = "random",
    repeats: Annotated[
        int, typer.Option(min=1, metavar="N", help="The number of random directions.")
    ] = 1,
    points: Points = 51,
    span: Span = "",
    normalize: Normalize = "",
    samples: Samples = None,
    batch_norm: BatchNorm = "",
    seed: Seed = 0,
    processes: Processes = None,
    checkpoint: Checkpoint = None,
    time_budget: Seconds = None,
    out: Out = OUT,
) -> None:
    """Take loss and accuracy along a line through a checkpoint.

    Example: sharpkit landscape line small.pt large.pt --problem mymodule:problem
    """
    from sharpkit import landscape

    at, (other,) = _at(problem, model, [to])
    options: dict[str, Any] = {"direction": direction, "repeats": repeats}
    if other is not None and model.stem != to.stem:  # type: ignore[union-attr]
        options["names"] = (model.stem, to.stem)  # type: ignore[union-attr]
    _shown(
        landscape.line(
            at,
            to=other,
            points=points,
            span=_ends(span),
            normalize=normalize or None,  # type: ignore[arg-type]
            samples=samples,
            batch_norm=batch_norm or None,  # type: ignore[arg-type]
            seed=seed,
            executor=processes,
            checkpoint=checkpoint,
            time_budget=time_budget,
            **options,
        ),
        out,
    )


def plane(
    model: Model,
    problem: Place,
    through: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[B C]", help="Two more checkpoints to go through."),
    ] = None,
    directions: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="random, eigenvectors or principal (components of the trajectory); or "
            "two of random, gradient and eigenvector, separated by a comma.",
        ),
    ] = "",
    trajectory: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A checkpoint along the training; give the option once for each.",
        ),
    ] = None,
    points: Points = 51,
    span: Span = "",
    span_y: Annotated[
        str, typer.Option(metavar="LOW,HIGH", help="The ends of y, if they differ.")
    ] = "",
    normalize: Normalize = "",
    samples: Samples = None,
    batch_norm: BatchNorm = "",
    seed: Seed = 0,
    processes: Processes = None,
    checkpoint: Checkpoint = None,
    time_budget: Seconds = None,
    out: Out = OUT,
) -> None:
    """Take loss and accuracy on a plane through a checkpoint.

    Example: sharpkit landscape plane small.pt --problem mymodule:problem --points 25
    """
    from sharpkit import landscape

    at, others = _at(problem, model, list(through or []))
    options: dict[str, Any] = {"directions": _names(directions) if directions else None}
    stems = [model.stem, *(each.stem for each in through or [])]
    if others:
        options |= {"through": others}
        if len(set(stems)) == len(stems):
            options |= {"names": tuple(stems)}
    ends = _ends(span)
    if span_y:
        ends = (ends if span else 1.0, _ends(span_y))
    elif isinstance(ends, tuple):
        ends = (ends, ends)
    _shown(
        landscape.plane(
            at,
            trajectory=trajectory or None,
            points=points,
            span=ends,
            normalize=normalize or None,  # type: ignore[arg-type]
            samples=samples,
            batch_norm=batch_norm or None,  # type: ignore[arg-type]
            seed=seed,
            executor=processes,
            checkpoint=checkpoint,
            time_budget=time_budget,
            **options,
        ),
        out,
    )


def curve(
    model: Model,
    to: Annotated[
        Path, typer.Argument(metavar="OTHER", help="The checkpoint at the other end.")
    ],
    problem: Place,
    kind: Annotated[
        str, typer.Option(metavar="bezier|polygon", help="The kind of curve.")
    ] = "bezier",
    bends: Annotated[
        int, typer.Option(min=1, metavar="N", help="The number of inner points.")
    ] = 1,
    steps: Annotated[
        int, typer.Option(min=1, metavar="N", help="The gradients that training takes.")
    ] = 300,
    rate: Annotated[
        float,
        typer.Option(
            metavar="RATE", help="Adam's first step, relative to the size of weights."
        ),
    ] = 0.1,
    batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="The samples of each gradient; without it all."),
    ] = None,
    points: Annotated[
        int, typer.Option(min=3, metavar="N", help="The points along the curve.")
    ] = 61,
    seed: Seed = 0,
    out: Out = OUT,
) -> None:
    """Connect two checkpoints by a curve along which the loss is low.

    Example: sharpkit landscape curve one.pt other.pt --problem mymodule:problem
    """
    from sharpkit import landscape

    at, (other,) = _at(problem, model, [to])
    _shown(
        landscape.curve(
            at,
            other,
            kind=kind,
            bends=bends,
            steps=steps,
            rate=rate,
            batch_size=batch_size,
            points=points,
            seed=seed,
        ),
        out,
    )


def show(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A landscape: npz, json, or h5 as of Li et al."
        ),
    ],
    out: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A file to write, as of the other commands."),
    ] = None,
) -> None:
    """Tell of a landscape in a file, and write it as other files.

    Example: sharpkit landscape show plane.h5 --out plane.html
    """
    from sharpkit import landscape

    _shown(landscape.load(file), out or [])


def _shown(found: Any, out: list[Path]) -> None:
    show = console(markup=False, soft_wrap=True, highlight=False)
    try:
        show.print(repr(found))
    finally:
        for file in out:
            found.save(file)
            show.print(f"Results: {file}")


def _at(place: str, model: Path, others: list[Any]) -> tuple[Any, list[Any]]:
    """Return the problem at a checkpoint, or at several data sets, and the others."""
    from sharpkit.reports.checkpoints import reader_of
    from sharpkit.reports.inputs import at_checkpoint

    for file in (model, *others):
        if file is not None:
            reader_of(file)  # what is no file is told before the problem is made
    made = problem_from(place)
    if isinstance(made, Mapping):
        return {name: at_checkpoint(each, model) for name, each in made.items()}, others
    return at_checkpoint(made, model), others


def _names(text: str) -> Any:
    names = tuple(each.strip() for each in text.split(","))
    return names[0] if len(names) == 1 else names


def _ends(text: str) -> Any:
    """Return what ``--span`` says: None, one number, or two.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if not text:
        return None
    try:
        ends = tuple(float(each) for each in text.split(","))
    except ValueError:
        ends = ()
    if len(ends) not in (1, 2):
        msg = f"--span {text}; give one number, such as 1, or two: --span=-0.5,1.5"
        raise ValueError(msg)
    return ends[0] if len(ends) == 1 else ends
