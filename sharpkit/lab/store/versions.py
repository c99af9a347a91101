"""What a run was computed with."""

from __future__ import annotations

import platform
from importlib import metadata

import sharpkit

LIBRARIES = ("numpy", "numba", "scipy", "torch")


def versions() -> dict[str, str]:
    """Return what the result was computed with."""
    found = {"sharpkit": sharpkit.__version__, "python": platform.python_version()}
    found["machine"] = platform.machine()
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found
