"""Models that train, but that no flat vector of weights can be put into by views."""

import copy
import warnings

import pytest
from torch_cases import direction
from torch_required import torch

import sharpkit
from sharpkit import SharpkitWarning
from sharpkit.torch import problem

nn = torch.nn
functional = nn.functional
RANDOM = torch.Generator().manual_seed(5)
TOKENS = torch.randint(0, 20, (12, 5), generator=RANDOM)
CLASSES = torch.randint(0, 3, (12,), generator=RANDOM)
X = torch.randn(12, 4, generator=RANDOM, dtype=torch.float64)
DATA = TOKENS, CLASSES


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().double()


def by_hand(model, loss, w):
    """Return loss and gradient of a copy of the model, as a training script has it."""
    model = copy.deepcopy(model).eval()
    chosen = [p for p in model.parameters() if p.requires_grad]
    with torch.no_grad():
        nn.utils.vector_to_parameters(w.clone(), chosen)
    value = loss(model)
    value.backward()
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in chosen]
    dense = [each.to_dense() if each.is_sparse else each for each in found]
    return float(value.detach()), torch.cat([each.reshape(-1) for each in dense])


def assert_as_by_hand(p, model, loss):
    for w in (p.weights, p.weights + 0.3 * direction(p.weights.numel(), 3)):
        value, gradient = p(w)
        expected, slope = by_hand(model, loss, w)
        assert value == pytest.approx(expected, rel=1e-12)
        assert torch.allclose(gradient, slope, rtol=1e-10, atol=1e-14)


class Mean(nn.Embedding):
    def forward(self, tokens):
        return super().forward(tokens).mean(1)


class Looked(nn.Module):
    """A table that is asked for by the function, which no attribute makes dense."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(20, 4))

    def forward(self, tokens):
        return functional.embedding(tokens, self.table, sparse=True).mean(1)


class Bag(nn.Module):
    """A bag of the words of each row, by the function."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(20, 4))

    def forward(self, tokens):
        bag = functional.embedding_bag
        return bag(tokens, self.table, mode="mean", sparse=True)


TABLES = {
    "module": lambda: Mean(20, 4, sparse=True),
    "function": Looked,
    "bag": lambda: nn.EmbeddingBag(20, 4, mode="mean", sparse=True),
    "bag_function": Bag,
}


@pytest.mark.parametrize("micro_batch", [None, 5])
@pytest.mark.parametrize("kind", TABLES)
def test_sparse_gradients(watch, kind, micro_batch):
    def make():
        return nn.Sequential(TABLES[kind](), nn.Tanh(), nn.Linear(4, 3))

    model = watch(seeded(make))
    p = problem(model, nn.CrossEntropyLoss(), DATA, micro_batch=micro_batch)

    def loss(model):
        return functional.cross_entropy(model(TOKENS), CLASSES)

    assert_as_by_hand(p, model, loss)
    plain = seeded(lambda: nn.Sequential(Mean(20, 4), nn.Tanh(), nn.Linear(4, 3)))
    with torch.no_grad():
        nn.utils.vector_to_parameters(p.weights, plain.parameters())
    q = problem(plain, nn.CrossEntropyLoss(), DATA)
    known = sharpkit.eigenvalues(q, tol=1e-8).values[0]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*embedding_bag.* differences")
        found = sharpkit.eigenvalues(p, tol=1e-5)
    assert found.values[0] == pytest.approx(known, rel=1e-5)
    assert (found.run.source == "hvp") == (kind in ("module", "function"))
    assert float(sharpkit.sharpness(p)) == pytest.approx(
        float(sharpkit.sharpness(q)), rel=1e-9
    )


def renormed(norm):
    return lambda: nn.Sequential(
        nn.Embedding(20, 4, max_norm=norm), nn.Flatten(), nn.Linear(20, 3)
    )


@pytest.mark.parametrize("micro_batch", [None, 5])
def test_writing_what_is_there(watch, micro_batch):
    """A norm that no row exceeds: the model is the one without it."""
    model, loss = watch(seeded(renormed(100.0))), nn.CrossEntropyLoss()
    p = problem(model, loss, DATA, micro_batch=micro_batch)
    q = problem(seeded(renormed(None)), loss, DATA, micro_batch=micro_batch)
    w, v = p.weights, direction(p.weights.numel())
    assert p(w)[0] == q(w)[0]
    assert torch.equal(p(w)[1], q(w)[1])
    assert torch.equal(p.hvp(w, v), q.hvp(w, v))


def test_what_is_no_number_is_not_written(watch):
    p = problem(watch(seeded(lambda: nn.Linear(4, 3))), nn.MSELoss(), (X, X[:, :3]))
    loss, _ = p(p.weights * float("nan"))
    assert loss != loss


class Clipped(nn.Linear):
    """It keeps its weight in a box, as critics of Wasserstein distances do."""

    def forward(self, x):
        self.weight.data.clamp_(-0.2, 0.2)
        return super().forward(x)


class Normed(nn.Linear):
    """It divides its weight by the norm, in place."""

    def forward(self, x):
        with torch.no_grad():
            self.weight.div_(self.weight.norm())
        return super().forward(x)


WRITERS = {
    "max_norm": (renormed(0.5), TOKENS, r"\(0\.weight\)"),
    "data": (lambda: nn.Sequential(Clipped(4, 3)), X, r"\(0\.weight\)"),
    "no_grad": (lambda: nn.Sequential(Normed(4, 3)), X, r"\(0\.weight\)"),
}


@pytest.mark.parametrize("micro_batch", [None, 5])
@pytest.mark.parametrize("kind", WRITERS)
def test_writing_something_else(watch, kind, micro_batch):
    make, inputs, match = WRITERS[kind]
    model = watch(seeded(make))
    data, cross = (inputs, CLASSES), nn.CrossEntropyLoss()
    p = problem(model, cross, data, micro_batch=micro_batch)
    with pytest.warns(SharpkitWarning, match=f"own weights in forward {match}") as said:
        first = p(p.weights)
    assert len(said) == 1
    again = p(p.weights)
    assert first[0] == again[0]
    assert torch.equal(first[1], again[1])

    def loss(model):
        return cross(model(inputs), CLASSES)

    assert_as_by_hand(p, model, loss)
    for measure in (sharpkit.sharpness, sharpkit.trace):
        with warnings.catch_warnings():
            # torch's gradient is that of no function, where something is written,
            # which measures notice, too
            warnings.simplefilter("ignore", SharpkitWarning)
            found = measure(p.weights, lambda w: p(w))
            known = measure(p.weights, lambda w: by_hand(model, loss, w))
        assert found.value == pytest.approx(known.value, rel=1e-6)


def test_writing_to_what_is_shared(watch):
    """A table that is not measured stays as found, too."""
    model, cross = watch(seeded(renormed(0.5))), nn.CrossEntropyLoss()
    p = problem(model, cross, DATA, parameters="2.*")
    q = problem(copy.deepcopy(model), cross, DATA)
    with pytest.warns(SharpkitWarning, match="own weights in forward"):
        assert p(p.weights)[0] == q(q.weights)[0]
    assert torch.equal(p(p.weights)[1], q(q.weights)[1][q.layers["2"]])


def test_writing_to_what_is_shared_again_and_again():
    class Fading(nn.Linear):
        def forward(self, x):
            with torch.no_grad():
                self.weight.mul_(0.5)
            return super().forward(x)

    model = seeded(lambda: nn.Sequential(Fading(4, 5), nn.Linear(5, 3)))
    p = problem(model, nn.CrossEntropyLoss(), (X, CLASSES), parameters="1.*")
    with pytest.warns(SharpkitWarning, match=r"\(0\.weight\), and did so now"):
        p(p.weights)
    before = model[0].weight.detach().clone()
    first, second = p(p.weights), p(p.weights)
    assert first[0] == second[0]
    assert torch.equal(model[0].weight, before)


class Quantised(nn.Parameter):
    """As those of 8-bit bases: integers, with what they are multiplied by beside."""

    def __new__(cls, values):
        scale = values.abs().amax(1, keepdim=True) / 127
        held = torch.round(values / scale).to(torch.int8)
        self = torch.Tensor._make_subclass(cls, held, False)
        self.CB, self.SCB = held, scale
        return self


class Adapted(nn.Module):
    """A frozen 8-bit layer with a low-rank adapter."""

    def __init__(self):
        super().__init__()
        self.weight = Quantised(torch.randn(3, 4))
        self.a = nn.Parameter(torch.randn(2, 4))
        self.b = nn.Parameter(torch.randn(3, 2))

    def base(self):
        return self.weight.CB.double() * self.weight.SCB

    def forward(self, x):
        return x @ (self.base() + self.b @ self.a).T


def test_frozen_parameters_of_another_class(watch):
    model = seeded(Adapted)
    p = problem(watch(model), nn.CrossEntropyLoss(), (X, CLASSES))
    assert p._evaluation.values.constants["weight"] is model.weight

    def loss(flat):
        a, b = flat[:8].view(2, 4), flat[8:].view(3, 2)
        return functional.cross_entropy(X @ (model.base() + b @ a).T, CLASSES)

    hessian = torch.autograd.functional.hessian(loss, p.weights)
    v = direction(14)
    assert torch.allclose(p.hvp(p.weights, v), hessian @ v, rtol=1e-10)
    state = dict(model.state_dict())
    assert p.at(state)(p.weights)[0] == p(p.weights)[0]
    state["weight"] = state["weight"] + 1
    message = "weight is another one in the checkpoint, and carries CB, SCB, which"
    with pytest.raises(ValueError, match=message):
        p.at(state)


def test_attributes_of_measured_parameters(watch):
    """As the widths that some layers keep at their weights."""

    class Scaled(nn.Linear):
        def forward(self, x):
            return super().forward(x) / self.weight.width

    model = watch(seeded(lambda: Scaled(4, 3)))
    model.weight.width = 2.0
    p = problem(model, nn.CrossEntropyLoss(), (X, CLASSES))
    assert p(p.weights)[0] == pytest.approx(
        float(functional.cross_entropy(model(X), CLASSES).detach()), rel=1e-12
    )


class Recomputed(nn.Module):
    """Layers that are run again in the backward pass, the old way."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return torch.utils.checkpoint.checkpoint(self.inner, x, use_reentrant=True)


class Offloaded(torch.autograd.Function):
    """A backward pass that calls .backward() within, without asking who called it."""

    @staticmethod
    def forward(ctx, inner, x):
        ctx.inner, ctx.x = inner, x.detach()
        with torch.no_grad():
            return inner(x)

    @staticmethod
    def backward(ctx, slope):
        x = ctx.x.requires_grad_()
        with torch.enable_grad():
            out = ctx.inner(x)
        torch.autograd.backward(out, slope)
        return None, x.grad


class Offloading(Recomputed):
    def forward(self, x):
        return Offloaded.apply(self.inner, x)


@pytest.mark.parametrize("micro_batch", [None, 5])
@pytest.mark.parametrize(
    ("kind", "match"),
    [(Recomputed, r"\.grad\(\)"), (Offloading, r"calls \.backward\(\) by itself")],
)
def test_what_only_backward_differentiates(watch, kind, match, micro_batch):
    def make(wrap):
        inner = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 4))
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), wrap(inner), nn.Linear(4, 3))

    model, cross = seeded(lambda: make(kind)), nn.CrossEntropyLoss()
    cross(model(X), CLASSES).backward()  # gradients are there, and stay
    p = problem(watch(model), cross, (X, CLASSES), micro_batch=micro_batch)
    q = problem(seeded(lambda: make(lambda inner: inner)), cross, (X, CLASSES))
    w = p.weights
    assert torch.equal(w, q.weights)
    assert p(w)[0] == pytest.approx(q(w)[0], rel=1e-12)
    assert torch.allclose(p(w)[1], q(w)[1], rtol=1e-10, atol=1e-14)
    with pytest.warns(SharpkitWarning, match=f"{match}.*central differences") as said:
        assert p.hvp is None
    assert len(said) == 1
    found = sharpkit.eigenvalues(p, tol=1e-4).values[0]
    assert found == pytest.approx(sharpkit.eigenvalues(q).values[0], rel=1e-4)
    assert float(sharpkit.sharpness(p)) == pytest.approx(
        float(sharpkit.sharpness(q)), rel=1e-9
    )


def test_gradients_of_others_stay():
    """Also those of a tensor that is no part of the model."""
    extra = torch.ones(3, dtype=torch.float64, requires_grad=True)
    extra.grad = torch.full((3,), 7.0, dtype=torch.float64)
    inner = seeded(lambda: nn.Linear(5, 3))
    model = nn.Sequential(seeded(lambda: nn.Linear(4, 5)), Recomputed(inner))

    def loss(output, targets):
        return functional.cross_entropy(output * extra, targets)

    p = problem(model, loss, (X, CLASSES))
    p(p.weights)
    assert extra.grad.tolist() == [7.0] * 3


def test_a_loss_of_other_tensors():
    extra = torch.ones((), dtype=torch.float64, requires_grad=True)
    p = problem(
        seeded(lambda: nn.Linear(4, 3)),
        lambda output, targets: output.detach().mean() * extra,
        (X, CLASSES),
    )
    with pytest.raises(ValueError, match="does not depend on the chosen parameters"):
        p(p.weights)
