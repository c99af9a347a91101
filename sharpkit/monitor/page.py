"""A record as one HTML page, which needs no other file and no network."""

from __future__ import annotations

import html
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sharpkit.results.common import plain

if TYPE_CHECKING:
    from sharpkit.monitor.log import MonitorLog

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Sharpness while it trained</title>
<style>
{css}</style>
</head>
<body>
<main>
<h1>Sharpness while it trained</h1>
<p>{summary}</p>
<p class="tools">
<button type="button" id="in">Zoom in</button>
<button type="button" id="out">Zoom out</button>
<button type="button" id="all">All steps</button>
<span>Drag over a curve or turn the wheel to zoom; all curves zoom together.</span>
</p>
<div id="curves"></div>
<noscript><p>The curves are drawn by a script on this page.</p></noscript>
<h2>Last values</h2>
<div class="wide"><table>
<thead><tr><th>quantity</th><th>step</th><th>value</th><th>error</th>
<th>threshold</th><th>records</th><th>calls and products of one</th></tr></thead>
<tbody>
{rows}
</tbody></table></div>
<h2>Settings</h2>
<pre>{settings}</pre>
</main>
<script type="application/json" id="record">{record}</script>
<script>
{js}</script>
</body>
</html>
"""


def page(log: MonitorLog) -> str:
    """Return the page of a record.

    Parameters
    ----------
    log
        The record.
    """
    ended = "The training has ended." if log.closed else "It is running, or stopped."
    share = f"The monitor took {log.share:.1%} of wall time."
    torn = f" {log.torn} lines could not be read." if log.torn else ""
    curves = {
        name: {key: each.tolist() for key, each in log.curve(name)._asdict().items()}
        for name in log.names
    }
    here = files("sharpkit.monitor")
    return PAGE.format(
        css=here.joinpath("page.css").read_text(encoding="utf-8"),
        js=here.joinpath("page.js").read_text(encoding="utf-8"),
        summary=f"{len(log.rows):,} values. {ended} {share}{torn}",
        rows="\n".join(_row(log, name) for name in log.names),
        settings=html.escape(json.dumps(list(log.heads), indent=1)),
        # No text in it can end the element that it stands in.
        record=json.dumps(plain(curves), allow_nan=False).replace("<", "\\u003c"),
    )


def _row(log: MonitorLog, name: str) -> str:
    rows = [row for row in log.rows if row.name == name]
    last = next((row for row in reversed(rows) if row.value is not None), rows[-1])
    calls = sorted(row.calls for row in rows)[len(rows) // 2]
    products = sorted(row.products for row in rows)[len(rows) // 2]
    value = _number(last.value) if last.value is not None else last.reason
    cells: list[Any] = [name, last.step, value, _number(last.error, 1)]
    cells += [_number(last.threshold), len(rows), f"{calls}, {products}"]
    return "<tr>" + "".join(f"<td>{html.escape(str(x))}</td>" for x in cells) + "</tr>"


def _number(value: float | None, digits: int = 5) -> str:
    return "" if value is None else f"{value:.{digits}g}"
