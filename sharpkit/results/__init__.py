"""What the measures return: frozen records that say how far to believe them."""

from sharpkit.results.check import CheckResult
from sharpkit.results.common import Run
from sharpkit.results.comparison import Comparison
from sharpkit.results.density import DensityResult
from sharpkit.results.eigen import EigenResult
from sharpkit.results.groups import GroupResults
from sharpkit.results.missing import Missing
from sharpkit.results.normalized import NormalizedFlatness
from sharpkit.results.report import Report
from sharpkit.results.sharpness import SharpnessResult, Status
from sharpkit.results.trace import DiagonalResult, RelativeFlatness, TraceResult

__all__ = [
    "CheckResult",
    "Comparison",
    "DensityResult",
    "DiagonalResult",
    "EigenResult",
    "GroupResults",
    "Missing",
    "NormalizedFlatness",
    "RelativeFlatness",
    "Report",
    "Run",
    "SharpnessResult",
    "Status",
    "TraceResult",
]
