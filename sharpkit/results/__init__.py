"""What the measures return: frozen records that say how far to believe them."""

from sharpkit.results.along import (
    CriticalResult,
    CriticalStatus,
    DirectionalResult,
    DistanceResult,
    GradientNormResult,
)
from sharpkit.results.average import AverageResult, AverageStatus
from sharpkit.results.ball import BallResult, BallStatus
from sharpkit.results.batches import (
    BatchSharpnessResult,
    FisherRaoResult,
    GradientNoiseResult,
    SamplingStatus,
)
from sharpkit.results.check import CheckResult
from sharpkit.results.common import Run
from sharpkit.results.comparison import Comparison
from sharpkit.results.density import DensityResult
from sharpkit.results.eigen import EigenResult
from sharpkit.results.groups import GroupResults
from sharpkit.results.missing import Missing
from sharpkit.results.normalized import NormalizedFlatness
from sharpkit.results.plan import Plan
from sharpkit.results.radius import RadiusResult, RadiusStatus
from sharpkit.results.ranking import RankingResult
from sharpkit.results.report import Report
from sharpkit.results.sharpness import SharpnessResult, Status
from sharpkit.results.trace import DiagonalResult, RelativeFlatness, TraceResult

__all__ = [
    "AverageResult",
    "AverageStatus",
    "BallResult",
    "BallStatus",
    "BatchSharpnessResult",
    "CheckResult",
    "Comparison",
    "CriticalResult",
    "CriticalStatus",
    "DensityResult",
    "DiagonalResult",
    "DirectionalResult",
    "DistanceResult",
    "EigenResult",
    "FisherRaoResult",
    "GradientNoiseResult",
    "GradientNormResult",
    "GroupResults",
    "Missing",
    "NormalizedFlatness",
    "Plan",
    "RadiusResult",
    "RadiusStatus",
    "RankingResult",
    "RelativeFlatness",
    "Report",
    "Run",
    "SamplingStatus",
    "SharpnessResult",
    "Status",
    "TraceResult",
]
