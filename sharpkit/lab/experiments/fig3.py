"""Figure 3: the line through both minimisers, and the plane that holds their start."""

from __future__ import annotations

from typing import Any

import numpy as np

from sharpkit.lab.experiments.common import Findings, Found, Trial
from sharpkit.lab.experiments.paths import between, findings, path_trial
from sharpkit.lab.experiments.study import Study
from sharpkit.lab.jobs.plane import NAMES
from sharpkit.lab.networks import NETWORKS
from sharpkit.lab.outcome import Axis, Plane, Table, floats

__all__ = ["NETWORKS", "OPTIONAL", "TITLE", "find", "trial"]

TITLE = "Figure 3: the line through both minimisers"
OPTIONAL = ("plane",)
POINTS = 25  # of the plane, along each axis


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial; the first has the plane besides."""
    # The demonstration's record has points that are rounded once, and no plane.
    if study.preset == "demo":
        return path_trial(study, seed, "line in float64")
    found = path_trial(study, seed, "line")
    if seed == study.seeds[0]:
        size = {"points": POINTS}
        found["plane"] = between(study, "plane", size, found, POINTS**2)
    return found


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the chart with the paper's curves behind, the claim, and the plane."""
    formula = "α x_LB + (1 - α) x_SB"
    found = findings(study, trials, number=3, formula=formula)
    planes = [trial["plane"].metrics for trial in trials if "plane" in trial]
    if not planes:  # an older record
        return found
    return found._replace(
        tables=(*found.tables, _places(planes[0])),
        charts=(*found.charts, _drawn(study, planes[0])),
    )


def _places(found: dict[str, Any]) -> Table:
    """Return where the three points lie, and how far apart."""
    rows = []
    for name, lengths in zip(NAMES, found["distances"], strict=True):
        place = found["marks"][name][0]
        rows.append((name, *(f"{each:.3f}" for each in (*place, *lengths))))
    return Table(
        "The plane through both minimisers and their start, in the first trial",
        ("", "x", "y", *(f"distance to {name}" for name in NAMES)),
        tuple(rows),
        "Both axes are orthogonal and have one unit, the distance between SB and LB.",
    )


def _drawn(study: Study, found: dict[str, Any]) -> Plane:
    values = {
        f"{name}, train": np.array(grid, np.float64)
        for name, grid in found["values"].items()
    }
    marks = {name: floats(found["marks"][name][0]) for name in NAMES}
    at = ", ".join(f"{name} at ({x:.2f}, {y:.2f})" for name, (x, y) in marks.items())
    loss = values["loss, train"]
    across, along = loss.shape
    low, high = np.nanmin(loss), np.nanmax(loss)
    return Plane(
        f"{study.network}: training loss on the plane through SB, LB and start",
        Axis("x (0: SB, 1: LB)"),
        Axis("y, toward the start"),
        floats(found["x"]),
        floats(found["y"]),
        {name: tuple(map(floats, rows)) for name, rows in values.items()},
        marks,
        f"Training loss at {across} x {along} points in the first trial, {low:.3g} to "
        f"{high:.3g}; {at}. Along y = 0 lies the line of the chart before.",
        log=True,
    )
