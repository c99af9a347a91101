"""An outcome in the terminal: what it was made on, its tables, its verdicts."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sharpkit.lab import outcome as found
from sharpkit.lab.outcome import FAILS, HOLDS, OPEN, Outcome

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
    parts.extend(_table(table) for table in outcome.tables if table not in known)
    if outcome.claims:
        parts.append(_verdicts(outcome))
    parts.extend(Text(f"Note: {note}") for note in outcome.notes)
    return Group(*parts)


def _settings(outcome: Outcome) -> str:
    chosen = "; ".join(f"{name} {value}" for name, value in outcome.settings)
    preset = f"Preset {outcome.preset}, trials {outcome.trials}"
    return f"{preset}; {chosen}." if chosen else f"{preset}."


def _table(table: found.Table) -> RenderableType:
    drawn = _new()
    for index, column in enumerate(table.columns):
        justify = "left" if index == 0 else "right"
        drawn.add_column(Text(column), justify=justify)  # type: ignore[arg-type]
    for row in table.rows:
        drawn.add_row(*map(Text, row))
    return _titled(table.title, drawn, table.caption)


def _verdicts(outcome: Outcome) -> RenderableType:
    drawn = _new()
    drawn.add_column("claim", ratio=3, overflow="fold")
    drawn.add_column("decision", no_wrap=True)
    drawn.add_column("figures", ratio=2, overflow="fold")
    for claim in outcome.claims:
        decision = Text(claim.decision, style=_STYLES[claim.decision])
        drawn.add_row(Text(claim.text), decision, Text(claim.detail))
    criteria = dict.fromkeys(claim.criterion for claim in outcome.claims)
    caption = "\n".join(f"Criterion: {criterion}" for criterion in criteria)
    return _titled("The claims, here", drawn, caption)


def _new() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)


def _titled(title: str, drawn: Table, caption: str) -> RenderableType:
    """Put text around a table that may be wider than it; the table's own may not."""
    parts: list[RenderableType] = [Text(title, style="bold"), drawn]
    if caption:
        parts.append(Text(caption, style="italic dim"))
    return Group(*parts, Text())
