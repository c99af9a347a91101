import copy
from functools import partial

import pytest
from torch_cases import case, truth
from torch_required import torch

from sharpkit.torch import problem

nn = torch.nn
functional = nn.functional


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()


def shares(*shape):
    return drawn(*shape).softmax(1)


MODEL = nn.Linear(4, 3).double()
CLASSES = torch.tensor([0, 2, 1, 1, -100, 2, 2, 0, -100])
WEIGHT = torch.tensor([0.2, 3.0, 1.0], dtype=torch.float64)
IMAGES = nn.Conv2d(2, 3, 1).double()
PIXELS = torch.arange(9 * 4).reshape(9, 2, 2) % 3
PIXELS[:5, 0] = 2
CASES = {
    "smoothing": (nn.CrossEntropyLoss(label_smoothing=0.2), CLASSES),
    "weights and smoothing": (
        nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.2),
        CLASSES,
    ),
    "another ignored": (nn.CrossEntropyLoss(WEIGHT, ignore_index=2), CLASSES.abs() % 3),
    "function": (functional.cross_entropy, CLASSES),
    "partial": (partial(functional.cross_entropy, weight=WEIGHT), CLASSES),
    "partial, ignored": (
        partial(functional.cross_entropy, weight=WEIGHT, ignore_index=1),
        CLASSES.abs() % 3,
    ),
    "shares": (nn.CrossEntropyLoss(), shares(9, 3)),
    "weighted shares": (nn.CrossEntropyLoss(WEIGHT), shares(9, 3)),
    "squares": (nn.MSELoss(), drawn(9, 3)),
    "absolute": (functional.l1_loss, drawn(9, 3)),
    "huber": (nn.HuberLoss(delta=0.3), drawn(9, 3)),
    "divergence": (nn.KLDivLoss(reduction="batchmean"), shares(9, 3)),
    "margin": (nn.MultiMarginLoss(weight=WEIGHT), CLASSES.abs() % 3),
    "own": (lambda out, y: (out - y).abs().pow(3).mean(), drawn(9, 3)),
}


@pytest.mark.parametrize("sizes", [(9,), (4, 4, 1), (2, 3, 4), (1,) * 9])
@pytest.mark.parametrize("name", CASES)
def test_the_mean_is_that_of_the_whole(watch, name, sizes):
    loss, targets = CASES[name]
    model, x = copy.deepcopy(MODEL), drawn(9, 4)
    whole = loss(model(x), targets)
    slope = torch.autograd.grad(whole, list(model.parameters()))
    data = list(zip(x.split(sizes), targets.split(sizes), strict=True))
    p = problem(watch(model), loss, data)
    found, gradient = p(p.weights)
    assert found == pytest.approx(float(whole.detach()), rel=1e-12)
    assert torch.allclose(gradient, torch.cat([part.reshape(-1) for part in slope]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_pixels(watch, weight, smoothing):
    loss = nn.CrossEntropyLoss(weight, ignore_index=2, label_smoothing=smoothing)
    model, x = copy.deepcopy(IMAGES), drawn(9, 2, 2, 2)
    whole = float(loss(model(x), PIXELS).detach())
    p = problem(watch(model), loss, (x, PIXELS), micro_batch=4)
    assert p(p.weights)[0] == pytest.approx(whole, rel=1e-12)


def test_sequences_of_several_lengths(watch):
    """Squares are averaged over elements, of which batches have different numbers."""
    batches = [(drawn(3, k, 4), drawn(3, k, 3)) for k in (5, 2)]
    model = copy.deepcopy(MODEL)
    total = sum((model(x) - y).square().sum() for x, y in batches)
    p = problem(watch(model), nn.MSELoss(), batches)
    assert p(p.weights)[0] == pytest.approx(float(total.detach()) / 63, rel=1e-12)


def test_a_batch_without_a_target_is_left_out(watch):
    model, x = copy.deepcopy(MODEL), drawn(9, 4)
    targets = torch.tensor([-100, -100, -100, 1, 0, 2, -100, -100, -100])
    loss = nn.CrossEntropyLoss()
    whole = float(loss(model(x), targets).detach())
    p = problem(watch(model), loss, (x, targets), micro_batch=3)
    found, gradient = p(p.weights)
    assert found == pytest.approx(whole, rel=1e-12)
    assert bool(gradient.isfinite().all())
    assert bool(p.hvp(p.weights, p.weights).isfinite().all())
    assert bool(p.gauss_newton(p.weights, p.weights).isfinite().all())
    empty = problem(watch(model), loss, (x, torch.full_like(targets, -100)))
    message = "no target of the data counts, because all are ignored"
    for action in (
        empty,
        lambda w: empty.hvp(w, w),
        lambda w: empty.gauss_newton(w, w),
    ):
        with pytest.raises(ValueError, match=message):
            action(empty.weights)
    assert empty.accuracy(empty.weights) is None


def test_weights_from_the_loss(watch):
    own = case("regression")

    def loss(model, batch):
        inputs, targets = batch
        rows = inputs[:, 0] > 0
        if not rows.any():
            return {"loss": torch.tensor(torch.nan), "weight": torch.zeros(())}
        mean = own.loss(model(inputs[rows]), targets[rows])
        return {"loss": mean, "weight": rows.sum()}

    rows = own.inputs[:, 0] > 0
    whole = own.loss(own.model(own.inputs[rows]), own.targets[rows])
    p = problem(watch(own.model), loss, own.data, loss_takes="model", micro_batch=1)
    assert p(p.weights)[0] == pytest.approx(float(whole.detach()), rel=1e-12)


class Averaging(nn.CrossEntropyLoss):
    """A user's own mean, over samples, in spite of its base."""

    def forward(self, output, targets):
        counted = targets != -100
        part = functional.cross_entropy(output[counted], targets[counted])
        return part * counted.double().mean()


def test_a_subclass_with_its_own_mean(watch):
    model, x = copy.deepcopy(MODEL), drawn(9, 4)
    whole = float(Averaging()(model(x), CLASSES).detach())
    data = list(zip(x.split((4, 5)), CLASSES.split((4, 5)), strict=True))
    p = problem(watch(model), Averaging(), data)
    assert p(p.weights)[0] == pytest.approx(whole, rel=1e-12)


class Distance(nn.Module):
    """A loss with a network, a buffer that counts, and dropout of its own."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout())
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, output, targets):
        gap = self.inner(output) - self.inner(targets)
        return self.scale * gap.square().mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loss_with_a_network_of_its_own(watch, dtype):
    loss, model = watch(Distance()), copy.deepcopy(MODEL).float()
    x, y = drawn(9, 4).float(), drawn(9, 3).float()
    expected = float(copy.deepcopy(loss).eval()(model(x), y).detach())
    p = problem(watch(model), loss, (x, y), dtype=dtype, micro_batch=4)
    assert p.weights.numel() == 15
    assert p(p.weights)[0] == pytest.approx(expected, rel=1e-6)
    assert p.hvp(p.weights, p.weights).dtype == dtype


def test_a_loss_that_holds_the_model(watch):
    """Its tensors are those that are measured, not constants of the loss."""
    own = case("regression")

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.model, self.tied = own.model, own.model[2].bias

        def forward(self, model, batch):
            return own.loss(self.model(batch[0]), batch[1]) + self.tied.square().sum()

    p = problem(watch(own.model), watch(Whole()), own.data, loss_takes="model")
    w = p.weights + 0.1
    loss, gradient = p(w)
    known, slope = truth("regression").at(w)
    bias = w[p.layers["2"]][-2:]
    assert loss == pytest.approx(known + float(bias @ bias), rel=1e-12)
    slope[-2:] += 2 * bias
    assert torch.allclose(gradient, slope)


BAD = [
    (3, ValueError, TypeError, "loss is of type int; give a function or module such"),
    (nn.MSELoss(reduction="sum"), 0, ValueError, "reduction='sum'; give one with red"),
    (nn.MSELoss(reduction="none"), 0, ValueError, "has reduction='none'; give one"),
    (
        partial(functional.mse_loss, reduction="sum"),
        0,
        ValueError,
        "reduction='sum'; give one with reduction='mean'",
    ),
]


@pytest.mark.parametrize("takes", ["output", "model"])
@pytest.mark.parametrize(("loss", "_", "error", "match"), BAD)
def test_losses_that_cannot_be_used(watch, loss, _, error, match, takes):
    model = watch(copy.deepcopy(MODEL))
    with pytest.raises(error, match=match):
        problem(model, loss, (drawn(9, 4), drawn(9, 3)), loss_takes=takes)


def named(weight):
    return lambda model, batch: {"loss": model(batch[0]).mean(), "weight": weight}


RETURNED = [
    (lambda m, b: 1.0, TypeError, "a value of type float; return one real torch num"),
    (lambda m, b: m(b[0]).mean().item(), TypeError, "a value of type float; return"),
    (lambda m, b: m(b[0]).mean().long(), TypeError, r"type torch\.int64; return one"),
    (lambda m, b: m(b[0]) * 1j, TypeError, r"type torch\.complex128; return one real"),
    (lambda m, b: m(b[0]), ValueError, r"shape \(9, 3\); return one number, averaged"),
    (lambda m, b: m(b[0]).mean().detach(), ValueError, "not depend on the chosen par"),
    (lambda m, b: (m(b[0]).mean(), 1), TypeError, r"a tuple of 2; return the mean a"),
    (lambda m, b: {"nll": m(b[0]).mean()}, TypeError, r"a dict without 'loss'; return"),
    (named(-1), ValueError, "returned -1 as the weight; return how much the batch"),
    (named("9"), ValueError, "returned '9' as the weight"),
    (named(torch.nan), ValueError, "returned nan as the weight"),
]


@pytest.mark.parametrize(("loss", "error", "match"), RETURNED)
def test_what_a_loss_returns(watch, loss, error, match):
    data = drawn(9, 4), drawn(9, 3)
    p = problem(watch(copy.deepcopy(MODEL)), loss, data, loss_takes="model")
    with pytest.raises(error, match=match):
        p(p.weights)
    with pytest.raises(error, match=match):
        _ = p.hvp


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_number_of_any_shape(watch, shape):
    own = case("regression")
    p = problem(watch(own.model), lambda o, y: own.loss(o, y).reshape(shape), own.data)
    assert p(p.weights)[0] == pytest.approx(truth("regression").at(p.weights)[0])
    assert p.hvp(p.weights, p.weights).shape == p.weights.shape


def test_names_of_options(watch):
    own = case("regression")
    watch(own.model)
    with pytest.raises(ValueError, match="loss_takes='both'; give one of 'output'"):
        problem(own.model, own.loss, own.data, loss_takes="both")
    with pytest.raises(ValueError, match="batch_norm='eval'; give one of 'running'"):
        problem(own.model, own.loss, own.data, batch_norm="eval")
