"""An outcome in the terminal: what it was made on, its tables, its verdicts."""

from __future__ import annotations

from collections.abc import Container, Iterable
from itertools import groupby

from rich import box
from rich.cells import cell_len
from rich.console import (
    Console,
    ConsoleOptions,
    Group,
    JustifyMethod,
    RenderableType,
)
from rich.table import Table
from rich.text import Text

from sharpkit.lab.outcome import FAILS, HOLDS, OPEN, Outcome

_GAP = 2  # between two columns, and of both edges together
_DETAIL = 40  # of the figures of a claim stay on one line
_STYLES = {HOLDS: "green", FAILS: "red", OPEN: "yellow"}


def shown(outcome: Outcome, before: Outcome | None = None) -> RenderableType:
    """Return heading, data, settings, tables, verdicts and notes, for a console.

    What stands in the outcome that was shown just before is left out.
    """
    parts: list[RenderableType] = [
        Text(f"{outcome.title}, {outcome.network}", style="bold underline")
    ]
    chosen = (outcome.data, outcome.settings)
    if before is None or chosen != (before.data, before.settings):
        parts += [Text(f"Data: {outcome.data}"), Text(_settings(outcome))]
    if outcome.trials < outcome.wanted:
        parts.append(
            Text(
                f"Preliminary: {outcome.trials} of {outcome.wanted} trials.",
                style="bold yellow",
            )
        )
    parts.append(Text())
    known = () if before is None else before.tables
    parts.extend(
        _titled(
            table.title,
            Grid(zip(table.columns, *table.rows, strict=True)),
            table.caption,
        )
        for table in outcome.tables
        if table not in known
    )
    if outcome.claims:
        parts.append(_verdicts(outcome))
    parts.extend(Text(f"Note: {note}") for note in outcome.notes)
    return Group(*parts)


def _settings(outcome: Outcome) -> str:
    chosen = "; ".join(f"{name} {value}" for name, value in outcome.settings)
    preset = f"Preset {outcome.preset}, trials {outcome.trials}"
    return f"{preset}; {chosen}." if chosen else f"{preset}."


def _verdicts(outcome: Outcome) -> RenderableType:
    drawn = _new()
    drawn.add_column("claim", ratio=1, overflow="fold")
    drawn.add_column("decision", no_wrap=True)
    longest = max(cell_len(claim.detail) for claim in outcome.claims)
    drawn.add_column("figures", width=min(longest, _DETAIL), overflow="fold")
    for claim in outcome.claims:
        decision = Text(claim.decision, style=_STYLES[claim.decision])
        drawn.add_row(Text(claim.text), decision, Text(claim.detail))
    criteria = dict.fromkeys(claim.criterion for claim in outcome.claims)
    caption = "\n".join(f"Criterion: {criterion}" for criterion in criteria)
    return _titled("The claims, here", drawn, caption)


def _new() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)


def _titled(title: str, drawn: RenderableType, caption: str) -> RenderableType:
    """Put text around a table that may be wider than it; the table's own may not."""
    parts: list[RenderableType] = [Text(title, style="bold"), drawn]
    if caption:
        parts.append(Text(caption, style="italic dim"))
    return Group(*parts, Text())


class Grid:
    """A table whose cells stay whole: what does not fit stands below, in its turn.

    Heads are broken at spaces where the width asks for it, and the first column, which
    names the rows, where even one column beside it is too much.

    Parameters
    ----------
    columns
        The heads, each followed by its cells.
    left
        The heads of the columns that begin at the left, besides the first.
    """

    def __init__(
        self, columns: Iterable[tuple[str, ...]], left: Container[str] = ()
    ) -> None:
        self._columns, self._left = list(columns), left

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterable[RenderableType]:
        limit = options.max_width - _GAP
        names, *others = self._columns
        whole = [max(map(cell_len, column)) for column in self._columns]
        if sum(whole) + _GAP * len(others) <= limit:
            yield self._drawn(self._columns, whole)
            return
        least = [_least(column) for column in others]
        name = max(map(cell_len, names))
        name = max(min(name, limit - _GAP - max(least, default=0)), 1)
        used, row, turn = name, 0, []
        for width in least:
            used += _GAP + width
            if used > limit:
                row, used = row + 1, name + _GAP + width
            turn.append(row)
        for _, block in groupby(range(len(others)), turn.__getitem__):
            chosen = list(block)
            columns = [names, *(others[i] for i in chosen)]
            yield self._drawn(columns, [name, *(least[i] for i in chosen)])

    def _drawn(self, columns: list[tuple[str, ...]], widths: list[int]) -> Table:
        drawn = _new()
        for (head, *_), width in zip(columns, widths, strict=True):
            left = head == columns[0][0] or head in self._left
            justify: JustifyMethod = "left" if left else "right"
            drawn.add_column(Text(head), justify=justify, width=width, overflow="fold")
        for row in list(zip(*columns, strict=True))[1:]:
            drawn.add_row(*map(Text, row))
        return drawn


def _least(column: tuple[str, ...]) -> int:
    """Return the width in which no cell is broken, and the head only at spaces."""
    head, *cells = column
    return max(map(cell_len, [*cells, *head.split(), ""]))
