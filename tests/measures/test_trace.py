"""The trace as users call it: results, options, and every message."""

import dataclasses
import json

import numpy as np
import pytest
from problems import without_gradient
from spectra import matrix, product

from sharpkit import SharpkitWarning, SpectrumStatus, trace

METHODS = ["xtrace", "hutch++", "hutchinson"]
N = 100


def quadratic(A):
    return lambda w: (0.5 * float(w @ A @ w), A @ w)


@pytest.mark.parametrize("method", METHODS)
def test_a_product_and_differences_of_the_gradient_agree(method, backend, dtype):
    A, w = matrix("hessian", 0, N).astype(dtype), np.ones(N, dtype)
    exact = trace(w, hvp=product(A), method=method, backend=backend)
    found = trace(w, quadratic(A), method=method, backend=backend)
    low, high = exact.interval
    assert low < np.trace(A) < high
    assert abs(found.value - exact.value) <= 3 * found.stderr
    assert (exact.run.source, exact.run.product_error) == ("hvp", 0)
    assert "differences" in found.run.source
    assert found.run.calls > 2 * found.products
    assert (exact.run.backend, exact.run.dtype) == (backend, str(dtype))
    assert exact.products == exact.run.calls - 3 == 60  # three are a trial
    assert exact.status is SpectrumStatus.COMPLETE


def test_a_loss_with_a_product_of_its_own():
    A = matrix("hessian", 0, N)

    class Loss:
        def __call__(self, w):
            return 0.5 * float(w @ A @ w), A @ w

        def hvp(self, w, v):
            return A @ v

    w = np.zeros(N)
    assert trace(w, Loss()).value == trace(w, hvp=product(A)).value


def test_the_errors_of_differences_are_part_of_the_error_bar():
    """In float32, far from zero, differences are rough: the bar says so."""
    A = matrix("wishart", 0, N).astype(np.float32)
    w = np.full(N, 100, np.float32)
    rough = [trace(w, quadratic(A), max_products=20, seed=seed) for seed in range(40)]
    assert rough[0].run.product_error > 0
    assert all(r.stderr >= N**0.5 * r.run.product_error for r in rough)
    held = [r.interval[0] < np.trace(A) < r.interval[1] for r in rough]
    assert np.mean(held) > 0.85


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bits(method, threads):
    n = 70_000
    h = np.linspace(-1, 5, n) ** 3
    found = []
    for count in (1, 2, 1):
        threads(count)
        found.append(trace(np.zeros(n), hvp=lambda w, v: h * v, method=method))
    assert found[0].history == found[1].history == found[2].history
    other = trace(np.zeros(n), hvp=lambda w, v: h * v, method=method, seed=1)
    assert method == "hutchinson" or other.value != found[0].value


def test_weights_are_not_touched_and_results_do_not_change():
    w = np.ones(N)
    result = trace(w, hvp=product(matrix("wishart", 0, N)))
    assert (w == 1).all()
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.value = 0


def test_what_a_result_shows():
    result = trace(np.zeros(N), hvp=product(matrix("wishart", 0, N)), seed=7)
    text = repr(result)
    assert text.startswith(f"trace {result.value:.6g} ± {result.stderr:.2g}  (95 %: ")
    assert "xtrace, n = 100, mean eigenvalue" in text
    assert "60 products by hvp, seed 7, cpu float64" in text
    assert text.endswith(result.status.value)
    assert float(result) == result.value
    assert result.seconds >= result.callback_seconds > 0
    saved = json.loads(json.dumps(result.to_dict()))
    assert saved["interval"] == list(result.interval)
    assert saved["history"][-1] == [60, result.value, result.stderr]
    assert (saved["status"], saved["products"], saved["seed"]) == ("COMPLETE", 60, 7)


@pytest.mark.parametrize("method", METHODS)
def test_the_zero_operator(method, dtype):
    result = trace(np.zeros(N, dtype), hvp=lambda w, v: 0 * v, method=method)
    assert (result.value, result.stderr, result.interval) == (0, 0, (0, 0))


@pytest.mark.parametrize("method", METHODS)
def test_one_weight(method):
    result = trace(np.zeros(1), hvp=lambda w, v: -3 * v, method=method, max_products=4)
    assert result.value == pytest.approx(-3)
    assert result.stderr < 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_rtol_stops_early(method):
    options = {"hvp": product(matrix("wishart", 0, N)), "method": method}
    result = trace(np.zeros(N), max_products=90, rtol=0.05, **options)
    assert result.status is SpectrumStatus.CONVERGED
    assert result.stderr <= 0.05 * result.value
    # Hutch++ has spent two thirds before it can look
    assert result.products in ((80,) if method == "hutch++" else (20, 28, 40))
    short = trace(np.zeros(N), rtol=1e-12, **options)
    assert (short.status, short.products) == (SpectrumStatus.BUDGET, 60)


@pytest.mark.parametrize("method", ["xtrace", "hutch++"])
def test_an_asymmetric_product_is_warned_of(method):
    A = np.triu(np.random.default_rng(0).standard_normal((N, N)))
    with pytest.warns(SharpkitWarning, match="not those of a symmetric operator"):
        result = trace(np.zeros(N), hvp=product(A), method=method)
    assert result.status is SpectrumStatus.ASYMMETRIC


def test_progress():
    seen = []
    trace(np.zeros(N), hvp=product(np.eye(N)), progress=lambda *args: seen.append(args))
    assert seen[-1][:2] == (60, 60)
    assert seen[-1][2] == pytest.approx(N)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (
            {"max_products": 3},
            ValueError,
            "max_products=3; give a whole number of at least 4",
        ),
        ({"max_products": 3, "method": "hutch++"}, ValueError, "of at least 4"),
        ({"max_products": 1, "method": "hutchinson"}, ValueError, "of at least 2"),
        ({"max_products": 9.5}, TypeError, "max_products=9.5 is not a whole number"),
        ({"method": "best"}, ValueError, "method='best'; give one of 'xtrace', 'hutch"),
        ({"rtol": 0}, ValueError, "rtol=0; give a number above 0"),
        ({"rtol": np.inf}, ValueError, "rtol=inf; give a number above 0"),
        ({"rtol": "1 %"}, TypeError, "rtol='1 %' is not a number"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"backend": "tpu"}, ValueError, "backend='tpu'; give one of"),
        ({"hvp": None}, TypeError, "loss_fn=None beside flat weights; give loss"),
        ({"hvp": 3}, TypeError, "hvp=3 of type int is not callable"),
        ({"loss_fn": 3}, TypeError, "loss_fn=3 of type int is not callable"),
    ],
    ids=str,
)
def test_arguments_are_checked_before_any_product(options, error, match):
    def hvp(w, v):
        raise AssertionError

    options = {"hvp": hvp} | options
    with pytest.raises(error, match=match):
        trace(np.zeros(N), options.pop("loss_fn", None), **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_products_that_are_not_finite(method, at):
    calls = []

    def hvp(w, v):
        calls.append(1)
        return v * (np.nan if len(calls) == at + 1 else 1)

    with pytest.raises(ValueError, match="product with the operator is not finite"):
        trace(np.zeros(N), hvp=hvp, method=method, max_products=4)


def test_what_a_callback_returns_is_checked():
    w = np.ones(N)
    with pytest.raises(ValueError, match=r"hvp returned a product of shape \(3,\)"):
        trace(w, hvp=lambda w, v: v[:3])
    with pytest.raises(ValueError, match="loss_fn returns no gradient, and a product"):
        trace(w, without_gradient(quadratic(np.eye(N))))
    with pytest.raises(ZeroDivisionError):
        trace(w, hvp=lambda w, v: v * (1 / 0))
