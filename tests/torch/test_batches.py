import collections
import copy

import numpy as np
import pytest
from torch_cases import case, direction, truth
from torch_required import torch

from sharpkit.torch import problem

nn = torch.nn
Pair = collections.namedtuple("Pair", "inputs targets")


class Passes:
    """A user's own iterable, of unknown length."""

    def __init__(self, batches):
        self.batches, self.passes = batches, 0

    def __iter__(self):
        self.passes += 1
        return iter(self.batches)


def loader(own, **options):
    dataset = torch.utils.data.TensorDataset(own.inputs, own.targets)
    return torch.utils.data.DataLoader(dataset, 4, **options)


FORMS = {
    "tuple": lambda own: own.data,
    "list of the pair": lambda own: list(own.data),
    "list of batches": lambda own: own.batches(4, 4, 1),
    "tuple of batches": lambda own: tuple(own.batches(2, 7)),
    "one batch": lambda own: own.batches(9),
    "named tuples": lambda own: [Pair(*batch) for batch in own.batches(4, 5)],
    "an iterable": lambda own: Passes(own.batches(4, 4, 1)),
    "an iterable of one": lambda own: Passes(own.batches(9)),
    "loader": loader,
    "loader with a sampler": lambda own: loader(own, shuffle=True),
    "wide data": lambda own: (own.inputs.double(), own.targets),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["conv_batch_norm", "class_weighted", "regression"])
def test_every_form_of_data_gives_the_same(watch, name, form):
    known, own = truth(name), case(name)
    p = problem(watch(own.model), own.loss, FORMS[form](own))
    w, v = p.weights, direction(known.weights.numel())
    expected, slope = known.at(w)
    for _ in range(2):
        loss, gradient = p(w)
        assert loss == pytest.approx(expected, rel=1e-12)
        assert torch.allclose(gradient, slope, rtol=1e-11, atol=1e-13)
        assert torch.allclose(p.hvp(w, v), known.hessian @ v, rtol=1e-9, atol=1e-11)
        found = p.gauss_newton(w, v)
        assert torch.allclose(found, known.gauss_newton @ v, rtol=1e-9, atol=1e-11)
    assert p.samples == 9


class Several(nn.Module):
    """Takes two tensors, by place or by name."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 3), nn.Linear(2, 3)

    def forward(self, a, b):
        return self.one(a).tanh() * self.two(b)


@pytest.mark.parametrize("micro_batch", [None, 4])
@pytest.mark.parametrize("kind", ["tuple", "list", "mapping"])
def test_several_inputs(watch, kind, micro_batch):
    draw = torch.Generator().manual_seed(0)
    a, b, y = (torch.randn(9, k, generator=draw) for k in (4, 2, 3))
    model, loss = Several(), nn.MSELoss()
    expected = float(loss(model(a, b), y).detach())
    inputs = {"tuple": (a, b), "list": [a, b], "mapping": {"b": b, "a": a}}[kind]
    p = problem(watch(model), loss, (inputs, y), micro_batch=micro_batch)
    assert p(p.weights)[0] == pytest.approx(expected, rel=1e-6)
    assert p.samples == 9


@pytest.mark.parametrize("micro_batch", [None, 4])
def test_a_loss_of_the_model(watch, micro_batch):
    """It sees the given weights however it uses the model."""
    own = case("layer_norm_mlp")
    watch(own.model)

    def loss(model, batch):
        inputs, targets = batch["x"], batch["y"]
        assert not model.training
        decay = sum(p.square().sum() for p in model.parameters())
        inner = model[1](model[0](inputs)).square().mean()
        fit = nn.functional.cross_entropy(model(inputs), targets)
        return fit + 0.1 * decay + inner

    model = copy.deepcopy(own.model).eval()
    expected = loss(model, {"x": own.inputs, "y": own.targets})
    slope = torch.autograd.grad(expected, list(model.parameters()))
    data = {"x": own.inputs, "y": own.targets, "name": "mine"}
    p = problem(own.model, loss, data, loss_takes="model", micro_batch=micro_batch)
    found, gradient = p(p.weights)
    assert found == pytest.approx(float(expected.detach()), rel=1e-12)
    assert torch.allclose(gradient, torch.cat([part.reshape(-1) for part in slope]))
    w, v, h = p.weights, direction(p.weights.numel()), 1e-6
    difference = (p(w + h * v)[1] - p(w - h * v)[1]) / (2 * h)
    assert torch.allclose(p.hvp(w, v), difference, rtol=1e-6, atol=1e-8)
    assert p.samples == 9
    assert p.accuracy(w) is None


def test_a_penalty_of_the_model_in_a_loss_of_the_output(watch):
    own = case("regression")

    def loss(output, targets):
        decay = sum(p.square().sum() for p in own.model.parameters())
        return nn.functional.mse_loss(output, targets) + decay

    p = problem(watch(own.model), loss, own.data)
    expected, slope = truth("regression").at(p.weights)
    found, gradient = p(p.weights)
    assert found == pytest.approx(expected + float(p.weights @ p.weights), rel=1e-12)
    assert torch.allclose(gradient, slope + 2 * p.weights)


def test_packed_sequences(watch):
    draw = torch.Generator().manual_seed(0)
    sequences = [torch.randn(k, 4, generator=draw) for k in (5, 2, 4)]
    packed = nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False)

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.LSTM(4, 3), nn.Linear(3, 2)

        def forward(self, x):
            return self.head(self.inner(x)[1][0][0])

    model, y = Last(), torch.tensor([0, 1, 0])
    loss = nn.CrossEntropyLoss()
    expected = float(loss(model(packed), y).detach())
    p = problem(watch(model), loss, [(packed, y)], dtype=torch.float64)
    assert p(p.weights)[0] == pytest.approx(expected, rel=1e-6)


def test_other_objects_pass_as_they_are(watch):
    own, seen = case("regression"), []

    class Own:
        x, y = own.inputs, own.targets

    def loss(model, batch):
        seen.append(batch)
        return {"loss": own.loss(model(batch.x), batch.y), "weight": len(batch.x)}

    batch = Own()
    p = problem(watch(own.model), loss, [batch], loss_takes="model")
    assert p(p.weights)[0] == pytest.approx(truth("regression").at(p.weights)[0])
    assert seen == [batch]
    with pytest.raises(TypeError, match=r"type Own and has no tensor to count its sam"):
        _ = p.samples


def test_mappings_keep_their_type(watch):
    class Encoding(collections.UserDict):
        def __getattr__(self, name):
            return self.data[name]

    own = case("regression", dtype=torch.float32)
    batch = Encoding(x=own.inputs, y=own.targets)

    def loss(model, batch):
        assert batch.x.dtype == torch.float64
        return own.loss(model(batch.x), batch.y)

    p = problem(
        watch(own.model), loss, [batch], loss_takes="model", dtype=torch.float64
    )
    p(p.weights)
    assert batch["x"] is own.inputs  # the user's own is not written to


X, Y = torch.zeros(6, 4), torch.zeros(6, dtype=torch.long)
BAD = [
    (
        (X, Y[:5]),
        {},
        ValueError,
        r"shapes \(6, 4\), \(5,\); give tensors with the same fi",
    ),
    ((X, torch.tensor(1)), {}, ValueError, r"shapes \(6, 4\), \(\); give tensors"),
    ((X[:0], Y[:0]), {}, ValueError, "data is empty; give at least one sample"),
    ([], {}, ValueError, "data is empty; give at least one batch"),
    ((X, X, Y), {}, TypeError, "a tuple of 3 tensors; give .* inputs may be a tuple"),
    (3, {}, TypeError, "data is of type int; give .*DataLoader"),
    (None, {}, TypeError, "data is of type NoneType; give .*DataLoader"),
    (X, {}, TypeError, "type Tensor with loss_takes='output'; give .*'model'"),
    ({"x": X}, {}, TypeError, "type dict with loss_takes='output'; give"),
    ({}, {"loss_takes": "model"}, ValueError, "tensors of shapes none; give"),
    (iter([(X, Y)]), {}, TypeError, "a list_iterator, which is empty after one pass"),
    (
        torch.utils.data.TensorDataset(X, Y),
        {},
        TypeError,
        "data is of type TensorDataset; give .*DataLoader",
    ),
    ((X, Y), {"micro_batch": 0}, ValueError, "micro_batch=0; give a whole number"),
    ((X, Y), {"micro_batch": 2.0}, TypeError, r"micro_batch=2\.0 is not a whole"),
    ([(X, Y)], {"micro_batch": 2}, ValueError, "micro_batch=2 cuts tensors, and data"),
]


@pytest.mark.parametrize(("data", "options", "error", "match"), BAD)
def test_data_that_cannot_be_used(watch, data, options, error, match):
    model = watch(nn.Linear(4, 3))
    with pytest.raises(error, match=match):
        problem(model, nn.CrossEntropyLoss(), data, **options)


BAD_BATCHES = [
    ([X, X, X], TypeError, r"a batch is a Tensor; give pairs \(inputs, targets\), or"),
    ([(X, X, Y)], TypeError, "a batch is a tuple of 3; give pairs"),
    ([{"x": X, "y": Y}], TypeError, "a batch is a dict; give pairs"),
    (Passes([]), ValueError, "data gave no batch; give at least one at every pass"),
]


@pytest.mark.parametrize(("data", "error", "match"), BAD_BATCHES)
def test_batches_that_cannot_be_used(watch, data, error, match):
    def loss(output, targets):
        return output.square().mean()

    p = problem(watch(nn.Linear(4, 3)), loss, data)
    with pytest.raises(error, match=match):
        p(p.weights)


@pytest.mark.parametrize(
    ("batch", "match"),
    [
        (("a", "b"), "a batch is of type tuple and has no tensor to count"),
        ((X, torch.tensor(1)), "has a tensor of no dimension to count its samples"),
    ],
)
def test_batches_without_samples(watch, batch, match):
    p = problem(watch(nn.Linear(4, 3)), lambda output, _: output.mean(), [batch])
    with pytest.raises(TypeError, match=match):
        _ = p.samples


def test_a_generator_in_disguise_is_noticed(watch):
    batches = iter([(X, Y)])

    class Once:
        def __iter__(self):
            return batches

    p = problem(watch(nn.Linear(4, 3)), nn.CrossEntropyLoss(), Once())
    p(p.weights)
    with pytest.raises(ValueError, match=r"data gave no batch; .* at every pass"):
        p(p.weights)


def test_a_loader_without_a_length(watch):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return zip(X + 1, Y, strict=True)

    data = torch.utils.data.DataLoader(Stream(), 4)
    p = problem(watch(nn.Linear(4, 3)), nn.CrossEntropyLoss(), data)
    assert np.isfinite(p(p.weights)[0])
    assert p.samples == 6


def test_a_list_of_two_tensors_is_two_batches_for_a_loss_of_the_model(watch):
    model = watch(nn.Linear(4, 1).double())
    data = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(6, 4)
    one, other = data[:4], data[4:]
    seen = []

    def loss(model, batch):
        seen.append(len(batch))
        return model(batch).square().mean()

    p = problem(model, loss, [one, other], loss_takes="model")
    expected = model(data).square().mean().detach()
    assert p(p.weights)[0] == pytest.approx(float(expected), rel=1e-12)
    seen.clear()
    p(p.weights)
    assert seen == [len(one), len(other)]
