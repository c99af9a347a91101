"""The noise of the gradient over samples: its variance, and the noise scale."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from sharpkit._inputs.checks import at_least, checked_seed
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.samples import Indices
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Array, LossFn
from sharpkit._spectrum.sampling import quantile
from sharpkit.measures._batches import (
    Draws,
    Sampled,
    Spent,
    interval_of_mean,
    warn_unless_additive,
)
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import sharded
from sharpkit.results.batches import GradientNoiseResult, SamplingStatus


@sharded
@documented
def gradient_noise(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    batch_size: int = 1,
    batches: int = 100,
    large_batch: int | None = None,
    seed: int = 0,
    backend: str | None = None,
    process_group: Any = None,
    comm: Any = None,
    progress: Progress = None,
) -> GradientNoiseResult:
    r"""Measure the gradient, its variance over samples, and the simple noise scale.

    With the gradients g_i of the N samples and their mean G, the variance is ``tr(S) =
    sum_i ||g_i - G||^2 / (N - 1)``, and the noise scale ``tr(S) / ||G||^2``: the batch
    size at which the noise of a batch is as large as the gradient. A small batch b is
    drawn without replacement from a large one B, and ``||g_b - g_B||^2 / (1/b - 1/B)``
    is unbiased for ``tr(S)``; so is ``||g_B||^2 - (1/B - 1/N) tr(S)`` for ``||G||^2``.
    All N samples are the large batch by default: the gradient is then exact.

    Parameters
    ----------
    problem
        $problem
        It must have samples to choose from: ``problem.subset``.
    loss_fn
        The loss at flat weights, ``loss_fn(w) -> (loss, gradient)``, where ``problem``
        is a vector, with the members ``samples`` and ``subset``.
    batch_size
        The number of samples of a small batch. With 1 no sample is drawn twice, and
        after all of them the variance is exact.
    batches
        The number of small batches.
    large_batch
        The number of samples of a large batch, one for each small one. None takes all
        samples, once.
    seed
        $seed
    backend
        $backend
    process_group
        $process_group
    comm
        $comm
    progress
        $progress

    Returns
    -------
    GradientNoiseResult
        The noise scale, the norm and the variance, each with its error.

    Raises
    ------
    TypeError, ValueError
        $raises
    NotImplementedError
        If the problem is that of a model over ranks, whose samples cannot be chosen.

    Warns
    -----
    SharpkitWarning
        If the loss is not the mean of those of its samples, as with the statistics of
        the batch in a batch normalisation.

    References
    ----------
    McCandlish, Kaplan, Amodei et al., arXiv 1812.06162, appendix A.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> x = np.arange(10.0)
    >>> def over(indices):
    ...     own = x[indices]
    ...     return lambda w: (float(np.mean((w - own) ** 2)) / 2, w - own.mean())
    >>> problem = sharpkit.Problem(
    ...     np.zeros(1), over(slice(None)), samples=10, subset=over
    ... )
    >>> result = sharpkit.gradient_noise(problem)
    >>> round(result.gradient_variance, 6), round(float(np.var(x, ddof=1)), 6)
    (9.166667, 9.166667)
    >>> result.status.name
    'EXACT'
    """
    point = Point.of(problem, loss_fn, backend=backend, comm=comm)
    began = point.begin()
    sampled = Sampled.of(point, "batch_size", batch_size)
    budget, seed = at_least("batches", batches, 2), checked_seed(seed)
    large = _checked_large(point, sampled, large_batch)
    pairs = _Pairs(point, sampled, large, seed)
    with reporter(
        progress, budget, title="gradient noise", unit="batches", value="{:.4g} so far"
    ) as report:
        for variance in pairs.taken(budget):
            report(len(pairs.variances), variance)
    pairs.warn()
    return pairs.result(began)


def _checked_large(point: Point, sampled: Sampled, given: int | None) -> int:
    large = sampled.samples
    if large < 2:
        msg = (
            "the problem has 1 sample, and a variance over samples needs two; give a "
            "problem of more data"
        )
        raise ValueError(msg)
    if given is not None:
        large = Sampled.of(point, "large_batch", given).size
    if large <= sampled.size:
        msg = (
            f"batch_size={sampled.size} and large_batch={given}, of {sampled.samples} "
            "samples; give a batch_size below large_batch, and below the number of "
            "samples"
        )
        raise ValueError(msg)
    return large


class _Pairs:
    """Small and large batches, and what the difference of their gradients tells."""

    def __init__(self, point: Point, sampled: Sampled, large: int, seed: int) -> None:
        self._point, self._sampled, self._large = point, sampled, large
        self._draws, self._seed, self._spent = Draws(seed), seed, Spent()
        self._exact: Array | None = None
        self._first: Indices | None = None
        self.variances: list[float] = []
        self._squares: list[float] = []

    def taken(self, budget: int) -> Iterator[float]:
        """Take pairs; yield the variance so far.

        Yields
        ------
        variance
            The mean so far.
        """
        sampled, space = self._sampled, self._point.space
        small, large, every = sampled.size, self._large, sampled.samples
        if large == every:
            self._exact = self._spent.gradient(self._point)
        for own, whole in self._drawn(budget):
            if self._exact is None:
                mean = self._spent.gradient(sampled.part(whole))
            else:
                mean = self._exact
            gap = self._spent.gradient(sampled.part(own))
            space.add(mean, gap, -1.0)
            variance = space.norm(gap) ** 2 / (1 / small - 1 / large)
            square = space.norm(mean) ** 2 - variance * (1 / large - 1 / every)
            self.variances.append(variance)
            self._squares.append(square)
            yield float(np.mean(self.variances))

    def warn(self) -> None:
        """Warn if the loss is not the mean of those of its samples."""
        assert self._first is not None  # there are pairs
        half = min(len(self._first) // 2, max(self._sampled.size, 2) // 2)
        chosen = self._first[: 2 * half]
        warn_unless_additive(
            self._sampled.part, self._spent, chosen, "the gradient's variance"
        )

    def result(self, began: float) -> GradientNoiseResult:
        """Return what the pairs tell."""
        variance, square = float(np.mean(self.variances)), float(np.mean(self._squares))
        spread = self._error(self.variances)
        norm = math.sqrt(max(square, 0.0))
        norm_error, norms = 0.0, (norm, norm)
        if self._exact is None:
            norm_error = self._error(self._squares)
            low, high = interval_of_mean(self._squares)
            norms = math.sqrt(max(low, 0.0)), math.sqrt(max(high, 0.0))
        ends = interval_of_mean(self.variances, left=self._left)
        scale, stderr, interval = variance / (square or math.nan), math.nan, ends
        if self._exact is None:
            scale, stderr, interval = self._ratio()
        elif square:
            stderr, interval = spread / square, (ends[0] / square, ends[1] / square)
        else:
            scale, interval = math.inf, (math.inf, math.inf)
        sampled = self._sampled
        return GradientNoiseResult(
            value=scale,
            stderr=stderr,
            interval=interval,
            gradient_norm=norm,
            gradient_norm_stderr=norm_error / (2 * norm) if norm else math.nan,
            gradient_norm_interval=norms,
            gradient_variance=variance,
            gradient_variance_stderr=spread,
            gradient_variance_interval=ends,
            status=SamplingStatus.COMPLETE if spread else SamplingStatus.EXACT,
            batch_size=sampled.size,
            large_batch=self._large,
            samples=sampled.samples,
            batches=len(self.variances),
            run=self._point.run(
                self._spent, began, seed=self._seed, source="gradients of batches"
            ),
        )

    def _ratio(self) -> tuple[float, float, tuple[float, float]]:
        """Return the noise scale, its error and its interval, by Fieller's theorem.

        These are all ratios R for which the mean of ``variance - R square`` is within
        its error of 0; without an end where the mean square is, too.
        """
        pairs = np.array([self.variances, self._squares])
        count, width = pairs.shape[1], quantile(pairs.shape[1] - 1)
        s, g = map(float, pairs.mean(axis=1))
        (ss, sg), (_, gg) = np.cov(pairs).tolist()
        ss, sg, gg = (x * width**2 / count for x in (ss, sg, gg))
        scale = s / g if g > 0 else math.inf
        a, b, c = g * g - gg, s * g - sg, s * s - ss
        root = math.sqrt(max(b * b - a * c, 0.0))
        if not (a > 0 and g > 0):
            low = (b - root) / a if a else math.nan
            return scale, math.nan, (max(low, 0.0), math.inf)
        rest = pairs[0] - scale * pairs[1]
        interval = max((b - root) / a, 0.0), (b + root) / a
        return scale, self._error(rest) / g, interval

    def _drawn(self, budget: int) -> Iterator[tuple[Indices, Indices]]:
        """Yield the samples of a small batch, and of the large one around it."""
        small, large, every = self._sampled.size, self._large, self._sampled.samples
        order = self._draws.order(every)
        self._first = order
        for index in range(min(budget, every) if self._each else budget):
            if self._each:
                yield order[index : index + 1], order
                continue
            if index:
                order = self._draws.order(every)
            yield np.sort(order[:small]), np.sort(order[:large])

    @property
    def _each(self) -> bool:
        """Whether the small batches are single samples, none of them twice."""
        return self._sampled.size == 1 and self._large == self._sampled.samples

    def _error(self, values: Any) -> float:
        return float(np.std(values, ddof=1)) * math.sqrt(self._left / len(values))

    @property
    def _left(self) -> float:
        """The share of the variance that is left where no sample is taken twice."""
        return 1 - len(self.variances) / self._sampled.samples if self._each else 1.0
