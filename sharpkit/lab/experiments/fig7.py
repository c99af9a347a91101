"""Figure 7: the curve through both minimisers."""

from __future__ import annotations

from sharpkit.lab.experiments.common import Findings, Found, Trial
from sharpkit.lab.experiments.paths import findings, path_trial
from sharpkit.lab.experiments.study import Study
from sharpkit.lab.networks import NETWORKS

__all__ = ["NETWORKS", "TITLE", "find", "trial"]

TITLE = "Figure 7: the curve through both minimisers"


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial."""
    return path_trial(study, seed, "arc")


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the chart with the paper's curves behind, and the claim."""
    formula = "sin(απ/2) x_LB + cos(απ/2) x_SB"
    return findings(study, trials, number=7, formula=formula)
