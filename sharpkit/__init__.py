"""How sharp is this minimum? The epsilon-box sharpness of Keskar et al., for any loss.

``sharpkit.sharpness(weights, loss_fn)`` takes a flat vector and a callback; so do
``eigenvalues``, ``spectral_density``, ``trace`` and ``diagonal``, of the Hessian. See
the README for three lines that work. ``sharpkit.torch.problem`` and
``sharpkit.jax.problem`` make both from a model. Heavy libraries are loaded when first
used.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from sharpkit.backends import backends
from sharpkit.measures.check import check
from sharpkit.measures.diagonal import diagonal
from sharpkit.measures.eigenvalues import eigenvalues
from sharpkit.measures.sharpness import sharpness
from sharpkit.measures.spectral_density import spectral_density
from sharpkit.measures.trace import trace
from sharpkit.parallel import get_num_threads, set_num_threads
from sharpkit.problem import Problem
from sharpkit.reports.compare import compare
from sharpkit.reports.measure import measure
from sharpkit.results import (
    CheckResult,
    Comparison,
    DensityResult,
    DiagonalResult,
    EigenResult,
    GroupResults,
    Report,
    SharpkitWarning,
    SharpnessResult,
    SpectrumStatus,
    Status,
    Subspace,
    TraceResult,
)

__version__ = "0.1.0"

__all__ = [
    "CheckResult",
    "Comparison",
    "DensityResult",
    "DiagonalResult",
    "EigenResult",
    "GroupResults",
    "Problem",
    "Report",
    "SharpkitWarning",
    "SharpnessResult",
    "SpectrumStatus",
    "Status",
    "Subspace",
    "TraceResult",
    "backends",
    "check",
    "compare",
    "diagonal",
    "eigenvalues",
    "get_num_threads",
    "measure",
    "set_num_threads",
    "sharpness",
    "spectral_density",
    "trace",
]


def __getattr__(name: str) -> ModuleType:
    """Load `sharpkit.torch` or `sharpkit.jax` when it is first asked for."""
    if name not in ("torch", "jax"):
        msg = f"module 'sharpkit' has no attribute {name!r}"
        raise AttributeError(msg)
    try:
        return importlib.import_module(f"sharpkit.frameworks.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name:
            raise
        msg = f"sharpkit.{name} needs a library that is missing: pip install {name}"
        raise ModuleNotFoundError(msg, name=name) from error
