"""Landscapes: the loss along lines, on planes, and along curves between minima."""

from sharpkit.landscape.lines import line
from sharpkit.landscape.planes import plane
from sharpkit.landscape.surface import Axis, LineResult, PlaneResult

__all__ = ["Axis", "LineResult", "PlaneResult", "line", "plane"]


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
