"""One batch of training: what each regime does to the gradient and the weights."""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import XpArray
from sharpkit.lab.networks.base import Evaluation, Network, Statistics
from sharpkit.lab.training.augment import augmented
from sharpkit.lab.training.optimizers import optimizer_for
from sharpkit.lab.training.regime import Regime

Passes = list[tuple[int, Evaluation]]
"""Rows and evaluation of each chunk of a batch."""

STATISTICS_MOMENTUM = 0.1  # of the running batch-norm averages; PyTorch's default


class Updater:
    """Weights on their way, and the running averages and optimiser that go with them.

    The regimes compose. The function that a batch gives is its mean loss, or half of it
    at the samples and half at the moved ones (``adversarial``), over samples changed at
    random (``augment``), normalised by chunks (``ghost``). ``sam`` takes its gradient
    elsewhere; ``conservative`` adds the proximal term's to either, at the weights
    themselves.

    Parameters
    ----------
    network, regime
        The network, and the way to train it.
    weights : (n,)
        The weights, which are changed in place.
    statistics
        The running averages to begin with; replaced, not changed.
    bounds
        The least and the greatest number of the training samples, for ``adversarial``.
    shape
        The shape of a sample, for ``augment``.
    """

    def __init__(
        self,
        network: Network,
        regime: Regime,
        weights: XpArray,
        statistics: Statistics,
        *,
        seed: int,
        bounds: tuple[XpArray, XpArray] | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        self.network, self.regime = network, regime
        self.weights, self.statistics = weights, statistics
        self.updates = 0
        self._optimizer = optimizer_for(regime)
        self._gradient = array_module(weights).empty_like(weights)
        several = regime.ghost is not None or regime.adversarial is not None
        self._part = array_module(weights).empty_like(weights) if several else None
        self._seed, self._images = seed, np.random.default_rng([seed, 2])
        self._bounds, self._shape = bounds, shape

    def copy(self) -> Self:
        """Return another that goes on from here by itself, and with the same bits."""
        other = copy.copy(self)
        other.weights = self.weights.copy()
        other._optimizer = copy.deepcopy(self._optimizer)
        other._images = copy.deepcopy(self._images)
        return other

    def toward(self, later: Updater, share: float) -> Updater:
        """Return ``later`` with a share of its way from here, to end a training."""

        def mixed(old: XpArray, new: XpArray) -> XpArray:
            return old + share * (new - old)

        here, there = self.statistics, later.statistics
        other = copy.copy(later)
        other.weights = mixed(self.weights, later.weights)
        other.statistics = Statistics(
            tuple(map(mixed, here.means, there.means)),
            tuple(map(mixed, here.variances, there.variances)),
        )
        return other

    def update(self, x: XpArray, y: XpArray) -> XpArray:
        """Change the weights by one batch; return how many of its rows were right.

        These, like the statistics that move the running averages, are of the first
        evaluation: in training mode, at the weights that the batch met. They stay where
        the weights live, so that a device is not waited for.
        """
        regime, right = self.regime, 0
        if regime.augment:
            assert self._shape is not None
            x = augmented(x, self._shape, self._images)
        centre = None if regime.conservative is None else self.weights.copy()
        for step in range(1 if centre is None else regime.inner_steps):
            passes = self._batch_gradient(self.weights, x, y)
            if regime.sam is not None:
                self._batch_gradient(self._ascended(regime.sam), x, y)
            if centre is not None:
                self._gradient += regime.conservative * (self.weights - centre)
            if step == 0:
                self._move_averages(passes)
                right = sum(found.right for _, found in passes)
            if regime.decay is not None:
                self.weights *= 1 - regime.rate * regime.decay
            self._optimizer.step(self.weights, self._gradient)
            self.updates += 1
        return right

    def _batch_gradient(self, weights: XpArray, x: XpArray, y: XpArray) -> Passes:
        """Write the gradient of a batch; return the passes over its clean samples."""
        passes: Passes = []
        attack = self.regime.adversarial
        scale = 1 / len(x) if attack is None else 1 / (2 * len(x))
        parts = chunks(len(x), self.regime.ghost)
        for rows, seed in zip(parts, self._dropout_seeds(len(parts)), strict=True):
            clean, labels = x[rows], y[rows]
            slope = None if attack is None else array_module(x).empty_like(clean)
            settings = {"scale": scale, "dropout": seed}
            found = self._evaluate(
                weights, clean, labels, not passes, input_gradient=slope, **settings
            )
            passes.append((len(clean), found))
            if attack is not None:
                moved = self._moved(clean, slope, attack)
                self._evaluate(weights, moved, labels, False, **settings)
        return passes

    def _evaluate(
        self, weights: XpArray, x: XpArray, y: XpArray, first: bool, **settings: Any
    ) -> Evaluation:
        """Evaluate some rows; their gradient begins the batch's, or is added to it."""
        out = self._gradient if first else self._part
        found = self.network.evaluate(
            weights, x, y, statistics="batch", gradient=out, **settings
        )
        if not first:
            self._gradient += out
        return found

    def _ascended(self, rho: float) -> XpArray:
        """Return ``w + rho g / |g|``, in float64 up to the sum; w itself if g is 0."""
        xp = array_module(self.weights)
        gradient = self._gradient.astype(np.float64)
        norm = xp.sqrt(xp.sum(gradient * gradient))
        gradient *= rho / (norm + (norm == 0))
        return (self.weights + gradient).astype(self.weights.dtype)

    def _moved(self, x: XpArray, slope: XpArray, attack: float) -> XpArray:
        """Return samples moved along the gradient's sign, within the data's range."""
        assert self._bounds is not None
        xp = array_module(x)
        return xp.clip(x + attack * xp.sign(slope), *self._bounds)

    def _dropout_seeds(self, count: int) -> list[int]:
        """Return a seed per chunk, the same for every evaluation of one update."""
        sequence = np.random.SeedSequence([self._seed, 3, self.updates])
        return [int(word) for word in sequence.generate_state(count)]

    def _move_averages(self, passes: Passes) -> None:
        for rows, found in passes:
            self.statistics = moved_averages(
                self.statistics, found.statistics, self.network.counts(rows)
            )


def chunks(rows: int, size: int | None) -> list[slice]:
    """Cut a batch into chunks; a last one of a single row joins the one before it.

    One row has no variance. Without a size the batch is one chunk.
    """
    begins = list(range(0, rows, size or rows))
    if len(begins) > 1 and begins[-1] == rows - 1:
        begins.pop()
    return [slice(*ends) for ends in zip(begins, [*begins[1:], rows], strict=True)]


def moved_averages(
    running: Statistics, batch: Statistics, counts: tuple[int, ...]
) -> Statistics:
    """Move the averages towards a batch; its variances made unbiased, as in PyTorch.

    ``counts`` says of how many numbers each layer's statistics are.
    """
    keep, take = 1 - STATISTICS_MOMENTUM, STATISTICS_MOMENTUM
    return Statistics(
        tuple(
            keep * old + take * new
            for old, new in zip(running.means, batch.means, strict=True)
        ),
        tuple(
            keep * old + take * count / max(count - 1, 1) * new
            for old, new, count in zip(
                running.variances, batch.variances, counts, strict=True
            )
        ),
    )
