"""The diagonal as users call it: results, options, and every message."""

import json

import numpy as np
import pytest
from problems import without_gradient
from spectra import matrix, product

from sharpkit import SharpkitWarning, SpectrumStatus, diagonal

METHODS = ["xdiag", "hutchinson"]
N = 100


def quadratic(A):
    return lambda w: (0.5 * float(w @ A @ w), A @ w)


@pytest.mark.parametrize("method", METHODS)
def test_a_product_and_differences_of_the_gradient_agree(method, backend, dtype):
    A, w = matrix("hessian", 0, N).astype(dtype), np.ones(N, dtype)
    exact = diagonal(w, hvp=product(A), method=method, backend=backend)
    found = diagonal(w, quadratic(A), method=method, backend=backend)
    assert exact.values.dtype == exact.stderr.dtype == dtype
    assert exact.values.shape == exact.stderr.shape == (N,)
    error = np.abs(exact.values - A.diagonal())
    assert (error <= exact.quantile * exact.stderr).mean() > 0.85
    assert (np.abs(found.values - exact.values) <= 3 * found.stderr).mean() > 0.99
    assert exact.products == exact.run.calls - 3 == 60  # three are a trial
    assert exact.status is SpectrumStatus.COMPLETE


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bits(method, threads):
    n = 70_000
    h = np.linspace(-1, 5, n) ** 3
    found = []
    for count in (1, 2):
        threads(count)
        found.append(
            diagonal(
                np.zeros(n),
                hvp=lambda w, v: h * v + np.roll(v, 1) + np.roll(v, -1),
                method=method,
                max_products=20,
            )
        )
    np.testing.assert_array_equal(found[0].values, found[1].values)
    np.testing.assert_array_equal(found[0].stderr, found[1].stderr)


@pytest.mark.parametrize("method", METHODS)
def test_the_zero_operator(method, dtype):
    result = diagonal(np.zeros(N, dtype), hvp=lambda w, v: 0 * v, method=method)
    assert not result.values.any()
    assert not result.stderr.any()


@pytest.mark.parametrize("n", [4, 5, 60])
def test_four_products_of_hutchinson(n):
    """With two, every second entry of a row with one neighbour shows no spread."""
    A = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    held = []
    for seed in range(200):
        found = diagonal(
            np.zeros(n), hvp=product(A), method="hutchinson", max_products=4, seed=seed
        )
        error = np.abs(found.values - 2)
        held.append(error <= found.quantile * found.stderr + 1e-12)
    assert np.mean(held) > 0.93


@pytest.mark.parametrize("method", METHODS)
def test_one_weight(method):
    result = diagonal(
        np.zeros(1), hvp=lambda w, v: -3 * v, method=method, max_products=4
    )
    assert result.values[0] == pytest.approx(-3)


def test_what_a_result_shows():
    result = diagonal(np.zeros(N), hvp=product(matrix("wishart", 0, N)), seed=7)
    text = repr(result)
    assert text.startswith("diagonal from 0.")
    assert "standard error" in text
    assert "xdiag, n = 100" in text
    assert "60 products by hvp, seed 7, cpu float64" in text
    assert text.endswith(result.status.value)
    assert result.seconds >= result.callback_seconds > 0
    saved = json.loads(json.dumps(result.to_dict()))
    assert "values" not in saved
    assert saved["quantile"] == pytest.approx(2.045, abs=1e-3)  # t, 29 degrees
    saved = json.loads(json.dumps(result.to_dict(values=True)))
    assert saved["values"] == result.values.tolist()
    assert saved["stderr"] == result.stderr.tolist()


def test_an_asymmetric_product_is_warned_of():
    A = np.triu(np.random.default_rng(0).standard_normal((N, N)))
    with pytest.warns(SharpkitWarning, match="not those of a symmetric operator"):
        result = diagonal(np.zeros(N), hvp=product(A))
    assert result.status is SpectrumStatus.ASYMMETRIC


def test_progress():
    seen = []
    diagonal(
        np.zeros(N), hvp=product(np.eye(N)), progress=lambda *args: seen.append(args)
    )
    assert [done for done, _, _ in seen] == list(range(1, 61))


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (
            {"max_products": 3},
            ValueError,
            "max_products=3; give a whole number of at least 4",
        ),
        ({"max_products": 3, "method": "hutchinson"}, ValueError, "of at least 4"),
        ({"method": "xtrace"}, ValueError, "method='xtrace'; give one of 'xdiag', 'h"),
        ({"seed": 1.5}, TypeError, "seed=1.5 is not a whole number"),
        ({"backend": "tpu"}, ValueError, "backend='tpu'; give one of"),
        ({"hvp": None}, TypeError, "loss_fn=None beside flat weights; give loss"),
        ({"hvp": "A"}, TypeError, "hvp='A' of type str is not callable"),
    ],
    ids=str,
)
def test_arguments_are_checked_before_any_product(options, error, match):
    def hvp(w, v):
        raise AssertionError

    options = {"hvp": hvp} | options
    with pytest.raises(error, match=match):
        diagonal(np.zeros(N), **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("at", [0, 1, 3])
def test_products_that_are_not_finite(method, at):
    calls = []

    def hvp(w, v):
        calls.append(1)
        return v * (np.inf if len(calls) == at + 1 else 1)

    with pytest.raises(ValueError, match="product with the operator is not finite"):
        diagonal(np.zeros(N), hvp=hvp, method=method, max_products=4)


def test_what_a_callback_returns_is_checked():
    w = np.ones(N)
    with pytest.raises(ValueError, match=r"hvp returned a product of shape \(3,\)"):
        diagonal(w, hvp=lambda w, v: v[:3])
    with pytest.raises(ValueError, match="loss_fn returns no gradient, and a product"):
        diagonal(w, without_gradient(quadratic(np.eye(N))))
