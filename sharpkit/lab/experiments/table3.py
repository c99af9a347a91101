"""Table 3: sharpness in the full space."""

from __future__ import annotations

from sharpkit.lab import paper
from sharpkit.lab.experiments.common import Findings, Found, Trial, controls
from sharpkit.lab.experiments.sharpness_table import findings
from sharpkit.lab.experiments.study import Study
from sharpkit.lab.networks import NETWORKS

__all__ = ["NETWORKS", "TITLE", "find", "trial"]

TITLE = "Table 3: sharpness in the full space"


def trial(study: Study, seed: int) -> Trial:
    """Return the tasks of one trial."""
    return controls(study, seed)


def find(study: Study, trials: list[Found]) -> Findings:
    """Return the table beside the paper's, and what becomes of its claims."""
    theirs = paper.FULL_SPACE[study.network]
    return findings(trials, theirs, subspace=None, place="Table 3")
