import numpy as np
import pytest


@pytest.fixture
def solving(load):
    return load("bench.solving")


@pytest.fixture
def problem(load):
    return load("bench.problems").Quadratic(500, np.float64, "concave")


def outcome(solving, **changes):
    found = {"method": "auto", "n": 10, "value": 1.0, "evaluations": 5}
    times = {"wall": 8.0, "cpu": 9.0, "wall_inside": 2.0, "cpu_inside": 4.0}
    return solving.Outcome(**found | times | changes)


def test_what_passes_outside_the_loss(solving):
    found = outcome(solving)
    assert found.wall_outside == 6.0
    assert found.cpu_outside == 5.0
    assert found.per_weight == 0.1
    assert found.own_share == 0.75


def test_the_median_of_each_time(solving):
    found = solving.middle(
        [outcome(solving, wall=wall, cpu=11 - wall) for wall in (8.0, 1.0, 3.0)]
    )
    assert (found.wall, found.cpu, found.wall_inside) == (3.0, 8.0, 2.0)


def test_calls_are_counted_and_errors_come_through(solving):
    waits = []
    clocked = solving.Clocked(lambda x: 1 / x, lambda: waits.append(None))
    assert clocked(2.0) == 0.5
    with pytest.raises(ZeroDivisionError):
        clocked(0.0)
    assert clocked.calls == 2
    assert len(waits) == 4
    assert clocked.wall >= 0


@pytest.mark.parametrize("method", ["auto", "lbfgsb", "scipy"])
def test_every_method_is_counted_alike(solving, problem, method):
    calls = []
    found = solving.solve(
        method, problem.w, lambda w: (calls.append(None), *problem(w))[1:]
    )
    assert found.method == method
    assert found.n == 500
    looks = 0 if method == "scipy" else 2  # at the noise, by ours alone
    assert found.evaluations == len(calls) - looks
    assert 0.9 < found.value / problem.maximum <= 1
    assert found.iterations == (10 if method == "scipy" else None)


@pytest.mark.parametrize("method", ["auto", "lbfgsb"])
def test_a_profile_is_that_of_the_measurement(solving, problem, method):
    found = solving.profile(method, problem.w, problem)
    measured = solving.solve(method, problem.w, problem)
    assert found["evaluations"] == measured.evaluations
    assert found["iterations"] == (10 if method == "lbfgsb" else None)
    gram = found["kernels"]["gram"]
    assert gram["vectors"] >= gram["calls"] > 0
