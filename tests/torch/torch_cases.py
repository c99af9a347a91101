"""Small networks of many kinds, each with its loss and its data."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

from torch_required import torch

nn = torch.nn
functional = nn.functional


@dataclass(frozen=True)
class Case:
    """A model in training mode, a mean loss, and all data as one batch."""

    model: Any
    loss: Any
    inputs: Any
    targets: Any

    @property
    def data(self):
        return self.inputs, self.targets

    def copied(self):
        return replace(self, model=copy.deepcopy(self.model))

    def batches(self, *sizes):
        """Return the data as a list of batches of these sizes."""
        parts = zip(self.inputs.split(sizes), self.targets.split(sizes), strict=True)
        return list(parts)


@dataclass(frozen=True)
class Truth:
    """Loss, gradient and dense matrices of a case, by the plainest means."""

    case: Case

    @property
    def chosen(self):
        return {k: p for k, p in self.case.model.named_parameters() if p.requires_grad}

    @cached_property
    def model(self):
        return copy.deepcopy(self.case.model).eval()

    @cached_property
    def weights(self):
        return torch.cat([p.detach().reshape(-1) for p in self.chosen.values()])

    def at(self, w):
        """Return loss and gradient of the stateful model with w copied in."""
        model = copy.deepcopy(self.model)
        chosen = [p for p in model.parameters() if p.requires_grad]
        with torch.no_grad():
            torch.nn.utils.vector_to_parameters(w.clone(), chosen)
        loss = self.case.loss(model(self.case.inputs), self.case.targets)
        loss.backward()
        zero = [torch.zeros_like(p) if p.grad is None else p.grad for p in chosen]
        return float(loss.detach()), torch.cat([g.reshape(-1) for g in zero])

    def output(self, flat):
        sizes = [p.numel() for p in self.chosen.values()]
        parts = zip(self.chosen.items(), flat.split(sizes), strict=True)
        named = {name: part.view_as(p) for (name, p), part in parts}
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return torch.func.functional_call(self.model, named, self.case.inputs)

    @cached_property
    def hessian(self):
        def loss(flat):
            return self.case.loss(self.output(flat), self.case.targets)

        return torch.autograd.functional.hessian(loss, self.weights)

    @cached_property
    def gauss_newton(self):
        jacobian = torch.autograd.functional.jacobian(self.output, self.weights)
        point = self.output(self.weights).detach()
        bent = torch.autograd.functional.hessian(
            lambda output: self.case.loss(output, self.case.targets), point
        )
        k, n = point.numel(), self.weights.numel()
        jacobian = jacobian.reshape(k, n)
        return jacobian.T @ bent.reshape(k, k) @ jacobian


class Flat(nn.Module):
    """The mean over all but the first and last dimension of the output of a module."""

    def __init__(self, inner, head):
        super().__init__()
        self.inner, self.head = inner, head

    def forward(self, x):
        out = self.inner(x)
        out = out[0] if isinstance(out, tuple) else out
        return self.head(out.flatten(1, -2).mean(1) if out.dim() > 2 else out)


class Attention(nn.Module):
    """Causal self-attention by the fused function, as language models have it."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.mix(x).chunk(3, -1)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(-2))


class Language(nn.Module):
    """A language model whose output layer is tied to its embedding."""

    def __init__(self, words=6, width=4):
        super().__init__()
        self.embed, self.mix = nn.Embedding(words, width), Attention(width, 2)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        x = self.embed(tokens)
        return self.head(self.norm(x + self.mix(x))).transpose(1, 2)


class Partial(nn.Module):
    """Some parameters frozen, some never used, and dropout."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(5, 5)
        self.unused, self.scale = nn.Linear(3, 3), nn.Parameter(torch.tensor(1.3))
        self.last = nn.Linear(5, 3)
        self.second.requires_grad_(False)

    def forward(self, x):
        x = functional.dropout(self.first(x).tanh(), 0.5, self.training)
        return self.last(self.second(x).sigmoid() * self.scale)


def _averaged(model, shape):
    """Train the running averages of batch norms a little."""
    for _ in range(3):
        model(torch.randn(11, *shape) * 2 + 0.5)
    return model


def conv_batch_norm():
    model = nn.Sequential(
        *(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()),
        *(nn.Conv2d(3, 2, 2, bias=False), nn.BatchNorm2d(2), nn.Tanh()),
        *(nn.Flatten(), nn.Linear(18, 3), nn.BatchNorm1d(3)),
    )
    return _averaged(model, (2, 4, 4)), nn.CrossEntropyLoss(), images(), classes(3)


def layer_norm_mlp():
    model = nn.Sequential(
        *(nn.Linear(4, 7), nn.LayerNorm(7), nn.GELU(), nn.Dropout(0.3)),
        *(nn.Linear(7, 6), nn.LayerNorm(6), nn.SiLU(), nn.Linear(6, 3)),
    )
    return model, nn.CrossEntropyLoss(), torch.randn(9, 4), classes(3)


def transformer_layer():
    inner = nn.TransformerEncoderLayer(4, 2, 5, 0.2, "gelu", batch_first=True)
    return Flat(inner, nn.Linear(4, 3)), nn.CrossEntropyLoss(), sequences(), classes(3)


def attention():
    model = Flat(Attention(4, 2), nn.Linear(4, 3))
    return model, functional.cross_entropy, sequences(), classes(3)


def lstm():
    inner = nn.LSTM(4, 3, 2, batch_first=True, dropout=0.4)
    return Flat(inner, nn.Linear(3, 3)), nn.CrossEntropyLoss(), sequences(), classes(3)


def gru():
    inner = nn.GRU(4, 3, batch_first=True, bidirectional=True)
    return Flat(inner, nn.Linear(6, 2)), nn.MSELoss(), sequences(), torch.randn(9, 2)


def tied_language():
    targets = torch.randint(6, (9, 5))
    targets[2:4], targets[7, 1:] = -100, -100  # as padding: some sequences are short
    return Language(), nn.CrossEntropyLoss(), torch.randint(6, (9, 5)), targets


def frozen_and_unused():
    return Partial(), nn.CrossEntropyLoss(), torch.randn(9, 4), classes(3)


def regression():
    model = nn.Sequential(nn.Linear(4, 6), nn.Softplus(), nn.Linear(6, 2))
    return model, nn.MSELoss(), torch.randn(9, 4), torch.randn(9, 2)


def yes_or_no():
    model = nn.Sequential(nn.Linear(4, 6), nn.ELU(), nn.Linear(6, 3))
    loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([0.5, 2.0, 3.0]))
    return model, loss, torch.randn(9, 4), torch.rand(9, 3).round()


def class_weighted():
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 4))
    weight = torch.tensor([0.3, 2.0, 1.0, 0.1])
    loss = nn.CrossEntropyLoss(weight, ignore_index=1, label_smoothing=0.1)
    return model, loss, torch.randn(9, 4), classes(4)


def weight_norm():
    inner = nn.utils.parametrizations.weight_norm(nn.Linear(4, 5))
    model = nn.Sequential(inner, nn.Tanh(), nn.Linear(5, 3))
    return model, nn.CrossEntropyLoss(), torch.randn(9, 4), classes(3)


def images():
    return torch.randn(9, 2, 4, 4)


def sequences():
    return torch.randn(9, 5, 4)


def classes(count):
    return torch.randint(count, (9,))


MAKERS = {
    maker.__name__: maker
    for maker in (
        conv_batch_norm,
        layer_norm_mlp,
        transformer_layer,
        attention,
        lstm,
        gru,
        tied_language,
        frozen_and_unused,
        regression,
        yes_or_no,
        class_weighted,
    )
}


@cache
def truth(name, seed=0):
    """Return a case in float64 with its dense matrices; not to be written to."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            return Truth(Case(*MAKERS[name]()))
        finally:
            torch.set_default_dtype(before)


def case(name, seed=0, dtype=torch.float64):
    """Return a case of its own, in a dtype."""
    made = truth(name, seed).case.copied()
    loss = copy.deepcopy(made.loss)
    if isinstance(loss, nn.Module):
        loss.to(dtype)

    def cast(tensor):
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return Case(made.model.to(dtype), loss, cast(made.inputs), cast(made.targets))


def direction(n, seed=7, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, generator=generator, dtype=torch.float64).to(dtype)
