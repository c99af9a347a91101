"""Where training and measuring run: the CPU with NumPy, or a CUDA device with CuPy.

Nothing else asks for a device by name. Data and starting weights are moved there once;
everything that follows runs where its arrays live.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Literal, get_args

import numpy as np

Device = Literal["cpu", "cuda"]
DEVICES: tuple[Device, ...] = get_args(Device)


class DeviceError(RuntimeError):
    """A device that was asked for cannot be used on this machine."""


def array_library(device: Device) -> ModuleType:
    """Return the module, numpy or cupy, that makes arrays on a device.

    Raises
    ------
    ValueError
        If the name is unknown.
    DeviceError
        If it cannot be used here; the message says why.
    """
    if device not in DEVICES:
        msg = f"device={device!r}; give one of {', '.join(map(repr, DEVICES))}"
        raise ValueError(msg)
    if device == "cpu":
        return np
    try:
        cupy = importlib.import_module("cupy")
        _try_out(cupy)
    except ImportError as error:
        msg = (
            f"device='cuda' needs CuPy ({error}); it comes with "
            "pip install 'sharpkit[cuda]'"
        )
        raise DeviceError(msg) from error
    except Exception as error:  # of the driver, the compiler or the BLAS, by its kind
        reason = str(error).partition("\n")[0]
        msg = f"device='cuda' cannot be used: {type(error).__name__}: {reason}"
        raise DeviceError(msg) from error
    return cupy


def _try_out(cupy: ModuleType) -> None:
    """Compute something: a driver, a compiler and a BLAS are found when first used."""
    block = cupy.ones((2, 2), np.float32)
    if float((block @ block + 1).sum()) != 12:
        msg = "a product of two small matrices is wrong"
        raise ArithmeticError(msg)
