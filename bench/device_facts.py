"""The CUDA device, and the versions of all that speaks to it, each asked for apart."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

LIMIT = 60  # seconds for each question
PACKAGES = (
    *("cupy-cuda13x", "cupy-cuda12x", "torch", "jax", "jaxlib", "jax-cuda13-plugin"),
    *("nvidia-cuda-nvrtc", "nvidia-cuda-runtime", "numpy", "numba", "scipy"),
)
ASKED = ("name", "driver_version", "memory.total")  # of nvidia-smi
QUESTIONS = {
    "cuda": "import cupy; print(cupy.cuda.runtime.driverGetVersion())",
    "cuda of cupy": "import cupy; print(cupy.cuda.runtime.runtimeGetVersion())",
    "cuda of torch": "import torch; print(torch.version.cuda)",
    "devices of jax": "import jax; print(jax.devices())",
}


class NoDeviceError(Exception):
    """There is no CUDA device, or its driver does not answer; the message says why."""


def device() -> dict[str, str]:
    """Return name, driver and memory of the first device.

    Raises
    ------
    NoDeviceError
        If there is none.
    """
    query = f"--query-gpu={','.join(ASKED)}"
    right, answer = _answer("nvidia-smi", "--id=0", query, "--format=csv,noheader")
    if not right:
        raise NoDeviceError(answer)
    return dict(zip(ASKED, answer.split(", "), strict=True))


def versions() -> dict[str, str]:
    """Return the versions of the packages that are here, and of their CUDA."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    answers = {
        name: _answer(sys.executable, "-c", code)[1] for name, code in QUESTIONS.items()
    }
    return found | answers


def _answer(*command: str) -> tuple[bool, str]:
    """Return whether a command succeeded, and its last line."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    lines = (done.stdout + done.stderr if done.returncode else done.stdout).split("\n")
    said = [line for line in lines if line.strip()]
    return done.returncode == 0, said[-1].strip() if said else "no answer"
