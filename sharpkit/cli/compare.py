"""``sharpkit compare``: two checkpoints of one problem."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

import sharpkit
from sharpkit._inputs.files import replacing
from sharpkit.cli.console import console

RESULTS, FIGURE = "compare.json", "compare.png"
NUMBER = 12  # characters, of a difference
FAILED = 1  # the exit code if a measure failed
MEASURE_NAMES = "sharpness,eigenvalues,trace,spectral_density"


def compare(
    a: Annotated[
        Path,
        typer.Argument(
            metavar="A",
            help="The first checkpoint: a file of the type npz, npy, safetensors, pt, "
            "pth, bin or ckpt. Nothing in a file is executed.",
        ),
    ],
    b: Annotated[
        Path, typer.Argument(metavar="B", help="The second checkpoint, of such a type.")
    ],
    problem: Annotated[
        str,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="A function without arguments that returns the problem that the "
            "checkpoints belong to, or a mapping such as {'train': one, 'test': "
            "other}. Modules in the current folder are found, after all others.",
        ),
    ],
    epsilon: Annotated[
        float,
        typer.Option(
            metavar="SIZE",
            help="The size of the box in which the sharpness is the largest rise of "
            "the loss: each weight w moves by up to epsilon (|w| + 1).",
        ),
    ] = 1e-3,
    measures: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="The measures to take, separated by commas."
        ),
    ] = MEASURE_NAMES,
    repeats: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="The number of searches for the sharpness at each, at most.",
        ),
    ] = 3,
    more_a: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Another checkpoint of the first kind."),
    ] = None,
    more_b: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Another checkpoint of the second kind."),
    ] = None,
    time_budget: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="The seconds that all may take."),
    ] = None,
    max_evaluations: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="What each checkpoint may cost, in evaluations of loss and gradient.",
        ),
    ] = 300,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="The seed of all random numbers.")
    ] = 0,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="The folder to write to; it is made if needed."
        ),
    ] = Path("sharpkit-compare"),
) -> None:
    """Say which of two checkpoints is sharper, and how surely.

    One pair decides nothing about two ways of training: give several checkpoints of
    each by --more-a and --more-b, which may be repeated.

    The command prints the losses, the accuracies and all measures side by side, with
    their errors and the differences in units of these. It writes them to compare.json,
    after every finished measurement, and a picture to compare.png: the loss on the line
    between both, the spectra, and the ratios of the measures.

    Example: sharpkit compare small.pt large.pt --problem mymodule:problem
    """
    from sharpkit.reports.checkpoints import reader_of

    sides = [a, *(more_a or [])], [b, *(more_b or [])]
    origin: dict[str, Any] = {"a": str(a), "b": str(b), "problem": problem}
    if len(sides[0]) + len(sides[1]) > 2:
        origin |= {
            "more_a": [*map(str, more_a or [])],
            "more_b": [*map(str, more_b or [])],
        }
    kept = Kept(out, {"sharpkit": sharpkit.__version__, "origin": origin})
    with _shown(kept):
        for file in (*sides[0], *sides[1]):
            reader_of(file)  # what is no file is told before the problem is made
        found = sharpkit.compare(
            *sides,
            problem_from(problem),
            names=_names(*sides),
            epsilon=epsilon,
            repeats=repeats,
            measures=[name.strip() for name in measures.split(",")],
            seed=seed,
            time_budget=time_budget,
            max_evaluations=max_evaluations,
            on_result=kept.keep,
        )
        require_unfailed([each for side in found.reports for each in side])
        _require_complete(found)


def _names(a: list[Path], b: list[Path]) -> tuple[str, str]:
    """Return what the sides are called: one file each by its name."""
    if len(a) + len(b) > 2 or a[0].stem == b[0].stem:
        return "A", "B"
    return a[0].stem, b[0].stem


@contextmanager
def _shown(kept: Kept) -> Iterator[None]:
    """Show what is kept, however the work inside ends."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        done = "What was finished is kept."
        nothing = "It was before anything was finished."
        interrupt.args = (done if kept.comparison else nothing,)
        raise
    finally:
        if kept.comparison is not None:
            _show(kept, kept.comparison)


def require_unfailed(reports: list[sharpkit.Report]) -> None:
    """Raise if a measure has failed.

    Raises
    ------
    typer.Exit
        If one has.
    """
    if any(each.failed for each in reports):
        raise typer.Exit(FAILED)


def _require_complete(found: sharpkit.Comparison) -> None:
    """Raise if a comparison was interrupted.

    Raises
    ------
    KeyboardInterrupt
        If it was.
    """
    if not found.complete:
        raise KeyboardInterrupt


def _show(kept: Kept, comparison: sharpkit.Comparison) -> None:
    show = console(markup=False)
    show.print(table(comparison))
    if importlib.util.find_spec("matplotlib") is None:
        show.print(f"There is no {FIGURE}: pip install 'sharpkit[plot]'")
    else:
        with replacing(kept.folder / FIGURE) as part:
            comparison.plot(part)
        show.print(f"Figure: {kept.folder / FIGURE}")
    show.print(f"Results: {kept.folder / RESULTS}")


def problem_from(place: str) -> Any:
    """Return what ``function()`` of ``"module:function"`` returns.

    Modules in the current folder are found, after all others. What the module or the
    function raise comes through unchanged.

    Raises
    ------
    ValueError
        If there is no such module or function.
    ModuleNotFoundError
        If the module imports another that is missing.
    """
    module_name, _, name = place.partition(":")
    if not module_name or not name:
        msg = (
            f"--problem {place}; give module:function, where function() returns a "
            "problem or a mapping such as {'train': problem, 'test': problem}"
        )
        raise ValueError(msg)
    sys.path.append(str(Path.cwd()))  # last: no file there hides a library
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
            "without arguments that returns a problem. The module is "
            f"{getattr(module, '__file__', None) or 'built into Python'}, which comes "
            "before one of that name in the current folder"
        )
        raise ValueError(msg)  # noqa: TRY004
    _require_no_arguments(place, function)
    return function()


def _require_no_arguments(place: str, function: Any) -> None:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        msg = (
            f"--problem {place}: {error}; give a function without arguments, that "
            "returns the problem: the checkpoint is loaded into it"
        )
        raise ValueError(msg) from error
    except ValueError:  # built-in functions have no signature
        return


@dataclass
class Kept:
    """The comparison so far, in memory and in ``compare.json``.

    Attributes
    ----------
    folder : Path
        The folder of the file, which is made when the first result is there.
    header : dict
        What the file says of its origin.
    comparison : Comparison or None
        The comparison, once there is something to compare.
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


def table(comparison: sharpkit.Comparison) -> RenderableType:
    """Return the comparison as a table with its notes."""
    title, *columns = comparison.header
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    drawn.add_column(Text(title), no_wrap=True)
    for column in columns:  # whose titles are longer than the numbers
        broken = column.replace("errors of ", "errors of\n")
        if len(column) > NUMBER:
            broken = broken.replace(" - ", " -\n")
        drawn.add_column(Text(broken), justify="right")
    for row in comparison.rows:
        drawn.add_row(*map(Text, row.cells()))
    return Group(drawn, Text("\n".join(comparison.notes())))
