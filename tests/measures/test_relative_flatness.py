"""Relative flatness against its definition, on dense Hessians in float64."""

import json

import numpy as np
import pytest

import sharpkit
from sharpkit import SpectrumStatus, relative_flatness

OUT, IN = 5, 8
N = OUT * IN + 7


def case(seed=0, rank=12):
    """A Hessian of few large eigenvalues, as those of networks are, and weights."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((N, rank)) * 0.6 ** np.arange(rank)
    B = rng.standard_normal((N, N))
    return A @ A.T + 0.02 * (B + B.T), rng.standard_normal(N)


def kappa(H, w, matrix):
    """The definition, neuron by neuron."""
    place, shape, axis = matrix
    numbers = np.moveaxis(np.arange(w.size)[place].reshape(shape), axis, 0)
    rows = numbers.reshape(shape[axis], -1)
    return sum((w[s] @ w[t]) * np.trace(H[np.ix_(s, t)]) for s in rows for t in rows)


MATRICES = {
    "dense": (slice(3, 43), (OUT, IN), 0),
    "transposed": (slice(3, 43), (IN, OUT), 1),
    "kernel": (slice(0, 40), (2, 2, 2, 5), -1),
    "filters": (slice(7, 47), (5, 2, 2, 2), 0),
    "tall": (slice(0, 40), (20, 2), 0),
}


@pytest.mark.parametrize("exact", [True, False])
def test_it_is_the_definition_where_all_products_are_done(exact):
    H, w = case()
    loss = lambda w: (float(w @ H @ w / 2), H @ w)  # noqa: E731
    hvp = (lambda w, v: H @ v) if exact else None
    found = relative_flatness(w, loss, hvp=hvp, matrices=MATRICES, max_products=50)
    for name, matrix in MATRICES.items():
        truth = kappa(H, w, matrix)
        assert found[name].status is SpectrumStatus.EXACT
        assert float(found[name]) == pytest.approx(truth, rel=1e-8)
        assert abs(float(found[name]) - truth) <= 4 * found[name].stderr
    assert found["tall"].shape == (20, 2)
    assert "20 neurons of 2 weights" in repr(found["tall"])
    assert "relative flatness of 5 groups" in repr(found)
    record = json.loads(json.dumps(found.to_dict()))
    assert record["kernel"]["shape"] == [5, 8]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["xtrace", "hutchinson"])
def test_error_bars_hold_the_truth_in_95_of_100_runs(method):
    H, w = case()
    matrices = {"dense": MATRICES["dense"]}
    truth, held, values = kappa(H, w, MATRICES["dense"]), 0, []
    for seed in range(500):
        found = relative_flatness(
            w,
            hvp=lambda w, v: H @ v,
            matrices=matrices,
            max_products=24,
            method=method,
            seed=seed,
        )["dense"]
        low, high = found.interval
        held += low <= truth <= high
        values.append(found.value)
    assert 0.92 <= held / 500 <= 0.98, held
    spread = np.std(values) / np.sqrt(500)
    assert abs(np.mean(values) - truth) < 4 * spread


def test_rescaling_of_layers_and_neurons_leaves_it_as_it_was():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3)
    ).double()
    data = torch.randn(30, 4).double(), torch.randint(0, 3, (30,))
    problem = sharpkit.torch.problem(model, torch.nn.CrossEntropyLoss(), data)
    before = relative_flatness(problem)
    assert list(before) == ["0.weight", "2.weight"]
    w = problem.weights
    H = torch.stack([problem.hvp(w, e) for e in torch.eye(len(w)).double()]).numpy()
    for name, matrix in problem.matrices.items():
        truth = kappa(H, w.numpy(), matrix)
        assert float(before[name]) == pytest.approx(truth, rel=1e-8)

    def rescaled(factor):
        with torch.no_grad():
            model[0].weight *= factor[:, None]
            model[0].bias *= factor
            model[2].weight /= factor
        found = relative_flatness(problem.refreshed())
        return [float(found[name]) / float(before[name]) for name in before]

    assert rescaled(torch.full((6,), 3.0).double()) == pytest.approx([1, 1], rel=1e-9)
    # Neuron by neuron it is the same only where these are the rows.
    first, second = rescaled(torch.rand(6).double() + 0.5)
    assert first == pytest.approx(1, rel=1e-9)
    assert second != pytest.approx(1, rel=1e-3)


def test_problems_of_frameworks_know_their_matrices():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ConvTranspose2d(2, 3, 2), nn.Flatten(), nn.Linear(75, 2)
    )
    data = torch.randn(3, 1, 6, 6), torch.tensor([0, 1, 1])
    problem = sharpkit.torch.problem(model, nn.CrossEntropyLoss(), data)
    assert problem.matrices == {
        "0.weight": (slice(0, 18), (2, 1, 3, 3), 0),
        "1.weight": (slice(20, 44), (2, 3, 2, 2), 1),
        "3.weight": (slice(47, 197), (2, 75), 0),
    }
    for name, (place, shape, _) in problem.matrices.items():
        own = model.get_parameter(name).detach()
        assert torch.equal(problem.weights[place].reshape(shape), own)
    found = relative_flatness(problem, max_products=6)
    assert found["1.weight"].shape == (3, 8)
    jax = pytest.importorskip("jax")
    params = {"out": {"kernel": jax.numpy.ones((4, 2)), "bias": jax.numpy.ones(2)}}
    other = sharpkit.jax.problem(
        lambda p: (p["out"]["kernel"] ** 2).sum() + (p["out"]["bias"] ** 2).sum(),
        params,
    )
    assert other.matrices == {"out.kernel": (slice(2, 10), (4, 2), 1)}
    assert float(relative_flatness(other)["out.kernel"]) == pytest.approx(2 * 4 * 2 * 4)


def test_networks_of_the_lab_know_theirs():
    from sharpkit.lab.networks.mlp import MLP
    from sharpkit.lab.problem import Problem

    network, rng = MLP((6, 5, 3)), np.random.default_rng(0)
    x, y = rng.standard_normal((20, 6)), rng.integers(0, 3, 20)
    problem = Problem(network, x, y, batch_norm="batch")
    w = network.initial_weights(0, np.float64)
    H = np.array([problem.hvp(w, e) for e in np.eye(len(w))])
    found = relative_flatness(w, problem, max_products=len(w))
    assert {name: each.shape for name, each in found.items()} == {
        "layer 1": (5, 6),
        "layer 2": (3, 5),
    }
    for name, matrix in problem.matrices.items():
        assert float(found[name]) == pytest.approx(kappa(H, w, matrix), rel=1e-7)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, "does not know the shapes of its layers; give a mapping"),
        ({}, "matrices is of type dict, or empty; give"),
        ([1], "matrices is of type list, or empty; give"),
        ({"a": 3}, r"matrices\['a'\] = 3; give \(slice, shape\)"),
        ({"a": (slice(0, 4), (2, 2), 5)}, r"matrices\['a'\] = .*; give"),
        ({"a": (slice(0, 4), (2, 3))}, r"has shape \(2, 3\) at slice"),
        ({"a": (slice(0, 4), (4,))}, r"has shape \(4,\) at slice"),
        ({"a": (slice(0, 400), (20, 20))}, "give a range that holds"),
    ],
)
def test_what_are_no_matrices_is_refused(given, text):
    H, w = case()
    with pytest.raises((TypeError, ValueError), match=text):
        relative_flatness(w, hvp=lambda w, v: H @ v, matrices=given)


def test_weights_of_zero_have_none():
    H, w = case()
    w[3:43] = 0
    found = relative_flatness(
        w, hvp=lambda w, v: H @ v, matrices={"a": MATRICES["dense"]}
    )
    assert float(found["a"]) == 0
