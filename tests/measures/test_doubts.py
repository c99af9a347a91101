"""Numbers that would be wrong are refused, mended or marked, and say why."""

from __future__ import annotations

import json

import numpy as np
import pytest

import sharpkit
from sharpkit import SharpkitWarning, SpectrumStatus
from sharpkit._diagnosis.noise import spurious_rise
from sharpkit.results.sharpness import Status

N = 12
A = np.linspace(0.5, 2, N)
W = np.linspace(-1, 1, N)


def loss(w):
    """``0.5 a w^2 + 0.25 w^4``, summed: the Hessian is diagonal, a + 3 w^2."""
    return float(0.5 * A @ w**2 + 0.25 * np.sum(w**4)), A * w + w**3


def exact(w, v):
    return (A + 3 * w**2) * v


def half(w, v):
    return A * v  # the part of the other term is missing: symmetric, linear, wrong


TOP, TRACE = (A + 3 * W**2).max(), (A + 3 * W**2).sum()


# Products.


def spectrum(problem, **options):
    return (
        float(sharpkit.eigenvalues(problem, **options)),
        float(sharpkit.trace(problem, **options)),
        float(sharpkit.diagonal(problem, **options).values.sum()),
    )


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("way", ["argument", "problem", "method"])
def test_a_product_that_lacks_a_part_gives_way_to_differences(dtype, way):
    w, options = W.astype(dtype), {}
    problem = sharpkit.Problem(w, lambda w: cast(loss(w.astype("f8")), dtype))
    if way == "argument":
        options["hvp"] = lambda w, v: half(w, v).astype(dtype)
    elif way == "problem":
        problem = sharpkit.Problem(
            w, problem.loss_fn, hvp=lambda w, v: half(w, v).astype(dtype)
        )
    else:

        class Loss:
            weights = w

            def __call__(self, w):
                return cast(loss(w.astype("f8")), dtype)

            def hvp(self, w, v):
                return half(w, v).astype(dtype)

        problem = Loss()
    with pytest.warns(SharpkitWarning, match="hvp is not the derivative of the grad"):
        found = spectrum(problem, **options)
    assert found == pytest.approx((TOP, TRACE, TRACE), rel=2e-3)


def cast(pair, dtype):
    return pair[0], pair[1].astype(dtype)


def test_a_right_product_is_tried_once_and_costs_two_evaluations():
    calls = []

    def counted(w):
        calls.append(1)
        return loss(w)

    problem = sharpkit.Problem(W, counted, hvp=exact)
    bare = sharpkit.measure(problem, measures=())
    plain = len(calls)
    report = sharpkit.measure(problem, max_evaluations=None)
    assert plain == 2 + 2  # at the weights, and of the look at the noise
    assert len(calls) - plain == 3 * 23 + plain  # those at the weights are shared
    assert report.eigenvalues.source == "hvp"
    assert float(report.eigenvalues) == pytest.approx(TOP)
    assert bare.loss == report.loss


def test_another_operator_than_the_hessian_is_not_held_against_the_gradient():
    problem = sharpkit.Problem(W, loss, hvp=exact, gauss_newton=half)
    found = sharpkit.eigenvalues(problem, hvp=problem.gauss_newton)
    assert float(found) == pytest.approx(2)
    assert float(sharpkit.eigenvalues(W, hvp=half)) == pytest.approx(2)


def test_groups_share_the_trial():
    problem = sharpkit.Problem(
        W, loss, hvp=half, layers={"a": slice(0, 6), "b": slice(6, N)}
    )
    with pytest.warns(SharpkitWarning, match="hvp is not the derivative") as warned:
        found = sharpkit.by_group(sharpkit.trace, problem)
    assert len(warned) == 1
    assert sum(float(each) for each in found.values()) == pytest.approx(TRACE)


@pytest.mark.parametrize("which", ["w", "v"])
@pytest.mark.parametrize("at", [1, 2, 7])
def test_a_product_that_writes_to_its_arguments_at_any_call(which, at):
    calls = []

    def hvp(w, v):
        calls.append(1)
        out = exact(w, v)
        if len(calls) == at:
            target = w if which == "w" else v
            target[3] += 1e-9
        return out

    with pytest.raises(ValueError, match=f"hvp wrote into its argument {which} ."):
        sharpkit.trace(W, hvp=hvp)


def test_a_loss_that_writes_to_its_argument_at_a_later_call():
    calls = []

    def writes(w):
        calls.append(1)
        found = loss(w)
        if len(calls) == 9:
            w *= 2
        return found

    with pytest.raises(ValueError, match=r"loss_fn wrote into its argument w \(w\[0\]"):
        sharpkit.sharpness(W, writes)
    assert len(calls) == 9


def test_rounded_products_have_an_error():
    """As bfloat16 has: 8 digits."""

    def rounded(v):
        return (np.round(np.frexp(v)[0] * 2**8) / 2**8) * 2.0 ** np.frexp(v)[1]

    found = sharpkit.eigenvalues(W, hvp=lambda w, v: rounded(exact(w, rounded(v))))
    assert found.status is SpectrumStatus.PRODUCT_ERROR
    assert 1e-4 < found.error / TOP < 1e-1
    assert abs(float(found) - TOP) <= 3 * found.error


# Rounding coarser than the weights'.


def single(w):
    value, gradient = loss(w.astype("f4").astype("f8"))
    return float(np.float32(value)), gradient.astype("f4").astype("f8")


def test_a_float32_loss_under_float64_weights():
    top, trace = sharpkit.eigenvalues(W, single), sharpkit.trace(W, single)
    assert abs(float(top) - TOP) <= 3 * top.error
    assert abs(float(trace) - TRACE) <= 4 * trace.error
    assert 0 < trace.error < 0.05 * TRACE


def test_a_linear_loss_has_no_curvature_but_an_error():
    found = sharpkit.eigenvalues(W, lambda w: (float(A @ w), A.copy()))
    assert float(found) == 0
    assert 0 < found.run.product_error < 1e-14


@pytest.mark.parametrize("epsilon", [1e-6, 1e-5])
def test_a_rise_that_rounding_makes(epsilon):
    def lifted(w):
        value, gradient = loss(w)
        return 1000 + value, gradient

    def rounded(w):
        value, gradient = lifted(w)
        return float(np.float32(value)), gradient

    right = sharpkit.sharpness(W, lifted, epsilon=epsilon).value
    with pytest.warns(SharpkitWarning, match="fewer digits .autocast, bfloat16, TF32"):
        found = sharpkit.sharpness(W, rounded, epsilon=epsilon)
    assert abs(found.value - right) <= spurious_rise(23) * found.noise
    hidden = right < 4 * found.noise
    assert not hidden or found.status in (Status.BELOW_NOISE, Status.FLAT)


def test_noise_alone_is_below_noise():
    statuses = []
    for seed in range(60):
        random = np.random.default_rng(seed)

        def noise(w, random=random):
            return 2 + 1e-3 * random.standard_normal(), 0 * w

        with pytest.warns(SharpkitWarning):
            found = sharpkit.sharpness(random.standard_normal(10), noise, seed=seed)
        statuses.append(found.status)
    assert statuses.count(Status.BELOW_NOISE) + statuses.count(Status.FLAT) >= 57


# Gradients.


@pytest.mark.parametrize("factor", [0.0, 0.5, -1.0])
def test_a_search_with_a_wrong_gradient_has_not_converged(factor):
    def wrong(w):
        value, gradient = loss(w)
        return value, factor * gradient

    with pytest.warns(SharpkitWarning, match="the gradient is not that of the loss"):
        found = sharpkit.sharpness(W, wrong)
    assert found.status is Status.WRONG_GRADIENT


def stale():
    last = [loss(W)[1]]

    def call(w):
        value, gradient = loss(w)
        before, last[0] = last[0], gradient
        return value, before

    return call


def test_a_gradient_of_the_call_before():
    found = sharpkit.check(W, stale())
    assert (found.ok, found.gradient) == (False, "wrong")
    assert "that of the call before" in repr(found)
    with pytest.warns(SharpkitWarning) as warned:
        sharpkit.eigenvalues(W, stale())
    said = " ".join(str(each.message) for each in warned)
    assert "another gradient at the same weights after calls at others" in said


@pytest.mark.parametrize("scale", [1.0, 0.1])
@pytest.mark.parametrize("n", [20, 200, 2000])
def test_a_gradient_of_fewer_digits_than_the_loss_is_right(scale, n):
    a = np.linspace(0.5, 2, n)

    def mixed(w):
        wide = w.astype("f8")
        return float(a * wide @ wide / 2), (a * wide).astype("f4")

    for seed in range(10):
        w = (scale * np.random.default_rng(seed).standard_normal(n)).astype("f4")
        assert sharpkit.check(w, mixed, seed=seed).gradient == "right"


# The smallest eigenvalue beside a large one.


@pytest.mark.parametrize("top", [10.0, 1e3, 1e5])
@pytest.mark.parametrize("tol", [1e-3, 1e-6])
def test_sign_and_size_of_a_small_eigenvalue(top, tol):
    values = np.concatenate([[-0.1], np.linspace(-0.02, 0.5, 180), [top, top / 2]])
    n = len(values)
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]
    matrix = (q * values) @ q.T
    found = sharpkit.eigenvalues(
        np.zeros(n), hvp=lambda w, v: matrix @ v, which="SA", tol=tol
    )
    assert found.status is SpectrumStatus.CONVERGED
    assert float(found) == pytest.approx(-0.1, rel=2 * tol)


def test_a_zero_eigenvalue_is_not_called_settled():
    values = np.array([5.0, 3.0, 1.0, 0.0, 0.0, 0.0])
    found = sharpkit.eigenvalues(np.zeros(6), hvp=lambda w, v: values * v, k=5)
    assert found.values == pytest.approx([5, 3, 1, 0, 0], abs=1e-12)
    assert found.converged.tolist() == [True] * 3 + [False] * 2
    assert found.status is SpectrumStatus.ROUNDING
    assert "take it for zero" in repr(found)


# Values out of range, and losses at or below -1.


def test_a_loss_whose_rise_overflows_is_not_finite():
    def steep(w):
        return (1e308 if abs(w - W).max() > 5e-4 else loss(w)[0]), A * w

    found = sharpkit.sharpness(W, steep)
    assert found.status is Status.NON_FINITE
    assert np.isfinite(found.value)


def test_masked_arrays_are_refused():
    masked = np.ma.array(W, mask=W > 0)
    with pytest.raises(TypeError, match=r"weights is a masked array.*compressed"):
        sharpkit.sharpness(masked, loss)
    with pytest.raises(TypeError, match="loss_fn returned a masked array"):
        sharpkit.sharpness(W, lambda w: (1.0, np.ma.array(w, mask=w > 0)))


def test_a_loss_below_minus_one_leaves_the_sharpness_undefined():
    def below(w):
        value, gradient = loss(w)
        return value - 20, gradient

    problem = sharpkit.Problem(W, below)
    report = sharpkit.measure(problem)
    assert report.sharpness is None
    assert "divides by 1 + loss, and the loss is -1" in report.undefined["sharpness"]
    assert "undefined: it divides by 1 + loss" in repr(report)
    assert float(report.eigenvalues) == pytest.approx(TOP, rel=1e-6)
    both = sharpkit.compare(problem, sharpkit.Problem(W / 2, below), alphas=[0, 1])
    (row,) = (row for row in both.rows if row.known.name == "sharpness")
    assert row.difference is None
    assert row.cells()[1:3] == ("undefined", "undefined")
    json.dumps(both.to_dict(), allow_nan=False)
    checked = repr(sharpkit.check(problem))
    assert "nan" not in checked
    assert "divides by 1 + loss, is undefined" in checked


def test_a_budget_far_beyond_convergence_is_not_spent():
    found = sharpkit.sharpness(W, loss, max_evaluations=50_000)
    assert found.evaluations < 5000
    assert found.status is Status.CONVERGED
    assert sharpkit.eigenvalues(W, loss, max_products=50_000).products < 100
    assert sharpkit.trace(W, loss, max_products=50_000).products <= N


@pytest.mark.parametrize("scale", [1e-170, 1e-30, 1e30, 1e170, 1e290])
def test_losses_of_extreme_scale(scale):
    def scaled(w):
        value, gradient = loss(w)
        return scale * value, scale * gradient

    if scale > 1e150:
        with pytest.raises(ValueError, match="divide the loss by a large number"):
            sharpkit.sharpness(W, scaled)
        with pytest.raises(ValueError, match="divide the loss by a large number"):
            sharpkit.check(W, scaled)
        return
    found = sharpkit.sharpness(W, scaled)
    rise = sharpkit.sharpness(W, loss)
    right = (found.max_loss - found.loss) / (scale * (rise.max_loss - rise.loss))
    assert right == pytest.approx(1)
