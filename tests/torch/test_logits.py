"""Logits of unit length: what they are, and what they do not depend on."""

import copy

import pytest
from torch_cases import case, direction
from torch_required import torch

import sharpkit
from sharpkit.torch import problem

nn, functional = torch.nn, torch.nn.functional


def by_hand(logits):
    centred = logits - logits.mean(1, keepdim=True)
    return centred / torch.linalg.vector_norm(centred, dim=1, keepdim=True)


class Normalized(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return by_hand(self.inner(x))


@pytest.mark.parametrize("name", ["layer_norm_mlp", "tied_language", "conv_batch_norm"])
def test_it_is_a_last_layer_that_normalizes(name):
    own = case(name)
    found = problem(own.model, own.loss, own.data, normalize_logits=True)
    known = problem(Normalized(copy.deepcopy(own.model)), own.loss, own.data)
    w = found.weights + 0.1 * direction(len(found.weights))
    v = direction(len(w), 8)
    (loss, gradient), (true, slope) = found(w), known(w)
    assert loss == pytest.approx(true, rel=1e-13)
    assert torch.allclose(gradient, slope, rtol=0, atol=1e-13)
    assert torch.allclose(found.hvp(w, v), known.hvp(w, v), rtol=0, atol=1e-11)
    product = found.gauss_newton(w, v)
    assert torch.allclose(product, known.gauss_newton(w, v), rtol=0, atol=1e-11)
    assert float(v @ product) > 0
    plain = problem(own.model, own.loss, own.data)
    assert found.accuracy(w) == plain.accuracy(w)


def scaled(own, factor):
    model = copy.deepcopy(own.model)
    with torch.no_grad():
        for parameter in model[-1].parameters():
            parameter.mul_(factor)
    return model


def test_the_scale_of_the_last_layer_changes_nothing():
    own = case("layer_norm_mlp")
    losses, curvatures = [], []
    for factor in (1, 7.5):
        for normalize in (True, False):
            # the layers before it are measured: theirs is the same box
            made = problem(
                scaled(own, factor),
                own.loss,
                own.data,
                normalize_logits=normalize,
                parameters=lambda name: not name.startswith("7."),
            )
            losses.append(made(made.weights)[0])
            curvatures.append(float(sharpkit.eigenvalues(made)))
    assert losses[0] == pytest.approx(losses[2], rel=1e-13)
    assert curvatures[0] == pytest.approx(curvatures[2], rel=1e-6)
    assert losses[1] != pytest.approx(losses[3], rel=0.1)
    assert curvatures[1] != pytest.approx(curvatures[3], rel=0.1)


def test_equal_logits_have_a_loss_and_finite_products():
    model = nn.Linear(4, 3)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    data = torch.randn(5, 4), torch.arange(5) % 3
    made = problem(model, nn.CrossEntropyLoss(), data, normalize_logits=True)
    w = made.weights
    loss, gradient = made(w)
    assert loss == pytest.approx(torch.tensor(3.0).log().item(), rel=1e-6)
    assert gradient.isfinite().all()
    assert made.hvp(w, torch.ones_like(w)).isfinite().all()


def test_the_widened_problem_normalizes_too():
    own = case("layer_norm_mlp", dtype=torch.float32)
    made = problem(own.model, own.loss, own.data, normalize_logits=True)
    wide = made.widened()
    w = wide.weights
    known = by_hand(copy.deepcopy(own.model).double().eval()(own.inputs.double()))
    count = wide.samples
    true = functional.cross_entropy(known[:count], own.targets[:count])
    assert wide(w)[0] == pytest.approx(float(true.detach()), rel=1e-6)


def evaluated(model, loss, data):
    made = problem(model, loss, data, normalize_logits=True)
    return made(made.weights)


@pytest.mark.parametrize(
    ("model", "loss", "targets", "match"),
    [
        (nn.Linear(4, 2), nn.MSELoss(), torch.ones(5, 2), "a mean over elements"),
        (
            nn.Linear(4, 3),
            nn.BCEWithLogitsLoss(),
            torch.ones(5, 3),
            "a mean over elements, not over classes; give one of classes",
        ),
        (
            nn.Linear(4, 1),
            lambda output, y: (output - y).abs().mean(),
            torch.ones(5, 1),
            r"output has shape \(5, 1\); give a classifier",
        ),
        (
            nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)),
            lambda output, y: (output - y).abs().mean(),
            torch.ones(5),
            r"output has shape \(5,\); give a classifier",
        ),
        (
            nn.Linear(4, 3),
            lambda output, y: functional.cross_entropy(output, y[:, 0]),
            torch.ones(5, 2).long(),
            r"shape \(5, 3\) and the targets have \(5, 2\); give classes",
        ),
    ],
)
def test_what_is_no_classifier_is_refused(model, loss, targets, match):
    data = torch.ones(5, 4), targets
    with pytest.raises(ValueError, match=match):
        evaluated(model, loss, data)


def test_what_is_no_tensor_and_a_loss_of_the_model():
    model = nn.LSTM(4, 3)
    data = torch.ones(5, 4), torch.zeros(5).long()
    made = problem(model, nn.CrossEntropyLoss(), data, normalize_logits=True)
    with pytest.raises(TypeError, match="the output of the model is of type tuple"):
        made(made.weights)
    with pytest.raises(ValueError, match="with loss_takes='model'"):
        problem(
            model,
            lambda model, batch: model(batch[0])[0].mean(),
            [data],
            loss_takes="model",
            normalize_logits=True,
        )
    with pytest.raises(TypeError, match="normalize_logits='yes' is of type str"):
        problem(model, nn.CrossEntropyLoss(), data, normalize_logits="yes")
