"""Outcomes as a Markdown document, for a repository to show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sharpkit._inputs.names import printable
from sharpkit.lab.outcome import Outcome, Table


def markdown(outcomes: Sequence[Outcome], heading: str) -> str:
    """Return the document: data, settings, tables and verdicts, a section each."""
    parts = [f"# {_plain(heading)}"]
    title = None
    for outcome in outcomes:
        if outcome.title != title:
            title = outcome.title
            parts.append(f"## {_plain(title)}")
        parts += _section(outcome)
    return "\n\n".join(parts) + "\n"


def _section(outcome: Outcome) -> list[str]:
    settings = "; ".join(f"{name}: {value}" for name, value in outcome.settings)
    parts = [
        f"### {_plain(outcome.network)}, {_plain(outcome.preset)}",
        f"Data: {_plain(outcome.data)}. {outcome.trials} of {outcome.wanted} trials; "
        f"{_plain(settings)}.",
    ]
    if outcome.claims:
        rows = [(each.text, each.decision, each.detail) for each in outcome.claims]
        parts.append(_grid(("claim", "verdict", "figures, 95 %"), rows))
    for table in outcome.tables:
        parts += _table(table)
    parts += [f"- {_plain(note)}" for note in outcome.notes]
    return parts


def _table(table: Table) -> list[str]:
    parts = [f"*{_plain(table.title)}*", _grid(table.columns, table.rows)]
    return [*parts, _plain(table.caption)] if table.caption else parts


def _grid(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = [_cell(column) for column in columns]
    lines = [head, ["---"] * len(head)]
    lines += [[_cell(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    seen = printable(text).replace("\n", " ")
    return re.sub(r"([\\`*_\[\]])", r"\\\1", seen).replace("<", "&lt;")


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")
