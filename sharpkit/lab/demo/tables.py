"""The paper's Tables 2, 3 and 4 for one setting, controls and curvature, printed."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sharpkit.lab.demo.settings import EPSILONS, FAST
from sharpkit.lab.demo.verdict import (
    Verdict,
    accuracies,
    all_reached,
    beyond_quadratic,
    curvature_verdicts,
    distances,
    largest_eigenvalues,
    predicted_values,
    rate_eigenvalues,
    sharpness_values,
    summary,
    traces,
    verdicts,
)
from sharpkit.lab.intervals import spread

Record = dict[str, Any]

_SOLVER_NAMES = {"auto": "auto", "lbfgsb": "L-BFGS-B 10"}
_NAMES = {
    "SB": "SB",
    "LB": "LB",
    "LB fast": f"LB, {FAST}x rate",
    "SB rescaled": "SB, same norms",
    "LB rescaled": "LB, same norms",
}
_AGAINST = {"LB": "SB", "LB fast": "SB", "LB rescaled": "SB rescaled"}


def report(trials: list[Record]) -> RenderableType:
    """Return tables and verdict of one setting's finished trials."""
    parts: list[RenderableType] = [
        _table_2(trials),
        _table_sharpness(trials, "Table 3: sharpness, full space, %", full=True),
        _table_sharpness(trials, "Table 4: sharpness, random subspace, %", full=False),
        _table_controls(trials),
        _table_curvature(trials),
        Text(),  # its caption ends where the next title begins
        _table_predicted(trials),
        _table_verdicts(
            "Curvature, LB against SB", curvature_verdicts(trials, EPSILONS)
        ),
        _table_verdicts("The paper's claims, here", verdicts(trials, EPSILONS)),
    ]
    late = [
        _NAMES[name]
        for name in ("SB", "LB", "LB fast")
        if not all_reached(trials, name)
    ]
    if late:
        parts.append(
            Text(
                f"Not all runs of {', '.join(late)} reached the loss threshold: the "
                "losses are not matched.",
                style="bold yellow",
            )
        )
    parts.append(Text(summary(trials, EPSILONS), style="bold"))
    return Group(*parts)


def _accuracy(trials: list[Record], name: str, part: str) -> str:
    values = accuracies(trials, name, part)
    deviation = values.std(ddof=1) if len(values) > 1 else 0.0
    return f"{values.mean():.2f} ± {deviation:.2f}"


def _new(title: str, *columns: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def _table_2(trials: list[Record]) -> Table:
    table = _new("Table 2: accuracy, %", "", "train", "test", "distance")
    for name in ("SB", "LB"):
        table.add_row(
            name,
            _accuracy(trials, name, "train"),
            _accuracy(trials, name, "test"),
            spread(distances(trials, name)),
        )
    return table


def _table_sharpness(trials: list[Record], title: str, *, full: bool) -> Table:
    table = _new(title, "ε", "solver", "SB", "LB", "LB/SB")
    for epsilon in EPSILONS:
        for solver, shown in _SOLVER_NAMES.items():
            small, large = (
                sharpness_values(
                    trials, name, epsilon=epsilon, full=full, solver=solver
                )
                for name in ("SB", "LB")
            )
            table.add_row(
                f"{epsilon:g}",
                shown,
                spread(small),
                spread(large),
                _ratio(large, small),
            )
    return table


def _table_controls(trials: list[Record]) -> Table:
    columns = [column for epsilon in EPSILONS for column in (f"ε {epsilon:g}", "ratio")]
    table = _new("Controls: sharpness (auto, full space), %", "", "test", *columns)
    for name, shown in _NAMES.items():
        cells = []
        for epsilon in EPSILONS:
            here, against = (
                sharpness_values(
                    trials, which, epsilon=epsilon, full=True, solver="auto"
                )
                for which in (name, _AGAINST.get(name, name))
            )
            cells.append(spread(here))
            cells.append(_ratio(here, against) if name in _AGAINST else "")
        table.add_row(shown, _accuracy(trials, name, "test"), *cells)
    return table


def _table_curvature(trials: list[Record]) -> Table:
    columns = ("λ_max", "1000 η λ_max", "trace", "negative, %")
    table = _new("Curvature: the Hessian", "", *columns)
    for name, shown in _NAMES.items():
        trained = "rate" in trials[0]["minimisers"][name]
        table.add_row(
            shown,
            spread(largest_eigenvalues(trials, name)),
            spread(1000 * rate_eigenvalues(trials, name)) if trained else "",
            spread(traces(trials, name)),
            _negative(trials, name),
        )
    table.caption = (
        f"{_errors(trials)} Negative: share of all curvature by size, first trial; ± "
        "of the probes, and some 5 more by the number of steps. "
        "η λ_max is the bare product: plain gradient descent has its limit at 2, Adam "
        "one of its preconditioned Hessian (arXiv 2103.00065, 2207.14484)."
    )
    return table


def _errors(trials: list[Record]) -> str:
    """Say how far to believe eigenvalues and traces, at the worst."""
    found = [
        minimiser["curvature"]
        for trial in trials
        for minimiser in trial["minimisers"].values()
    ]
    residual = max(each["eigenvalues"]["residuals"][0] for each in found)
    error = max(each["trace"]["stderr"] for each in found)
    late = sum(not each["eigenvalues"]["converged"][0] for each in found)
    warning = f", {late} of {len(found)} not converged" if late else ""
    return (
        f"Residuals of λ_max up to {residual:.1g}{warning}; standard errors of the "
        f"trace up to {error:.1g}."
    )


def _negative(trials: list[Record], name: str) -> str:
    """Return the share of negative curvature where its density was estimated."""
    for trial in trials:
        density = trial["minimisers"][name]["curvature"].get("density")
        if density is not None:
            share = density["negative_share"]
            return f"{100 * share['value']:.0f} ± {100 * share['stderr']:.0f}"
    return ""


def _table_predicted(trials: list[Record]) -> Table:
    columns = [
        column for epsilon in EPSILONS for column in (f"ε {epsilon:g}", "loss / model")
    ]
    table = _new("Sharpness of the quadratic model (auto, full space), %", "", *columns)
    for name, shown in _NAMES.items():
        cells = [
            spread(values(trials, name, epsilon=epsilon))
            for epsilon in EPSILONS
            for values in (predicted_values, beyond_quadratic)
        ]
        table.add_row(shown, *cells)
    return table


def _table_verdicts(title: str, found: list[Verdict]) -> Table:
    table = _new(title, "claim", "", "mean and 95 % interval")
    for verdict in found:
        table.add_row(verdict.claim, verdict.outcome, verdict.detail)
    return table


def _ratio(upper: Any, lower: Any) -> str:
    """Return the ratio of the means, as one reads it off the paper's tables."""
    below = float(np.mean(lower))
    return f"{float(np.mean(upper)) / below:.3g}" if below > 0 else "-"
