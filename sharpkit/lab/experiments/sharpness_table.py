"""What Tables 3 and 4 share: sharpness of both batches at both sizes of the box."""

from __future__ import annotations

from sharpkit.lab.experiments.common import Findings, Found, late, values
from sharpkit.lab.experiments.study import EPSILONS
from sharpkit.lab.intervals import Values, spread
from sharpkit.lab.outcome import Claim, Table, ratio_claim
from sharpkit.lab.paper import Value

SOLVERS = {"auto": "auto", "lbfgsb": "L-BFGS-B 10"}
ORDER = 10.0  # "one to two orders of magnitude", section 2.2.2


def findings(
    trials: list[Found],
    theirs: dict[str, Value],
    *,
    subspace: int | None,
    place: str,
) -> Findings:
    """Return the table and the claims; ``place`` names the paper's table."""
    rows, claims = [], list[Claim]()
    for epsilon in EPSILONS:
        for solver, shown in SOLVERS.items():
            boxes = _both(trials, epsilon, subspace, solver)
            # The paper's numbers are those of its own recipe.
            paper = [
                str(theirs[f"{epsilon:g}-{name}"]) if solver == "lbfgsb" else ""
                for name in ("SB", "LB")
            ]
            ours = (spread(boxes["SB"]), spread(boxes["LB"]))
            ratio = f"{boxes['LB'].mean() / boxes['SB'].mean():.3g}"
            rows.append((f"{epsilon:g}", shown, *ours, ratio, *paper))
        boxes = _both(trials, epsilon, subspace, "auto")
        claims += [
            ratio_claim(
                f"The large batch is sharper at ε = {epsilon:g} ({place}): LB / SB",
                boxes["LB"],
                boxes["SB"],
            ),
            ratio_claim(
                f"... by an order of magnitude or more at ε = {epsilon:g} ({place}, "
                "section 2.2.2)",
                boxes["LB"],
                boxes["SB"],
                least=ORDER,
            ),
        ]
    table = Table(
        "Sharpness, %",
        ("ε", "solver", "SB", "LB", "LB/SB", "paper: SB", "paper: LB"),
        tuple(rows),
        "auto: the default search for the maximum, which decides the claims; "
        "L-BFGS-B 10: the paper's recipe, beside which its numbers stand.",
    )
    return Findings((table,), tuple(claims), notes=late(trials, ("SB", "LB")))


def _both(
    trials: list[Found], epsilon: float, subspace: int | None, solver: str
) -> dict[str, Values]:
    return {
        name: values(trials, f"{name} box", epsilon, subspace=subspace, solver=solver)
        for name in ("SB", "LB")
    }
