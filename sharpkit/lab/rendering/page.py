"""Outcomes as one HTML page that needs nothing else, neither files nor a network."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from sharpkit.lab.outcome import FAILS, HOLDS, OPEN, Chart, Decision, Outcome, Plane
from sharpkit.lab.rendering.curves import left_out_note
from sharpkit.lab.rendering.heights import Heights
from sharpkit.lab.rendering.interactive import Entry, figure

# decision -> class in the style sheet and symbol
_DECISIONS = {HOLDS: ("holds", "✓"), FAILS: ("fails", "✗"), OPEN: ("open", "?")}
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Provenance:
    """Where the runs on a page come from.

    Attributes
    ----------
    version, python, machine : str
        The versions of sharpkit and of Python, and the kind of machine.
    created : str
        When the page was written.
    command : str
        The commands that reproduce it.
    store : str
        The store's path.
    runs : int
        The number of finished runs in the store.
    seconds : float
        What they took, added up.
    """

    version: str
    python: str
    machine: str
    created: str
    command: str
    store: str
    runs: int
    seconds: float


def page(outcomes: Sequence[Outcome], provenance: Provenance) -> str:
    """Return the page: what was run, the verdicts, and a section per experiment.

    Everything is inside, Plotly too, and the page's own policy forbids it to load or
    to send anything. Experiments and networks stand in the order of ``outcomes``.

    Raises
    ------
    ValueError
        If there is no outcome, or a chart's series are malformed.
    """
    if not outcomes:
        msg = "outcomes=(); give at least one outcome"
        raise ValueError(msg)
    sections = _sections(outcomes)
    scripts = [_plotly(), (_HERE / "page.js").read_text("utf-8")]
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            provenance=provenance,
            presets=list(dict.fromkeys(outcome.preset for outcome in outcomes)),
            sections=sections,
            networks=list(dict.fromkeys(outcome.network for outcome in outcomes)),
            summary=[_summary(section) for section in sections],
            tally=Counter(c.decision for outcome in outcomes for c in outcome.claims),
            decisions=_DECISIONS,
            style=(_HERE / "page.css").read_text("utf-8"),
            scripts=scripts,
            hashes=[_hash(script) for script in scripts],
        )
    )


@dataclass(frozen=True)
class _Drawing:
    """One chart with its Plotly figure and legend; a plane has none."""

    chart: Chart | Plane
    json: dict[str, Any]
    legend: list[Entry]
    note: str
    alt: str


@dataclass(frozen=True)
class _Part:
    """One outcome with its place on the page."""

    outcome: Outcome
    anchor: str
    drawings: list[_Drawing]


@dataclass(frozen=True)
class _Section:
    """One experiment."""

    anchor: str
    title: str
    parts: list[_Part]

    @property
    def networks(self) -> set[str]:
        """Return those it was run on."""
        return {part.outcome.network for part in self.parts}


@dataclass(frozen=True)
class _Verdict:
    """One cell of the summary, or a part of it."""

    decision: Decision
    anchor: str
    preset: str


def _sections(outcomes: Sequence[Outcome]) -> list[_Section]:
    anchors = _anchors([outcome.name for outcome in outcomes])
    grouped: dict[str, list[_Part]] = {}
    for outcome, anchor in zip(outcomes, anchors, strict=True):
        drawings = [_drawing(chart) for chart in outcome.charts]
        part = _Part(outcome, anchor, drawings)
        grouped.setdefault(outcome.experiment, []).append(part)
    return [
        _Section(f"section-{number}", parts[0].outcome.title, parts)
        for number, parts in enumerate(grouped.values(), 1)
    ]


def _anchors(names: list[str]) -> list[str]:
    """Return an id for each: letters, digits and hyphens, none twice."""
    plain = ["at-" + re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") for name in names]
    return [
        f"{name}-{i}" if plain.count(name) > 1 else name
        for i, name in enumerate(plain, 1)
    ]


def _drawing(chart: Chart | Plane) -> _Drawing:
    json, legend = figure(chart)
    note = left_out_note([entry.curve for entry in legend])
    if isinstance(chart, Plane):
        note = Heights.of(chart).note
    alt = chart.alt or f"{chart.y.label} against {chart.x.label}"
    return _Drawing(chart, json, legend, note, alt)


def _summary(section: _Section) -> list[tuple[str, dict[str, list[_Verdict]]]]:
    """Return each claim with network -> verdicts; a text said twice has two rows."""
    rows: dict[tuple[str, int], dict[str, list[_Verdict]]] = {}
    for part in section.parts:
        said: Counter[str] = Counter()
        for number, claim in enumerate(part.outcome.claims, 1):
            said[claim.text] += 1
            row = rows.setdefault((claim.text, said[claim.text]), {})
            anchor = f"{part.anchor}-claim-{number}"
            verdict = _Verdict(claim.decision, anchor, part.outcome.preset)
            row.setdefault(part.outcome.network, []).append(verdict)
    return [(text, row) for (text, _), row in rows.items()]


@functools.cache
def _plotly() -> str:
    """Return Plotly's source, which must not end its script element."""
    from plotly.offline import get_plotlyjs

    source = str(get_plotlyjs()).replace("\r\n", "\n")  # as the browser's parser does
    return source.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(script: str) -> str:
    """Return what allows this script and no other in a content security policy."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["duration"] = _duration
    made.filters["number"] = lambda value: f"{value:.6g}"
    return made


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return (
        f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    )
