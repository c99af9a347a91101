"""Figure 3: the line through both minimisers."""

from __future__ import annotations

from sharpkit.lab.experiments.common import Findings, Found, Trial
from sharpkit.lab.experiments.paths import findings, path_trial
from sharpkit.lab.experiments.study import Study
from sharpkit.lab.networks import NETWORKS

__all__ = ["NETWORKS", "TITLE", "find", "trial"]

TITLE = "Figure 3: the line through both minimisers"


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial."""
    # The demonstration's record has points that are rounded once.
    line = "line in float64" if study.preset == "demo" else "line"
    return path_trial(study, seed, line)


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the chart with the paper's curves behind, and the claim."""
    formula = "α x_LB + (1 - α) x_SB"
    return findings(study, trials, number=3, formula=formula)
