"""What a PyTorch module must be built of for the lab, and its steered copy."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from sharpkit.lab.networks.base import BATCH_NORM_EPS

Module = Any  # a torch.nn.Module
Tensor = Any  # a torch.Tensor

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
WEIGHTED = (nn.Conv2d, nn.Linear)
ROWS = 2  # of the trial run; one might be taken for a sample without rows


class Structure(NamedTuple):
    """A module that is known to be layers and batch norms in turn.

    Attributes
    ----------
    steered : torch.nn.Module
        The module on the meta device, with a `Norm` and a `Dropout` in the places of
        torch's own; its values come with each call.
    norms : tuple of str
        The names of the batch norms, in order.
    free_biases : frozenset of str
        The names of the biases that a batch norm takes out again.
    widths, places : tuple of int
        The channels of each batch norm, and the numbers per row and channel.
    classes : int
        The number of classes.
    """

    steered: Module
    norms: tuple[str, ...]
    free_biases: frozenset[str]
    widths: tuple[int, ...]
    places: tuple[int, ...]
    classes: int

    @contextmanager
    def prepared(
        self, statistics: list[tuple[Tensor, Tensor]] | None, dropout: int | None
    ) -> Iterator[list[Norm]]:
        """Tell norms and dropouts what to use, and let them forget it in the end."""
        norms = [self.steered.get_submodule(name) for name in self.norms]
        dropouts = [m for m in self.steered.modules() if isinstance(m, Dropout)]
        generator = None
        if dropout is not None:
            generator = np.random.default_rng([dropout, 3])
        try:
            if statistics is not None:
                for norm, given in zip(norms, statistics, strict=True):
                    norm.given = given
            for module in dropouts:
                module.generator = generator
            yield norms
        finally:
            for norm in norms:
                norm.given = norm.found = None
            for module in dropouts:
                module.generator = None


class Norm(nn.Module):  # type: ignore[misc]
    """A batch norm by constants it is given, or else by the batch's statistics.

    ``found`` are then the mean and the biased variance of the batch.
    """

    def __init__(self, norm: Module) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.given: tuple[Tensor, Tensor] | None = None
        self.found: tuple[Tensor, Tensor] | None = None

    def forward(self, h: Tensor) -> Tensor:
        """Normalise ``h``, (rows, channels, ...)."""
        mean, var = self.given or (h.new_zeros(h.shape[1]), h.new_zeros(h.shape[1]))
        batch = self.given is None
        # torch.nn's own refuse a batch of one row; momentum 1 keeps this batch alone
        out = torch.batch_norm(
            h, self.weight, self.bias, mean, var, batch, 1.0, BATCH_NORM_EPS, False
        )
        if batch:
            count = h.numel() // h.shape[1]
            # torch keeps the unbiased variance, which of one number is none
            biased = var * ((count - 1) / count) if count > 1 else torch.zeros_like(var)
            self.found = mean, biased
        return out


class Dropout(nn.Module):  # type: ignore[misc]
    """Dropout whose masks come from a generator; without one, nothing is dropped."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        # of 2^16 equally likely integers, which are drawn ten times as fast as floats
        self._kept = max(round((1 - rate) * (1 << 16)), 1)
        self.generator: np.random.Generator | None = None

    def forward(self, h: Tensor) -> Tensor:
        """Set entries to zero and scale the others up."""
        if self.generator is None or not self.rate:
            return h
        drawn = self.generator.integers(0, 1 << 16, h.numel(), np.uint16)
        kept = torch.from_numpy(drawn < self._kept).to(h.dtype)
        strides = torch.empty_like(h).stride()  # h's order in memory
        return h * kept.mul_((1 << 16) / self._kept).as_strided(h.shape, strides)


def structure_of(module: Module, shape: tuple[int, ...]) -> Structure:
    """Check a module on the meta device, by a trial run, and copy it for steering.

    Raises
    ------
    TypeError
        If it holds a layer that is not known.
    ValueError
        If it is not built as `TorchNetwork` says, or does not take such samples.
    """
    passed = _passed(module, shape)
    layers = [i for i, (_, part, _) in enumerate(passed) if isinstance(part, WEIGHTED)]
    norms = [i for i, (_, part, _) in enumerate(passed) if isinstance(part, NORMS)]
    for _, part, _ in passed:
        _require_known(part)
    if not layers or norms != [i + 1 for i in layers[:-1]]:
        found = ", ".join(type(part).__name__ for _, part, _ in passed)
        msg = (
            "each Conv2d and Linear but the last must be directly followed by its "
            f"batch norm; the module runs through: {found}"
        )
        raise ValueError(msg)
    _require_order(module, [passed[i][0] for i in sorted(layers + norms)])
    _, last, logits = passed[layers[-1]]
    if not isinstance(last, nn.Linear) or len(logits) != 2:
        msg = f"the last layer is {last} with outputs {logits}; give a Linear (classes)"
        raise ValueError(msg)
    sizes = [passed[i][2] for i in norms]
    return Structure(
        _steered(module),
        tuple(passed[i][0] for i in norms),
        frozenset(f"{passed[i][0]}.bias" for i in layers[:-1]),
        tuple(size[1] for size in sizes),
        tuple(size[1:].numel() // size[1] for size in sizes),
        last.out_features,
    )


def _passed(module: Module, shape: tuple[int, ...]) -> list[tuple[str, Module, Any]]:
    """Return name, module and shape of output of each part that a run goes through."""
    passed: list[tuple[str, Module, Any]] = []

    def watch(name: str) -> Any:
        return lambda part, _, out: passed.append((name, part, out.shape))

    parts = [item for item in module.named_modules() if not list(item[1].children())]
    hooks = [part.register_forward_hook(watch(name)) for name, part in parts]
    dtype = next((p.dtype for p in module.parameters()), None)
    training = module.training
    try:
        module.eval()(torch.empty((ROWS, *shape), dtype=dtype, device="meta"))
    except (RuntimeError, ValueError) as error:
        msg = f"shape={shape!r} is not what the module takes of a sample: {error}"
        raise ValueError(msg) from error
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    return passed


def _require_known(part: Module) -> None:
    usable = not list(part.parameters()) and not list(part.buffers())
    if isinstance(part, WEIGHTED):
        usable = part.bias is not None
    elif isinstance(part, NORMS):
        usable = part.affine and part.track_running_stats and part.eps == BATCH_NORM_EPS
    elif isinstance(part, nn.modules.dropout._DropoutNd):
        usable = type(part) is nn.Dropout and 0 <= part.p < 1
    if not usable:
        msg = (
            f"the module has {part}; give Conv2d or Linear with bias, BatchNorm1d or "
            f"BatchNorm2d with weight, bias, running averages and eps={BATCH_NORM_EPS},"
            " Dropout below 1, and otherwise what has no parameters or buffers"
        )
        raise TypeError(msg)


def _require_order(module: Module, names: list[str]) -> None:
    """Raise unless the module's parameters are these modules', each run through once.

    A module that is used twice, one that is not used, and a parameter that belongs to
    none are all found so.

    Raises
    ------
    ValueError
        If they are not.
    """
    expected = [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
    found = [name for name, _ in module.named_parameters()]
    if found != expected:
        msg = (
            f"the parameters are {', '.join(found)}, but a run goes through "
            f"{', '.join(expected)}; give a module that uses each layer once, in the "
            "order of its definition"
        )
        raise ValueError(msg)


def _steered(module: Module) -> Module:
    steered = copy.deepcopy(module).eval()
    for name, part in list(steered.named_modules()):
        if isinstance(part, NORMS):
            steered.set_submodule(name, Norm(part))
        elif isinstance(part, nn.Dropout):
            steered.set_submodule(name, Dropout(part.p))
    return steered
