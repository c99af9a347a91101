"""Training by any regime to a loss, until it ceases to improve, or for some epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import XpArray
from sharpkit.lab.networks.base import Network, Statistics
from sharpkit.lab.problem import Measured, Problem
from sharpkit.lab.training.checks import (
    require_fit,
    require_possible,
    require_same_layers,
)
from sharpkit.lab.training.crossing import Place, crossing
from sharpkit.lab.training.regime import Regime
from sharpkit.lab.training.update import Updater

IMPROVEMENT = 0.01  # the fall of the best loss, relative, that patience waits for


@dataclass(frozen=True)
class Snapshots:
    """When to keep the weights on the way.

    Attributes
    ----------
    epochs : tuple of int
        The epochs after which they are kept; 0 is the start.
    losses : tuple of float
        The training losses, each of which keeps them after the first epoch, from 1,
        whose loss is at most that.

    Raises
    ------
    ValueError
        If an epoch is negative, or a loss not positive.
    """

    epochs: tuple[int, ...] = ()
    losses: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if any(epoch < 0 for epoch in self.epochs):
            msg = f"epochs={self.epochs}: give epochs from 0, the start"
            raise ValueError(msg)
        if not all(0 < loss < math.inf for loss in self.losses):
            msg = f"losses={self.losses}: give positive numbers"
            raise ValueError(msg)


NO_SNAPSHOTS = Snapshots()


@dataclass(frozen=True)
class Snapshot:
    """The weights after an epoch, as a run that ends there has them.

    Attributes
    ----------
    epoch : int
        The epoch.
    loss : float
        The mean training loss then, with running statistics.
    threshold : float or None
        The one of `Snapshots.losses` that was first met here; None where the epoch was
        asked for.
    weights : (n,)
        The weights.
    statistics : Statistics
        The running batch-norm averages then.
    """

    epoch: int
    loss: float
    threshold: float | None
    weights: XpArray
    statistics: Statistics


@dataclass(frozen=True)
class TrainingRun:
    """A finished training run.

    Attributes
    ----------
    weights, start : (n,)
        The final weights and those it started from.
    statistics : Statistics
        The running batch-norm averages at the end.
    losses : tuple of float
        The mean loss over the whole training set after each epoch, with running
        statistics.
    epochs, updates : int
        The numbers of passes over the data, the last perhaps in part, and of optimiser
        steps.
    reached : bool
        Whether the loss reached the threshold, or ceased to improve, whichever the
        regime stops at (always True if it stops at neither).
    seconds : float
        The wall time.
    snapshots : tuple of Snapshot
        The ones asked for, by epoch, that the run came to.
    running_accuracies : tuple of float
        The training accuracy of each epoch, in [0, 1], as it went: each batch as it was
        trained on, in training mode, before its update (Fig. 2 of the paper).
    test_accuracies : tuple of float
        The test accuracy after each epoch, in [0, 1], with running statistics; empty
        without a test set.
    test_halves : tuple of tuple of float
        The same of every other test sample, and of those between.
    """

    weights: XpArray
    start: XpArray
    statistics: Statistics
    losses: tuple[float, ...]
    epochs: int
    updates: int
    reached: bool
    seconds: float
    snapshots: tuple[Snapshot, ...]
    running_accuracies: tuple[float, ...]
    test_accuracies: tuple[float, ...]
    test_halves: tuple[tuple[float, ...], ...]


def train(
    network: Network,
    x: XpArray,
    y: XpArray,
    regime: Regime,
    *,
    start: XpArray,
    seed: int,
    statistics: Statistics | None = None,
    shape: tuple[int, ...] | None = None,
    snapshots: Snapshots = NO_SNAPSHOTS,
    test: tuple[XpArray, XpArray] | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
    on_update: Callable[[XpArray, Statistics], object] | None = None,
) -> TrainingRun:
    """Minimise the mean cross-entropy by mini-batches drawn without replacement.

    Parameters
    ----------
    network
        The network.
    x, y : (M, features), (M,)
        The training samples, of the weights' dtype, and integer labels. They and
        ``start`` live in one place, and all work is done there: NumPy on the CPU, CuPy
        on CUDA.
    regime
        The way to train.
    start : (n,)
        The starting weights; copied.
    seed
        The seed of the order of the samples, which is the same one on every device,
        and with generators of their own of the augmentation and the dropout masks.
    statistics
        The running batch-norm averages to go on from, those of another run where
        ``start`` is its weights (warm start). None: zero means and unit variances.
    shape
        The shape of a sample, for a regime that augments: float32 images on the CPU.
    snapshots
        When to keep the weights on the way.
    test : ((T, features), (T,))
        The samples and labels whose accuracy is taken after each epoch.
    on_epoch
        A function that is called with the epoch (from 1) and its loss.
    on_update
        A function that is called before each batch with the weights and the running
        averages, and leaves them as they are: with ``loss_within`` also before those at
        the end that are taken back.

    Returns
    -------
    TrainingRun
        The weights, and how they were come by.

    Raises
    ------
    ValueError
        If the regime, the statistics or the snapshots do not fit the data, the network
        or each other.
    IndexError
        If there is not a label for each sample, or one is not that of an output.
    TypeError
        If samples, start and statistics live in different places, or differ in dtype.
    FloatingPointError
        If the loss becomes infinite or NaN.
    """
    began = time.perf_counter()
    require_possible(regime, network, len(x), shape)
    _require_all_fit(network, start, (x, y), test, statistics)
    if max(snapshots.epochs, default=0) > regime.max_epochs:
        msg = f"snapshots.epochs={snapshots.epochs}: give up to {regime.max_epochs}"
        raise ValueError(msg)
    way = Updater(
        network,
        regime,
        start.copy(),
        statistics or network.initial_statistics(start),
        seed=seed,
        bounds=None if regime.adversarial is None else (x.min(), x.max()),
        shape=shape,
    )
    log = _Log(way, x, y, test, snapshots)
    order = np.random.default_rng([seed, 1])
    for epoch in range(1, regime.max_epochs + 1):
        shuffled = array_module(start).asarray(order.permutation(len(x)))
        batches = _batches(shuffled, regime.batch_at(epoch))
        begun = None if regime.loss_within is None else way.copy()
        right = 0
        for rows in batches:
            if on_update is not None:
                on_update(way.weights, way.statistics)
            right = right + way.update(x[rows], y[rows])
        ended = Place(way, log.look(way), int(right), len(x))
        log.epoch_ended(log.stopped(begun, ended, batches, regime), on_epoch)
        if stopped := _has_stopped(regime, log.losses):
            break
    endless = regime.until_loss is None and regime.patience is None
    return log.finished(start, stopped or endless, time.perf_counter() - began)


def _require_all_fit(
    network: Network,
    start: XpArray,
    train: tuple[XpArray, XpArray],
    test: tuple[XpArray, XpArray] | None,
    statistics: Statistics | None,
) -> None:
    require_fit(network, start, x=train[0], y=train[1])
    if test is not None:
        require_fit(network, start, x_test=test[0], y_test=test[1])
    if statistics is not None:
        require_same_layers(statistics, network.initial_statistics(start))


class _Log:
    """What is measured and kept after each epoch."""

    def __init__(
        self,
        way: Updater,
        x: XpArray,
        y: XpArray,
        test: tuple[XpArray, XpArray] | None,
        wanted: Snapshots,
    ) -> None:
        self.way, self.train, self.wanted = way, (x, y), wanted
        self.test = [] if test is None else _halves(*test)
        self.losses: list[float] = []
        self.running: list[float] = []
        self.tested: list[list[int]] = []
        self.snapshots: list[Snapshot] = []
        if 0 in wanted.epochs:
            self._keep(0, self.look(way), [None])

    def look(self, way: Updater) -> float:
        """Return the mean loss over the training set."""
        return _measured(way, *self.train).loss

    def stopped(
        self,
        begun: Updater | None,
        ended: Place,
        batches: list[XpArray],
        regime: Regime,
    ) -> Place:
        """Return how far an epoch counts: to where its loss ends training, if it does.

        ``begun`` is the beginning of the epoch, None if it counts whole.
        """
        limit, within = regime.until_loss, regime.loss_within
        if begun is None or limit is None or within is None or ended.loss > limit:
            return ended
        x, y = self.train

        def advanced(place: Place, some: Sequence[XpArray]) -> Place:
            way, right = place.way.copy(), place.right
            for rows in some:
                right = right + way.update(x[rows], y[rows])
            seen = place.seen + sum(map(len, some))
            return Place(way, self.look(way), int(right), seen)

        before = Place(begun, self.losses[-1] if self.losses else self.look(begun))
        return crossing(before, ended, batches, advanced, self.look, limit, within)

    def epoch_ended(
        self, place: Place, on_epoch: Callable[[int, float], None] | None
    ) -> None:
        self.way, loss = place.way, place.loss
        self.losses.append(loss)
        epoch = len(self.losses)
        if on_epoch is not None:
            on_epoch(epoch, loss)
        if not np.isfinite(loss):
            msg = f"the loss is {loss} after epoch {epoch}; lower the rate"
            raise FloatingPointError(msg)
        self.running.append(place.right / place.seen)
        if self.test:
            found = [len(y) * _measured(self.way, x, y).accuracy for x, y in self.test]
            self.tested.append(list(map(round, found)))
        self._keep(epoch, loss, _reasons(self.wanted, self.losses))

    def finished(self, start: XpArray, reached: bool, seconds: float) -> TrainingRun:
        sizes = [len(y) for _, y in self.test]
        return TrainingRun(
            weights=self.way.weights,
            start=start.copy(),
            statistics=self.way.statistics,
            losses=tuple(self.losses),
            epochs=len(self.losses),
            updates=self.way.updates,
            reached=reached,
            seconds=seconds,
            snapshots=tuple(self.snapshots),
            running_accuracies=tuple(self.running),
            test_accuracies=tuple(sum(each) / sum(sizes) for each in self.tested),
            test_halves=tuple(
                tuple(each[half] / size for each in self.tested)
                for half, size in enumerate(sizes)
            ),
        )

    def _keep(self, epoch: int, loss: float, reasons: list[float | None]) -> None:
        if reasons:
            weights, statistics = self.way.weights.copy(), self.way.statistics
            self.snapshots += [
                Snapshot(epoch, loss, reason, weights, statistics) for reason in reasons
            ]


def _measured(way: Updater, x: XpArray, y: XpArray) -> Measured:
    problem = Problem(
        way.network, x, y, batch_norm="running", statistics=way.statistics
    )
    return problem.evaluate(way.weights)


def _halves(x: XpArray, y: XpArray) -> list[tuple[XpArray, XpArray]]:
    """Return every other sample, and those between, each half in one piece."""
    xp, parts = array_module(x), (slice(0, None, 2), slice(1, None, 2))
    pieces = [tuple(xp.ascontiguousarray(each[p]) for each in (x, y)) for p in parts]
    return [(x_half, y_half) for x_half, y_half in pieces if len(y_half)]


def _reasons(wanted: Snapshots, losses: list[float]) -> list[float | None]:
    """Return why to keep the weights after the last epoch: None for its number."""
    before = min(losses[:-1], default=math.inf)
    thresholds = sorted(set(wanted.losses), reverse=True)
    met = [limit for limit in thresholds if losses[-1] <= limit < before]
    return [*([None] if len(losses) in wanted.epochs else []), *met]


def _has_stopped(regime: Regime, losses: list[float]) -> bool:
    if regime.until_loss is not None and losses[-1] <= regime.until_loss:
        return True
    return regime.patience is not None and _idle(losses) >= regime.patience


def _idle(losses: list[float]) -> int:
    """Return for how many epochs the best loss has not fallen by `IMPROVEMENT`."""
    best, since = math.inf, 0
    for loss in losses:
        since += 1
        if loss <= (1 - IMPROVEMENT) * best:
            best, since = loss, 0
    return since


def _batches(order: XpArray, size: int) -> list[XpArray]:
    return [order[i : i + size] for i in range(0, len(order), size)]
