import json

import pytest


@pytest.fixture
def case(load, monkeypatch):
    """The case on a network that takes no time."""
    pytest.importorskip("torch")
    case = load("bench.cases.torch_model")
    trained = load("bench.network").trained_f1(
        epochs=2, samples=300, sizes=(784, 16, 10)
    )
    monkeypatch.setattr(case, "trained_f1", lambda **settings: trained)
    return case


def test_the_whole_case(case):
    table = case.run(quick=True)
    assert all(len(row) == len(table.columns) for row in table.rows)
    records = table.data["records"]
    assert [record["method"] for record in records] == [
        case.SCRIPT,
        case.RECIPE,
        case.SAME,
        case.DEFAULT,
    ]
    script, recipe, same, default = records
    assert script["of_script"] == 1
    assert same["evaluations"] == script["evaluations"] < default["evaluations"] == 25
    # the recipe is the script's method: two searches in float32 of the same steps
    assert recipe["value"] == pytest.approx(script["value"], rel=0.05)
    assert [target["what"] for target in table.data["targets"]] == [
        "sharpkit, the same recipe, 1 epochs: value over the script's",
        "sharpkit, the same recipe, 1 epochs: times faster",
        "sharpkit, as many evaluations, 1 epochs: value over the script's",
        "sharpkit, as many evaluations, 1 epochs: times faster",
        "sharpkit, default, 1 epochs: value over the script's",
    ]
    assert json.dumps(table.data)


def test_the_script_stays_below_a_long_search(case, load):
    import sharpkit

    weights, lab = case.trained_f1()
    network = load("bench.torch_network").TorchNetwork(lab, weights)
    problem = sharpkit.torch.problem(
        network.model, network.criterion, (network.inputs, network.labels)
    )
    found = case.script(network)
    most = case.ours(problem, max_evaluations=200)
    assert 0 < found.value <= most.value
    before = problem(problem.weights)[0]
    case.script(network)  # leaves the model at its weights
    assert network.loss_and_gradient()[0] == pytest.approx(before, rel=1e-5)


def test_the_check_notices_other_weights(case, load):
    import sharpkit

    weights, lab = case.trained_f1()
    network = load("bench.torch_network").TorchNetwork(lab, weights)
    data = (network.inputs, network.labels)
    problem = sharpkit.torch.problem(network.model, network.criterion, data)
    case.check(network, problem)
    network.weights = network.weights + 1
    with pytest.raises(load("bench.table").CaseError, match="the weights differ"):
        case.check(network, problem)
    wrong = sharpkit.torch.problem(
        network.model, lambda *pair: 1.1 * network.criterion(*pair), data
    )
    network.weights = network.weights - 1
    with pytest.raises(load("bench.table").CaseError, match="the losses differ"):
        case.check(load("bench.torch_network").TorchNetwork(lab, weights), wrong)
