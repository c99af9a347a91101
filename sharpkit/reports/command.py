"""What ``sharpkit compare`` needs beside `compare`: the problem, the files, a table."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sharpkit.results.comparison import Comparison

RESULTS, FIGURE = "compare.json", "compare.png"
_PACKAGE = str(Path(__file__).parents[1]) + os.sep


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
    comparison: Comparison | None = None

    def keep(self, comparison: Comparison) -> None:
        """Write everything so that a crash leaves the old or the new file."""
        self.comparison = comparison
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{RESULTS}.part"
        record = self.header | comparison.to_dict()
        part.write_text(json.dumps(record, indent=1, allow_nan=False))
        os.replace(part, self.folder / RESULTS)

    def draw(self) -> None:
        """Write ``compare.png`` of what there is."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        assert self.comparison is not None  # there is nothing to draw before
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        self.comparison.plot(figure)
        figure.savefig(self.folder / FIGURE, dpi=150)


def table(comparison: Comparison) -> RenderableType:
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
