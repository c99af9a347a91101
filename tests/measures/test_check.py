"""`check` as users call it: each question, its answer, and every message."""

import dataclasses
import inspect
import json
import math
import time

import numpy as np
import pytest
from networks import Network, without_product
from problems import Separable, without_gradient

from sharpkit._inputs.warn import SharpkitWarning
from sharpkit.measures.check import check
from sharpkit.measures.sharpness import sharpness
from sharpkit.measures.spectral_density import spectral_density
from sharpkit.measures.trace import trace

NETWORK = Network(0)


def weights(dtype=np.float64, steps=0):
    return NETWORK.weights(0, np.dtype(dtype).type, steps=steps)


def test_all_is_well(dtype, backend):
    result = check(weights(dtype), NETWORK, backend=backend)
    assert result.ok
    assert result.deterministic
    assert (result.loss_difference, result.gradient_difference) == (0, 0)
    assert (result.gradient, result.product) == ("right", "right")
    assert result.gradient_error <= result.gradient_tolerance < 0.1
    assert result.product_error <= result.product_tolerance < 0.1
    assert result.noise_found
    eps = np.finfo(dtype).eps
    assert 0.01 * eps < result.noise / result.loss < 10 * eps
    assert result.product_source == "hvp"
    assert (result.backend, result.dtype) == (backend, str(dtype))
    assert result.n == NETWORK.n
    assert result.seconds >= result.callback_seconds > 0


@pytest.mark.parametrize("huge", [1e200, -1e308, np.inf, np.nan])
@pytest.mark.parametrize("far", [1e-9, 1e-4, 1e-2])
def test_losses_that_are_huge_nearby(huge, far):
    def loss(w):
        return (huge if abs(w - 1).max() > far else float(w @ w) / 2), w.copy()

    result = check(np.ones(5), loss)
    assert result.gradient != "wrong" or np.isfinite(huge)
    assert "nan" not in repr(result)


def test_calls_are_counted_and_few():
    for loss_fn in (NETWORK, without_product(NETWORK), without_gradient(NETWORK)):
        calls = []

        def counted(w, loss_fn=loss_fn, calls=calls):
            calls.append(time.perf_counter())
            return loss_fn(w)

        assert check(weights(), counted).evaluations == len(calls) < 250


def test_the_same_seed_gives_the_same_answers():
    def answers(seed):
        record = check(weights(), NETWORK, seed=seed).to_dict()
        return {key: record[key] for key in record if "seconds" not in key} | {
            "costs": None
        }

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)


def test_more_directions_take_more_evaluations():
    few, many = (check(weights(), NETWORK, directions=k).evaluations for k in (1, 6))
    assert many > few + 30


def test_weights_are_not_touched_and_results_do_not_change():
    w = weights()
    before = w.copy()
    result = check(w, NETWORK)
    np.testing.assert_array_equal(w, before)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.noise = 0


# Each question.


def random_loss(sigma):
    draw = np.random.default_rng(0)

    def call(w):
        loss, gradient = NETWORK(w)
        return float(loss) + sigma * draw.standard_normal(), gradient

    return call


@pytest.mark.parametrize("sigma", [1e-6, 1e-2])
def test_a_loss_that_is_not_deterministic(sigma):
    result = check(weights(), random_loss(sigma))  # warnings are errors
    assert not result.deterministic
    assert not result.ok
    assert result.loss_difference > 0
    assert sigma / 3 < result.noise < 3 * sigma
    assert result.gradient != "wrong"
    assert "deterministic: no: calls differ by" in repr(result)
    assert "switch off dropout" in repr(result)


def test_a_gradient_that_is_not_deterministic():
    draw = np.random.default_rng(0)

    def loss_fn(w):
        loss, gradient = NETWORK(w)
        return loss, gradient * (1 + 1e-3 * draw.standard_normal(w.size))

    result = check(weights(), loss_fn)
    assert not result.deterministic
    assert result.loss_difference == 0
    assert 1e-4 < result.gradient_difference < 1e-2


def test_rounding_is_no_randomness():
    draw = np.random.default_rng(0)

    def loss_fn(w):
        loss, gradient = NETWORK(w)
        last = 1 + 1e-15 * draw.integers(-3, 4)
        return loss * last, gradient * last

    result = check(weights(), loss_fn)
    assert result.deterministic
    assert result.ok
    assert "yes, to rounding: calls differ by" in repr(result)


def test_a_flat_loss_rises_to_less_than_the_smallest_sharpness():
    """In 99 of 100 measurements if the noise were known; it is to a factor of 2."""
    sigma, above = 1e-4, 0
    w = np.zeros(20)
    for seed in range(100):
        draw = np.random.default_rng(seed)

        def flat(x, draw=draw):
            return 1.0 + sigma * draw.standard_normal(), np.zeros_like(x)

        with pytest.warns(SharpkitWarning, match="not deterministic"):
            value = sharpness(w, flat, seed=seed).value
        above += value > check(w, flat, seed=seed).smallest_sharpness
    assert above <= 10


def test_noise_that_is_not_seen_is_one_rounding(dtype):
    result = check(np.ones(5, dtype), lambda w: (1.5, np.zeros_like(w)))
    assert not result.noise_found
    assert result.noise == pytest.approx(2.5 * np.finfo(dtype).eps)
    assert "(not seen: one rounding)" in repr(result)
    assert result.gradient == "undecided"
    assert "the loss is constant, or not finite, near the weights" in repr(result)


def test_a_wrong_gradient():
    def loss_fn(w):
        loss, gradient = NETWORK(w)
        return loss, 0.99 * gradient

    result = check(weights(), loss_fn)
    assert (result.ok, result.gradient) == (False, "wrong")
    assert result.gradient_error == pytest.approx(0.01, rel=0.05)
    assert repr(result).startswith("check: WRONG")
    assert "it is not that of this loss" in repr(result)


def test_a_wrong_product():
    result = check(weights(), NETWORK, hvp=lambda w, v: 1.01 * NETWORK.hvp(w, v))
    assert (result.ok, result.product) == (False, "wrong")
    assert result.product_error == pytest.approx(0.01, rel=1e-3)
    assert "check hvp: H(w) v, linear in v" in repr(result)


def test_a_product_that_is_none():
    class Problem:
        hvp = None

        def __call__(self, w):
            return NETWORK(w)

    assert check(weights(), Problem()).product == "differences"


def test_a_loss_alone():
    result = check(weights()[:50], lambda w: 1 + float(np.sin(w).sum() ** 2))
    assert result.ok
    assert (result.gradient, result.product) == ("no gradient", "no product")
    assert result.noise_found
    assert set(result.costs) == {"sharpness", "measure", "compare", "profile"}
    assert result.costs["measure"] == result.costs["sharpness"]
    assert result.costs["sharpness"] == pytest.approx(
        100 * (1 + 2 * 50) * result.evaluation_seconds
    )
    large = check(
        np.ones(1001), without_gradient(Separable(np.ones(1001), np.zeros(1)))
    )
    assert large.costs == {}


def test_costs_are_those_of_the_defaults():
    result = check(weights(), NETWORK)
    product = result.product_seconds
    default = inspect.signature(spectral_density).parameters
    assert result.costs["sharpness"] == 100 * result.evaluation_seconds
    products = inspect.signature(trace).parameters["max_products"].default
    assert result.costs["trace"] == products * product
    assert result.costs["spectral_density"] == pytest.approx(
        default["max_products"].default * product
    )
    assert set(result.costs) == {
        "sharpness",
        "eigenvalues",
        "trace",
        "spectral_density",
        "diagonal",
        "measure",
        "compare",
        "profile",
    }
    assert result.costs["measure"] <= 300 * result.evaluation_seconds
    assert result.costs["compare"] == 600 * result.evaluation_seconds
    without = check(weights(), without_product(NETWORK))
    assert without.product_seconds == 2 * without.evaluation_seconds


def test_times_are_those_of_the_callbacks(monkeypatch):
    """By a clock that each evaluation moves by 2, each product by 7."""
    now = [0.0]

    class Slow(Network):
        def __call__(self, w):
            now[0] += 2
            return super().__call__(w)

        def hvp(self, w, v):
            now[0] += 7
            return super().hvp(w, v)

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    result = check(weights(), Slow(0), directions=1)
    assert (result.evaluation_seconds, result.product_seconds) == (2, 7)
    assert result.callback_seconds == 2 * result.evaluations + 7 * result.products
    assert result.seconds == result.callback_seconds == now[0]


# The record.


def test_what_a_result_shows():
    result = check(weights(), NETWORK, seed=7)
    lines = repr(result).splitlines()
    assert lines[0] == f"check: nothing wrong  (loss {result.loss:.6g})"
    assert [line.split(":")[0].strip() for line in lines[1:6]] == [
        "deterministic",
        "noise of the loss",
        "gradient",
        "product",
        "cost",
    ]
    assert f"{result.smallest_sharpness:.2g} % cannot be told from zero" in lines[2]
    assert f"right, relative error {result.gradient_error:.2g} (tol" in lines[3]
    assert "asymmetry" in lines[4]
    assert lines[6].startswith("  at their defaults: sharpness ")
    assert "spectral_density" in " ".join(lines[6:])
    assert "seed 7, cpu float64" in lines[-1]
    assert max(map(len, lines[6:-1])) <= 88


@pytest.mark.parametrize("loss_fn", [NETWORK, without_gradient(NETWORK)])
def test_to_dict_is_json(loss_fn):
    result = check(weights(), loss_fn)
    record = result.to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    classes = (type(result), type(result.run))
    fields = [field.name for each in classes for field in dataclasses.fields(each)]
    names = {*fields, "ok"} - {"run"}
    assert set(record) == names
    assert (record["gradient_error"] is None) == math.isnan(result.gradient_error)


def test_progress_is_told_of_evaluations():
    seen = []
    result = check(
        weights(),
        without_product(NETWORK),
        progress=lambda done, budget, value: seen.append((done, budget)),
    )
    done = [count for count, _ in seen]
    assert done == sorted(done)
    assert done[-1] <= result.evaluations
    assert {budget for _, budget in seen} == {None}


BAD = [
    ({"loss_fn": 3}, TypeError, "loss_fn=3 of type int is not callable"),
    ({"hvp": 3}, TypeError, "hvp=3 of type int is not callable"),
    ({"weights": [1.0]}, TypeError, "weights is of type list; give a flat"),
    ({"weights": np.array([1.0, np.nan])}, ValueError, "1 non-finite entries"),
    ({"directions": 0}, ValueError, "directions=0; give a whole number of at least 1"),
    ({"directions": 1.5}, TypeError, r"directions=1\.5 is not a whole number"),
    ({"seed": -1}, ValueError, "seed=-1; give a whole number of at least 0"),
    ({"backend": "gpu"}, ValueError, "backend='gpu'; give one of"),
    ({"loss_fn": lambda w: np.nan}, ValueError, "returned nan at the given weights"),
    ({"loss_fn": lambda w: (1.0, w[:1])}, ValueError, r"gradient of shape \(1,\)"),
]


@pytest.mark.parametrize(("changes", "error", "match"), BAD)
def test_bad_arguments(changes, error, match):
    arguments = {"weights": np.ones(4), "loss_fn": lambda w: (float(w @ w), 2 * w)}
    arguments |= changes
    with pytest.raises(error, match=match):
        check(arguments.pop("weights"), arguments.pop("loss_fn"), **arguments)


def test_exceptions_of_the_callback_come_through():
    def broken(w):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        check(np.ones(3), broken)
