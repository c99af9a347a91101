"""A strict stand-in for CuPy over NumPy, for machines without a GPU.

Its arrays are no NumPy arrays, and like CuPy's they refuse every implicit copy between
host and device: code that runs here mixes nothing. Kernels of a `RawModule` are run by
`simt`. It is stricter than CuPy in a few places: NumPy arrays and lists are no index
and no argument of a function (CuPy copies some of them in silence), an index array out
of range is an error (CuPy wraps it around), and a kernel takes no plain Python numbers
but 0, the null pointer (CuPy passes 64 bits, whatever the kernel expects). What is not
written here does not exist, even if CuPy has it, and nothing is asynchronous. Scalars
are promoted as in NumPy, which CuPy 14 follows.

    @pytest.fixture
    def cupy():
        with fake_cupy.installed() as module:
            yield module
"""

import sys
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np

from fake_cupy import device, names
from fake_cupy.arrays import copies, fake, function, host_value, ndarray, ufunc, wrap


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    if isinstance(a, ndarray) and not copy and dtype in (None, a.dtype):
        return a
    return array(a, dtype, order=order or "K")


def array(obj, dtype=None, copy=True, order="K"):
    if isinstance(obj, ndarray):
        if not copy and dtype in (None, obj.dtype):
            return obj
        return wrap(np.array(obj._host, dtype, order=order))
    copies["to_device"] += 1
    return wrap(np.array(obj, dtype, order=order))


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    return a.get(stream, order, out) if isinstance(a, ndarray) else np.asarray(a)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    like = np.empty_like(prototype._host, dtype, order, True, shape)
    return ndarray(like.shape, like.dtype)


def get_array_module(*args):
    return fake if any(isinstance(each, ndarray) for each in args) else np


def _fill():
    for each in (asarray, array, asnumpy, empty_like, get_array_module, ndarray):
        setattr(fake, each.__name__, each)
    operators = names.ARITHMETIC | names.COMPARISONS | names.UNARY
    for name in (*names.UFUNCS, *operators.values()):
        setattr(fake, name, ufunc(name))
    for name in (*names.FUNCTIONS, *names.CREATORS):
        setattr(fake, name, function(getattr(np, name)))
    for name in names.HOST_VALUES:
        setattr(fake, name, host_value(getattr(np, name)))
    for name in names.CONSTANTS:
        setattr(fake, name, getattr(np, name))
    fake.empty = ndarray
    fake.linalg = SimpleNamespace(norm=function(np.linalg.norm))
    fake.cuda, fake.RawModule = device.namespace(), device.RawModule
    fake.ElementwiseKernel = device.ElementwiseKernel
    fake.__version__ = "14"


_fill()


# Modules that hold CuPy: they are imported anew with the stand-in, and without it.
WITH_CUPY = (
    "sharpkit._vectors.launching",
    "sharpkit._vectors.kernels.cuda",
    "sharpkit.lab.steps.cuda",
    "sharpkit.lab.steps.cuda_products",
)


@contextmanager
def installed():
    """Have ``import cupy`` give the stand-in; a fixture is made of it in a line."""
    ours = ("cupy", "cupyx", *WITH_CUPY)

    def remove():
        found = [
            n for n in sys.modules if n in ours or n.startswith(("cupy.", "cupyx."))
        ]
        for package, name in (each.rsplit(".", 1) for each in WITH_CUPY):
            # or `from sharpkit._vectors.kernels import cuda` finds it there
            getattr(sys.modules.get(package), "__dict__", {}).pop(name, None)
        return {name: sys.modules.pop(name) for name in found}

    before = remove()
    sys.modules |= {"cupy": fake, "cupy.cuda": fake.cuda}
    copies.clear()
    try:
        yield fake
    finally:
        remove()
        sys.modules |= {n: m for n, m in before.items() if n not in WITH_CUPY}
