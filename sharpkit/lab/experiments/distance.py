"""Section 2.2.3: how far both batches travel from the common starting point."""

from __future__ import annotations

import math

from sharpkit.lab import paper
from sharpkit.lab.experiments.common import (
    Findings,
    Found,
    Trial,
    controls,
    late,
    metric,
)
from sharpkit.lab.experiments.study import Study
from sharpkit.lab.intervals import log10, paired, spread
from sharpkit.lab.networks import NETWORKS
from sharpkit.lab.outcome import Claim, Table, decide_within, ratio_text

__all__ = ["NETWORKS", "TITLE", "find", "trial"]

TITLE = "Distance from the start (section 2.2.3)"


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial."""
    return controls(study, seed)


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the distances and whether their ratio is the paper's."""
    sb, lb = (metric(trials, name, "distance") for name in ("SB", "LB"))
    low, high = paper.DISTANCE_RATIO
    table = Table(
        "Euclidean distance of the minimiser from its start",
        ("", "SB", "LB", "SB/LB", "paper: SB/LB"),
        (
            (
                "distance",
                spread(sb),
                spread(lb),
                spread(sb / lb),
                f"{low:g} to {high:g}",
            ),
            (
                "updates",
                *(spread(metric(trials, name, "updates")) for name in ("SB", "LB")),
                "",
                "",
            ),
        ),
    )
    ratio = paired(log10(sb) - log10(lb))
    claim = Claim(
        f"The small batch travels {low:g} to {high:g} times as far (section 2.2.3)",
        decide_within(ratio, math.log10(low), math.log10(high)),
        ratio_text(ratio),
        "95 % Student interval of the mean logarithm of the ratio paired by trial: "
        "holds inside the range, does not outside it",
    )
    return Findings((table,), (claim,), notes=late(trials, ("SB", "LB")))
