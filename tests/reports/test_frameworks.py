"""Reports of problems made by `sharpkit.torch` and `sharpkit.jax`."""

import json

import numpy as np
import pytest

import sharpkit
from sharpkit.reports.compare import compare
from sharpkit.reports.measure import measure


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def trained(torch, tmp_path):
    """A model with batch norm, its data, and two of its checkpoints on disk."""
    torch.manual_seed(0)
    x, y = torch.randn(60, 5), torch.randint(0, 3, (60,))
    model = torch.nn.Sequential(
        torch.nn.Linear(5, 6),
        torch.nn.BatchNorm1d(6),
        torch.nn.Tanh(),
        torch.nn.Linear(6, 3),
    )
    loss = torch.nn.functional.cross_entropy
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    states = []
    for _ in range(2):
        for _ in range(15):
            optimiser.zero_grad()
            loss(model(x), y).backward()
            optimiser.step()
        states.append({name: t.clone() for name, t in model.state_dict().items()})
    torch.save(states[0], tmp_path / "a.pt")
    pytest.importorskip("safetensors.torch").save_file(
        states[1], tmp_path / "b.safetensors"
    )
    return model, loss, (x, y), states, tmp_path


def at(trained, state, *, batch_statistics=False):
    """Return loss and accuracy of a state by PyTorch alone."""
    model, loss, (x, y), _, _ = trained
    model.load_state_dict(state)
    model.train(batch_statistics)
    out = model(x)
    return loss(out, y).item(), (out.argmax(1) == y).double().mean().item()


@pytest.mark.slow
def test_two_checkpoints_of_a_model_with_batch_norm(torch, trained):
    model, loss, data, states, folder = trained
    problem = sharpkit.torch.problem(model, loss, data)
    found = compare(
        folder / "a.pt",
        folder / "b.safetensors",
        {"train": problem, "test": sharpkit.torch.problem(model, loss, data)},
        repeats=1,
        alphas=[0.0, 0.25, 1.0],
    )
    json.dumps(found.to_dict(), allow_nan=False)
    for report, state in zip((found.a, found.b), states, strict=True):
        value, accuracy = at(trained, state)  # with its own running statistics
        assert report.loss == pytest.approx(value, rel=1e-6)
        assert report.accuracy == accuracy
        assert report.fit.samples == 60
        assert report.trace.run.source == "hvp"
    assert found.a.loss != pytest.approx(found.b.loss, rel=0.01)
    path = found.paths["train"]
    for alpha, value, accuracy in zip(
        path.alpha.tolist(), path.loss, path.accuracy, strict=True
    ):
        between = {
            name: tensor + alpha * (states[1][name] - tensor)
            if tensor.is_floating_point()
            else tensor
            for name, tensor in states[0].items()
        }
        known = at(trained, between, batch_statistics=True)
        assert [value, accuracy] == pytest.approx(known, rel=1e-5)
    np.testing.assert_array_equal(path.loss, found.paths["test"].loss)
    distance = sum(
        float(((states[0][name] - states[1][name]).double() ** 2).sum())
        for name, _ in model.named_parameters()
    )
    assert found.distance == pytest.approx(distance**0.5, rel=1e-6)


def test_flat_tensors_keep_the_buffers_of_the_problem(torch, trained):
    model, loss, data, states, _ = trained
    model.load_state_dict(states[0])
    problem = sharpkit.torch.problem(model, loss, data)
    mixed = problem.at(states[1]).weights
    found = compare(problem.weights, mixed, problem, measures=(), alphas=[0.0])
    assert found.a.loss == pytest.approx(at(trained, states[0])[0], rel=1e-6)
    parameters = dict(model.named_parameters())
    chimera = {name: states[1 if name in parameters else 0][name] for name in states[0]}
    assert found.b.loss == pytest.approx(at(trained, chimera)[0], rel=1e-6)


def test_a_checkpoint_of_another_model_is_refused(torch, trained):
    model, loss, data, _, folder = trained
    problem = sharpkit.torch.problem(model, loss, data)
    torch.save({"state_dict": {"x": torch.ones(3)}}, folder / "c.pt")
    with pytest.raises(ValueError, match=r"missing: .*not the model's: '?x"):
        compare(folder / "a.pt", folder / "c.pt", problem)


def test_a_graph_kept_for_products_is_released(torch, trained):
    model, loss, data, states, _ = trained
    problem = sharpkit.torch.problem(model, loss, data)
    ends = [problem.at(state) for state in states]
    released = []
    for name, end in zip("ab", ends, strict=True):
        end.release = lambda name=name: released.append(name)
    compare(*ends, measures=("trace", "eigenvalues"), alphas=[0.0])
    assert released == ["a", "b", "a", "b"]


@pytest.mark.slow
def test_jax_and_torch_report_the_same(torch, trained):
    jax = pytest.importorskip("jax")
    x, y = (np.asarray(each) for each in trained[2])
    model = torch.nn.Linear(5, 3)
    params = {
        name: jax.numpy.asarray(tensor.detach().numpy())
        for name, tensor in model.named_parameters()
    }

    def loss(params, batch):
        features, classes = batch
        scores = jax.nn.log_softmax(features @ params["weight"].T + params["bias"])
        return -scores[jax.numpy.arange(len(classes)), classes].mean()

    ours = sharpkit.torch.problem(model, trained[1], trained[2])
    theirs = sharpkit.jax.problem(loss, params, (x, y))
    other = [0.5 * np.asarray(each.weights) for each in (ours, theirs)]
    alphas = [0.0, 0.5, 1.0]
    one, two = (
        compare(each.weights, end, each, repeats=1, alphas=alphas, epsilon=0.05)
        for each, end in zip((ours, theirs), other, strict=True)
    )
    np.testing.assert_allclose(
        one.paths["data"].loss, two.paths["data"].loss, rtol=1e-6
    )
    for name, rel in (("sharpness", 1e-5), ("trace", 1e-5), ("eigenvalues", 1e-3)):
        of_torch, of_jax = (float(getattr(each.b, name)) for each in (one, two))
        assert of_torch == pytest.approx(of_jax, rel=rel)
    assert repr(measure(theirs, measures=())).startswith("report of n = 18 weights")
