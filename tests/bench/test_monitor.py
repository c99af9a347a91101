import json

import pytest


@pytest.fixture
def case(load):
    pytest.importorskip("torch")
    return load("bench.cases.monitor")


def test_an_edge(case):
    found = case.edge("Adam", case.OPTIMIZERS["Adam"], quick=True)
    assert found["threshold"] == pytest.approx(38_000)
    assert len(found["curve"]) == case.QUICK_STEPS - 1
    assert json.dumps(found)


def test_the_script_finds_the_same_eigenvalues(case):
    found = case.script_and_monitor(2)
    assert found["gap"] < 2 * case.TOLERANCE
    assert found["products"] < found["script_products"]


def test_the_cost_of_a_network(case):
    found = case.cost(case.convnet, quick=True)  # equal weights are checked there
    assert found["steps"] >= 20
    assert 0 < found["share"]
    assert json.dumps(found)
