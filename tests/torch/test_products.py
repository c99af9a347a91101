"""Which products there are, and of what they are made."""

import pytest
from torch_cases import case, direction, truth
from torch_required import torch

import sharpkit
from sharpkit import SharpkitWarning
from sharpkit.torch import problem

nn = torch.nn
functional = nn.functional
DIFFERENCES = "central differences of the gradient are used"


def difference(p, w, v, h=1e-6):
    return (p(w + h * v)[1] - p(w - h * v)[1]) / (2 * h)


class Once(torch.autograd.Function):
    """A square with a backward pass that is not differentiated again."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        return 2 * ctx.saved_tensors[0] * slope


class Skew(torch.autograd.Function):
    """One whose second derivative is wrong."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, slope):
        x = ctx.saved_tensors[0]
        return 2 * (x + x.roll(1, -1) - x.roll(1, -1).detach()) * slope


class Applied(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.first, self.last = (
            function,
            nn.Linear(4, 5),
            nn.Linear(5, 2),
        )

    def forward(self, x):
        return self.last(self.function(self.first(x)))


def temporal(model, batch):
    """The CTC loss, which torch differentiates once."""
    inputs, targets = batch
    scores = model(inputs).transpose(0, 1).log_softmax(-1)
    return functional.ctc_loss(scores, targets, [5] * len(inputs), [2] * len(inputs))


def lacking(kind):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(6, 5, 4, generator=draw, dtype=torch.float64)
    if kind == "ctc":
        model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
        targets = torch.randint(1, 3, (6, 2), generator=draw)
        return model, temporal, (x, targets), {"loss_takes": "model"}
    model = Applied({"once": Once, "linear": Once, "skew": Skew}[kind].apply).double()
    if kind == "linear":  # nothing after it makes the incoming slope depend on w
        model.last.requires_grad_(False)
        return model, lambda out, y: (out * y).mean(), (x, x[..., :2]), {}
    return model, nn.MSELoss(), (x, x[..., :2]), {}


@pytest.mark.parametrize("micro_batch", [None, 4])
@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("ctc", r"Hessian \(derivative for aten::_ctc_loss_backward is not impl"),
        ("once", r"\(an autograd\.Function does not differentiate twice\)"),
        ("linear", r"\(an autograd\.Function does not differentiate twice\)"),
        ("skew", "double backward is not symmetric"),
    ],
)
def test_without_second_derivatives(watch, kind, match, micro_batch):
    model, loss, data, options = lacking(kind)
    p = problem(watch(model), loss, data, micro_batch=micro_batch, **options)
    with pytest.warns(SharpkitWarning, match=match) as caught:
        assert p.hvp is None
    assert len(caught) == 1
    assert str(caught[0].message).endswith(DIFFERENCES)
    assert caught[0].filename == __file__
    assert p.hvp is None  # and no other warning
    w, v, h = p.weights, direction(p.weights.numel()), 1e-6
    slope = (p(w + h * v)[0] - p(w - h * v)[0]) / (2 * h)
    assert float(p(w)[1] @ v) == pytest.approx(slope, rel=1e-6)
    if not options:
        with pytest.raises(NotImplementedError, match="has no exact products"):
            p.gauss_newton(w, v)


def test_measures_take_differences_then(watch):
    model, loss, data, options = lacking("ctc")
    p = problem(watch(model), loss, data, **options)
    with pytest.warns(SharpkitWarning, match=DIFFERENCES):
        found = sharpkit.eigenvalues(p, tol=1e-2)
    assert "central differences" in found.run.source


@pytest.mark.parametrize("micro_batch", [None, 4])
@pytest.mark.parametrize("name", ["conv_batch_norm", "tied_language", "class_weighted"])
def test_measures_take_problems(watch, name, micro_batch):
    own, known = case(name), truth(name)
    p = problem(watch(own.model), own.loss, own.data, micro_batch=micro_batch)
    found = sharpkit.eigenvalues(p, k=2, tol=1e-8)
    assert found.run.source == "hvp"
    largest = torch.linalg.eigvalsh(known.hessian).flip(0)[:2]
    assert found.values == pytest.approx(largest.numpy(), rel=1e-7)
    sharp = sharpkit.sharpness(p, epsilon=1e-3)
    assert sharp.loss == pytest.approx(known.at(p.weights)[0], rel=1e-12)
    assert float(sharp) > 0


def test_other_errors_come_through(watch):
    own = case("regression")

    class Careless(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, slope):
            if torch.is_grad_enabled():
                raise RuntimeError("out of something")
            return slope

    def loss(output, targets):
        return own.loss(Careless.apply(output), targets)

    p = problem(watch(own.model), loss, own.data)
    p(p.weights)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of something"):
            _ = p.hvp


def test_kernels_that_differentiate_once_are_left_out(watch):
    """As recurrent ones of cuDNN: an operator that looks at torch's switch."""
    own = case("regression")

    def loss(output, targets):
        if torch.backends.cudnn.enabled:
            output = Once.apply(output)
        else:
            output = output**2
        return own.loss(output, targets)

    p = problem(watch(own.model), loss, own.data)
    w, v = p.weights, direction(p.weights.numel())
    enabled = torch.backends.cudnn.enabled
    for _ in range(2):
        found = p.hvp(w, v)
        assert torch.allclose(found, difference(p, w, v), rtol=1e-6, atol=1e-8)
    assert torch.backends.cudnn.enabled == enabled
    assert bool(p.gauss_newton(w, v).isfinite().all())


def test_a_loss_linear_in_the_weights(watch):
    model = watch(nn.Linear(4, 1).double())
    x = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator())
    p = problem(model, lambda out, y: out.mean(), (x, x))
    assert not p.hvp(p.weights, p.weights).any()
    assert not p.gauss_newton(p.weights, p.weights).any()


def test_gauss_newton_needs_one_output(watch):
    own = case("regression")

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = own.model

        def forward(self, x):
            return self.inner(x), x

    p = problem(watch(Both()), lambda out, y: own.loss(out[0], y), own.data)
    with pytest.raises(
        TypeError, match=r"output of the model is of type .*tuple.*one floa"
    ):
        p.gauss_newton(p.weights, p.weights)

    def loss(model, batch):
        return own.loss(model(batch[0]), batch[1])

    p = problem(own.model, loss, own.data, loss_takes="model")
    with pytest.raises(ValueError, match=r"'model': the Gauss-Newton matrix needs"):
        p.gauss_newton(p.weights, p.weights)


VECTORS = [
    (lambda w: w.numpy(), TypeError, "is of type ndarray; give a flat torch tensor of"),
    (
        lambda w: w[1:],
        ValueError,
        r"has shape \(31,\); give a vector of shape \(32,\), one",
    ),
    (
        lambda w: w[None],
        ValueError,
        r"has shape \(1, 32\); give a vector of shape \(32,\)",
    ),
    (lambda w: w.float(), TypeError, r"is torch\.float32 on cpu; give torch\.float64"),
]


@pytest.mark.parametrize(("wrong", "error", "match"), VECTORS)
def test_vectors_that_cannot_be_used(watch, wrong, error, match):
    model, x = watch(nn.Linear(4, 8, bias=False).double()), torch.ones(3, 4).double()
    p = problem(model, nn.MSELoss(), (x, x.repeat(1, 2)))
    w = p.weights
    calls = {
        "w": [p, p.accuracy, p.load, lambda x: p.hvp(x, w)],
        "v": [lambda x: p.hvp(w, x), lambda x: p.gauss_newton(w, x)],
    }
    for name, functions in calls.items():
        for function in functions:
            with pytest.raises(error, match=f"^{name} {match}"):
                function(wrong(w))


class Checkpointed(nn.Module):
    """A layer that is evaluated again in the backward pass."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        run = torch.utils.checkpoint.checkpoint
        return run(self.inner, x, use_reentrant=False)


@pytest.mark.parametrize("micro_batch", [None, 4])
def test_checkpointed_layers(watch, micro_batch):
    """They see the given weights then, too, and not the model's own."""
    own, known = case("layer_norm_mlp"), truth("layer_norm_mlp")
    model = nn.Sequential(*own.model[:4], Checkpointed(own.model[4:]))
    p = problem(watch(model), own.loss, own.data, micro_batch=micro_batch)
    w = p.weights + 0.1 * direction(p.weights.numel(), 3)
    loss, gradient = p(w)
    expected, slope = known.at(w)
    assert loss == pytest.approx(expected, rel=1e-12)
    assert torch.allclose(gradient, slope)
    v = direction(w.numel())
    for _ in range(2):
        found = p.hvp(w, v)
        assert torch.allclose(found, difference(p, w, v), rtol=1e-5, atol=1e-8)
        p.hvp(w, v)
