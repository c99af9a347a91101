"""Landscapes of PyTorch models: filters, batch norms, and one pass for all values."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from torch_cases import case
from torch_required import torch

import sharpkit
from sharpkit import landscape
from sharpkit.landscape.directions import random_direction
from sharpkit.measures._point import Point
from sharpkit.torch import problem

nn = torch.nn


def convnet(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 6, 2),
        nn.Flatten(),
        nn.Linear(6 * 25, 5),
    )


def data(count=24):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 3, 6, 6, generator=generator)
    return x, torch.randint(0, 5, (count,), generator=generator)


def parts(vector, model):
    """Return a flat vector as one array for each parameter of a model."""
    sizes = [each.numel() for each in model.parameters()]
    pieces = torch.as_tensor(np.asarray(vector)).split(sizes)
    return {
        name: piece.reshape(each.shape)
        for (name, each), piece in zip(model.named_parameters(), pieces, strict=True)
    }


def test_filters_are_normalised_as_li_et_al_define_it(watch):
    model = watch(convnet().double())
    point = Point.of(problem(model, nn.CrossEntropyLoss(), data()))
    raw = parts(random_direction(point, normalize="none", seed=5).vector, model)
    found = random_direction(point, seed=5)
    assert found.axis.normalize == "filter"
    for name, made in parts(found.vector, model).items():
        own, drawn = model.get_parameter(name).detach(), raw[name]
        if own.dim() < 2:
            assert not made.any()  # biases, and batch norms
            continue
        axis = 1 if name == "3.weight" else 0  # of the outputs of each
        for filter_, weight, plain in zip(
            made.unbind(axis), own.unbind(axis), drawn.unbind(axis), strict=True
        ):
            wanted = plain * weight.norm() / plain.norm()
            torch.testing.assert_close(filter_, wanted, rtol=1e-12, atol=0)


def test_other_normalisations(watch):
    model = watch(convnet().double())
    point = Point.of(problem(model, nn.CrossEntropyLoss(), data()))
    raw = parts(random_direction(point, normalize="none").vector, model)
    for how in ("layer", "weight"):
        made = parts(random_direction(point, normalize=how).vector, model)
        for name in ("0.weight", "3.weight", "5.weight"):
            own = model.get_parameter(name).detach()
            scale = own.norm() / raw[name].norm() if how == "layer" else own
            torch.testing.assert_close(made[name], raw[name] * scale)
        assert not made["1.weight"].any()


@pytest.mark.parametrize("name", ["conv_batch_norm", "class_weighted", "regression"])
@pytest.mark.parametrize("sizes", [(9,), (4, 5)])
@pytest.mark.parametrize("batch_norm", ["running", "batch"])
def test_one_pass_has_loss_and_accuracy(watch, name, sizes, batch_norm):
    own = case(name)
    p = problem(watch(own.model), own.loss, own.batches(*sizes), batch_norm=batch_norm)
    for w in (p.weights, p.weights * 0.9):
        loss, share = p.evaluate(w)
        assert loss == pytest.approx(p(w)[0], rel=1e-12)
        assert share == p.accuracy(w)
        assert (share is None) == (name == "regression")


def test_no_graph_is_built_but_for_models_that_need_one(watch):
    seen = []

    class Slope(nn.Module):
        """A model that differentiates itself, as those of energies do."""

        def __init__(self, inside):
            super().__init__()
            self.layer, self.inside = nn.Linear(3, 2), inside

        def forward(self, x):
            seen.append(torch.is_grad_enabled())
            y = self.layer(x).tanh()
            if self.inside:
                (y,) = torch.autograd.grad(
                    y.sum(), self.layer.weight, create_graph=True
                )
                y = x @ y.T
            return y

    x, y = torch.randn(8, 3), torch.randint(0, 2, (8,))
    models = [Slope(False), Slope(True)]
    for inside, model in enumerate(map(watch, models)):
        p = problem(model, nn.CrossEntropyLoss(), (x, y))
        loss = p(p.weights)[0]
        seen.clear()
        values = [p.evaluate(p.weights)[0] for _ in range(3)]
        assert values == pytest.approx([loss] * 3, rel=1e-6)
        assert seen[-1] == inside
        assert len(seen) == 3 + inside  # once it is tried without


def test_losses_that_are_weighed_by_their_graph(watch):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    batches = [(torch.randn(k, 3), torch.randint(0, 2, (k,))) for k in (5, 3)]

    def loss(output, targets):
        return nn.functional.cross_entropy(output, targets) * 1.0

    watch(model)
    for p in (
        problem(model, loss, batches),
        problem(model, lambda m, b: loss(m(b[0]), b[1]), batches, loss_takes="model"),
    ):
        values = [p.evaluate(p.weights)[0] for _ in range(3)]
        assert values == pytest.approx([p(p.weights)[0]] * 3, rel=1e-6)


def test_accuracy_counts_what_the_loss_leaves_out(watch):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    x, y = torch.randn(10, 3), torch.tensor([0] * 5 + [1] * 5)
    watch(model)
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([0.0, 1.0]))
    p = problem(model, weighted, [(x[:5], y[:5]), (x[5:], y[5:])])
    right = (model(x).argmax(1) == y).double().mean()
    assert p.evaluate(p.weights)[1] == pytest.approx(float(right))


def test_batch_norm_is_a_visible_choice(watch):
    model, linear = convnet(), nn.Linear(2, 2)
    with torch.no_grad():
        model[1].running_mean.fill_(0.3)
    p = problem(watch(model), nn.CrossEntropyLoss(), data())
    other = p.weights + 0.01
    alone = landscape.line(p, points=3)
    assert alone.batch_norm == "running"
    assert alone.centre["loss"] == pytest.approx(p(p.weights)[0], rel=1e-6)
    between = landscape.line(p, to=other, points=3)
    assert between.batch_norm == "batch"
    of_data = p.on_line()
    assert between.centre["loss"] == pytest.approx(of_data(p.weights)[0], rel=1e-6)
    kept = landscape.line(p, to=other, points=3, batch_norm="problem")
    assert (kept.batch_norm, kept.centre) == ("running", alone.centre)
    moved = landscape.line(p, points=3, batch_norm="data")
    assert (moved.batch_norm, moved.centre) == ("batch", between.centre)
    frozen = problem(model, nn.CrossEntropyLoss(), data(), batch_norm="frozen")
    assert landscape.line(frozen, points=3).batch_norm == "frozen"
    without = problem(linear, nn.MSELoss(), (torch.ones(3, 2),) * 2)
    assert landscape.line(without, points=3).batch_norm == ""


def test_checkpoints_may_be_files_mappings_and_problems(watch, tmp_path):
    model, other = convnet(), convnet(1)
    p = problem(watch(model), nn.CrossEntropyLoss(), data())
    torch.save(other.state_dict(), tmp_path / "other.pt")
    q = p.at(other.state_dict())
    given = [tmp_path / "other.pt", other.state_dict(), q.weights, q]
    found = [landscape.line(p, to=each, points=3).values["loss"] for each in given]
    for each in found[1:]:
        np.testing.assert_array_equal(each, found[0])


@pytest.mark.process
def test_processes_are_sent_the_model(watch):
    model = watch(convnet())
    p = problem(model, nn.CrossEntropyLoss(), data())
    options = {"points": (3, 4), "through": [p.weights + 0.1, p.weights * 0.9]}
    here = landscape.plane(p, **options)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there = landscape.plane(p, executor=pool, **options)
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(there.values[name], here.values[name], rtol=1e-5)


def test_samples_of_a_model(watch):
    model = watch(convnet())
    p = problem(model, nn.CrossEntropyLoss(), data())
    found = landscape.line(p, points=3, samples=20)
    assert set(found.errors) == {"loss", "accuracy"}
    assert (found.errors["loss"] > 0).all()
    of_data = problem(model, nn.CrossEntropyLoss(), data(), batch_norm="batch")
    with pytest.warns(sharpkit.SharpkitWarning, match="share statistics"):
        assert landscape.line(of_data, points=3, samples=20).errors == {}
