"""What a batch counts, where the loss does not say so."""

import copy

import pytest
from torch_required import torch

import sharpkit
from sharpkit.torch import problem

nn = torch.nn
functional = nn.functional
ce = functional.cross_entropy
ROWS, SIZE = 22, 6


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()


X, T = drawn(ROWS, 4), drawn(ROWS, 3)
Y = torch.arange(ROWS) * 7 % 5 % 3
IGNORED = Y.clone()
IGNORED[::3], IGNORED[13:] = -100, -100
IGNORED[14], IGNORED[20] = 2, 1
LATER = Y.clone()
LATER[[8, 9, 11, 15, 16, 21]] = -100
FIRST = Y.clone()
FIRST[:SIZE] = -100
CLASSES = torch.tensor([0.2, 3.0, 1.0], dtype=torch.float64)
MODEL = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def cuts(*tensors, size=SIZE, axis=0):
    parts = zip(*(tensor.split(size, axis) for tensor in tensors), strict=True)
    return list(parts)


def of(loss):
    return lambda model, batch: loss(model(batch[0]), batch[1])


def masked(output, y):
    counts = y != -100
    return (ce(output, y, reduction="none") * counts).sum() / counts.sum()


def per_positive(output, y):
    """A sum over all samples, divided by the number of those of one class."""
    return ce(output, y, reduction="none").sum() / (y == 1).sum()


def at_least_one(output, y):
    counts = y != -100
    return (ce(output, y, reduction="none") * counts).sum() / counts.sum().clamp(min=1)


class Fused(torch.autograd.Function):
    """A mean that torch cannot see into; without a second derivative."""

    @staticmethod
    def forward(context, output, y):
        with torch.enable_grad():
            point = output.detach().requires_grad_()
            (slope,) = torch.autograd.grad(ce(point, y), point)
        context.save_for_backward(slope)
        return ce(output, y)

    @staticmethod
    def backward(context, factor):
        return context.saved_tensors[0] * factor, None


def per_sample(model, batch):
    losses = [ce(model(x[None]), y[None]) for x, y in zip(*batch, strict=True)]
    return sum(losses) / len(losses)


def decayed(model, batch):
    decay = sum(p.square().sum() for p in model.parameters())
    return 3 * ce(model(batch[0]), batch[1]) / 7 + 0.1 * decay


MEANS = {
    "ignored": (of(ce), (X, IGNORED)),
    "class weights": (
        of(lambda o, y: ce(o, y, CLASSES, label_smoothing=0.1, ignore_index=1)),
        (X, Y),
    ),
    "masked": (of(masked), (X, IGNORED)),
    "selected": (
        of(lambda o, y: ce(o, y, reduction="none")[y != -100].mean()),
        (X, IGNORED),
    ),
    "nothing counts at first": (of(ce), (X, FIRST)),
    "masked, nothing at first": (of(masked), (X, FIRST)),
    "clamped": (of(at_least_one), (X, IGNORED)),
    "fused": (of(Fused.apply), (X, IGNORED)),
    "fused, later": (of(Fused.apply), (X, LATER)),
    "over positives": (of(per_positive), (X, Y)),
    "sample weights": (
        lambda m, b: (ce(m(b[0]), b[1], reduction="none") * b[2]).sum() / b[2].sum(),
        (X, Y, drawn(ROWS).abs()),
    ),
    "two heads": (
        lambda m, b: ce(m(b[0]), b[1]) + 0.4 * ce(m(2 * b[0]), b[1]),
        (X, IGNORED),
    ),
    "factors and decay": (decayed, (X, IGNORED)),
    "gaussian": (of(functional.gaussian_nll_loss), None),
    "triplets": (
        lambda model, b: functional.triplet_margin_loss(*map(model, b)),
        (X, X.flip(0), X.roll(1, 0)),
    ),
}
MEANS["gaussian"] = (
    lambda m, b: functional.gaussian_nll_loss(m(b[0]), b[1], b[1] ** 2 + 1),
    (X, T),
)


def matches(model, loss, data, whole, **options):
    """A problem has the loss, the slope and the curvature of the whole batch."""
    options = {"loss_takes": "model", **options}
    one = problem(model, loss, [whole], loss_takes="model")
    p = problem(model, loss, data, **options)
    w = p.weights
    (value, slope), (expected, right) = p(w), one(w)
    with torch.no_grad():
        plain = float(loss(copy.deepcopy(model).eval(), whole))
    assert expected == pytest.approx(plain, rel=1e-12)
    assert value == pytest.approx(expected, rel=1e-11)
    assert torch.allclose(slope, right, rtol=1e-9, atol=1e-12)
    return p, one


@pytest.mark.parametrize("name", MEANS)
def test_a_mean_over_what_counts(watch, name):
    loss, whole = MEANS[name]
    p, one = matches(watch(copy.deepcopy(MODEL)), loss, cuts(*whole), whole)
    if not name.startswith("fused"):
        w = p.weights
        assert torch.allclose(p.hvp(w, w), one.hvp(w, w), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [2, 6, 21])
def test_the_hessian_of_padded_tokens(watch, size):
    """The largest eigenvalue is that of the dense matrix, however data are cut."""

    class Language(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(7, 3), nn.Linear(3, 7)

        def forward(self, tokens, labels):
            scores = self.head(self.embed(tokens)).flatten(0, 1)
            return {"loss": ce(scores, labels.flatten())}

    model = watch(Language().double())
    tokens = torch.arange(ROWS * 5).reshape(ROWS, 5) * 5 % 11 % 7
    labels = tokens.roll(1, 1)
    for i in range(ROWS):
        labels[i, 1 + i % 5 :] = -100
    data = {"tokens": tokens, "labels": labels}
    names = [name for name, _ in model.named_parameters()]

    def total(*parts):
        named = dict(zip(names, parts, strict=True))
        return torch.func.functional_call(model, named, kwargs=data)["loss"]

    blocks = torch.autograd.functional.hessian(total, tuple(model.parameters()))
    sizes = [p.numel() for p in model.parameters()]
    dense = torch.cat(
        [
            torch.cat([b.reshape(n, m) for b, m in zip(row, sizes, strict=True)], 1)
            for row, n in zip(blocks, sizes, strict=True)
        ]
    )
    p = problem(model, lambda m, b: m(**b), data, loss_takes="model", micro_batch=size)
    top = sharpkit.eigenvalues(p, k=1, tol=1e-9).values[0]
    assert top == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-6)


def test_lists_of_samples(watch):
    """The inputs are of several sizes, as images of a detector are."""
    batches = [([*x], [*y]) for x, y in cuts(X, Y)]
    matches(watch(copy.deepcopy(MODEL)), per_sample, batches, (X, Y))
    pairs = [list(zip(*batch, strict=True)) for batch in batches]
    loss = lambda model, batch: per_sample(model, zip(*batch, strict=True))  # noqa: E731
    p = problem(copy.deepcopy(MODEL), loss, pairs, loss_takes="model")
    q = problem(copy.deepcopy(MODEL), per_sample, [(X, Y)], loss_takes="model")
    assert p(p.weights)[0] == pytest.approx(q(q.weights)[0], rel=1e-12)


class Sequences(nn.Module):
    """Samples stand along the second dimension, as is the default of torch."""

    def __init__(self):
        super().__init__()
        self.mix = nn.TransformerEncoderLayer(4, 2, 5, 0.0)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.mix(x))


def tokenwise(model, batch):
    return ce(model(batch[0]).flatten(0, 1), batch[1].flatten())


def test_samples_along_the_second_dimension(watch):
    x, y = drawn(3, ROWS, 4), torch.arange(3 * ROWS).reshape(3, ROWS) * 5 % 7 % 3
    model = watch(Sequences().double())
    matches(model, tokenwise, cuts(x, y, axis=1), (x, y))
    p = problem(model, tokenwise, (x, y), loss_takes="model", micro_batch=2)
    with pytest.raises(ValueError, match="along the second dimension, and micro_batch"):
        p(p.weights)


def test_sequences_of_several_lengths(watch):
    batches = [(drawn(4, k, 4), torch.arange(4 * k).reshape(4, k) % 3) for k in (5, 2)]
    whole = tuple(
        torch.cat([part.flatten(0, 1) for part in parts])
        for parts in zip(*batches, strict=True)
    )
    loss = of(lambda o, y: ce(o.reshape(-1, 3), y.flatten()))
    matches(watch(copy.deepcopy(MODEL)), loss, batches, whole)


def test_batch_norm_makes_no_difference(watch):
    """Its statistics tie the samples together, which is no fault of the loss."""
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double()
    batches = cuts(X, IGNORED)
    for tracks in (True, False):
        own = copy.deepcopy(model)
        if not tracks:
            own[1] = nn.BatchNorm1d(5, track_running_stats=False).double()
        p = problem(watch(own), of(ce), batches, loss_takes="model", batch_norm="batch")
        train = copy.deepcopy(own).train()
        counts = [float((y != -100).sum()) for _, y in batches]
        losses = [float(ce(train(x), y).detach()) for x, y in batches]
        right = sum(n * f for n, f in zip(counts, losses, strict=True)) / sum(counts)
        assert p(p.weights)[0] == pytest.approx(right, rel=1e-12)


def noisy(model, batch):
    return ce(model(batch[0] + torch.randn_like(batch[0])), batch[1])


def test_noise_is_not_misjudged(watch):
    p = problem(
        watch(copy.deepcopy(MODEL)), noisy, cuts(X, IGNORED), loss_takes="model"
    )
    first = p(p.weights)
    assert first[0] == p(p.weights)[0]


def summed(output, y):
    return ce(output, y, reduction="sum")


def noisy_sum(output, y):
    return (output + torch.randn_like(output) - y[:, None]).square().sum()


SUMS = {
    "sum": of(summed),
    "half a sum": of(lambda o, y: (o - y[:, None]).square().sum() / 2),
    "sum and decay": lambda m, b: of(summed)(m, b) + m[0].weight.square().sum(),
    "sum over a constant": of(lambda o, y: summed(o, y) / SIZE),
    "noisy": of(noisy_sum),
    "logarithm": of(lambda o, y: -o.log_softmax(1)[range(len(y)), y].sum()),
}


@pytest.mark.parametrize("batches", [cuts(X, Y), [(X, Y)]])
@pytest.mark.parametrize("name", SUMS)
def test_a_sum_is_refused(watch, name, batches):
    p = problem(watch(copy.deepcopy(MODEL)), SUMS[name], batches, loss_takes="model")
    for action in (p, lambda w: p.hvp(w, w)):
        with pytest.raises(
            ValueError, match=r"loss adds up over the samples.*the mean"
        ):
            action(p.weights)


def contrastive(model, batch):
    out = functional.normalize(model(batch[0]))
    return ce(4 * out @ out.T, torch.arange(len(out)))


def two_means(model, batch):
    out = model(batch[0])
    return ce(out, batch[1]) + out[batch[1] == 1].square().mean()


def dice(model, batch):
    p, y = model(batch[0]).sigmoid(), functional.one_hot(batch[1], 3)
    return 1 - 2 * (p * y).sum() / (p.sum() + y.sum())


@pytest.mark.parametrize(
    "loss", [contrastive, two_means, dice, of(lambda o, y: ce(o, y).exp())]
)
def test_what_is_no_mean_is_said_where_there_are_several_batches(watch, loss):
    model = watch(copy.deepcopy(MODEL))
    one = problem(model, loss, [(X, Y)], loss_takes="model")
    right = float(loss(copy.deepcopy(MODEL), (X, Y)).detach())
    assert one(one.weights)[0] == pytest.approx(right, rel=1e-12)
    several = problem(model, loss, cuts(X, Y), loss_takes="model")
    with pytest.warns(
        sharpkit.SharpkitWarning, match="no mean of the losses of its sa"
    ):
        several(several.weights)
    several(several.weights)  # said once

    def named(model, batch):
        return {"loss": loss(model, batch), "weight": len(batch[0])}

    several = problem(model, named, cuts(X, Y), loss_takes="model")
    several(several.weights)


def test_what_cannot_be_told_is_said(watch):
    """Single samples cannot be cut."""
    model = watch(copy.deepcopy(MODEL))
    p = problem(model, of(Fused.apply), cuts(X, Y, size=1), loss_takes="model")
    with pytest.warns(
        sharpkit.SharpkitWarning, match=r"counts .* cannot be told.*weight"
    ):
        p(p.weights)


def test_a_graph_that_changes_is_an_error(watch):
    def loss(model, batch):
        out = ce(model(batch[0]), batch[1])
        return out.exp() if torch.equal(batch[0][-1], X[-1]) else out

    p = problem(watch(copy.deepcopy(MODEL)), loss, cuts(X, Y), loss_takes="model")
    with pytest.raises(
        ValueError, match="computed in another way than that of the fir"
    ):
        p(p.weights)


def test_accuracy_beside_the_loss_is_no_weight(watch):
    def step(model, batch):
        out = model(batch[0])
        return ce(out, batch[1]), (out.argmax(1) == batch[1]).double().mean()

    p = problem(watch(copy.deepcopy(MODEL)), step, cuts(X, Y), loss_takes="model")
    message = r'a tuple of 2; return the mean alone or.*return {"loss": mean, "weight"'
    with pytest.raises(TypeError, match=message):
        p(p.weights)

    def logged(model, batch):
        loss, accuracy = step(model, batch)
        return {"loss": loss, "accuracy": accuracy}

    matches(
        watch(copy.deepcopy(MODEL)),
        of(ce),
        cuts(X, Y),
        (X, Y),
    )
    p = problem(copy.deepcopy(MODEL), logged, cuts(X, Y), loss_takes="model")
    right = float(ce(MODEL(X), Y).detach())
    assert p(p.weights)[0] == pytest.approx(right, rel=1e-12)


@pytest.mark.parametrize("masked_head", [True, False])
def test_losses_that_all_are_the_same_at_first(watch, masked_head):
    """The halves tell nothing then, and the graph does."""
    model = copy.deepcopy(MODEL)
    if masked_head:
        nn.init.zeros_(model[2].weight)
        nn.init.zeros_(model[2].bias)
    matches(watch(model), of(ce), cuts(X, IGNORED), (X, IGNORED))


def test_rounding_is_not_misjudged(watch):
    def loss(model, batch):
        with torch.autocast("cpu", torch.bfloat16):
            return (model(batch[0]) - batch[1]).square().mean()

    for dtype in (torch.float32, torch.float64):
        p = problem(
            watch(copy.deepcopy(MODEL).float()),
            loss,
            cuts(X.float(), T.float()),
            loss_takes="model",
            dtype=dtype,
        )
        p(p.weights)


def test_the_trial_costs_little(watch):
    seen = []

    def loss(model, batch):
        seen.append(len(batch[0]))
        return ce(model(batch[0]), batch[1])

    x, y = drawn(600, 4), torch.arange(600) % 3
    p = problem(
        watch(copy.deepcopy(MODEL)), loss, cuts(x, y, size=200), loss_takes="model"
    )
    p(p.weights)
    assert sum(seen) <= 600 + 60
    p(p.weights)
    assert seen[-3:] == [200, 200, 200]
    assert sum(seen) <= 1200 + 60
