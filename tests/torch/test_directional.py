"""Derivatives of the losses of single samples, against a backward pass for each."""

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
