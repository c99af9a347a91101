import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sharpkit.lab.steps import fused, plain

DTYPES = [np.float32, np.float64]
ROWS = [1, 63, 64, 65, 200]
COLUMNS = [1, 10, 513]
LENGTHS = [1, 63, fused.ELEMENTS, fused.ELEMENTS + 1]
SETTINGS = {"rate": 1e-2, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}

shapes = pytest.mark.parametrize("rows", ROWS)
widths = pytest.mark.parametrize("columns", COLUMNS)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


def eps_of(dtype):
    return float(np.finfo(dtype).eps)


def layer(rows, columns, dtype, seed=0):
    """dh, z and the vectors of one batch-norm layer."""
    random = np.random.default_rng([seed, rows, columns])
    blocks = random.standard_normal((2, rows, columns)).astype(dtype)
    vectors = random.standard_normal((5, columns)).astype(dtype)
    names = ("scale", "shift", "mean", "slope", "offset")
    return *blocks, dict(zip(names, vectors, strict=True))


def logits_of(rows, columns, dtype, seed=0):
    random = np.random.default_rng([seed, rows, columns])
    logits = (3 * random.standard_normal((rows, columns))).astype(dtype)
    return logits, random.integers(0, columns, rows)


def weights_of(length, dtype, seed=0):
    """w, the gradients of five steps, and two zero vectors."""
    random = np.random.default_rng([seed, length])
    w = random.standard_normal(length).astype(dtype)
    g = random.standard_normal((5, length)).astype(dtype)
    return w, g, np.zeros(length, dtype), np.zeros(length, dtype)


# A sum of one chunk runs over ROWS terms in the dtype; what follows is float64.
def sum_tolerance(terms, dtype):
    return fused.ROWS * eps_of(dtype) * np.abs(terms).sum(axis=0) + eps_of(dtype)


@dtypes
@widths
@shapes
def test_column_statistics(steps, rows, columns, dtype):
    _, z, _ = layer(rows, columns, dtype)
    mean, var = steps.column_statistics(z)
    mean_known, var_known = plain.column_statistics(z)
    assert mean.dtype == var.dtype == dtype
    assert mean.shape == var.shape == (columns,)
    assert (np.abs(mean - mean_known) <= sum_tolerance(z, dtype) / rows).all()
    centred = (z - mean_known) ** 2
    assert (np.abs(var - var_known) <= 2 * sum_tolerance(centred, dtype) / rows).all()


@dtypes
@pytest.mark.parametrize("rows", [63, 200, 1000])
def test_column_statistics_do_not_cancel(steps, rows, dtype):
    # sum(z^2) / rows - mean^2 would be off by eps mean^2, here a multiple of var
    eps = eps_of(dtype)
    large = 0.03 / eps**0.75
    assert eps * large**2 > 1
    z = np.random.default_rng(rows).standard_normal((rows, 3))
    z += np.array([large, -large, 0])
    z = z.astype(dtype)
    mean, var = steps.column_statistics(z)
    mean_known, var_known = plain.column_statistics(z)
    assert_allclose(mean, mean_known, rtol=fused.ROWS * eps, atol=fused.ROWS * eps)
    # the chunks' means are off by eps |mean|, and enter with the spread among them
    assert_allclose(var, var_known, rtol=fused.ROWS * eps * (1 + large))


@dtypes
def test_a_constant_column_has_no_variance(steps, dtype):
    z = np.full((200, 2), [0.1, -7e4], dtype)
    mean, var = steps.column_statistics(z)
    assert_allclose(mean, z[0], rtol=fused.ROWS * eps_of(dtype))
    assert (var <= (fused.ROWS * eps_of(dtype) * z[0]) ** 2).all()


@dtypes
@widths
@shapes
def test_scale_shift_relu(steps, rows, columns, dtype):
    out, z, v = layer(rows, columns, dtype)
    known = np.empty_like(out)
    plain.scale_shift_relu(z, v["scale"], v["shift"], known)
    steps.scale_shift_relu(z, v["scale"], v["shift"], out)
    bound = 4 * eps_of(dtype) * (np.abs(z * v["scale"]) + np.abs(v["shift"]))
    assert out.dtype == dtype
    assert (out >= 0).all()
    assert (np.abs(out - known) <= bound).all()


@dtypes
@widths
@shapes
def test_relu_backward_sums(steps, rows, columns, dtype):
    dh, z, v = layer(rows, columns, dtype)
    arguments = (dh, z, v["scale"], v["shift"], v["mean"])
    total, moment = steps.relu_backward_sums(*arguments)
    total_known, moment_known = plain.relu_backward_sums(*arguments)
    assert total.dtype == moment.dtype == dtype
    assert (np.abs(total - total_known) <= sum_tolerance(dh, dtype)).all()
    bound = sum_tolerance(dh * (z - v["mean"]), dtype)
    assert (np.abs(moment - moment_known) <= bound).all()


@dtypes
@widths
@shapes
def test_relu_backward(steps, rows, columns, dtype):
    dh, z, v = layer(rows, columns, dtype)
    known, before = dh.copy(), dh.copy()
    plain.relu_backward(known, z, **v)
    steps.relu_backward(dh, z, **v)
    sizes = np.abs(v["scale"] * before) + np.abs(v["slope"] * (z - v["mean"]))
    bound = 4 * eps_of(dtype) * (sizes + np.abs(v["offset"]))
    assert (np.abs(dh - known) <= bound).all()


def test_no_gradient_passes_an_inactive_unit(steps):
    one, zero = np.ones(1), np.zeros(1)
    for each in (plain, steps):
        dh, z = np.array([[np.inf], [np.nan], [2.0]]), np.array([[-1.0], [-1.0], [1.0]])
        total, moment = each.relu_backward_sums(dh, z, one, zero, zero)
        assert (total, moment) == (2, 2)
        each.relu_backward(dh, z, one, zero, zero, zero, zero)
        assert_array_equal(dh, [[0], [0], [2]])


@dtypes
@widths
@shapes
@pytest.mark.parametrize("scale", [1.0, 1 / 200])
def test_softmax_cross_entropy(steps, rows, columns, dtype, scale):
    logits, labels = logits_of(rows, columns, dtype)
    found, known = np.empty_like(logits), np.empty_like(logits)
    loss, right = steps.softmax_cross_entropy(logits, labels, found, scale)
    expected, right_known = plain.softmax_cross_entropy(logits, labels, known, scale)
    # exp(a - b) is off by |a - b| eps; logits of deviation 3 differ by less than 30
    assert_allclose(loss, expected, rtol=0, atol=40 * eps_of(dtype) * (expected + rows))
    assert_allclose(found, known, rtol=0, atol=40 * eps_of(dtype) * scale)
    assert right == right_known
    alone, right = steps.softmax_cross_entropy(logits, labels, None, scale)
    assert (alone, right) == (loss, right_known)


@dtypes
def test_cross_entropy_of_huge_logits_and_ties(steps, dtype):
    logits = np.array([[3e4, -3e4, 0], [0, 3e4, -3e4], [5, 5, 5]], dtype)
    gradient = np.empty_like(logits)
    for labels, rights in (([0, 0, 0], 2), ([1, 1, 2], 1)):
        labels = np.array(labels)
        found = steps.softmax_cross_entropy(logits, labels, gradient)
        loss, right = plain.softmax_cross_entropy(logits, labels, gradient.copy())
        assert_allclose(found[0], loss, rtol=4 * eps_of(dtype))
        assert found[1] == right == rights
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3], "labels go from 0 to 3; the last layer has outputs 0 to 2"),
        ([-1, 2], "labels go from -1 to 2"),
        ([0], r"labels have shape \(1,\); give \(2,\)"),
    ],
)
def test_labels_are_checked(labels, message):
    with pytest.raises(IndexError, match=message):
        fused.softmax_cross_entropy(np.zeros((2, 3)), np.array(labels), None)


@dtypes
@pytest.mark.parametrize("length", LENGTHS)
def test_adam(steps, length, dtype):
    w, gradients, m, v = weights_of(length, dtype)
    known = [w.copy(), m.copy(), v.copy()]
    for step, g in enumerate(gradients, 1):
        plain.adam(known[0], g, *known[1:], **SETTINGS, step=step)
        steps.adam(w, g, m, v, **SETTINGS, step=step)
    for name, found, expected in zip("wmv", (w, m, v), known, strict=True):
        tolerance = 20 * eps_of(dtype)
        assert_allclose(found, expected, tolerance, tolerance, err_msg=name)


@dtypes
@pytest.mark.parametrize("length", LENGTHS)
def test_momentum(steps, length, dtype):
    w, gradients, velocity, _ = weights_of(length, dtype)
    known = [w.copy(), velocity.copy()]
    for g in gradients:
        plain.momentum(known[0], g, known[1], rate=1e-2, momentum=0.9)
        steps.momentum(w, g, velocity, rate=1e-2, momentum=0.9)
    for found, expected in zip((w, velocity), known, strict=True):
        assert_allclose(found, expected, 20 * eps_of(dtype), 20 * eps_of(dtype))


def every_step(steps, dtype, *, rows=330, columns=10, length=None, poison=None):
    """Everything the steps return or write, as one list of arrays."""
    length = 5 * fused.ELEMENTS + 7 if length is None else length
    dh, z, v = layer(rows, columns, dtype)
    logits, labels = logits_of(rows, columns, dtype)
    w, gradients, m, square = weights_of(length, dtype)
    w_sgd, velocity, g = w.copy(), np.zeros_like(w), gradients[0]
    if poison is not None:
        for block in (z, logits):
            block[poison] = np.nan
        dh[poison[0] + 1] = np.nan  # for the units that are active there
        g[-1] = np.nan
    h, dlogits = np.empty_like(z), np.empty_like(logits)
    statistics = steps.column_statistics(z)
    steps.scale_shift_relu(z, v["scale"], v["shift"], h)
    sums = steps.relu_backward_sums(dh, z, v["scale"], v["shift"], v["mean"])
    steps.relu_backward(dh, z, **v)
    loss, _ = steps.softmax_cross_entropy(logits, labels, dlogits)
    steps.adam(w, g, m, square, **SETTINGS, step=1)
    steps.momentum(w_sgd, g, velocity, rate=0.1, momentum=0.9)
    updates = [w, m, square, w_sgd, velocity]
    return [*statistics, h, *sums, dh, np.array(loss), dlogits, *updates]


@dtypes
def test_nan_passes_through(steps, dtype):
    settings = {"rows": 130, "length": 100, "poison": (70, 3)}
    found = every_step(steps, dtype, **settings)
    known = every_step(plain, dtype, **settings)
    for index, (here, expected) in enumerate(zip(found, known, strict=True)):
        assert np.isnan(expected).any(), index
        assert_array_equal(np.isnan(here), np.isnan(expected), err_msg=str(index))


@dtypes
def test_bits_do_not_depend_on_the_threads(dtype, threads, monkeypatch):
    monkeypatch.setattr(fused, "ALONE", 0)  # small arrays would stay on one thread
    threads(1)
    known = every_step(fused, dtype)
    for number in (2, 4):
        threads(number)
        for here, expected in zip(every_step(fused, dtype), known, strict=True):
            assert here.tobytes() == expected.tobytes()
