"""The stand-in is as strict as CuPy, and has nothing that CuPy has not."""

import copy
import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import fake_cupy
import numpy as np
import pytest
from fake_cupy import names


@pytest.fixture
def cupy():
    with fake_cupy.installed() as module:
        yield module


@pytest.fixture
def host():
    return np.arange(6.0).reshape(2, 3)


@pytest.fixture
def x(cupy, host):
    return cupy.asarray(host)


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, n: x + n,
        lambda x, n: n + x,
        lambda x, n: x * n[0],
        lambda x, n: x @ n.T,
        lambda x, n: x < n,
        lambda x, n: n == x,
        lambda x, n: x.__iadd__(n),
        lambda x, n: n.__iadd__(x),
        lambda x, n: x + n.tolist(),
        lambda x, n: np.add(x, n),
        lambda x, n: np.sqrt(x, out=n),
        lambda x, n: np.matmul(x, x.T, out=n[:, :2].copy()),
        lambda x, n: np.maximum(n, x),
        lambda x, n: np.dot(x, n.T),
        lambda x, n: np.copyto(n, x),
        lambda x, n: np.concatenate([x, n]),
        lambda x, n: x.dot(n.T),
        lambda x, n: x.sum(axis=0, out=n[0]),
        lambda x, n: np.add.reduce(x),
        lambda x, n: np.sqrt(x, where=True),
    ],
)
def test_host_and_device_do_not_mix(x, host, mix):
    before = host.copy()
    with pytest.raises(TypeError):
        mix(x, host)
    np.testing.assert_array_equal(host, before)


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        np.array,
        np.ascontiguousarray,
        lambda x: np.array([x, x]),
        lambda x: np.zeros((2, 3)).__setitem__(slice(None), x),
        lambda x: np.arange(10)[x],
        lambda x: np.testing.assert_array_equal(x, x),
    ],
)
def test_nothing_is_converted_in_silence(cupy, x, convert):
    with pytest.raises(TypeError, match="Implicit conversion"):
        convert(x)
    assert fake_cupy.copies == {"to_device": 1}


def test_functions_refuse_host_arrays(cupy, host):
    for call in (
        lambda: cupy.sqrt(host),
        lambda: cupy.sum(host),
        lambda: cupy.where(host > 0, 1.0, 0.0),
        lambda: cupy.stack([host, host]),
        lambda: cupy.asarray([cupy.zeros(2), cupy.zeros(2)]),
    ):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("value", [np.ones(3), [1, 2, 3]])
def test_host_values_cannot_be_assigned(x, value):
    with pytest.raises(ValueError, match=r"non-scalar numpy\.ndarray cannot be used"):
        x[0] = value
    with pytest.raises(ValueError, match=r"non-scalar numpy\.ndarray cannot be used"):
        x.fill(value)


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (np.array([0, 1]), TypeError),
        ([0, 1], TypeError),
        (1.5, TypeError),
        (2, IndexError),
        ((0, 0, 0), IndexError),
    ],
)
def test_refused_indices(x, index, error):
    with pytest.raises(error):
        x[index]
    with pytest.raises(error):
        x[index] = 0


def test_device_arrays_are_indices_and_values(cupy, x, host):
    rows, mask = cupy.asarray([1, 0]), x > 2
    np.testing.assert_array_equal(x[rows].get(), host[[1, 0]])
    np.testing.assert_array_equal(x[rows, cupy.asarray([2, 0])].get(), [5, 0])
    np.testing.assert_array_equal(x[mask].get(), host[host > 2])
    x[rows] = cupy.zeros((2, 3))
    assert float(x.sum()) == 0
    with pytest.raises(IndexError, match="integer or boolean"):
        x[x]


def test_views_share_memory_and_copies_do_not(cupy, x, host):
    x[1, 2] = np.float64(7)
    x[None, 0][...] += 1
    x.T[2, 0] *= 2
    x.reshape(-1)[1] = 9
    np.testing.assert_array_equal(x.get(), [[1, 9, 6], [3, 4, 7]])
    assert host[0, 0] == 0
    x.copy()[...] = 0
    x.get()[...] = 0
    cupy.array(x)[...] = 0
    assert cupy.asarray(x) is x
    assert float(x[1, 2]) == 7
    one = x[0, 0]  # a view, where NumPy gives a number
    one[...] = 5
    assert float(x[0, 0]) == 5


def test_reductions_stay_on_the_device(cupy, x):
    for found in (x.sum(), x.max(), x.argmax(), (x > 0).all(), x[0, 0], x.var()):
        assert isinstance(found, cupy.ndarray)
        assert found.shape == ()
    assert isinstance(np.array_equal(x, x), cupy.ndarray)
    with pytest.raises(TypeError):
        range(x.argmax())
    with pytest.raises(ValueError, match="ambiguous"):
        bool(x)


def test_functions_of_numpy_go_to_the_device(cupy, x, host):
    out = cupy.empty((2, 3))
    assert np.add(x, 1, out=out) is out
    np.testing.assert_array_equal(out.get(), host + 1)
    product = cupy.empty((2, 2))
    assert np.matmul(x, x.T, out=product) is product
    np.testing.assert_array_equal(product.get(), host @ host.T)
    for found, expected in (
        (np.sqrt(x), np.sqrt(host)),
        (np.float32(2) * x, 2 * host),
        (np.linalg.norm(x), np.linalg.norm(host)),
        (np.zeros_like(x), 0 * host),
        (np.where(x > 2, x, 0), np.where(host > 2, host, 0)),
    ):
        assert isinstance(found, cupy.ndarray)
        np.testing.assert_array_equal(found.get(), expected)
    with pytest.raises(TypeError, match="no implementation found"):
        np.unwrap(x)


def test_a_product_goes_to_contiguous_memory_only(cupy, x):
    with pytest.raises(ValueError, match="C-contiguous"):
        cupy.matmul(x, x.T, out=cupy.empty((2, 4))[:, ::2])


def test_scalars_are_promoted_as_in_numpy(cupy):
    x = cupy.ones(3, np.float32)
    assert (2.0 * x).dtype == np.float32
    assert (np.float64(2) * x).dtype == np.float64
    assert x.sum(dtype="float64").dtype == np.float64
    x *= np.float64(2)
    assert x.dtype == np.float32


def test_fresh_memory_holds_nothing_useful(cupy, x):
    assert np.isnan(cupy.empty(3).get()).all()
    assert np.isnan(cupy.empty_like(x).get()).all()


def test_no_warnings_from_the_device(cupy):
    zero = cupy.zeros(1, np.float32)
    assert np.isnan((zero / zero).item())
    assert (cupy.exp(zero + 1000)).item() == np.inf


def test_attributes(cupy, x):
    assert (x.shape, x.size, x.ndim, x.nbytes) == ((2, 3), 6, 2, 48)
    assert x.flags.c_contiguous
    assert not x.T.flags.c_contiguous
    assert x[1:].data.ptr == x.data.ptr + x.strides[0]
    assert x.__cuda_array_interface__["data"] == (x.data.ptr, False)
    for name in ("ctypes", "__array_interface__", "__index__", "writeable"):
        assert not hasattr(x, name)
    with pytest.raises(AttributeError):
        x.mark = 1
    with pytest.raises(TypeError):
        hash(x)
    assert type(x).__module__ == "cupy"
    assert (copy.deepcopy(x) == x).all()


def test_copies_are_counted(cupy, x):
    fake_cupy.copies.clear()
    (x + 1).sum()
    assert not fake_cupy.copies
    float(x[0, 0])
    bool(x[0, 0] < 1)
    cupy.asnumpy(x)
    x.set(np.zeros((2, 3)))
    assert fake_cupy.copies == {"to_host": 3, "to_device": 1}


def test_kernels_are_launched_with_addresses(cupy, x, monkeypatch):
    seen = []
    monkeypatch.setitem(
        sys.modules, "simt", SimpleNamespace(launch=lambda *args: seen.append(args))
    )
    module = cupy.RawModule(code='extern "C" void twice() {}', options=("-std=c++17",))
    kernel = module.get_function("twice")
    kernel((2,), (64,), (x, np.int32(3), 0))
    assert seen == [("twice", (2,), (64,), (x.data.ptr, np.int32(3), 0))]
    for wrong in (x.get(), 3, 1.5, None):
        with pytest.raises(TypeError, match="Unsupported type"):
            kernel((1,), (32,), (wrong,))


def test_it_is_installed_and_removed_again():
    before = {name: sys.modules.get(name) for name in ("cupy", "cupy.cuda")}
    with fake_cupy.installed() as module:
        import cupy
        import cupy.cuda

        assert cupy is module
        assert cupy.cuda.is_available()
        for name in fake_cupy.WITH_CUPY:
            sys.modules[name] = module
    assert {name: sys.modules.get(name) for name in before} == before
    assert not set(fake_cupy.WITH_CUPY) & set(sys.modules)


_NAMES = """
import cupy
from fake_cupy import names
wanted = (names.UFUNCS, names.ARITHMETIC.values(), names.COMPARISONS.values(),
    names.UNARY.values(), names.FUNCTIONS, names.CREATORS, names.HOST_VALUES,
    names.CONSTANTS, ["asarray", "array", "asnumpy", "empty", "empty_like",
    "get_array_module", "RawModule"])
methods = [*names.METHODS, *names.TO_HOST, "get", "set", "fill", "T", "data", "device",
    "flags", "__cuda_array_interface__", "itemsize", "strides", "__reduce__"]
print([name for group in wanted for name in group if not hasattr(cupy, name)])
print([name for name in methods if not hasattr(cupy.ndarray, name)])
print([name for name in ("__array_interface__", "__index__", "ctypes", "ptp2")
    if hasattr(cupy.ndarray, name)])
"""


@pytest.mark.process
@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="needs CuPy")
def test_cupy_has_every_name():
    done = subprocess.run(
        [sys.executable, "-c", _NAMES],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=fake_cupy.__path__[0] + "/..",
    )
    assert done.stdout == "[]\n[]\n[]\n", done.stdout + done.stderr
    assert len(names.FUNCTIONS) > 40


def test_a_kernel_of_one_operation(cupy):
    triad = cupy.ElementwiseKernel(
        "T a, T b, T factor", "T out", "out = a + factor * b"
    )
    a, out = cupy.asarray(np.arange(3.0)), cupy.empty(3)
    assert triad(a, a, np.float64(2), out) is out
    np.testing.assert_array_equal(out.get(), [0, 3, 6])
    with pytest.raises(TypeError, match="Unsupported type"):
        triad(a, np.arange(3.0), np.float64(2), out)
