"""The arrays of the stand-in, and how functions of NumPy are called on them."""

from collections import Counter
from types import ModuleType, SimpleNamespace

import numpy as np

from fake_cupy import names

fake = ModuleType("cupy")  # filled in by the package
copies = Counter()
"""Copies since `installed`: ``copies["to_host"]``, each of which waits for the device,
and ``copies["to_device"]``."""

_SCALARS = (bool, int, float, complex, np.generic)
_IMPLICIT = (
    "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to "
    "construct a NumPy array explicitly."
)


def _operand(x):
    """Return what a kernel may compute with: an array's memory, or a scalar."""
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, _SCALARS):
        return x
    msg = f"Unsupported type {type(x)}"
    raise TypeError(msg)


def _argument(x):
    """Return an argument of a function: operands, also in lists, and plain options."""
    if isinstance(x, list | tuple):
        return type(x)(map(_argument, x))
    if x is None or isinstance(x, str | type | np.dtype):
        return x
    return _operand(x)


def _device(x):
    if not isinstance(x, ndarray):
        msg = f"Argument has incorrect type (expected cupy.ndarray, got {type(x)})"
        raise TypeError(msg)
    return x


def wrap(result):
    """Return results as device arrays; scalars too, as CuPy has them."""
    if result is None:
        return None
    if isinstance(result, list | tuple):
        return (list if isinstance(result, list) else tuple)(map(wrap, result))
    array = object.__new__(ndarray)
    array._host = np.asarray(result)
    return array


def _call(function, *args, out=None, **options):
    unknown = {"where", "initial", "subok"} & set(options)
    if unknown:
        msg = f"Wrong arguments {unknown}"
        raise TypeError(msg)
    options = {name: _argument(value) for name, value in options.items()}
    if out is not None:
        options["out"] = _device(out)._host
    with np.errstate(all="ignore"):  # a device has no floating-point warnings
        result = function(*map(_argument, args), **options)
    return wrap(result) if out is None else out


def ufunc(name):
    function = getattr(np, name)

    def call(*args, out=None, dtype=None, casting="same_kind"):
        if len(args) > function.nin:
            *args, out = args
        if name == "matmul" and out is not None and not out.flags.c_contiguous:
            msg = "Output array must be C-contiguous"
            raise ValueError(msg)
        for each in args:
            _operand(each)
        return _call(function, *args, out=out, dtype=dtype, casting=casting)

    call.__name__ = name
    return call


def function(function):
    def call(*args, **options):
        return _call(function, *args, **options)

    return call


def host_value(function):
    return lambda *args, **options: function(*map(_argument, args), **options)


def _index(index):
    """Return the index for the memory; its ellipsis makes views of single numbers."""
    parts, ellipsis = [], (...,)
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, ndarray):
            if part.dtype.kind not in "biu":
                msg = "arrays used as indices must be of integer or boolean type"
                raise IndexError(msg)
            parts.append(part._host)
        elif part is None or isinstance(part, int | np.integer | slice | type(...)):
            parts.append(part)
            ellipsis = () if part is ... else ellipsis
        else:
            msg = f"an index of type {type(part)}; give integers, slices, device arrays"
            raise TypeError(msg)
    return (*parts, *ellipsis)


class ndarray:
    """An array in the memory of the device, which is the host's here."""

    __slots__ = ("_host",)
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        assert memptr is None
        assert strides is None
        self._host = np.empty(shape, dtype, order)
        # Fresh memory holds anything: NaN shows whoever reads it first.
        self._host.fill(np.nan if self._host.dtype.kind in "fc" else 1)

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    T = property(lambda self: wrap(self._host.T))
    data = property(lambda self: SimpleNamespace(ptr=self._host.ctypes.data))
    device = property(lambda self: fake.cuda.Device(0))
    flags = property(
        lambda self: SimpleNamespace(
            c_contiguous=self._host.flags.c_contiguous,
            f_contiguous=self._host.flags.f_contiguous,
            owndata=self._host.flags.owndata,
        )
    )

    @property
    def __cuda_array_interface__(self):
        own = {"shape": self.shape, "typestr": self.dtype.str, "version": 3}
        strides = None if self._host.flags.c_contiguous else self.strides
        return own | {"data": (self.data.ptr, False), "strides": strides}

    def __array__(self, dtype=None, copy=None):
        raise TypeError(_IMPLICIT)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__" or not hasattr(fake, ufunc.__name__):
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return getattr(fake, ufunc.__name__)(*inputs, **kwargs)

    def __array_function__(self, func, types, args, kwargs):
        found = fake
        for name in (*func.__module__.split(".")[1:], func.__name__):
            found = getattr(found, name, None)
        if found is None or found is func or not set(types) <= {ndarray, np.ndarray}:
            return NotImplemented
        return found(*args, **kwargs)

    def __len__(self):
        if not self.ndim:
            msg = "len() of unsized object"
            raise TypeError(msg)
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index):
        return wrap(self._host[_index(index)])

    def __setitem__(self, index, value):
        if not isinstance(value, (ndarray, *_SCALARS)):
            msg = "non-scalar numpy.ndarray cannot be used for fill"
            raise ValueError(msg)
        self._host[_index(index)] = _operand(value)

    def fill(self, value):
        self[...] = value

    def get(self, stream=None, order="C", out=None, blocking=True):
        copies["to_host"] += 1
        if out is None:
            return self._host.copy(order)
        if out.dtype != self.dtype or out.shape != self.shape:
            msg = "out has another dtype or shape"
            raise ValueError(msg)
        out[...] = self._host
        return out

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray) or arr.dtype != self.dtype:
            msg = "Only numpy.ndarray of the same dtype can be set to cupy.ndarray"
            raise TypeError(msg)
        if arr.shape != self.shape:
            msg = "Shape mismatch"
            raise ValueError(msg)
        copies["to_device"] += 1
        self._host[...] = arr

    def __reduce__(self):
        return fake.array, (self.get(),)


def _binary(name, reflected=False):
    def operator(self, other):
        pair = (other, self) if reflected else (self, other)
        return getattr(fake, name)(*pair)

    return operator


def _in_place(name):
    return lambda self, other: getattr(fake, name)(self, other, out=self)


def _from_host(convert):
    return lambda self, *args: convert(self.get(), *args)


def _method(name):
    return lambda self, *args, **options: _call(
        getattr(np.ndarray, name), self, *args, **options
    )


def _fill_class():
    for short, name in names.ARITHMETIC.items():
        setattr(ndarray, f"__{short}__", _binary(name))
        setattr(ndarray, f"__r{short}__", _binary(name, reflected=True))
        if short != "matmul":
            setattr(ndarray, f"__i{short}__", _in_place(name))
    for short, name in names.COMPARISONS.items():
        setattr(ndarray, f"__{short}__", _binary(name))
    for short, name in names.UNARY.items():
        setattr(
            ndarray, f"__{short}__", lambda self, name=name: getattr(fake, name)(self)
        )
    for name, convert in names.TO_HOST.items():
        setattr(ndarray, name, _from_host(convert))
    for name in names.METHODS:
        setattr(ndarray, name, _method(name))
    ndarray.__hash__ = None
    ndarray.__module__ = "cupy"


_fill_class()
