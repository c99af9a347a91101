"""Training to a loss threshold or for a number of epochs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sharpkit.arrays import array_module
from sharpkit.lab.networks.base import Statistics
from sharpkit.lab.networks.mlp import MLP, require_one_place
from sharpkit.lab.optimizers import Optimizer
from sharpkit.lab.problem import Problem
from sharpkit.lab.steps import check_labels

Array = Any  # a NumPy or a CuPy array

STATISTICS_MOMENTUM = 0.1  # of the running batch-norm averages; PyTorch's default


@dataclass(frozen=True)
class TrainingRun:
    """A finished training run.

    weights, start : (n,)
        The final weights and those it started from.
    statistics
        The running batch-norm averages at the end.
    losses : tuple of float
        Mean loss over the whole training set after each epoch, running statistics.
    epochs, updates : int
        Passes over the data and optimiser steps.
    reached : bool
        Whether the loss threshold was reached (always True if there was none).
    seconds : float
    """

    weights: Array
    start: Array
    statistics: Statistics
    losses: tuple[float, ...]
    epochs: int
    updates: int
    reached: bool
    seconds: float


def train(
    network: MLP,
    x: Array,
    y: Array,
    *,
    batch_size: int,
    optimizer: Optimizer,
    start: Array,
    seed: int,
    until_loss: float | None = None,
    max_epochs: int = 1000,
    on_epoch: Callable[[int, float], None] | None = None,
) -> TrainingRun:
    """Minimise the mean cross-entropy by mini-batches drawn without replacement.

    Parameters
    ----------
    x, y : (M, inputs), (M,)
        Training samples of the weights' dtype, and integer labels. They and ``start``
        live in one place, and all work is done there: NumPy on the CPU, CuPy on CUDA.
    batch_size
        Rows per update; the last batch of an epoch may be shorter.
    start : (n,)
        Starting weights; copied.
    seed
        Fixes the order of the samples, the same one on every device.
    until_loss
        Stop after the first epoch whose mean loss over the whole set, with running
        statistics, is at most this. None: train for ``max_epochs``.
    on_epoch
        Called with the epoch (from 1) and its loss.

    Raises
    ------
    ValueError
        If ``batch_size`` is not between 1 and M.
    IndexError
        If there are not M labels, or one is not that of an output.
    TypeError
        If samples and start live in different places.
    FloatingPointError
        If the loss becomes infinite or NaN.
    """
    if not 1 <= batch_size <= len(x):
        msg = f"batch_size={batch_size}: give 1 to {len(x)}, the number of samples"
        raise ValueError(msg)
    require_one_place(weights=start, x=x, y=y)
    check_labels(y, len(x), network.sizes[-1])
    began = time.perf_counter()
    xp = array_module(start)
    weights, gradient = start.copy(), xp.empty_like(start)
    running = _initial_statistics(network, start)
    order = np.random.default_rng([seed, 1])
    losses: list[float] = []
    updates, reached = 0, until_loss is None
    for epoch in range(1, max_epochs + 1):
        shuffled = xp.asarray(order.permutation(len(x)))
        for rows in _batches(shuffled, batch_size):
            found = network.evaluate(
                weights,
                x[rows],
                y[rows],
                statistics="batch",
                gradient=gradient,
                scale=1 / len(rows),
            )
            optimizer.step(weights, gradient)
            running = _updated(running, found.statistics, len(rows))
            updates += 1
        whole = Problem(network, x, y, batch_norm="running", statistics=running)
        losses.append(whole.measure(weights).loss)
        if on_epoch is not None:
            on_epoch(epoch, losses[-1])
        if not np.isfinite(losses[-1]):
            msg = f"the loss is {losses[-1]} after epoch {epoch}; lower the rate"
            raise FloatingPointError(msg)
        if until_loss is not None and losses[-1] <= until_loss:
            reached = True
            break
    return TrainingRun(
        weights,
        start.copy(),
        running,
        tuple(losses),
        len(losses),
        updates,
        reached,
        time.perf_counter() - began,
    )


def _batches(order: Array, size: int) -> list[Array]:
    return [order[i : i + size] for i in range(0, len(order), size)]


def _initial_statistics(network: MLP, weights: Array) -> Statistics:
    xp = array_module(weights)
    widths = network.sizes[1:-1]
    return Statistics(
        tuple(xp.zeros(width, weights.dtype) for width in widths),
        tuple(xp.ones(width, weights.dtype) for width in widths),
    )


def _updated(running: Statistics, batch: Statistics, rows: int) -> Statistics:
    """Move the averages towards a batch; its variance made unbiased, as in PyTorch."""
    keep, take = 1 - STATISTICS_MOMENTUM, STATISTICS_MOMENTUM
    unbias = take * rows / max(rows - 1, 1)
    return Statistics(
        tuple(
            keep * old + take * new
            for old, new in zip(running.means, batch.means, strict=True)
        ),
        tuple(
            keep * old + unbias * new
            for old, new in zip(running.variances, batch.variances, strict=True)
        ),
    )
