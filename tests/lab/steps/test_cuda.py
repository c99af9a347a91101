"""What the steps on a device promise beyond conformance."""

import importlib

import fake_cupy
import numpy as np
import pytest
import simt
from numpy.testing import assert_allclose, assert_array_equal
from step_checks import every_step, plain_steps

from sharpkit.lab.steps import steps_for

DTYPES = [np.float32, np.float64]
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


@pytest.fixture
def cuda(stand_in):
    return importlib.import_module("sharpkit.lab.steps.cuda")


@dtypes
def test_what_is_not_added_up_has_the_bits_of_the_plain_lines(cuda, stand_in, dtype):
    found = every_step(cuda, stand_in.asarray, dtype)
    known = plain_steps(dtype)
    for here, there in zip(found["written"], known["written"], strict=True):
        assert_array_equal(here, there, strict=True)


@dtypes
def test_sums_are_as_good_as_their_dtype(cuda, stand_in, dtype):
    found = every_step(cuda, stand_in.asarray, dtype, rows=5000, columns=33)
    known = plain_steps(dtype, rows=5000, columns=33)
    # float64 sums: only what is handed back is rounded
    eps = float(np.finfo(dtype).eps)
    for name in ("statistics", "sums"):
        for here, there in zip(found[name], known[name], strict=True):
            assert_allclose(here, there, rtol=2 * eps, atol=1e-11)
    loss, right, dlogits = known["entropy"]
    assert found["entropy"][1] == right
    # here the plain lines round the exponentials to the dtype, the kernel does not
    assert_allclose(found["entropy"][0], loss, rtol=10 * eps)
    assert_allclose(found["entropy"][2], dlogits, rtol=20 * eps, atol=eps)


@dtypes
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_passes_through(cuda, stand_in, dtype, value):
    spoilt = [(0, 0, value), (33, 5, value), (40, 5, -value), (69, 36, value)]
    found = every_step(cuda, stand_in.asarray, dtype, spoilt=spoilt)
    known = plain_steps(dtype, spoilt=spoilt)
    for name, arrays in known.items():
        for here, there in zip(found[name], arrays, strict=True):
            finite = np.isfinite(there)
            assert_array_equal(np.isfinite(here), finite, err_msg=name)
            assert_array_equal(here[~finite], there[~finite], err_msg=name)


def test_an_empty_batch(cuda, stand_in):
    found = every_step(cuda, stand_in.asarray, np.float32, rows=0)
    assert np.isnan(found["statistics"]).all()  # the mean of nothing
    assert_array_equal(found["sums"], np.zeros((2, 37)))
    assert found["entropy"][:2] == [0, 0]


@pytest.mark.parametrize("rows", [70, 5000])
def test_bits_do_not_depend_on_the_order_of_threads_and_blocks(cuda, stand_in, rows):
    seen = set()
    for order in simt.ORDERS:
        with simt.using(order=order):
            found = every_step(cuda, stand_in.asarray, np.float32, rows=rows)
        seen.add(b"".join(each.tobytes() for group in found.values() for each in group))
    assert len(seen) == 1


def test_chunks_cover_every_row_once(cuda):
    for rows in (1, 31, 32, 33, 32768, 32769, 10**7 + 1):
        length, chunks = cuda._cut(rows)
        assert (chunks - 1) * length < rows <= chunks * length
        assert chunks <= 1024


def test_nothing_waits_for_the_device(cuda, stand_in):
    z, labels = stand_in.zeros((9, 4)), stand_in.zeros(9, np.int32)
    assert steps_for(z) is cuda
    fake_cupy.copies.clear()
    cuda.column_statistics(z)
    loss, right = cuda.softmax_cross_entropy(z, labels, None)
    assert not fake_cupy.copies
    assert loss.dtype == np.float64
    assert right.dtype == np.int64


@pytest.mark.parametrize("label", [-1, 4, 2**40])
def test_the_label_of_no_class_makes_the_loss_nan(cuda, stand_in, label):
    z, labels = stand_in.zeros((9, 4)), stand_in.zeros(9, np.int64)
    labels[3] = label
    loss, right = cuda.softmax_cross_entropy(z, labels, None)
    assert np.isnan(float(loss))
    assert int(right) == 8


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s, z, v: s.column_statistics(z[:, 1:]), ValueError, "C-contiguous"),
        (lambda s, z, v: s.scale_shift_relu(z, v, v, z[1:]), ValueError, "one shape"),
        (lambda s, z, v: s.scale_shift_relu(z, v, v[1:], z), ValueError, "in dtype or"),
        (
            lambda s, z, v: s.softmax_cross_entropy(z, v, None),
            IndexError,
            "one per row",
        ),
        (lambda s, z, v: s.column_statistics(z.get()), TypeError, "give CuPy arrays"),
    ],
)
def test_what_compiled_code_takes_on_trust_is_checked(
    cuda, stand_in, call, error, message
):
    with pytest.raises(error, match=message):
        call(cuda, stand_in.zeros((9, 4)), stand_in.zeros(4))
