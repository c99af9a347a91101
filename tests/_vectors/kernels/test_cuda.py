"""The CUDA kernels, run on the host by `simt` under a stand-in for CuPy."""

import importlib
import sys

import fake_cupy
import kernel_checks as checks
import numpy as np
import pytest
import simt
from simt import build, huge

from sharpkit._vectors.kernels import reference


@pytest.fixture
def cupy():
    with fake_cupy.installed() as module:
        yield module


@pytest.fixture
def kernels(cupy):
    return importlib.import_module("sharpkit._vectors.kernels.cuda")


@pytest.fixture
def launching(cupy):
    return importlib.import_module("sharpkit._vectors.launching")


@pytest.fixture(params=[np.float32, np.float64], ids=["f4", "f8"])
def dtype(request):
    return request.param


def test_hundreds_of_rows(kernels, cupy, dtype):
    arrays = checks.Arrays(kernels, dtype)
    checks.combine(kernels, arrays, 9, 100)
    A, b = arrays.normal(300, 9), arrays.normal(1, 9)
    got = kernels.gram(arrays.put(A), arrays.put(b))
    arrays.close(got, reference.gram(A, b), checks.dot_bound(A, b))


def test_many_pairs_of_rows_get_fewer_chunks(kernels, cupy, dtype, monkeypatch):
    monkeypatch.setattr(kernels, "PARTIAL", 50)
    monkeypatch.setattr(kernels, "FEWEST", 2)
    monkeypatch.setattr(kernels, "LENGTH", 128)
    assert kernels._cut(1000, 1) == (128, 8)
    assert kernels._cut(1000, 25) == (512, 2)
    checks.gram(kernels, checks.Arrays(kernels, dtype), 1000, 5)


def test_chunks_cover_every_number_once(kernels):
    for n in (1, 2047, 2048, 2049, 10**6, 10**7 + 1, 10**10):
        for pairs in (1, 400, 10**4, 10**6):
            length, chunks = kernels._cut(n, pairs)
            assert (chunks - 1) * length < n <= chunks * length
            assert chunks <= 1024


@pytest.mark.parametrize("name", huge.WRITING)
def test_long_vectors_are_written_to_the_end(name):
    huge.write(name)


@pytest.mark.parametrize("name", huge.READING)
def test_long_vectors_are_read_to_the_end(name):
    huge.read(name)


def on_device(cupy, shape, dtype=np.float32):
    return cupy.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda k, a, v: k.gram(a, a[:, 1:]), ValueError, "not C-contiguous"),
        (lambda k, a, v: k.gram(a, v), ValueError, r"\(10,\); give 2 dimension"),
        (lambda k, a, v: k.box_radius(a, 1, a), ValueError, "give 1 dimension"),
        (lambda k, a, v: k.box_radius(v, 1, v[1:]), ValueError, "differ in dtype or l"),
        (
            lambda k, a, v: k.box_radius(v, 1, v.astype("f8")),
            ValueError,
            r"differ in dtype or length: float32 \(10,\), float64 \(10,\)",
        ),
        (lambda k, a, v: k.gram(*2 * [a.astype("f2")]), TypeError, "float16; give flo"),
        (lambda k, a, v: k.gram(a.get(), a), TypeError, "ndarray'>; give CuPy arrays"),
        (lambda k, a, v: k.box_free(v, 1, v, v, None), TypeError, "give CuPy arrays"),
        (lambda k, a, v: k.combine(np.ones((2, 2)), a, a), ValueError, "shape .2, 2."),
        (lambda k, a, v: k.fill_normal(v, -1, 2, 3), OverflowError, "-1 out of bounds"),
    ],
)
def test_what_the_gpu_cannot_do_is_said(kernels, cupy, call, error, message):
    with pytest.raises(error, match=message):
        call(kernels, on_device(cupy, (3, 10)), on_device(cupy, 10))


def test_arrays_of_another_device_are_refused(kernels, cupy, monkeypatch):
    monkeypatch.setattr(cupy.cuda.runtime, "getDevice", lambda: 1)
    v = on_device(cupy, 10)
    with pytest.raises(ValueError, match=r"on device \[0\]; the current one is 1"):
        kernels.box_radius(v, 1, v)


def test_numbers_come_back_in_one_copy(kernels, cupy):
    a = on_device(cupy, (5, 1000))
    fake_cupy.copies.clear()
    kernels.gram(a, a)
    kernels.box_reach(a[0], 1, a[1], a[2])
    assert fake_cupy.copies == {"to_host": 2}


@pytest.mark.parametrize("module", build.MODULES)
def test_the_source_is_one_string(launching, module):
    files = importlib.import_module(module).FILES
    assert set(files) <= set(build.FILES)
    single, double = (launching.compiled(files, real) for real in build.REALS)
    assert "#include" not in single.code
    assert "--fmad=false" in double.options
    assert "-DSK_REAL=double" in double.options


def test_the_source_is_packed(launching):
    # In a checkout they are found there, and in an installed package as they were.
    for name in build.FILES:
        found = (launching._folder() / name).read_text(encoding="utf-8")
        assert found == (build.CSRC / name).read_text(encoding="utf-8")


def test_the_source_in_the_package_is_found(launching, monkeypatch, tmp_path):
    inside = tmp_path / "sharpkit" / "csrc"
    inside.mkdir(parents=True)
    module = str(tmp_path / "sharpkit" / "_vectors" / "launching.py")
    monkeypatch.setattr(launching, "__file__", module)
    assert launching._folder() == inside


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("box_radius", [], "no such kernel"),
        ("box_radius_float", [np.uint64(1), 0], "got 2 arguments; give 4"),
        (
            "box_radius_float",
            [np.int32(1), 0, np.float32(1), 0],
            "argument 0 is i4; give u8",
        ),
        (
            "box_radius_float",
            [np.uint64(1), 0, np.float64(1), 0],
            "argument 2 is f8; give f4",
        ),
    ],
)
def test_simt_takes_nothing_on_trust(name, args, message):
    with pytest.raises(RuntimeError, match=f"{name}: {message}"):
        simt.launch(name, (1,), (128,), args)


@pytest.mark.parametrize("grid", [(0,), (2**31,), (2, 2)])
def test_simt_launches_what_a_gpu_would(grid):
    with pytest.raises(ValueError, match="grid"):
        simt.launch("box_radius_float", grid, (128,), [])


def fresh_import():
    for name in ("launching", "kernels.cuda"):
        sys.modules.pop(f"sharpkit._vectors.{name}", None)
    return importlib.import_module("sharpkit._vectors.kernels.cuda")


def test_without_cupy(cupy, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=r"needs cupy: pip .* 'sharpkit\[cuda\]'"):
        fresh_import()


def test_without_a_device(cupy, monkeypatch):
    def fail():
        raise cupy.cuda.runtime.CUDARuntimeError("cudaErrorNoDevice: no device")

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", fail)
    with pytest.raises(ImportError, match="no CUDA device: cudaErrorNoDevice"):
        fresh_import()
