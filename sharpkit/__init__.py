"""How sharp is this minimum? The epsilon-box sharpness of Keskar et al., for any loss.

``sharpkit.sharpness(weights, loss_fn)`` takes a flat vector and a callback; so do
``eigenvalues``, ``spectral_density``, ``trace`` and ``diagonal``, of the Hessian. See
the README for three lines that work. ``sharpkit.torch.problem`` and
``sharpkit.jax.problem`` make a problem of a model, which every measure takes. Names are
loaded when they are first used (SPEC 1 of Scientific Python).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sharpkit import (
        jax as jax,
        monitor as monitor,
        torch as torch,
    )
    from sharpkit._box.solvers import LBFGSB as LBFGSB, ScipyLBFGSB as ScipyLBFGSB
    from sharpkit._box.subspace import Subspace as Subspace
    from sharpkit._inputs.preconditioner import Preconditioner as Preconditioner
    from sharpkit._inputs.warn import SharpkitWarning as SharpkitWarning
    from sharpkit._spectrum.estimate import SpectrumStatus as SpectrumStatus
    from sharpkit._vectors.backends import backends as backends
    from sharpkit._vectors.parallel import (
        get_num_threads as get_num_threads,
        set_num_threads as set_num_threads,
    )
    from sharpkit.measures.average_sharpness import (
        average_sharpness as average_sharpness,
    )
    from sharpkit.measures.ball_sharpness import ball_sharpness as ball_sharpness
    from sharpkit.measures.batch_sharpness import batch_sharpness as batch_sharpness
    from sharpkit.measures.by_group import by_group as by_group
    from sharpkit.measures.check import check as check
    from sharpkit.measures.critical_sharpness import (
        critical_sharpness as critical_sharpness,
    )
    from sharpkit.measures.diagonal import diagonal as diagonal
    from sharpkit.measures.directional_sharpness import (
        directional_sharpness as directional_sharpness,
    )
    from sharpkit.measures.distance import (
        distance as distance,
        gradient_norm as gradient_norm,
    )
    from sharpkit.measures.eigenvalues import eigenvalues as eigenvalues
    from sharpkit.measures.fisher_rao import fisher_rao as fisher_rao
    from sharpkit.measures.flatness_radius import flatness_radius as flatness_radius
    from sharpkit.measures.gradient_noise import gradient_noise as gradient_noise
    from sharpkit.measures.normalized_flatness import (
        normalized_flatness as normalized_flatness,
    )
    from sharpkit.measures.operator import operator as operator
    from sharpkit.measures.relative_flatness import (
        relative_flatness as relative_flatness,
    )
    from sharpkit.measures.sharpness import sharpness as sharpness
    from sharpkit.measures.spectral_density import spectral_density as spectral_density
    from sharpkit.measures.trace import trace as trace
    from sharpkit.monitor.log import read_monitor as read_monitor
    from sharpkit.problem import Problem as Problem
    from sharpkit.reports.compare import compare as compare
    from sharpkit.reports.measure import measure as measure
    from sharpkit.reports.plan import plan as plan
    from sharpkit.reports.profile import profile as profile
    from sharpkit.reports.ranking import ranking as ranking
    from sharpkit.results import (
        AverageResult as AverageResult,
        AverageStatus as AverageStatus,
        BallResult as BallResult,
        BallStatus as BallStatus,
        BatchSharpnessResult as BatchSharpnessResult,
        CheckResult as CheckResult,
        Comparison as Comparison,
        CriticalResult as CriticalResult,
        CriticalStatus as CriticalStatus,
        DensityResult as DensityResult,
        DiagonalResult as DiagonalResult,
        DirectionalResult as DirectionalResult,
        DistanceResult as DistanceResult,
        EigenResult as EigenResult,
        FisherRaoResult as FisherRaoResult,
        GradientNoiseResult as GradientNoiseResult,
        GradientNormResult as GradientNormResult,
        GroupResults as GroupResults,
        Missing as Missing,
        NormalizedFlatness as NormalizedFlatness,
        Plan as Plan,
        RadiusResult as RadiusResult,
        RadiusStatus as RadiusStatus,
        RankingResult as RankingResult,
        RelativeFlatness as RelativeFlatness,
        Report as Report,
        SamplingStatus as SamplingStatus,
        SharpnessResult as SharpnessResult,
        Status as Status,
        TraceResult as TraceResult,
    )

__version__ = "0.1.0"

_PLACES = {
    "_box.solvers": ["LBFGSB", "ScipyLBFGSB"],
    "_box.subspace": ["Subspace"],
    "_inputs.preconditioner": ["Preconditioner"],
    "_inputs.warn": ["SharpkitWarning"],
    "_spectrum.estimate": ["SpectrumStatus"],
    "_vectors.backends": ["backends"],
    "_vectors.parallel": ["get_num_threads", "set_num_threads"],
    "measures.batch_sharpness": ["batch_sharpness"],
    "measures.average_sharpness": ["average_sharpness"],
    "measures.ball_sharpness": ["ball_sharpness"],
    "measures.by_group": ["by_group"],
    "measures.check": ["check"],
    "measures.critical_sharpness": ["critical_sharpness"],
    "measures.diagonal": ["diagonal"],
    "measures.directional_sharpness": ["directional_sharpness"],
    "measures.distance": ["distance", "gradient_norm"],
    "measures.eigenvalues": ["eigenvalues"],
    "measures.flatness_radius": ["flatness_radius"],
    "measures.fisher_rao": ["fisher_rao"],
    "measures.gradient_noise": ["gradient_noise"],
    "measures.normalized_flatness": ["normalized_flatness"],
    "measures.operator": ["operator"],
    "measures.relative_flatness": ["relative_flatness"],
    "measures.sharpness": ["sharpness"],
    "measures.spectral_density": ["spectral_density"],
    "measures.trace": ["trace"],
    "monitor.log": ["read_monitor"],
    "problem": ["Problem"],
    "reports.compare": ["compare"],
    "reports.measure": ["measure"],
    "reports.plan": ["plan"],
    "reports.profile": ["profile"],
    "reports.ranking": ["ranking"],
    "results": [
        "BatchSharpnessResult",
        "AverageResult",
        "AverageStatus",
        "BallResult",
        "BallStatus",
        "CheckResult",
        "Comparison",
        "CriticalResult",
        "CriticalStatus",
        "DensityResult",
        "DiagonalResult",
        "DirectionalResult",
        "DistanceResult",
        "EigenResult",
        "GradientNormResult",
        "FisherRaoResult",
        "GradientNoiseResult",
        "GroupResults",
        "Missing",
        "Plan",
        "RadiusResult",
        "RadiusStatus",
        "RankingResult",
        "NormalizedFlatness",
        "RelativeFlatness",
        "Report",
        "SamplingStatus",
        "SharpnessResult",
        "Status",
        "TraceResult",
    ],
}
_ROOMS = ("jax", "landscape", "monitor", "torch")
_PLACE = {name: place for place, names in _PLACES.items() for name in names}

__all__ = sorted([*_PLACE, *_ROOMS])


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for.

    Raises
    ------
    AttributeError
        If there is no such name.
    """
    if name in _ROOMS:
        return importlib.import_module(f"sharpkit.{name}")
    if name not in _PLACE:
        msg = f"module 'sharpkit' has no attribute {name!r}"
        raise AttributeError(msg)
    found = getattr(importlib.import_module(f"sharpkit.{_PLACE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__, "__version__"]
