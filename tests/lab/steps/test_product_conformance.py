import inspect

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sharpkit.lab.steps import fused, fused_products, plain_products, product_steps_for

DTYPES = [np.float32, np.float64]
shapes = pytest.mark.parametrize("rows", [1, 63, 64, 65, 200])
widths = pytest.mark.parametrize("columns", [1, 10, 513])
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
VECTORS = "scale shift mean slope offset rscale rmean rslope roffset".split()


def case(rows, columns, dtype):
    """Blocks dh, rdh, extra, z, rz, and the vectors of a layer, by name."""
    random = np.random.default_rng([rows, columns])
    blocks = random.standard_normal((5, rows, columns)).astype(dtype)
    vectors = random.standard_normal((len(VECTORS), columns)).astype(dtype)
    names = ["dh", "rdh", "extra", "z", "rz", *VECTORS]
    return dict(zip(names, [*blocks, *vectors], strict=True))


def every_step(steps, rows, columns, dtype, poison=None):
    """What each step returns and writes, by the step's name."""
    found = {}
    for name in ("tangent_sums", "tangent_relu", "reverse_sums", "reverse"):
        for extra in (True, False):
            given = case(rows, columns, dtype)
            if poison is not None:
                given["z"][poison] = given["rz"][poison] = np.nan
            if not extra:
                if name.startswith("reverse"):
                    continue
                given["extra"] = None
            given["out"] = np.full((rows, columns), np.nan, dtype)
            parameters = inspect.signature(getattr(plain_products, name)).parameters
            results = getattr(steps, name)(*(given[each] for each in parameters))
            written = {
                "tangent_sums": ["rz"],
                "tangent_relu": ["rz", "out"],
                "reverse_sums": ["rdh"],
                "reverse": ["dh", "rdh"],
            }[name]
            found[name, extra] = [*(results or ()), *(given[each] for each in written)]
    logits, tangent = case(rows, columns, dtype)["dh"], case(rows, columns, dtype)["z"]
    if poison is not None:
        logits[poison] = np.nan
    out = np.empty_like(logits)
    steps.softmax_hessian(3 * logits, tangent, out, 0.25)
    found["softmax_hessian", False] = [out]
    return found


@dtypes
@widths
@shapes
def test_steps_are_the_plain_ones(products, rows, columns, dtype):
    found = every_step(products, rows, columns, dtype)
    known = every_step(plain_products, rows, columns, dtype)
    # Sums of products of normals: a chunk's terms are added in the dtype.
    atol = 10 * fused.ROWS * np.finfo(dtype).eps
    for name, expected in known.items():
        for here, there in zip(found[name], expected, strict=True):
            assert here.dtype == there.dtype == dtype
            assert here.shape == there.shape
            assert_allclose(here, there, rtol=1e-6, atol=atol, err_msg=str(name))


@dtypes
def test_nan_passes_through(products, dtype):
    found = every_step(products, 130, 10, dtype, poison=(70, 3))
    known = every_step(plain_products, 130, 10, dtype, poison=(70, 3))
    for name, expected in known.items():
        assert any(np.isnan(each).any() for each in expected)
        for here, there in zip(found[name], expected, strict=True):
            assert_array_equal(np.isnan(here), np.isnan(there), err_msg=str(name))


@dtypes
def test_bits_do_not_depend_on_the_threads(dtype, threads, monkeypatch):
    monkeypatch.setattr(fused, "ALONE", 0)  # or so small blocks have one thread only
    threads(1)
    known = every_step(fused_products, 330, 10, dtype)
    for number in (2, 4):
        threads(number)
        found = every_step(fused_products, 330, 10, dtype)
        for name, expected in known.items():
            for here, there in zip(found[name], expected, strict=True):
                assert here.tobytes() == there.tobytes(), name


def test_nothing_passes_an_inactive_unit(products):
    for steps in (plain_products, products):
        inactive_units_pass_nothing(steps)


def inactive_units_pass_nothing(steps):
    one, zero = np.ones(1), np.zeros(1)
    z = np.array([[-1.0], [0.0], [1.0]])  # at the kink itself the slope is 0, too
    tangent, out = np.array([[np.inf], [np.inf], [2.0]]), np.empty((3, 1))
    steps.tangent_relu(z, tangent.copy(), None, one, zero, zero, zero, zero, out)
    assert_array_equal(out, [[0], [0], [2]])
    rz, extra = np.ones((3, 1)), np.zeros((3, 1))
    dh, rdh = tangent.copy(), tangent.copy()
    sums = steps.reverse_sums(dh, rdh, extra, z, rz, one, zero, zero, zero)
    assert_array_equal(np.concatenate(sums), [2, 2, 2, 4])
    steps.reverse(dh, rdh, z, rz, one, *[zero] * 8)
    assert_array_equal(dh, [[0], [0], [2]])
    assert_array_equal(rdh, [[0], [0], [2]])


@dtypes
def test_softmax_hessian_of_huge_logits(products, dtype):
    logits = np.array([[3e4, -3e4, 0], [5, 5, 5]], dtype)
    tangent = np.array([[1, 2, 3], [1, 2, 3]], dtype)
    for steps in (plain_products, products):
        out = np.empty_like(logits)
        steps.softmax_hessian(logits, tangent, out, 3.0)
        assert_allclose(out, [[0, 0, 0], [-1, 0, 1]], atol=4 * np.finfo(dtype).eps)


def test_host_and_device_take_steps_of_their_own(stand_in):
    assert product_steps_for(np.zeros(1)) is fused_products
    assert product_steps_for(stand_in.zeros(1)).__name__.endswith("cuda_products")
