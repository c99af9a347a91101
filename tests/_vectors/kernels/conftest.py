"""The backends' kernels, called with arrays on the host."""

import importlib
from contextlib import nullcontext

import numpy as np
import pytest
from cuda_device import device_or_stand_in
from kernel_checks import copied, on_host

from sharpkit._vectors.kernels import reference

# Numbers of size k, which stay on the host: kernel, position of the argument.
SMALL_NUMBERS = {("combine", 0), ("path_gram", 5)}


class OnHost:
    """A backend whose kernels take arrays on the host, and change those.

    Each call copies its arrays to where the backend's live, one number after an aligned
    address, and back. An array given twice is one array there too.
    """

    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        kernel = getattr(self.module, name)

        def call(*args):
            there = {
                id(a): self.put(a)
                for i, a in enumerate(args)
                if isinstance(a, np.ndarray) and (name, i) not in SMALL_NUMBERS
            }
            result = kernel(*(there.get(id(a), a) for a in args))
            for a in args:
                if id(a) in there:
                    a[...] = on_host(there[id(a)])
            return result

        return call

    def put(self, a):
        return copied(self.module, np.append(a.dtype.type(0), a))[1:].reshape(a.shape)


@pytest.fixture(params=["reference", "cpu", "cuda"], scope="module")
def backend(request):
    """Return a backend's kernels: CUDA on a device if there is one, else on the CPU."""
    with device_or_stand_in() if request.param == "cuda" else nullcontext():
        yield importlib.import_module(f"sharpkit._vectors.kernels.{request.param}")


@pytest.fixture(scope="module")
def kernels(backend):
    return OnHost(backend)


@pytest.fixture(params=[np.float32, np.float64], ids=["f4", "f8"], scope="module")
def dtype(request):
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def vectors(rng, dtype):
    """Return (k, n) blocks of normals."""
    return lambda k, n: rng.standard_normal((k, n)).astype(dtype)


@pytest.fixture
def problem(vectors, dtype):
    """Return weights, displacements (some on the walls), directions (some 0)."""

    def make(n):
        w, z, d = vectors(3, n)
        r = np.empty_like(w)
        reference.box_radius(w, 1e-3, r)
        z = np.clip(z * dtype(1e-3), -r, r)
        d[::7] = 0
        return w, z, d

    return make
