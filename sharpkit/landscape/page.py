"""A landscape as one HTML page to turn and zoom, which needs no file and no network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.extras import needs
from sharpkit.landscape.surface import LineResult, PlaneResult

if TYPE_CHECKING:
    from sharpkit.landscape import CurveResult

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; \
base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{css}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<div class="tools">
<div role="group" aria-label="View" id="views">
<button type="button" data-view="contour" aria-pressed="true">Contours</button>
<button type="button" data-view="surface" aria-pressed="false">Surface</button>
</div>
<label>Value <select id="value"></select></label>
<div role="group" aria-label="Scale">
<button type="button" data-log="false" aria-pressed="false">Linear</button>
<button type="button" data-log="true" aria-pressed="false">Logarithmic</button>
</div>
<div role="group" aria-label="Zoom">
<button type="button" data-zoom="0.5" aria-label="Zoom in">+</button>
<button type="button" data-zoom="2" aria-label="Zoom out">−</button>
<button type="button" data-move="-1" aria-label="Move or turn left">←</button>
<button type="button" data-move="1" aria-label="Move or turn right">→</button>
<button type="button" data-zoom="reset">Reset</button>
</div>
</div>
<p id="note" role="status"></p>
<div id="plot" role="img" aria-label="{title}"></div>
<svg width="0" height="0" aria-hidden="true"><pattern id="hatch" width="6" height="6" \
patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V6"/></pattern>
</svg>
<noscript><p>The landscape is drawn by a script on this page.</p></noscript>
<h2>What this is</h2>
<pre tabindex="0" role="group" aria-label="What this is">{description}</pre>
</main>
<script type="application/json" id="record">{record}</script>
{scripts}
</body>
</html>
"""


def page(result: PlaneResult | LineResult | CurveResult) -> str:
    """Return the page of a plane, a line or a curve.

    Parameters
    ----------
    result
        What was measured.

    Raises
    ------
    ModuleNotFoundError
        If plotly is not installed.
    """
    if isinstance(result, PlaneResult):
        title, record = "Landscape on a plane", _plane(result)
    elif isinstance(result, LineResult):
        title, record = "Landscape along a line", _line(result)
    else:
        title, record = "Curve between two minima", _curve(result)
    here = files("sharpkit.landscape")
    scripts = [_plotly(), here.joinpath("page.js").read_text(encoding="utf-8")]
    return PAGE.format(
        title=title,
        hashes=" ".join(f"'sha256-{_hash(script)}'" for script in scripts),
        css=here.joinpath("page.css").read_text(encoding="utf-8"),
        description=html.escape(str(result)),
        # No text in it can end the element that it stands in.
        record=json.dumps(record, allow_nan=False).replace("<", "\\u003c"),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def _plane(result: PlaneResult) -> dict[str, Any]:
    """Return the finest complete grid, rows along y; all cells where there is none."""
    from sharpkit.plot.landscape import axis_label, log_scale

    whole = result.whole()
    first, second = whole or (slice(None), slice(None))

    def rows(grid: NDArray[Any]) -> NDArray[Any]:
        return grid[first][:, second].T

    taken = rows(result.taken)

    def grids(values: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
        return {name: _json(rows(v), taken) for name, v in values.items()}

    shares = result.explained or (None, None)
    labels = [axis_label(*each) for each in zip(result.axes, shares, strict=True)]
    known = result.quadratic()
    return {
        "kind": "plane" if whole else "cells",
        "labels": labels,
        "x": _json(result.x[first]),
        "y": _json(result.y[second]),
        "values": grids(result.values),
        "errors": grids(result.errors),
        "log": {
            name: log_scale(None, [grid[result.taken]])
            for name, grid in result.values.items()
        },
        "quadratic": None if known is None else _json(rows(known)),
        "marks": {name: _json(places) for name, places in result.marks.items()},
    }


def _line(result: LineResult) -> dict[str, Any]:
    from sharpkit.plot.landscape import bands, line_label, losses

    taken, parabola = result.taken, result.parabola()
    dashed = []
    if parabola is not None:
        first = next(iter(result.values))
        seen = np.concatenate([result.values[name] for name in losses(result.values)])
        seen = seen[np.isfinite(seen)]  # the parabola is cut off where they end
        slack = 0.05 * np.ptp(seen)
        inside = (parabola >= seen.min() - slack) & (parabola <= seen.max() + slack)
        cut = np.where(inside, parabola, np.nan)
        dashed.append(("parabola of the eigenvalue", first, cut[taken]))
    return _curves(
        line_label(result),
        result.x[taken],
        {name: values[taken] for name, values in result.values.items()},
        {name: [e[taken] for e in ends] for name, ends in bands(result).items()},
        dashed,
        {name: float(places[-1, 0]) for name, places in result.marks.items()},
    )


def _curve(result: CurveResult) -> dict[str, Any]:
    dashed = [(f"{n}, straight line", n, y) for n, y in result.straight.items()]
    ends = dict(zip(result.names, (0.0, 1.0), strict=True))
    return _curves("t", result.t, result.values, {}, dashed, ends)


def _curves(
    label: str,
    x: NDArray[np.float64],
    values: dict[str, NDArray[np.float64]],
    bands: dict[str, Any],
    dashed: list[tuple[str, str, NDArray[np.float64]]],
    marks: dict[str, float],
) -> dict[str, Any]:
    from sharpkit.plot.landscape import log_scale, losses

    shown = [*(values[name] for name in losses(values)), *(y for _, _, y in dashed)]
    return {
        "kind": "line",
        "labels": [label],
        "x": _json(x),
        "values": {name: _json(each) for name, each in values.items()},
        "bands": {name: [_json(e) for e in ends] for name, ends in bands.items()},
        "log": {"": log_scale(None, shown)}
        | {name: log_scale(None, [each]) for name, each in values.items()},
        "dashed": [{"name": n, "of": of, "y": _json(y)} for n, of, y in dashed],
        "marks": marks,
    }


def _json(values: NDArray[np.float64], taken: NDArray[np.bool_] | None = None) -> Any:
    """Return lists: None where a point was not taken, words for what is not finite."""
    rows = values.astype(object)
    rows[~np.isfinite(values)] = [str(v) for v in values[~np.isfinite(values)]]
    if taken is not None:
        rows[~taken] = None
    return rows.tolist()


def _plotly() -> str:
    """Return Plotly's source, which must not end its script element."""
    with needs("a page to look at", "plotly", extra="lab"):
        from plotly.offline import get_plotlyjs
    source = str(get_plotlyjs()).replace("\r\n", "\n")  # as the browser's parser does
    return source.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(script: str) -> str:
    """Return what allows this script and no other in a content security policy."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
