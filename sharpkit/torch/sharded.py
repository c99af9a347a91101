"""Models over several processes: a part of the weights on each (FSDP2), or all (DDP).

Each rank evaluates batches of its own. The loss is the mean over those of all ranks,
and the gradient that of training: the pieces that FSDP leaves on each rank, or the sum
over the ranks where each has all weights.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from sharpkit._inputs.weighing import MAPPING
from sharpkit.torch.batches import Batches
from sharpkit.torch.evaluation import batch_norms, set_to_evaluate
from sharpkit.torch.layout import layers_of
from sharpkit.torch.losses import ModelLoss, OutputLoss
from sharpkit.torch.problems import Problem
from sharpkit.torch.products import checked_total
from sharpkit.torch.shards import Shards
from sharpkit.torch.state import ALONE, Randomness, as_found, differentiating

R = TypeVar("R")

HVP = None  # double backward fails on FSDP2 and DDP: differences take its place


class Replicated:
    """A problem of which each rank has all weights, and data of its own.

    Parameters
    ----------
    own
        The problem over the data of this rank.
    group
        The process group.

    Attributes
    ----------
    weights : (n,)
        The weights.
    process_group
        The ranks.
    copies : bool
        Whether each rank has all weights: True.
    """

    copies, hvp, gauss_newton, samples, subset = True, HVP, None, None, None
    accuracy = None

    def __init__(self, own: Problem, group: Any) -> None:
        self._own, self.process_group = own, group
        self.weights, self.layers = own.weights, own.layers

    def __call__(self, w: Any) -> tuple[float, Any]:
        """Return the mean loss over the data of all ranks, and its gradient."""
        own = functools.partial(self._own.added, w)
        found = unless_failed(self.process_group, self.weights.device, own)
        if found is None:
            return math.nan, torch.zeros_like(self.weights)
        loss, weight, gradient = found
        loss, weight = totals(self.process_group, gradient.device, loss, weight)
        dist.all_reduce(gradient, group=self.process_group)
        return loss / checked_total(weight), gradient.div_(weight)

    def forward(self, w: Any) -> float:
        """Return the mean loss by forward passes alone."""
        own = functools.partial(self._own.forwarded, w)
        found = unless_failed(self.process_group, self.weights.device, own)
        if found is None:
            return math.nan
        loss, weight = totals(self.process_group, self.weights.device, *found)
        return float(loss / checked_total(weight))


class Sharded:
    """A problem of a model under ``fully_shard``: each rank has a part of the weights.

    Parameters
    ----------
    model
        The model.
    loss, data
        Both as given.
    objective
        The mean loss of a batch, and its weight.
    shards
        Where the weights of this rank lie.
    batches
        The data of this rank.
    batch_norm : {"running", "batch"}
        The statistics of batch norms.

    Attributes
    ----------
    weights : (n,)
        The weights that this rank holds.
    pieces : list of (int, int)
        The length, and the first global index, of each range of them.
    layers : dict of str to slice
        Where those of each module lie.
    process_group
        The ranks.
    copies : bool
        Whether each rank has all weights: False.
    """

    copies, hvp, gauss_newton, samples, subset = False, HVP, None, None, None
    accuracy = None

    def __init__(
        self,
        model: Any,
        loss: Any,
        data: Any,
        objective: OutputLoss | ModelLoss,
        shards: Shards,
        batches: Batches,
        batch_norm: str,
    ) -> None:
        self._model, self._loss, self._shards = model, loss, shards
        self._objective = objective
        self._batches, self._batch_norm = batches, batch_norm
        self.process_group, self.pieces = shards.group, shards.pieces
        self._randomness = Randomness(shards.device, data)
        self.layers = layers_of(shards.names, [n for n, _ in shards.pieces])
        self.weights = shards.taken()

    def __call__(self, w: Any) -> tuple[float, Any]:
        """Return the mean loss over the data of all ranks, and this rank's gradient."""
        total: Any = None  # until the first gradient is there, so that graphs have room

        def backward(loss: Any) -> None:
            nonlocal total
            loss.backward()
            total = self._shards.added(total)

        with self._running(w):
            loss, weight = self._passed(backward)
        if total is None:
            total = torch.zeros_like(self.weights)
        return loss / weight, total.div_(weight)

    def forward(self, w: Any) -> float:
        """Return the mean loss by forward passes alone."""
        with self._running(w), torch.no_grad():
            loss, weight = self._passed(lambda loss: None)
        return loss / weight

    def _passed(self, each: Callable[[Any], Any]) -> tuple[float, float]:
        """Return the sums of weight times loss, and of weights, over all ranks.

        ``each`` is called with what a batch adds to the sum, times the number of ranks,
        over which FSDP takes the mean of gradients.
        """
        loss = weight = 0.0
        for found in self._found():
            if found is None:
                return math.nan, 1.0
            mean, counts = found
            each(mean * (counts * dist.get_world_size(self.process_group)))
            loss, weight = loss + float(mean.detach()) * counts, weight + counts
        loss, weight = self._summed(loss, weight)
        return loss, checked_total(weight)

    @contextmanager
    def _running(self, w: Any) -> Iterator[None]:
        """Have the model hold ``w`` inside; it is left as found."""
        modules = list(self._model.modules())
        if isinstance(self._loss, torch.nn.Module):
            modules += self._loss.modules()
        with (
            ALONE,
            self._shards.holding(w, self.weights),
            as_found(modules),
            self._randomness.rewound(),
            differentiating(self._shards.device),
        ):
            set_to_evaluate(modules, batch_norms(self._model), self._batch_norm)
            for module in modules:
                for name, buffer in module.named_buffers(recurse=False):
                    module._buffers[name] = buffer.clone()  # a pass may write to it
            yield

    def _found(self) -> Iterator[tuple[Any, float] | None]:
        """Yield the mean loss of each batch of this rank, and its weight.

        It is None where another rank has failed.

        Raises
        ------
        ValueError
            If the ranks have not as many batches, or the weight is not known.
        """
        batches, ranks = iter(self._batches), dist.get_world_size(self.process_group)
        while True:
            batch = next(batches, None)
            empty = batch is not None and self._counts_nothing(batch)
            left, nothing = self._summed(batch is not None, empty)
            if not left:
                return
            if left < ranks:
                msg = (
                    "some ranks have more batches than others, and a model under "
                    "fully_shard runs on all ranks at once; give each as many, as a "
                    "DistributedSampler does"
                )
                raise ValueError(msg)
            if nothing:
                msg = (
                    "in a batch of one of the ranks nothing counts; leave such "
                    "batches out, or put samples together that have targets"
                )
                raise ValueError(msg)
            group, device = self.process_group, self._shards.device
            yield unless_failed(group, device, functools.partial(self._weighed, batch))

    def _summed(self, *values: float) -> list[float]:
        return totals(self.process_group, self._shards.device, *values)

    def _counts_nothing(self, batch: Any) -> bool:
        objective = self._objective
        return isinstance(objective, OutputLoss) and objective.counts_nothing(batch)

    def _weighed(self, batch: Any) -> tuple[Any, float]:
        """Return the mean loss of a batch, and its weight.

        Raises
        ------
        ValueError
            If the weight is not known.
        """
        found = self._objective(self._model, batch)
        if found is None or found[1] is None:
            msg = (
                "what a batch counts is not known, and over ranks it is not tried out; "
                f"{MAPPING}, or use a loss of torch, such as torch.nn.CrossEntropyLoss"
            )
            raise ValueError(msg)
        return found[0], found[1]


def unless_failed(group: Any, device: Any, call: Callable[[], R]) -> R | None:
    """Return what a call returns; None where it has raised on another rank.

    Then no rank may go on to where it would wait for that one. What is returned is no
    matter: a measure's next exchange brings the error.
    """
    try:
        found = call()
    except Exception:
        totals(group, device, 1.0)
        raise
    (failed,) = totals(group, device, 0.0)
    return None if failed else found


def totals(group: Any, device: Any, *values: float) -> list[float]:
    """Return the sums of numbers over ranks."""
    both = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(both, group=group)
    found: list[float] = both.tolist()
    return found
