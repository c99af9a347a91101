"""The Hessian at a minimiser, against dense matrices and losses known in full."""

import json

import numpy as np
import pytest

import sharpkit
from sharpkit.lab.experiments import experiment
from sharpkit.lab.experiments.common import EPSILONS, POINTS, large, small
from sharpkit.lab.jobs import curvature as module
from sharpkit.lab.jobs.curvature import QuadraticModel, curvature
from sharpkit.lab.problem import Problem


class Quadratic:
    """``1 + b . w + w . A w / 2`` with an indefinite A: its own quadratic model."""

    def __init__(self, n=40, seed=0):
        random = np.random.default_rng(seed)
        half = random.normal(size=(n, n))
        self.matrix = half @ half.T / n - 0.5 * np.eye(n)
        self.slope = random.normal(size=n)
        self.weights = random.normal(size=n)

    def __call__(self, w):
        bend = self.matrix @ w
        return 1 + float(w @ self.slope + w @ bend / 2) + 20, self.slope + bend

    def hvp(self, w, v):
        return self.matrix @ v


@pytest.fixture(params=["batch", "running"])
def curved(request, draw, draw_statistics):
    """A small network's loss in float64, a point, and the dense Hessian there."""
    network, weights, x, y = draw(rows=30)
    fixed = draw_statistics(network) if request.param == "running" else None
    problem = Problem(network, x, y, batch_norm=request.param, statistics=fixed)
    dense = np.array([problem.hvp(weights, unit) for unit in np.eye(len(weights))])
    return problem, weights, (dense + dense.T) / 2


def test_the_model_is_the_taylor_polynomial(curved):
    problem, weights, dense = curved
    loss, gradient = problem(weights)
    model = QuadraticModel(problem, weights)
    z = np.random.default_rng(1).normal(size=weights.shape)
    value, slope = model(weights + z)
    assert value == pytest.approx(loss + gradient @ z + z @ dense @ z / 2, rel=1e-10)
    np.testing.assert_allclose(slope, gradient + dense @ z, rtol=1e-8, atol=1e-10)


def test_the_models_gradient_is_that_of_its_values(curved):
    problem, weights, _ = curved
    model = QuadraticModel(problem, weights)
    random = np.random.default_rng(2)
    at, along = weights + random.normal(size=(2, len(weights)))
    along -= weights
    ahead, behind = model(at + 0.5 * along)[0], model(at - 0.5 * along)[0]
    assert ahead - behind == pytest.approx(model(at)[1] @ along, rel=1e-9)


def test_the_model_touches_the_loss_to_second_order(curved):
    problem, weights, _ = curved
    model = QuadraticModel(problem, weights)
    assert model(weights)[0] == problem(weights)[0]
    z = np.random.default_rng(3).normal(size=weights.shape)
    errors = [
        abs(model(weights + h * z)[0] - problem(weights + h * z)[0])
        for h in (1e-4, 5e-5)  # no ReLU has its kink so near
    ]
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.1)


def test_the_model_keeps_its_point_and_leaves_its_argument_alone():
    loss = Quadratic()
    weights = loss.weights.copy()
    model = QuadraticModel(loss, weights)
    here = model(loss.weights)[0]
    weights += 1
    kept = weights.copy()
    assert model(loss.weights)[0] == here
    assert model(weights)[0] == pytest.approx(loss(weights)[0])
    np.testing.assert_array_equal(weights, kept)


def test_of_a_quadratic_loss_prediction_and_measurement_are_one():
    loss = Quadratic()
    found = curvature(loss, loss.weights, epsilons=EPSILONS, seed=4)
    for epsilon, predicted in zip(EPSILONS, found["predicted"], strict=True):
        measured = sharpkit.sharpness(loss.weights, loss, epsilon=epsilon, seed=4)
        assert predicted["epsilon"] == epsilon
        assert predicted["value"] == pytest.approx(measured.value, rel=1e-6)
        assert predicted["loss"] == measured.loss


def test_a_model_may_fall_below_any_loss():
    """The sharpness divides by one plus the loss at the centre, and there alone."""
    loss = Quadratic()
    deep = QuadraticModel(loss, loss.weights)
    w = loss.weights - 1e3 * np.linalg.eigh(loss.matrix)[1][:, 0]
    assert deep(w)[0] < -1
    assert sharpkit.sharpness(loss.weights, deep, epsilon=1.0, seed=0).value > 0


def test_largest_eigenvalue_and_trace_are_those_of_the_dense_hessian(curved):
    problem, weights, dense = curved
    found = curvature(problem, weights, epsilons=(), seed=0)
    largest, trace = found["eigenvalues"], found["trace"]
    assert largest["converged"] == [True]
    assert largest["values"][0] == pytest.approx(
        np.linalg.eigvalsh(dense)[-1], rel=1e-4
    )
    assert largest["residuals"][0] <= 1e-3 * np.abs(np.linalg.eigvalsh(dense)).max()
    assert abs(trace["value"] - np.trace(dense)) < 4 * trace["stderr"]
    assert trace["products"] == module.TRACE_PRODUCTS


def test_the_density_has_the_moments_of_the_dense_hessian(curved):
    problem, weights, dense = curved
    found = curvature(problem, weights, epsilons=(), seed=0, with_density=True)
    nodes, mass = (np.array(found["density"][key]) for key in ("nodes", "weights"))
    assert nodes.shape == mass.shape
    assert len(nodes) == module.DENSITY_PROBES
    values = np.linalg.eigvalsh(dense)
    assert nodes.max() == pytest.approx(values[-1], rel=1e-3)
    share = found["density"]["negative_share"]
    known = -values[values < 0].sum() / np.abs(values).sum()
    assert abs(share["value"] - known) < 4 * share["stderr"]


@pytest.mark.parametrize("with_density", [True, False])
def test_the_record_is_json(with_density):
    loss = Quadratic()
    found = curvature(
        loss, loss.weights, epsilons=EPSILONS, seed=0, with_density=with_density
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert ("density" in found) == with_density


def test_every_point_of_a_trial_is_measured(tiny, carried_out):
    """The curvature stands beside the sharpness, at the same weights."""
    for seed in tiny.seeds:
        trial = experiment("curvature").trial(tiny, seed)
        for point in POINTS:
            found = carried_out(trial[f"{point} curvature"])[0].metrics
            box = carried_out(trial[f"{point} box"])[0].metrics["sharpness"]
            assert found["eigenvalues"]["converged"] == [True]
            predicted = {each["epsilon"]: each for each in found["predicted"]}
            assert tuple(predicted) == EPSILONS
            assert predicted[EPSILONS[0]]["loss"] == box[0]["loss"]
            first = seed == tiny.seeds[0] and point in ("SB", "LB")
            assert ("density" in found) == first


def test_equal_norms_leave_the_function_alone(tiny, carried_out):
    trial = experiment("curvature").trial(tiny, 1000)
    for name, make in (("SB", small), ("LB", large)):
        before = carried_out(make(tiny, 1000))[0].metrics
        after = carried_out(trial[f"{name} equal curvature"])[0].metrics
        assert after["train"]["loss"] == pytest.approx(
            before["train"]["loss"], rel=1e-4
        )
        assert after["test"]["accuracy"] == before["test"]["accuracy"]
        plain = carried_out(trial[f"{name} curvature"])[0].metrics
        assert after["trace"]["value"] != plain["trace"]["value"]
