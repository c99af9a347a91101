"""The device of the stand-in, and kernels that run on the host."""

from __future__ import annotations

import importlib
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np

from fake_cupy.arrays import _operand, ndarray


class RawModule:
    """Source whose kernels are looked up by name in `simt`, which compiled them.

    A name that does not exist is an error at the launch; CuPy tells it before.
    """

    def __init__(self, code=None, *, options=(), backend="nvrtc", jitify=None):
        assert isinstance(code, str)
        assert isinstance(options, tuple)
        self.code, self.options, self.backend = code, options, backend

    def compile(self, log_stream=None):
        pass  # the compiler for the host has seen the same source

    def get_function(self, name):
        def kernel(grid, block, args, *, shared_mem=0, stream=None):
            assert isinstance(grid, tuple)
            assert isinstance(block, tuple)
            assert shared_mem == 0, "simt has no dynamic shared memory"
            launch = importlib.import_module("simt").launch
            launch(name, grid, block, tuple(map(_kernel_argument, args)))

        return kernel


def _kernel_argument(x):
    if isinstance(x, ndarray):
        return x.data.ptr
    if isinstance(x, np.generic) or (type(x) is int and x == 0):
        return x
    # CuPy passes integers and floats as 64 bits, whatever the kernel expects, and
    # None as no argument at all.
    msg = f"Unsupported type {type(x)}; give NumPy scalars, and 0 as the null pointer"
    raise TypeError(msg)


class ElementwiseKernel:
    """An operation of the kind ``out = a + factor * b``, which NumPy understands."""

    def __init__(self, in_params, out_params, operation, name="kernel"):
        self.names = [each.split()[-1] for each in in_params.split(",")]
        self.out, self.operation = out_params.split()[-1], operation

    def __call__(self, *args):
        *given, out = args
        values = dict(zip(self.names, map(_operand, given), strict=True))
        exec(self.operation, {}, values)
        out._host[...] = values[self.out]
        return out


class CUDARuntimeError(RuntimeError):
    """What CuPy raises for a failing call of the CUDA runtime."""


class Device:
    """The one device."""

    compute_capability = "90"
    attributes: ClassVar = {
        "MultiProcessorCount": 2,
        "MaxThreadsPerBlock": 1024,
        "MemoryClockRate": 1000,
        "GlobalMemoryBusWidth": 64,
    }

    def __init__(self, device=0):
        self.id = device

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def use(self):
        pass

    def synchronize(self):
        pass


def _runtime():
    properties = {"name": b"stand-in", "multiProcessorCount": 2, "major": 9, "minor": 0}
    return SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        deviceSynchronize=lambda: None,
        getDevice=lambda: 0,
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda device: dict(properties),
    )


def namespace():
    cuda = ModuleType("cupy.cuda")
    stream = SimpleNamespace(synchronize=lambda: None, ptr=0)
    cuda.Device, cuda.runtime = Device, _runtime()
    cuda.Stream = SimpleNamespace(null=stream)
    cuda.get_current_stream = lambda: stream
    cuda.is_available = lambda: True
    return cuda
