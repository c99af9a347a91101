"""What the callback is given, and what is refused."""

import json

import numpy as np
import pytest
from measures_shared import SOLVERS, same_bits, separable
from problems import Recorded, never, wave

import sharpkit
from sharpkit import SharpkitWarning
from sharpkit.measures.sharpness import sharpness

# What the callback is given.


def test_the_callback_may_load_the_weights_in_place():
    """As a model does whose parameters are what ``weights`` is a view of."""
    loss_fn, w = separable(2, 20)
    parameters = w.copy()

    def load(x):
        parameters[:] = x
        return loss_fn(parameters)

    same_bits(sharpness(parameters, load), sharpness(w, loss_fn))


def test_weights_are_left_alone():
    loss_fn, w = separable(2, 20)
    before = w.copy()
    for sub in (None, 3):
        sharpness(w, loss_fn, subspace=sub)
    np.testing.assert_array_equal(w, before)


def layouts(w):
    yield w.astype(w.dtype.newbyteorder(">"))
    spread = np.zeros((w.size, 3), w.dtype)
    spread[:, 1] = w
    yield spread[:, 1]
    yield w[::-1].copy()[::-1]
    locked = w.copy()
    locked.flags.writeable = False
    yield locked


@pytest.mark.parametrize("sub", [None, 3])
def test_layouts_of_the_weights(dtype, sub):
    loss_fn, w = separable(2, 20, dtype)
    want = sharpness(w, loss_fn, subspace=sub)

    def strict(x):
        assert x.flags.c_contiguous
        assert x.flags.writeable
        assert x.dtype == dtype
        assert x.dtype.isnative
        return loss_fn(x)

    for weights in layouts(w):
        same_bits(sharpness(weights, strict, subspace=sub), want)


@pytest.mark.parametrize("sub", [None, 3])
@pytest.mark.parametrize("options", SOLVERS)
def test_layouts_of_the_gradient(sub, options):
    w = np.linspace(-0.5, 0.5, 20)
    buffer = np.empty(20)

    def locked(x):
        loss, g = wave(x)
        g.flags.writeable = False
        return loss, g

    def reused(x):
        loss, buffer[:] = wave(x)
        return loss, buffer

    def strided(x):
        loss, g = wave(x)
        return loss, np.repeat(g, 2)[::2]

    options = options | {"epsilon": 0.5, "subspace": sub}
    want = sharpness(w, wave, **options)
    assert want.value > 0
    for callback in (locked, reused, strided):
        same_bits(sharpness(w, callback, **options), want)


@pytest.mark.parametrize("options", SOLVERS)
def test_the_gradient_may_be_the_argument_itself(options):
    w = np.linspace(-1, 1, 9)
    want = sharpness(w, lambda x: (0.5 * float(x @ x), x.copy()), **options)
    same_bits(sharpness(w, lambda x: (0.5 * float(x @ x), x), **options), want)


def test_half_precision_is_measured_in_single():
    loss_fn, w = separable(2, 20, np.float16)
    recorded = Recorded(loss_fn)
    with pytest.warns(SharpkitWarning, match="float16.*a float32 copy") as warned:
        result = sharpness(w, recorded)
    assert warned[0].filename == __file__
    assert {x.dtype for x in recorded.seen} == {np.dtype(np.float32)}
    assert result.dtype == "float32"
    same_bits(result, sharpness(w.astype(np.float32), loss_fn))


@pytest.mark.parametrize("kind", [np.float32, np.float64, int, np.array, "1d"])
def test_kinds_of_the_loss(kind):
    def loss_fn(w):
        return (np.array([3.0]) if kind == "1d" else kind(3)), np.zeros_like(w)

    result = sharpness(np.ones(2), loss_fn)
    assert result.loss == 3
    assert type(result.loss) is type(result.max_loss) is float


# Bad arguments.

W = np.ones(4)
BAD_WEIGHTS = [
    ([1.0, 2.0], TypeError, r"weights is of type list; .* numpy\.asarray\(weights\)"),
    (np.ones((2, 3)), ValueError, r"weights has shape \(2, 3\); .* weights\.ravel"),
    (np.float64(1.0), TypeError, "weights is of type float64; give a flat NumPy"),
    (np.array(1.0), ValueError, r"weights has shape \(\); give a vector"),
    (np.empty(0), ValueError, "weights is empty; give at least one weight"),
    (np.ones(3, int), TypeError, r"weights has dtype int64; give .*astype\(numpy"),
    (np.ones(3, complex), TypeError, "weights has dtype complex128; give float32"),
    (np.ones(3, bool), TypeError, "weights has dtype bool; give float32 or float64"),
    (np.ones(3, np.longdouble), TypeError, "has dtype .*128; give float32"),
    (
        np.array([1, np.nan, 2, np.nan]),
        ValueError,
        r"weights has 2 non-finite entries, the first is weights\[1\] = nan; give",
    ),
    (np.array([np.inf, 1]), ValueError, r"1 non-finite .* weights\[0\] = inf; give"),
]
BAD_OPTIONS = [
    ({"epsilon": 0}, ValueError, "epsilon=0; give a finite number above 0"),
    ({"epsilon": -0.1}, ValueError, r"epsilon=-0\.1; give a finite number above 0"),
    ({"epsilon": np.nan}, ValueError, "epsilon=nan; give a finite number above 0"),
    ({"epsilon": np.inf}, ValueError, "epsilon=inf; give a finite number above 0"),
    ({"epsilon": "a"}, TypeError, "epsilon='a' is not a number; give one above 0"),
    ({"epsilon": True}, TypeError, "epsilon=True is not a number; give one above 0"),
    ({"subspace": 0}, ValueError, "subspace=0; give a whole number of at least 1"),
    ({"subspace": -2}, ValueError, "subspace=-2; give a whole number of at least 1"),
    ({"subspace": 1.5}, TypeError, r"subspace=1\.5 is not a whole number; give one"),
    ({"subspace": True}, TypeError, "subspace=True is not a whole number; give one"),
    ({"subspace": 5}, ValueError, "subspace=5: give .* 1 to 4"),
    (
        {"solver": "sgd"},
        ValueError,
        "solver='sgd'; give one of 'auto', 'lbfgsb', 'scipy'",
    ),
    ({"backend": "tpu"}, ValueError, "backend='tpu'; give one of 'cpu', 'cuda', 're"),
    ({"seed": -1}, ValueError, "seed=-1; give a whole number of at least 0"),
    ({"seed": 0.5}, TypeError, r"seed=0\.5 is not a whole number; give one of"),
    ({"seed": 2**64}, ValueError, r"seed=18446744073709551616; give .* at most 18446"),
    ({"max_evaluations": 2}, ValueError, "max_evaluations=2; give .* at least 3"),
    ({"max_evaluations": 2, "solver": "scipy"}, ValueError, "=2; give .* at least 3"),
    ({"max_evaluations": "9"}, TypeError, "max_evaluations='9' is not a whole number"),
]


@pytest.mark.parametrize(("weights", "error", "match"), BAD_WEIGHTS)
def test_bad_weights(weights, error, match):
    with pytest.raises(error, match=match):
        sharpness(weights, never)


@pytest.mark.parametrize(("options", "error", "match"), BAD_OPTIONS)
def test_bad_options(options, error, match):
    with pytest.raises(error, match=match):
        sharpness(W, never, **options)


def test_too_many_columns_for_the_memory():
    with pytest.raises(
        ValueError,
        match=r"columns=50000 random directions need .* of 19 GiB; give at most 32768",
    ):
        sharpness(np.ones(100_000), never, subspace=50_000)


@pytest.mark.parametrize("loss_fn", [3.0, "loss", np.ones(2)])
def test_a_callback_that_cannot_be_called(loss_fn):
    with pytest.raises(TypeError, match=r"loss_fn=.* is not callable; give a func"):
        sharpness(W, loss_fn)


def test_weights_without_a_loss():
    with pytest.raises(TypeError, match="loss_fn=None beside flat weights; give loss"):
        sharpness(W)


@pytest.mark.parametrize("value", [2**64 - 1, np.int64(5), np.uint8(3)])
@pytest.mark.parametrize("sub", [None, 3])
def test_kinds_of_seeds(value, sub):
    loss_fn, w = separable(0, 9)
    result = sharpness(w, loss_fn, seed=value, subspace=sub)
    assert type(result.seed) is int
    same_bits(result, sharpness(w, loss_fn, seed=int(value), subspace=sub))
    json.dumps(result.to_dict())


def test_numpy_numbers_as_options():
    loss_fn, w = separable(0, 9)
    options = {"epsilon": np.float32(0.5), "subspace": np.int64(2)}
    result = sharpness(w, loss_fn, max_evaluations=np.int16(5), **options)
    assert json.loads(json.dumps(result.to_dict()))["subspace"]["columns"] == 2
    assert result.evaluations == 5


# Bad answers of the callback at the centre; more in test_objective.


def test_the_loss_must_stay_above_minus_one():
    for loss in (-1, -3.5):
        with pytest.raises(
            ValueError, match=r"returned -.* divides by 1 \+ loss: add a constant"
        ):
            sharpness(W, lambda w, loss=loss: (loss, w))
    assert sharpness(W, lambda w: (float(w.sum()) - 4.5, np.ones(4))).value > 0


@pytest.mark.parametrize("options", SOLVERS)
@pytest.mark.parametrize("call", [0, 1, 2])
def test_exceptions_of_the_callback_come_through(options, call):
    own = KeyError("my own")
    loss_fn, w = separable(0, 9)
    recorded = Recorded(loss_fn)

    def failing(x):
        if len(recorded.seen) == call:
            raise own
        return recorded(x)

    with pytest.raises(KeyError) as caught:
        sharpness(w, failing, **options)
    assert caught.value is own


def test_another_gradient_dtype_warns_once(dtype):
    other = np.float32 if dtype == np.float64 else np.float64
    loss_fn, w = separable(0, 9, dtype)

    def convert(x):
        loss, g = loss_fn(x)
        return loss, g.astype(other)

    with pytest.warns(
        SharpkitWarning, match=f"gradients of dtype {np.dtype(other)} for weights of"
    ) as warned:
        result = sharpness(w, convert)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert result.max_loss == sharpness(w, loss_fn).max_loss


# Progress.


@pytest.mark.parametrize("options", SOLVERS)
def test_progress(options):
    loss_fn, w = separable(0, 9)
    told = []
    result = sharpness(w, loss_fn, progress=lambda *now: told.append(now), **options)
    budget = 100 if options["solver"] == "auto" else None
    assert [now[0] for now in told] == list(range(3, result.evaluations + 1))
    assert {now[1] for now in told} == {budget}
    np.testing.assert_allclose([now[2] for now in told], result.history[2:])


def test_seconds():
    loss_fn, w = separable(0, 9)
    result = sharpness(w, loss_fn)
    assert 0 < result.callback_seconds < result.seconds


@pytest.mark.parametrize("epsilon", [1e-50, 1e38])
def test_a_box_beyond_the_dtype(epsilon):
    with pytest.raises(ValueError, match="beyond the range of float32"):
        sharpkit.sharpness(np.ones(3, np.float32), never, epsilon=epsilon)
