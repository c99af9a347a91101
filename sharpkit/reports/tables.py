"""Tables of runs, in whatever form they come: a column is a list of cells."""

from __future__ import annotations

import csv
import math
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sharpkit._inputs.names import listed, printable
from sharpkit.reports.concordance import Codes, Values
from sharpkit.results.ranking import METRICS

Columns = dict[str, list[Any]]


def columns(table: Any) -> Columns:
    """Return the columns of a table, all of one length.

    Raises
    ------
    TypeError
        If it is no table.
    ValueError
        If its columns differ in length.
    """
    found: Columns
    if isinstance(table, (str, os.PathLike)):
        if os.path.isdir(table):
            msg = (
                f"table={os.fspath(table)!r} is a folder; of a store of runs give "
                "sharpkit.lab.store.Store(folder).table(kind), or the file that "
                "`sharpkit runs FOLDER --csv FILE` writes"
            )
            raise ValueError(msg)
        with open(table, newline="", encoding="utf-8-sig") as file:
            found = _of_rows(list(csv.DictReader(file)))
    elif isinstance(table, Mapping):
        found = {str(name): _cells(name, table[name]) for name in table}
    elif hasattr(table, "columns") and hasattr(table, "__getitem__"):  # a data frame
        found = {str(name): _cells(name, table[name]) for name in table.columns}
    else:
        rows: list[Any] = list(table) if isinstance(table, Iterable) else [None]
        if not all(isinstance(row, Mapping) for row in rows):
            msg = (
                f"table is of type {type(table).__name__}; give the path of a CSV, a "
                "list with one dict for each run, a dict of columns, or a DataFrame"
            )
            raise TypeError(msg)
        found = _of_rows(rows)
    if len({len(cells) for cells in found.values()}) > 1:
        lengths = ", ".join(f"{printable(n)} {len(c)}" for n, c in found.items())
        msg = f"the columns of table differ in length ({lengths}); give one cell a run"
        raise ValueError(msg)
    return found


def _cells(name: Any, column: Any) -> list[Any]:
    if isinstance(column, (str, bytes)) or not isinstance(column, Iterable):
        msg = (
            f"table[{name!r}] is of type {type(column).__name__}; give a list with one "
            "cell for each run"
        )
        raise TypeError(msg)
    return list(column)


def _of_rows(rows: Sequence[Mapping[Any, Any]]) -> Columns:
    names = dict.fromkeys(name for row in rows for name in row if name is not None)
    return {str(name): [row.get(name) for row in rows] for name in names}


def resolved(argument: str, name: Any, table: Columns) -> str:
    """Return the column that a name means: itself, or the one that ends in it.

    Raises
    ------
    TypeError
        If the name is no text.
    ValueError
        If there is none, or several.
    """
    if not isinstance(name, str):
        msg = f"{argument}={name!r}; give names of columns, as text"
        raise TypeError(msg)
    if name in table:
        return name
    ends = [each for each in table if each.endswith(f".{name}")]
    ends = [each for each in ends if each == METRICS + name] or ends
    if len(ends) == 1:
        return ends[0]
    reason = "none is named so" if not ends else f"it may mean {listed(ends)}"
    msg = (
        f"{argument}={name!r}: {reason}; give one of the columns of table: "
        f"{listed(table)}"
    )
    raise ValueError(msg)


def number(cell: Any) -> float | None:
    """Return the number in a cell, NaN if it is empty, None if it holds no number."""
    if cell is None or (isinstance(cell, str) and cell.strip() in ("", "null")):
        return math.nan
    if isinstance(cell, (bool, np.bool_)):
        return None
    if not isinstance(cell, (str, numbers.Real)):
        missing = type(cell).__name__ in ("NAType", "NaTType")
        return math.nan if missing else None
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return None


def measured(argument: str, name: str, table: Columns) -> Values:
    """Return a column of numbers, NaN where there is none.

    Raises
    ------
    ValueError
        If a cell holds something else.
    """
    found = [number(cell) for cell in table[name]]
    for place, each in enumerate(found):
        if each is None:
            msg = (
                f"{argument}={name!r}: run {place} has "
                f"{printable(repr(table[name][place]))}, which is no number; give "
                "another column, or leave the cell empty"
            )
            raise ValueError(msg)
    return np.array(found, np.float64)


def may_be_measure(name: str, table: Columns) -> bool:
    """Whether a column is of numbers that are not all the same."""
    found = [number(cell) for cell in table[name]]
    if None in found:
        return False
    return len({each for each in found if each is not None and each == each}) > 1


def settings(name: str, table: Columns) -> tuple[Codes, list[Any]]:
    """Return a number for each run's value, and the values in their order.

    An empty cell is a value of its own: something was left out.
    """
    values: list[Any] = []
    for cell in table[name]:
        found = number(cell)
        if found is None:
            values.append(str(cell))
        else:
            values.append(None if math.isnan(found) else found)
    known = sorted(set(values), key=_order)
    place = {value: i for i, value in enumerate(known)}
    return np.array([place[value] for value in values], np.int64), known


def _order(value: Any) -> tuple[int, Any]:
    if value is None:
        return 0, 0
    return (2, value) if isinstance(value, str) else (1, value)
