"""Landscapes: the loss along lines, on planes, and along curves between minima."""

from sharpkit.landscape.surface import Axis, LineResult, PlaneResult

__all__ = ["Axis", "LineResult", "PlaneResult"]


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
