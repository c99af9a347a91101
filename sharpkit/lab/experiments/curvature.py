"""The Hessian at the minimisers, and how much of their sharpness it explains.

The paper speaks of the spectrum of sharp minima (section 2.2.2) and measures by the
box: none of the claims here is the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np

from sharpkit import DensityResult, SpectrumStatus
from sharpkit.lab.experiments.common import (
    POINTS,
    Findings,
    Found,
    Trial,
    controls,
    late,
    other_run,
    run_of,
    values,
)
from sharpkit.lab.experiments.study import EPSILONS, Study
from sharpkit.lab.intervals import TINY, Values, spread
from sharpkit.lab.jobs.minimisers import END
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.outcome import Axis, Chart, Claim, Series, Table, floats, ratio_claim
from sharpkit.results import Run

TITLE = "Curvature: the Hessian beside the box"
NETWORKS = ONLY = ("F1", "F2")  # the networks with exact products
DRAWN = ("SB", "LB")  # whose density is estimated and drawn, of the first trial
PLACES, SMOOTHING = 400, 0.2  # of a density, the latter in units of asinh(x / scale)
FLOOR = 0.5  # eigenvalues per decade: a tenth of the peak of a single one


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial: the curvature at every point of the controls."""
    runs = controls(study, seed)
    found = dict(runs)
    for point in POINTS:
        config = {
            "at": END,
            "epsilons": list(EPSILONS),
            "batch_norm": study.batch_norm,
            "density": point in DRAWN and seed == study.seeds[0],
        }
        other = other_run(runs, point)
        needs = (runs[run_of(point)], *([] if other is None else [other]))
        cost = 6 * study.source.train * study.width / 100
        found[f"{point} curvature"] = Task("curvature", config, seed, needs, cost=cost)
    return found


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the Hessian's figures, and whether they carry the contrast of the batches.

    "Quadratic" is the sharpness of the quadratic model of the loss, and "beyond it" the
    loss's own as a multiple of that.
    """
    tables = (_hessian(trials), _predicted(trials))
    notes = late(trials, ("SB", "LB", "LB fast"))
    return Findings(tables, _claims(trials), _charts(study, trials), notes)


def largest_eigenvalues(trials: list[Found], point: str) -> Values:
    """Return the largest eigenvalue of the Hessian, one per trial."""
    return np.array([each["eigenvalues"]["values"][0] for each in _at(trials, point)])


def traces(trials: list[Found], point: str) -> Values:
    """Return the trace of the Hessian, one per trial."""
    return np.array([each["trace"]["value"] for each in _at(trials, point)])


def predicted(trials: list[Found], point: str, epsilon: float) -> Values:
    """Return the sharpness of the quadratic model, per cent, one per trial."""
    return np.array(
        [
            entry["value"]
            for each in _at(trials, point)
            for entry in each["predicted"]
            if entry["epsilon"] == epsilon
        ]
    )


def beyond(trials: list[Found], point: str, epsilon: float) -> Values:
    """Return the sharpness as a multiple of that of the quadratic model.

    1 where the Hessian explains all of the rise. Full space, default solver.
    """
    measured = values(trials, f"{point} box", epsilon)
    return measured / np.maximum(predicted(trials, point, epsilon), TINY)


def _at(trials: list[Found], point: str) -> list[dict[str, Any]]:
    return [trial[f"{point} curvature"].metrics for trial in trials]


def _hessian(trials: list[Found]) -> Table:
    rows = []
    for point, shown in POINTS.items():
        largest = largest_eigenvalues(trials, point)
        rate = ""
        if run_of(point) == point:  # equal norms are no end of a training
            rates = [each[point].config["regime"]["rate"] for each in trials]
            rate = spread(1000 * np.array(rates) * largest)
        trace = spread(traces(trials, point))
        rows.append((shown, spread(largest), rate, trace, _negative(trials, point)))
    return Table(
        "The Hessian",
        ("", "λ_max", "1000 η λ_max", "trace", "negative, %"),
        tuple(rows),
        f"{_errors(trials)} Negative: share of all curvature by size, first trial; ± "
        "of the probes, and some 5 more by the number of steps. "
        "η λ_max is the bare product: plain gradient descent has its limit at 2, Adam "
        "one of its preconditioned Hessian (arXiv 2103.00065, 2207.14484).",
    )


def _errors(trials: list[Found]) -> str:
    """Say how far to believe eigenvalues and traces, at the worst."""
    found = [each for point in POINTS for each in _at(trials, point)]
    residual = max(each["eigenvalues"]["residuals"][0] for each in found)
    error = max(each["trace"]["stderr"] for each in found)
    late = sum(not each["eigenvalues"]["converged"][0] for each in found)
    warning = f", {late} of {len(found)} not converged" if late else ""
    return (
        f"Residuals of λ_max up to {residual:.1g}{warning}; standard errors of the "
        f"trace up to {error:.1g}."
    )


def _negative(trials: list[Found], point: str) -> str:
    """Return the share of negative curvature where its density was estimated."""
    for each in _at(trials, point):
        if "density" in each:
            share = each["density"]["negative_share"]
            return f"{100 * share['value']:.0f} ± {100 * share['stderr']:.0f}"
    return ""


def _predicted(trials: list[Found]) -> Table:
    rows = []
    for point, shown in POINTS.items():
        cells = (
            spread(what(trials, point, epsilon))
            for epsilon in EPSILONS
            for what in (predicted, beyond)
        )
        rows.append((shown, *cells))
    columns = [name for each in EPSILONS for name in (f"ε {each:g}", "loss / model")]
    return Table(
        "Sharpness of the quadratic model (auto, full space), %",
        ("", *columns),
        tuple(rows),
        "loss / model: the measured sharpness as a multiple of that of the model.",
    )


def _claims(trials: list[Found]) -> tuple[Claim, ...]:
    compared: list[tuple[str, Callable[[str], Values]]] = [
        ("The large batch has the larger λ_max", partial(largest_eigenvalues, trials)),
        ("It has the larger trace", partial(traces, trials)),
    ]
    for text, what in (
        ("It is sharper by the quadratic model", predicted),
        ("It is further beyond that model", beyond),
    ):
        compared += [
            (f"{text}, ε = {epsilon:g}", partial(what, trials, epsilon=epsilon))
            for epsilon in EPSILONS
        ]
    return tuple(
        ratio_claim(f"Not of the paper. {text}: LB / SB", what("LB"), what("SB"))
        for text, what in compared
    )


def _charts(study: Study, trials: list[Found]) -> tuple[Chart, ...]:
    """Return the densities of the eigenvalues, smoothed on the axis they are drawn on.

    Most eigenvalues are near 0 and the few large ones decades away, so that the axis is
    that of ``u = asinh(x / scale)``: linear within about the distance of the nodes, and
    logarithmic beyond.
    """
    records = {
        point: each["density"]
        for point in DRAWN
        for each in _at(trials, point)
        if "density" in each
    }
    if not records:  # the first trial has not finished
        return ()
    scale = max(_spectrum(record).width for record in records.values()) / 2
    spectra = {point: _spectrum(record, scale) for point, record in records.items()}
    ends = [
        end for each in spectra.values() for end in (each.nodes.min(), each.nodes.max())
    ]
    grid = np.linspace(min(ends) - 4 * SMOOTHING, max(ends) + 4 * SMOOTHING, PLACES)
    series = []
    for point, spectrum in spectra.items():
        band = spectrum.density(grid, SMOOTHING)
        per_decade = [spectrum.n * math.log(10) * each for each in band]
        seen = per_decade[0] > FLOOR
        y, low, high = (
            floats(np.where(seen, np.maximum(each, FLOOR), np.nan))
            for each in per_decade
        )
        share = 100 * records[point]["negative_share"]["value"]
        name = f"{point}, {share:.0f} % negative by size"
        series.append(Series(name, floats(scale * np.sinh(grid)), y, low, high))
    chart = Chart(
        f"{study.network} on {study.source.name}: eigenvalues of the Hessian",
        Axis(f"eigenvalue λ (linear within ±{scale:.1g})", linear_within=scale),
        Axis("eigenvalues per decade", log=True),
        tuple(series),
        alt="Density of the eigenvalues at both minimisers of the first trial, as "
        "eigenvalues per decade; band: 95 %.",
    )
    return (chart,)


def _spectrum(record: dict[str, Any], scale: float | None = None) -> DensityResult:
    """Return a stored density; with a scale that of ``asinh(x / scale)``."""
    nodes = np.array(record["nodes"])
    return DensityResult(
        nodes=nodes if scale is None else np.arcsinh(nodes / scale),
        weights=np.array(record["weights"]),
        reorthogonalized=record["reorthogonalized"],
        status=SpectrumStatus[record["status"]],
        run=Run(**{each.name: record[each.name] for each in fields(Run)}),
    )
