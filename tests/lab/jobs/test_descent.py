"""Full-batch descent against PyTorch's optimisers, its curve against dense Hessians."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sharpkit.lab.jobs import descent
from sharpkit.lab.jobs.task import Task

CONFIG = {"degree": 3, "points": 20, "hidden": [6, 5], "steps": 12, "every": 3}


def task(method, rate, **changes):
    return Task("descent", CONFIG | {"method": method, "rate": rate} | changes, 1000)


def path(method, rate, steps):
    """The weights before each step, and the metric of that step."""
    problem = descent.problem_of(CONFIG)
    weights, way = problem.initial_weights(1000), descent.Method(method, rate)
    found = []
    for _ in range(steps):
        update, metric = way(problem(weights)[1])
        found.append((weights, metric))
        weights = weights - update
    return problem, found


@pytest.mark.parametrize("method", descent.METHODS)
def test_the_steps_are_those_of_pytorch(torch, method):
    problem, found = path(method, 0.03, 9)
    vector = torch.tensor(found[0][0], requires_grad=True)
    sgd = {"momentum": descent.MOMENTUM, "nesterov": method == "nesterov"}
    optimizer = {
        "adam": lambda: torch.optim.Adam([vector], 0.03),
        "gd": lambda: torch.optim.SGD([vector], 0.03),
    }.get(method, lambda: torch.optim.SGD([vector], 0.03, **sgd))()
    for weights, _ in found:
        assert_allclose(weights, vector.detach().numpy(), rtol=1e-10)
        vector.grad = torch.from_numpy(problem(vector.detach().numpy().copy())[1])
        optimizer.step()


@pytest.mark.parametrize(
    ("method", "threshold"),
    [("gd", 2 / 0.03), ("polyak", 100), ("nesterov", 50), ("adam", 38 / 0.03)],
)
def test_the_curve_is_that_of_dense_hessians(carried_out, method, threshold):
    run, arrays = carried_out(task(method, 0.03))
    metrics = run.metrics
    first = int(method == "adam")
    assert metrics["steps"] == list(range(first, 13, 3))
    assert metrics["threshold"] == pytest.approx(threshold)
    assert len(arrays) == 0
    problem, found = path(method, 0.03, 13)
    assert metrics["n"] == problem.n_weights
    for i, step in enumerate(metrics["steps"]):
        weights, metric = found[step]
        hessian = np.array(
            [problem.hvp(weights, unit) for unit in np.eye(metrics["n"])]
        )
        if metric is not None:
            root = np.sqrt(metric.values)
            hessian = hessian / root / root[:, None]
        known = np.linalg.eigvalsh((hessian + hessian.T) / 2)[-1]
        assert metrics["values"][i] == pytest.approx(known, rel=0.01)
        assert metrics["losses"][i] == problem(weights)[0]


def test_a_descent_that_leaves_the_numbers_ends(carried_out):
    with np.errstate(all="ignore"):
        run, _ = carried_out(task("gd", 1e200))
    assert run.metrics["steps"] == [0]


def test_the_data_are_one_hot():
    source = {"name": "digits", "train": 1000, "test": 797}
    config = {"data": source, "samples": 30, "hidden": [4]}
    problem = descent.problem_of(config)
    assert problem.x.shape == (30, 64)
    assert problem.y.shape == (30, 10)
    assert_allclose(problem.y.sum(axis=1), 1)


def test_an_unknown_method():
    with pytest.raises(ValueError, match="method='sgd'; give one of gd, polyak"):
        descent.Method("sgd", 0.1)
