"""``sharpkit profile``, ``measure`` and ``check``: one checkpoint of a problem."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

import sharpkit
from sharpkit.cli.compare import MEASURE_NAMES, problem_from, require_unfailed
from sharpkit.cli.console import console

FILE = Path("sharpkit-profile.json")
UNSOUND = 1  # the exit code if a check has found something wrong

Checkpoint = Annotated[
    Path,
    typer.Argument(
        metavar="CHECKPOINT",
        help="A file of the type npz, npy, safetensors, pt, pth, bin or ckpt. Nothing "
        "in a file is executed.",
    ),
]
Place = Annotated[
    str,
    typer.Option(
        "--problem",
        metavar="MODULE:FUNCTION",
        help="A function without arguments that returns the problem that the "
        "checkpoint belongs to, or a mapping of names to problems, of which the first "
        "is taken. Modules in the current folder are found, after all others.",
    ),
]
Epsilon = Annotated[
    float,
    typer.Option(metavar="SIZE", help="The size of the box of the sharpness."),
]
Measures = Annotated[
    str,
    typer.Option(metavar="NAMES", help="The measures to take, separated by commas."),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        "--time-budget", metavar="SECONDS", help="The seconds that all may take."
    ),
]
Most = Annotated[
    int | None,
    typer.Option(
        "--max-evaluations",
        metavar="N",
        help="What all may cost, in evaluations of the loss and its gradient.",
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, metavar="N", help="The seed of all random numbers.")
]
Out = Annotated[
    Path, typer.Option(metavar="FILE", help="The JSON file to write the report to.")
]


def profile(
    checkpoint: Checkpoint,
    problem: Place,
    measures: Measures = "",
    time_budget: Seconds = None,
    max_evaluations: Most = None,
    epsilon: Epsilon = 1e-3,
    seed: Seed = 0,
    out: Out = FILE,
) -> None:
    """Take every measure that applies to a checkpoint, in one table.

    What does not apply says why. The report is written after every finished measure.
    The exit code is 1 if one failed.

    Example: sharpkit profile small.pt --problem mymodule:problem --time-budget 60
    """
    options: dict[str, Any] = {"measures": _names(measures)} if measures else {}
    options |= {"time_budget": time_budget, "max_evaluations": max_evaluations}
    _report(sharpkit.profile, checkpoint, problem, out, epsilon, seed, options)


def measure(
    checkpoint: Checkpoint,
    problem: Place,
    measures: Measures = MEASURE_NAMES,
    time_budget: Seconds = None,
    max_evaluations: Most = 300,
    epsilon: Epsilon = 1e-3,
    seed: Seed = 0,
    out: Out = FILE,
) -> None:
    """Take the usual measures of a checkpoint, quickly.

    Example: sharpkit measure small.pt --problem mymodule:problem
    """
    options = {"measures": _names(measures), "time_budget": time_budget}
    options |= {"max_evaluations": max_evaluations}
    _report(sharpkit.measure, checkpoint, problem, out, epsilon, seed, options)


def check(checkpoint: Checkpoint, problem: Place, seed: Seed = 0) -> None:
    """Check whether loss, gradient and products can be believed.

    It says what each measure would cost, too. The exit code is 1 if something is wrong.

    Example: sharpkit check small.pt --problem mymodule:problem
    """
    found = sharpkit.check(_at(checkpoint, problem), seed=seed)
    console(markup=False, soft_wrap=True, highlight=False).print(repr(found))
    _require_sound(found)


def _require_sound(found: sharpkit.CheckResult) -> None:
    """Raise if a check has found something wrong.

    Raises
    ------
    typer.Exit
        If it has.
    """
    if not found.ok:
        raise typer.Exit(UNSOUND)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _at(checkpoint: Path, place: str) -> Any:
    """Return the problem at a checkpoint."""
    from sharpkit.reports.checkpoints import reader_of
    from sharpkit.reports.inputs import at_checkpoint

    reader_of(checkpoint)  # what is no file is told before the problem is made
    return at_checkpoint(problem_from(place), checkpoint)


def _report(
    taken: Callable[..., sharpkit.Report],
    checkpoint: Path,
    place: str,
    out: Path,
    epsilon: float,
    seed: int,
    options: dict[str, Any],
) -> None:
    """Take the report of a checkpoint, and show and keep it however that ends."""
    show = console(markup=False, soft_wrap=True, highlight=False)
    problem, kept = _at(checkpoint, place), list[sharpkit.Report]()

    def keep(report: sharpkit.Report) -> None:
        kept[:] = [report]
        report.save(out)

    try:
        taken(problem, epsilon=epsilon, seed=seed, on_result=keep, **options)
        stopped = not kept[-1].complete
    finally:
        if kept:
            show.print(repr(kept[-1]))
            show.print(f"Results: {out}")
    require_unfailed(kept)
    if stopped:
        msg = "What was finished is kept."
        raise KeyboardInterrupt(msg)
