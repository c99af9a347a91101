"""The steps that are compiled, called with arrays on the host."""

import importlib
from contextlib import nullcontext

import kernel_checks
import numpy as np
import pytest
from cuda_device import device_or_stand_in


class OnHost:
    """Steps of a device that take arrays on the host, change them and return such.

    Real arrays lie between guards there, which must stay as they are and not be used.
    """

    def __init__(self, module, cupy):
        self.module, self.cupy = module, cupy

    def __getattr__(self, name):
        step = getattr(self.module, name)

        def call(*args, **options):
            arrays = kernel_checks.Arrays(self.cupy, next(each.dtype for each in args))
            there = [self.put(arrays, each) for each in args]
            named = {key: self.put(arrays, each) for key, each in options.items()}
            result = step(*there, **named)
            for here, own in zip(args, there, strict=True):
                if isinstance(here, np.ndarray):
                    here[...] = own.get()
            arrays.finish()
            if isinstance(result, tuple):
                return tuple(each.get()[()] for each in result)
            return result

        return call

    def put(self, arrays, a):
        if not isinstance(a, np.ndarray):
            return a
        return arrays.put(a) if a.dtype == arrays.dtype else self.cupy.asarray(a)


def loaded(kind, suffix=""):
    """Yield the steps of a kind: those of a device run on the CPU if there is none."""
    with device_or_stand_in() if kind == "cuda" else nullcontext() as cupy:
        module = importlib.import_module(f"sharpkit.lab.steps.{kind}{suffix}")
        yield OnHost(module, cupy) if kind == "cuda" else module


@pytest.fixture(params=["fused", "cuda"], scope="module")
def steps(request):
    yield from loaded(request.param)


@pytest.fixture(params=["fused", "cuda"], scope="module")
def products(request):
    yield from loaded(request.param, "_products")
