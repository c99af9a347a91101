"""Derivatives of the losses of single samples, against a backward pass for each."""

import itertools

import pytest
from torch_cases import MAKERS, case, direction, truth
from torch_required import torch

import sharpkit
from sharpkit.torch import problem

nn, functional = torch.nn, torch.nn.functional


def one_by_one(name, w, v):
    """Return the derivative along v of the loss of each sample that counts."""
    own, found = truth(name), []
    for x, y in zip(own.case.inputs.split(1), own.case.targets.split(1), strict=True):
        known = {key: p.clone().requires_grad_() for key, p in own.chosen.items()}
        parts = w.split([p.numel() for p in known.values()])
        with torch.no_grad():
            for p, part in zip(known.values(), parts, strict=True):
                p.copy_(part.view_as(p))
        loss = own.case.loss(torch.func.functional_call(own.model, known, x), y)
        if not loss.isfinite():  # all of its targets are ignored
            continue
        slopes = torch.autograd.grad(
            loss, list(known.values()), allow_unused=True, materialize_grads=True
        )
        found.append(torch.cat([g.reshape(-1) for g in slopes]) @ v)
    return torch.stack(found)


@pytest.mark.parametrize("cut", [{}, {"micro_batch": 4}])
@pytest.mark.parametrize("name", list(MAKERS))
def test_they_are_those_of_each_sample(watch, name, cut):
    own = case(name)
    watch(own.model)
    made = problem(own.model, own.loss, own.data, **cut)
    w = made.weights + 0.05 * direction(len(made.weights))
    v = direction(len(w), 8)
    found, known = made.directional(w, v), one_by_one(name, w, v)
    assert found.shape == known.shape
    assert torch.allclose(found, known, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["layer_norm_mlp", "tied_language", "regression"])
def test_the_fisher_rao_norm(name):
    own = case(name)
    made = problem(own.model, own.loss, own.data)
    known = one_by_one(name, made.weights, made.weights)
    if name == "tied_language":  # samples of few words count less
        with pytest.warns(sharpkit.SharpkitWarning, match="do not count alike"):
            found = sharpkit.fisher_rao(made)
    else:
        found = sharpkit.fisher_rao(made)
    assert found.value == pytest.approx(float((known**2).mean()), rel=1e-10)
    assert found.method == "forward"
    if name == "regression":
        part = made.subset([1, 2, 3])
        true = float((known[1:4] ** 2).mean())
        assert sharpkit.fisher_rao(part).value == pytest.approx(true, rel=1e-10)


def test_the_closed_form_of_networks_without_biases():
    """ReLU networks of L layers are homogeneous: ``w . g = L (<p, f> - f_y)``."""
    torch.manual_seed(0)
    sizes = 5, 7, 6, 4
    layers = [torch.nn.Linear(*pair, bias=False) for pair in itertools.pairwise(sizes)]
    relu = torch.nn.ReLU()
    model = torch.nn.Sequential(layers[0], relu, layers[1], relu, layers[2]).double()
    x, y = torch.randn(30, 5).double(), torch.randint(0, 4, (30,))
    f = model(x).detach()
    slopes = (f.softmax(1) * f).sum(1) - f[torch.arange(30), y]
    known = float((3 * slopes).square().mean())
    made = problem(model, torch.nn.CrossEntropyLoss(), (x, y))
    found = sharpkit.fisher_rao(made)
    assert found.value == pytest.approx(known, rel=1e-12)
    assert found.norm == pytest.approx(known**0.5, rel=1e-12)


def test_a_function_as_the_loss():
    own = case("regression")

    def loss(output, y):
        return (output - y).abs().mean()

    made = problem(own.model, loss, own.data)
    plain = problem(own.model, nn.L1Loss(), own.data)
    w = made.weights
    assert torch.allclose(made.directional(w, w), plain.directional(w, w))


def test_where_there_are_none():
    own = case("conv_batch_norm")
    assert (
        problem(own.model, own.loss, own.data, batch_norm="batch").directional is None
    )
    own = case("regression")
    made = problem(
        own.model,
        lambda model, batch: own.loss(model(batch[0]), batch[1]),
        [own.data],
        loss_takes="model",
    )
    assert made.directional is None
    found = sharpkit.fisher_rao(made)
    known = one_by_one("regression", made.weights, made.weights)
    assert found.value == pytest.approx(float((known**2).mean()), rel=1e-10)
    assert found.method == "gradients"


def test_the_other_measures_of_batches():
    own = case("regression")
    made = problem(own.model, own.loss, own.data)
    gradients = torch.stack([made.subset([i])(made.weights)[1] for i in range(9)])
    rest = gradients - gradients.mean(0)
    noise = sharpkit.gradient_noise(made)
    assert noise.gradient_variance == pytest.approx(float((rest**2).sum() / 8))
    sharp = sharpkit.batch_sharpness(made, batch_size=4, max_batches=12)
    assert "hvp" in sharp.source
    assert sharp.value > 0


@pytest.mark.parametrize("cut", [{}, {"micro_batch": 4}])
@pytest.mark.parametrize("name", ["layer_norm_mlp", "tied_language", "class_weighted"])
def test_the_empirical_fisher_matrix(name, cut):
    own = case(name)
    made = problem(own.model, own.loss, own.data, **cut)
    w = made.weights
    eye = torch.eye(len(w), dtype=w.dtype)
    gradients = torch.stack([one_by_one(name, w, e) for e in eye])  # (n, samples)
    dense = gradients @ gradients.T / gradients.shape[1]
    for v in (direction(len(w)), direction(len(w), 8)):
        found = made.empirical_fisher(w, v)
        assert torch.allclose(found, dense @ v, rtol=1e-9, atol=1e-12)
    top = sharpkit.eigenvalues(made, hvp=made.empirical_fisher)
    known = float(torch.linalg.eigvalsh(dense)[-1])
    assert float(top) == pytest.approx(known, rel=1e-3)


class Again:
    """Batches that are only gone through."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def test_data_that_cannot_be_indexed_have_a_norm_all_the_same():
    own = case("regression")
    made = problem(own.model, own.loss, Again(own.batches(4, 5)))
    known = one_by_one("regression", made.weights, made.weights)
    found = sharpkit.fisher_rao(made)
    assert found.value == pytest.approx(float((known**2).mean()), rel=1e-10)
    with pytest.raises(ValueError, match=r"max_samples=3 needs single samples"):
        sharpkit.fisher_rao(made, max_samples=3)


def restated(model, inputs, labels):
    """The Monte-Carlo Fisher matrix of drawn labels, a backward pass for each."""
    total = 0.0
    for one, label in zip(inputs, labels, strict=True):
        loss = torch.nn.functional.cross_entropy(model(one[None]), label[None])
        slopes = torch.autograd.grad(loss, list(model.parameters()))
        g = torch.cat([slope.reshape(-1) for slope in slopes])
        total = total + torch.outer(g, g) / len(labels)
    return total


def classifier():
    torch.manual_seed(2)
    layers = torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3)
    model = torch.nn.Sequential(*layers).double()
    return model, (torch.randn(12, 3).double(), torch.arange(12) % 3)


def test_the_monte_carlo_fisher_matrix():
    model, (inputs, targets) = classifier()
    made = problem(model, torch.nn.CrossEntropyLoss(), (inputs, targets))
    fisher, w = made.monte_carlo_fisher(seed=5), made.weights
    at = torch.rand(12, generator=torch.Generator().manual_seed(5), dtype=w.dtype)
    below = model(inputs).softmax(1).cumsum(1) < at[:, None]
    dense = restated(model, inputs, below.sum(1))
    for v in (direction(len(w)), direction(len(w), 8)):
        assert torch.allclose(fisher(w, v), dense @ v, rtol=1e-9, atol=1e-12)
    top = sharpkit.eigenvalues(made, hvp=fisher)
    known = float(torch.linalg.eigvalsh(dense)[-1])
    assert float(top) == pytest.approx(known, rel=1e-3)


def test_its_labels_are_those_of_every_product():
    model, data = classifier()
    loss = torch.nn.CrossEntropyLoss()
    cut = problem(model, loss, data, micro_batch=5)
    fisher, w = cut.monte_carlo_fisher(), cut.weights
    u, v = direction(len(w)), direction(len(w), 8)
    assert torch.equal(fisher(w, v), fisher(w, v))
    assert float(u @ fisher(w, v)) == pytest.approx(float(v @ fisher(w, u)))
    other = cut.monte_carlo_fisher(seed=1)
    assert not torch.allclose(other(w, v), fisher(w, v))


def test_its_mean_over_seeds_is_the_gauss_newton_matrix():
    model, data = classifier()
    made = problem(model, torch.nn.CrossEntropyLoss(), data)
    w = made.weights
    v = direction(len(w))
    found = torch.stack([made.monte_carlo_fisher(s)(w, v) @ v for s in range(400)])
    known = float(made.gauss_newton(w, v) @ v)
    assert abs(float(found.mean()) - known) <= 4 * float(found.std()) / 20


def test_predictions_that_are_ignored_count_for_nothing():
    model, (inputs, targets) = classifier()
    loss = torch.nn.CrossEntropyLoss()
    ignored = torch.where(torch.arange(12) < 8, targets, -100)
    made = problem(model, loss, (inputs, ignored))
    some = problem(model, loss, (inputs[:8], targets[:8]))
    w, v = made.weights, direction(len(made.weights))
    found = made.monte_carlo_fisher()(w, v)
    assert torch.allclose(found, some.monte_carlo_fisher()(w, v), rtol=1e-9)


@pytest.mark.parametrize(
    "loss",
    [
        torch.nn.CrossEntropyLoss(label_smoothing=0.1),
        torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0])),
        lambda output, y: 2 * torch.nn.functional.cross_entropy(output, y),
    ],
)
def test_labels_are_drawn_for_cross_entropy_only(loss):
    model, data = classifier()
    made = problem(model, loss, data)
    with pytest.raises(ValueError, match="not the plain mean cross-entropy"):
        made.monte_carlo_fisher()(made.weights, made.weights)


def test_no_labels_for_a_loss_of_the_model_or_of_numbers():
    model, (inputs, _) = classifier()
    own = problem(
        model, lambda m, b: m(b).square().mean(), [inputs], loss_takes="model"
    )
    with pytest.raises(ValueError, match="a Monte-Carlo Fisher matrix needs to know"):
        own.monte_carlo_fisher()
    numbers = problem(model, torch.nn.MSELoss(), (inputs, torch.zeros(12, 3).double()))
    with pytest.raises(ValueError, match="the targets are no classes"):
        numbers.monte_carlo_fisher()(numbers.weights, numbers.weights)
