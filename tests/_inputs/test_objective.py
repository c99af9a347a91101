import numpy as np
import pytest

from sharpkit import SharpkitWarning
from sharpkit._inputs.objective import ROUNDINGS, Objective

W = np.array([1.0, 2.0, 3.0])


def good(w):
    return 0.5 * float(w @ w), w.copy()


def test_calls_and_seconds_are_counted():
    objective = Objective(good, W)
    assert (objective.calls, objective.seconds, objective.has_gradient) == (0, 0, None)
    loss, gradient = objective(W)
    assert loss == 7
    np.testing.assert_array_equal(gradient, W)
    first = objective.seconds
    objective.centre(W)
    assert objective.calls == 3
    assert objective.seconds > first > 0
    assert objective.has_gradient


def test_a_loss_alone():
    objective = Objective(lambda w: 3, W)
    assert objective(W) == (3.0, None)
    assert objective.has_gradient is False
    assert objective.centre(W)[1] is None


def test_failed_calls_are_counted():
    def failing(w):
        raise ZeroDivisionError("mine")

    objective = Objective(failing, W)
    with pytest.raises(ZeroDivisionError, match="mine"):
        objective(W)
    assert objective.calls == 1
    assert objective.seconds > 0


def test_the_centre_gradient_outlives_the_next_call():
    buffer = np.empty(3)
    count = iter(range(9))

    def reuse(w):
        buffer[:] = next(count)
        return 1.0, buffer

    gradient = Objective(reuse, W).centre(W)[1]
    np.testing.assert_array_equal(gradient, [0, 0, 0])


def test_the_gradient_has_dtype_and_layout_of_the_weights():
    wide = np.arange(6.0)
    _, gradient = Objective(lambda w: (0.0, wide[::2]), W)(W)
    assert gradient.flags.c_contiguous
    np.testing.assert_array_equal(gradient, [0, 2, 4])
    with pytest.warns(SharpkitWarning, match="gradients of dtype >f8"):
        _, gradient = Objective(lambda w: (0.0, wide[::2].astype(">f8")), W)(W)
    assert gradient.dtype == np.float64
    assert gradient.dtype.isnative


def nan_gradient(w):
    return 1.0, np.array([0, np.nan, np.inf])


class Ragged:
    """A loss that NumPy makes an array of one object of."""


BAD = [
    (lambda w: None, TypeError, "returned None of type NoneType as the loss; return"),
    (lambda w: "1.0", TypeError, r"returned '1\.0' of type str as the loss; return"),
    (lambda w: True, TypeError, "returned True of type bool as the loss; return one"),
    (lambda w: w[0] > 0, TypeError, "of type bool as the loss; return one real"),
    (lambda w: np.ma.masked, TypeError, "a masked array of shape .* as the loss"),
    (lambda w: 10**400, TypeError, "returned 10{90,} as the loss; return one real"),
    (lambda w: 1j, TypeError, "returned 1j of type complex as the loss; return one"),
    (lambda w: np.complex128(1), TypeError, "of type complex128 as the loss; return"),
    (lambda w: np.array(1j), TypeError, "dtype complex128 as the loss; return one"),
    (lambda w: {}, TypeError, r"returned \{\} of type dict as the loss; return one"),
    (
        lambda w: np.ones(2),
        TypeError,
        r"an array of shape \(2,\) and dtype float64 as the loss; .* averaged over",
    ),
    (lambda w: np.ones(0), TypeError, r"an array of shape \(0,\) .* as the loss"),
    (lambda w: Ragged(), TypeError, "of type Ragged as the loss; return one real"),
    (
        lambda w: [1.0, w.copy()],
        TypeError,
        r"returned a list of 2; return the loss, or a tuple \(loss, gradient\)",
    ),
    (lambda w: (None, w.copy()), TypeError, "returned None of type NoneType as the l"),
    (
        lambda w: (1.0, w.copy(), 3),
        TypeError,
        r"returned a tuple of 3; return the loss, or \(loss, gradient\)",
    ),
    (lambda w: (1.0,), TypeError, "returned a tuple of 1; return the loss, or"),
    (
        lambda w: (1.0, [1.0, 2.0, 3.0]),
        TypeError,
        r"returned \[1\.0, .* of type list as the gradient; .*numpy\.asarray",
    ),
    (
        lambda w: (1.0, None),
        TypeError,
        "NoneType as the gradient; the weights are a numpy array: return one",
    ),
    (
        lambda w: (1.0, np.ones(2)),
        ValueError,
        r"gradient of shape \(2,\); the weights have shape \(3,\): return one entry",
    ),
    (
        lambda w: (1.0, np.ones((3, 1))),
        ValueError,
        r"gradient of shape \(3, 1\); the weights have shape \(3,\)",
    ),
    (
        lambda w: (1.0, np.ones(3, int)),
        TypeError,
        "gradient of dtype int64; return float64, the dtype of the weights",
    ),
    (lambda w: (1.0, 1j * w), TypeError, "gradient of dtype complex128; return float6"),
    (
        nan_gradient,
        ValueError,
        r"2 non-finite entries .* the first is gradient\[1\] = nan; check it against",
    ),
    (lambda w: np.nan, ValueError, "returned nan at the given weights; .*a finite los"),
    (lambda w: (np.inf, w.copy()), ValueError, "returned inf at the given weights; "),
    (lambda w: (-np.inf, w.copy()), ValueError, "returned -inf at the given weights"),
]


@pytest.mark.parametrize(("loss_fn", "error", "match"), BAD)
def test_bad_answers(loss_fn, error, match):
    with pytest.raises(error, match=match):
        Objective(loss_fn, W).centre(W)


def test_bad_answers_are_noticed_at_every_call():
    answers = iter([(1.0, np.ones(3)), (1.0, np.ones(3)), (1.0, np.ones(4))])
    objective = Objective(lambda w: next(answers), W)
    objective.centre(W)
    with pytest.raises(ValueError, match=r"gradient of shape \(4,\)"):
        objective(W)


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        (1.0, (1.0, np.ones(3)), r"returned \(loss, gradient\) after .* a loss alone;"),
        ((1.0, np.ones(3)), 1.0, r"a loss alone after .* \(loss, gradient\); .* same"),
    ],
)
def test_the_kind_may_not_change(first, second, match):
    answers = iter([first, second])
    with pytest.raises(TypeError, match=match):
        Objective(lambda w: next(answers), W).centre(W)


def test_not_finite_after_the_centre_is_left_to_the_search():
    answers = iter([(1.0, np.ones(3)), (1.0, np.ones(3)), (np.nan, np.full(3, np.nan))])
    objective = Objective(lambda w: next(answers), W)
    objective.centre(W)
    loss, gradient = objective(W)
    assert np.isnan(loss)
    assert np.isnan(gradient).all()


def test_not_finite_at_the_second_call():
    losses = iter([1.0, np.inf])
    with pytest.raises(ValueError, match=r"returned 1\.0 and then inf at the same"):
        Objective(lambda w: next(losses), W).centre(W)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_writing_into_the_argument(value):
    def writes(w):
        w[1] = value
        return 1.0

    with pytest.raises(
        ValueError,
        match=rf"its argument w \(w\[1\] became .*{value}.*w\.copy",
    ):
        Objective(writes, W).centre(W)
    np.testing.assert_array_equal(W, [1, 2, 3])


@pytest.mark.parametrize("loss", [0.0, 1e6, -0.5])
def test_noise_is_at_least_a_rounding(dtype, loss):
    weights = W.astype(dtype)
    eps = float(np.finfo(dtype).eps)
    assert Objective(lambda w: loss, weights).centre(weights)[2] == eps * abs(loss)


@pytest.mark.parametrize(("share", "warns"), [(0.9, False), (1.1, True)])
def test_noise_warns_above_so_many_roundings(dtype, share, warns):
    weights = W.astype(dtype)
    change = share * ROUNDINGS * float(np.finfo(dtype).eps) * 2
    losses = iter([1.0, 1.0 + change])
    objective = Objective(lambda w: next(losses), weights)
    if warns:
        with pytest.warns(SharpkitWarning, match="switch off dropout and sampling"):
            noise = objective.centre(weights)[2]
    else:
        noise = objective.centre(weights)[2]
    assert noise == 1.0 + change - 1.0


def test_another_dtype_warns_once():
    objective = Objective(lambda w: (1.0, np.ones(3, np.float32)), W)
    with pytest.warns(SharpkitWarning, match=r"gradient\.astype\('float64'\)"):
        objective(W)
    _, gradient = objective(W)  # warnings are errors
    assert gradient.dtype == np.float64
