"""The Fisher-Rao norm: how the losses of samples change along the weights."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from sharpkit._inputs.checks import at_least, checked_seed
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.samples import Indices
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Array, LossFn, Report, Vector
from sharpkit.measures._batches import (
    Draws,
    Sampled,
    Spent,
    interval_of_mean,
    warn_unless_additive,
)
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import sharded
from sharpkit.results.batches import FisherRaoResult, SamplingStatus

CHECKED = 8  # samples at most whose gradients are added up


@sharded
@documented
def fisher_rao(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    max_samples: int | None = None,
    seed: int = 0,
    backend: str | None = None,
    process_group: Any = None,
    comm: Any = None,
    progress: Progress = None,
) -> FisherRaoResult:
    r"""Measure the Fisher-Rao norm of the weights.

    ``value`` is ``w^T F w = mean_i (w . grad l_i)^2`` over samples i, with F the
    empirical Fisher matrix, made of the given labels. Each ``w . grad l_i`` is the
    derivative of the loss of one sample along the weights. A problem of a model finds
    them all by one pass (``problem.directional``), any other one by the gradients of
    single samples.

    Parameters
    ----------
    problem
        $problem
        It must have samples to choose from: ``problem.subset``.
    loss_fn
        The loss at flat weights, ``loss_fn(w) -> (loss, gradient)``, where ``problem``
        is a vector, with the members ``samples`` and ``subset``.
    max_samples
        The number of samples that are looked at, in random order and none twice. None
        takes all, and the value is exact. Near a minimum a few misfits may make up most
        of the value, and a part of the samples without them has too small an interval.
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
    FisherRaoResult
        The square of the norm, its standard error, and the norm.

    Raises
    ------
    TypeError, ValueError
        $raises
    NotImplementedError
        If the problem is that of a model over ranks, whose samples cannot be chosen.

    Warns
    -----
    SharpkitWarning
        If the loss is not the mean of those of its samples.

    References
    ----------
    Liang, Poggio, Rakhlin, Stokes, arXiv 1711.01530.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> x = np.arange(4.0)
    >>> def over(indices):
    ...     own = x[indices]
    ...     return lambda w: (float(np.mean((w - own) ** 2)) / 2, w - own.mean())
    >>> problem = sharpkit.Problem(
    ...     np.ones(1), over(slice(None)), samples=4, subset=over
    ... )
    >>> sharpkit.fisher_rao(problem).value
    1.5
    """
    point = Point.of(problem, loss_fn, backend=backend, comm=comm)
    began = point.begin()
    sampled, seed = _sampled(point, max_samples), checked_seed(seed)
    each = _Each(point, sampled, seed)
    with reporter(
        progress, sampled.size, title="Fisher-Rao norm", unit="samples", value="{:.4g}"
    ) as report:
        squares = each.derivatives(report) ** 2
    each.warn()
    return each.result(squares, began)


def _sampled(point: Point, given: int | None) -> Sampled:
    if given is not None:
        least = at_least("max_samples", given, min(2, point.samples or 2))
        return Sampled.of(point, "max_samples", least)
    every = point.samples or 1  # without samples there is no subset either
    if point.has("directional") and not point.has("subset"):
        return Sampled(lambda _: point, every, every)  # none of them alone
    return Sampled.of(point, "max_samples", every)


def _checked(found: Array) -> Vector:
    if found.ndim != 1 or not found.size or not np.isfinite(found).all():
        msg = (
            f"problem.directional returned an array of shape {found.shape}, or what is "
            "not finite; give weights where the losses of all samples are finite"
        )
        raise ValueError(msg)
    return found.astype(np.float64)


class _Each:
    """Samples one by one, and the derivatives of their losses along the weights."""

    def __init__(self, point: Point, sampled: Sampled, seed: int) -> None:
        self._point, self._sampled, self._seed = point, sampled, seed
        self._spent, self._method = Spent(), "gradients"
        order = Draws(seed).order(sampled.samples)[: sampled.size]
        self._chosen: Indices = np.sort(order)

    def derivatives(self, report: Report) -> Vector:
        """Return the derivative of each chosen sample's loss along the weights."""
        point, sampled = self._point, self._sampled
        every = sampled.size == sampled.samples
        whole = point if every else sampled.part(self._chosen)
        start = time.perf_counter()
        found = whole.directional(point.weights)
        if found is not None:
            self._method = "forward"
            self._spent.calls += 1
            self._spent.seconds += time.perf_counter() - start
            return _checked(found)
        values = []
        for index in range(sampled.size):
            part = sampled.part(self._chosen[index : index + 1])
            gradient = self._spent.gradient(part)
            values.append(point.space.dot(point.weights, gradient))
            report(index + 1, float(np.mean(np.square(values))))
        return np.array(values)

    def warn(self) -> None:
        """Warn if the loss is not the mean of those of its samples."""
        few = self._chosen[: min(CHECKED, len(self._chosen) // 2 * 2)]
        if len(few) and self._point.has("subset"):
            warn_unless_additive(self._sampled.part, self._spent, few, "the Fisher")

    def result(self, squares: Vector, began: float) -> FisherRaoResult:
        """Return what the derivatives tell."""
        count, every = len(squares), self._sampled.samples
        value, stderr = float(np.mean(squares)), 0.0
        exact = self._sampled.size == every
        if not exact:
            left = (1 - count / every) / count
            stderr = float(np.std(squares, ddof=1)) * math.sqrt(left)
        ends = value, value
        if not exact:
            ends = interval_of_mean(squares, left=1 - count / every)
        return FisherRaoResult(
            value=value,
            stderr=stderr,
            interval=(max(ends[0], 0.0), ends[1]),
            norm=math.sqrt(value),
            method=self._method,
            status=SamplingStatus.EXACT if exact else SamplingStatus.COMPLETE,
            samples=every,
            taken=count,
            run=self._point.run(
                self._spent, began, seed=self._seed, source=f"{self._method} of samples"
            ),
        )
