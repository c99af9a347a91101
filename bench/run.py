"""Run the bench: ``python bench/run.py [case ...] [--quick] [--out FILE]``.

A case is a module ``bench/cases/<name>.py`` with ``run(*, quick) -> Table``; its first
docstring line is what ``--list`` prints. Every case checks that its candidates agree
before it times them.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    # At the end: an installed sharpkit comes before the one that lies here.
    sys.path.append(str(ROOT))

from bench.environment import environment  # noqa: E402
from bench.table import CaseError, Table  # noqa: E402

FILE_WIDTH = 140  # of tables that go to a file or a pipe
CASES = ROOT / "bench" / "cases"


def known_cases() -> dict[str, str]:
    """Return the first docstring line of every case, by name, without importing it."""
    found = {}
    for path in sorted(CASES.glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.stem] = text.partition("\n")[0]
    return found


def show(console: Console, name: str, table: Table) -> None:
    """Print a table and its notes."""
    grid = Grid(title=f"{name}: {table.title}", title_justify="left")
    for index, column in enumerate(table.columns):
        grid.add_column(column, justify="left" if index == 0 else "right")
    for row in table.rows:
        grid.add_row(*row)
    console.print(grid)
    for note in table.notes:
        console.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)


def record(name: str, table: Table, *, quick: bool, seconds: float) -> str:
    """Return the case as one line of JSON, with where it was run."""
    return json.dumps(
        {
            "case": name,
            "title": table.title,
            "quick": quick,
            "seconds": round(seconds, 2),
            "environment": environment(),
            "columns": table.columns,
            "rows": table.rows,
            "notes": table.notes,
            "data": table.data,
        }
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the named cases, or all; return the exit status."""
    cases = known_cases()
    parser = argparse.ArgumentParser(
        prog="bench/run.py",
        description="Run bench cases; each prints a table and one line of JSON.",
        epilog=f"cases: {', '.join(cases)}",
    )
    parser.add_argument("case", nargs="*", help="which cases; none means all")
    parser.add_argument("--quick", action="store_true", help="a small, fast version")
    parser.add_argument("--out", type=Path, help="add the JSON lines to this file")
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.case if name not in cases]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; give one of {', '.join(cases)}")
    console = Console()
    if not console.is_terminal:
        console.width = FILE_WIDTH
    if options.list:
        for name, what in cases.items():
            console.print(
                f"{name:12} {what}", markup=False, highlight=False, soft_wrap=True
            )
        return 0
    failed = False
    for name in options.case or cases:
        failed |= not _run_case(console, name, quick=options.quick, out=options.out)
    return int(failed)


def _run_case(console: Console, name: str, *, quick: bool, out: Path | None) -> bool:
    began = time.perf_counter()
    try:
        table: Table = importlib.import_module(f"bench.cases.{name}").run(quick=quick)
    except CaseError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return False
    show(console, name, table)
    line = record(name, table, quick=quick, seconds=time.perf_counter() - began)
    if out is None:
        print(line)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        console.print(
            f"  added to {out}", markup=False, highlight=False, soft_wrap=True
        )
    return True


if __name__ == "__main__":
    sys.exit(main())
