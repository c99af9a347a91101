"""Trainings in PyTorch that a monitor watches: what the case `monitor` runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from bench.table import CaseError
from bench.torch_network import load_torch

SEED, PROBE, BATCH = 7, 128, 128


class Training(NamedTuple):
    """A model with its loss, as the monitor takes it, its data and its optimiser."""

    model: Any
    loss: Callable[..., Any]
    takes: str
    probe: Any
    optimizer: Any
    step_loss: Callable[[], Any]


def chebyshev(
    make: Callable[[Any], Any], *, points: int = 20, scale: float = 1.0
) -> Training:
    """Return full-batch training on a Chebyshev polynomial of degree 5.

    The weights start from those of torch times a scale: the smaller, the flatter.
    """
    torch = load_torch()
    nn = torch.nn
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, points, dtype=torch.float64)[:, None]
    y = torch.cos(5 * torch.arccos(x))
    model = nn.Sequential(nn.Linear(1, 100), nn.Tanh(), nn.Linear(100, 1)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= scale
    loss = nn.MSELoss()
    optimizer = make(model.parameters())
    return Training(model, loss, "output", (x, y), optimizer, lambda: loss(model(x), y))


def f1() -> Training:
    """Return network F1 of the paper on random images of its size."""
    torch = load_torch()
    nn = torch.nn
    torch.manual_seed(SEED)
    layers: list[Any] = []
    sizes = (784, *[512] * 5)
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return _classifier(nn.Sequential(*layers, nn.Linear(512, 10)), (784,))


def convnet() -> Training:
    """Return a small convolutional network with dropout on random images."""
    torch = load_torch()
    nn = torch.nn
    torch.manual_seed(SEED)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(512, 10),
    )
    return _classifier(model, (1, 28, 28))


def tiny_gpt2() -> Training:
    """Return a small GPT-2 of `transformers` on sequences that count upwards."""
    torch = load_torch()
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError as error:
        msg = "transformers is not installed: pip install transformers"
        raise CaseError(msg) from error
    torch.manual_seed(SEED)
    words, length = 31, 32
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=words,
            n_positions=length,
            n_embd=64,
            n_layer=2,
            n_head=4,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    starts = torch.randint(words, (512, 1))
    tokens = (starts + torch.randint(1, 6, (512, 1)) * torch.arange(length)) % words

    def loss(model: Any, batch: Any) -> Any:
        return model(input_ids=batch, labels=batch).loss

    def step_loss() -> Any:
        return loss(model, tokens[torch.randint(len(tokens), (32,))])

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    return Training(model, loss, "model", tokens[:32], optimizer, step_loss)


def _classifier(model: Any, shape: tuple[int, ...]) -> Training:
    torch = load_torch()
    labels = torch.randint(10, (4096,))
    centres = torch.randn(10, *shape)
    images = centres[labels] + 2 * torch.randn(4096, *shape)
    loss = torch.nn.CrossEntropyLoss()

    def step_loss() -> Any:
        chosen = torch.randint(len(images), (BATCH,))
        return loss(model(images[chosen]), labels[chosen])

    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    probe = images[:PROBE], labels[:PROBE]
    return Training(model, loss, "output", probe, optimizer, step_loss)
