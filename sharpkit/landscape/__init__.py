"""Landscapes: the loss along lines, on planes, and along curves between minima."""

from sharpkit.landscape.curve_result import CurveResult
from sharpkit.landscape.curves import curve
from sharpkit.landscape.files import load
from sharpkit.landscape.lines import line
from sharpkit.landscape.planes import plane
from sharpkit.landscape.surface import Axis, LineResult, PlaneResult

__all__ = [
    "Axis",
    "CurveResult",
    "LineResult",
    "PlaneResult",
    "curve",
    "line",
    "load",
    "plane",
]


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
