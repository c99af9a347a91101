"""Batch sharpness: the curvature of batches along their own gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sharpkit._inputs.checks import at_least, checked_rtol, checked_seed
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import LossFn, Report
from sharpkit._inputs.warn import warn
from sharpkit._spectrum.operators import Differences, Given, Operator
from sharpkit._spectrum.sampling import looks
from sharpkit.measures._batches import Draws, Sampled, Spent, interval_of_mean
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import sharded
from sharpkit.results.batches import BatchSharpnessResult, SamplingStatus
from sharpkit.results.common import Run


@sharded
@documented
def batch_sharpness(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    batch_size: int,
    max_batches: int = 1000,
    min_batches: int = 10,
    rtol: float | None = 0.005,
    seed: int = 0,
    backend: str | None = None,
    process_group: Any = None,
    comm: Any = None,
    progress: Progress = None,
) -> BatchSharpnessResult:
    r"""Estimate the curvature of a batch along its own gradient, on average.

    ``E_B [g_B . H_B g_B / ||g_B||^2]`` over batches B, with the gradient and the
    Hessian of the loss of each. Under SGD at rate eta with batches of this size it
    rises to ``2 / eta``.

    Parameters
    ----------
    problem
        $problem
        It must have samples to choose from: ``problem.subset``.
    loss_fn
        $gradient_fn
        It needs the members ``samples`` and ``subset``.
    batch_size
        The number of samples of a batch, as in training.
    max_batches, min_batches
        The batches that are drawn at most and at the least, each anew without
        replacement. One that holds all samples is enough.
    rtol
        The relative standard error that is enough, looked at a few times only: at
        ``min_batches`` and at each doubling, and once between. None draws all batches.
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
    BatchSharpnessResult
        The value, its standard error and its interval.

    Raises
    ------
    TypeError, ValueError
        $raises
    NotImplementedError
        If the problem is that of a model over ranks, whose samples cannot be chosen.

    Warns
    -----
    SharpkitWarning
        If the gradient of a batch is zero, as where all its samples are fitted to the
        last digit: it has no direction, and is left out.

    References
    ----------
    Andreyev, Beneventano, arXiv 2412.20553.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> x = np.random.default_rng(0).standard_normal((100, 3))
    >>> def over(indices):
    ...     own = x[indices]
    ...     return lambda w: (np.mean((own @ w) ** 2) / 2, own.T @ (own @ w) / len(own))
    >>> problem = sharpkit.Problem(
    ...     np.ones(3), over(slice(None)), samples=100, subset=over
    ... )
    >>> result = sharpkit.batch_sharpness(problem, batch_size=10)
    >>> result.batches, result.status.name
    (1000, 'BUDGET')
    """
    point = Point.of(problem, loss_fn, backend=backend, comm=comm)
    began = point.begin()
    sampled = Sampled.of(point, "batch_size", batch_size)
    least = at_least("min_batches", min_batches, 2)
    most = at_least("max_batches", max_batches, least)
    rtol, seed = checked_rtol(rtol), checked_seed(seed)
    exact = sampled.size == sampled.samples
    most = 1 if exact else most
    along = _Along(sampled, seed)
    with reporter(
        progress, most, title="batch sharpness", unit="batches", value="{:.4g} so far"
    ) as report:
        status = along.estimate(most, least, rtol, report)
    if along.flat:
        warn(
            f"{along.flat} of {along.drawn} batches have a gradient of zero, which has "
            "no direction: they are left out; larger batches have one"
        )
    _, value, stderr = along.history[-1]
    return BatchSharpnessResult(
        value=value,
        stderr=stderr,
        interval=along.interval(),
        status=SamplingStatus.EXACT if exact else status,
        batch_size=sampled.size,
        samples=sampled.samples,
        batches=along.drawn,
        flat=along.flat,
        history=tuple(along.history),
        run=along.run(point, began, seed),
    )


class _Along:
    """The curvatures of batches along their gradients.

    The product of the first batch is tried, or the step of its differences chosen; the
    other batches take that over.
    """

    def __init__(self, sampled: Sampled, seed: int) -> None:
        self._sampled, self._seed, self._spent = sampled, seed, Spent()
        self._first: Operator | None = None
        self.values: list[float] = []
        self.history: list[tuple[int, float, float]] = []
        self.drawn = self.flat = self._products = 0

    def estimate(
        self, most: int, least: int, rtol: float | None, report: Report
    ) -> SamplingStatus:
        """Draw batches until the error is small enough; return how it ended.

        Raises
        ------
        ValueError
            If no batch has a gradient.
        """
        draws = Draws(self._seed).batches(
            self._sampled.samples, self._sampled.size, most
        )
        for look in looks(most, least):
            while self.drawn < look:
                self._take(self._sampled.part(next(draws)), report)
            if not self.values:
                continue
            mean, stderr = float(np.mean(self.values)), self._stderr()
            self.history.append((self.drawn, mean, stderr))
            if rtol is not None and stderr <= rtol * abs(mean):
                return SamplingStatus.CONVERGED
        if not self.values:
            msg = (
                f"the gradients of all {self.drawn} batches are zero at the given "
                "weights, and no curvature lies along them; give larger batches, or "
                "other weights"
            )
            raise ValueError(msg)
        return SamplingStatus.BUDGET

    def interval(self) -> tuple[float, float]:
        """Return the interval that holds the expectation in about 95 %."""
        assert self._first is not None  # there are values
        if len(self.values) > 1:
            return interval_of_mean(self.values, error=self._first.error)
        (value,), error = self.values, self._stderr()
        return value - 2 * error, value + 2 * error

    def run(self, point: Point, began: float, seed: int) -> Run:
        """Return the record of the measurement."""
        first = self._first
        assert first is not None  # there are values
        return point.run(
            self._spent,
            began,
            seed=seed,
            source=first.source,
            products=self._products,
            product_error=first.error,
        )

    def _stderr(self) -> float:
        assert self._first is not None  # there are values
        if self._sampled.size == self._sampled.samples:
            return self._first.error
        if len(self.values) < 2:
            return math.inf
        spread = float(np.std(self.values, ddof=1)) / math.sqrt(len(self.values))
        return math.hypot(spread, self._first.error)

    def _take(self, point: Point, report: Report) -> None:
        self.drawn += 1
        u, space = self._spent.gradient(point), point.space
        size = space.norm(u)
        if size == 0:
            self.flat += 1
            return
        space.scale(u, 1 / size)
        operator, product = self._operator(point, report), space.empty()
        operator.apply(u, product)
        self.values.append(space.dot(u, product))
        self._spent.calls += operator.calls
        self._spent.seconds += operator.seconds
        self._products += operator.products
        report(self.drawn, float(np.mean(self.values)))

    def _operator(self, point: Point, report: Report) -> Operator:
        first = self._first
        if first is None:
            first = self._first = point.operator(self._seed, report)
            return first
        if isinstance(first, Differences):
            return first.over(point.required_loss())
        hvp = point.hvp
        assert hvp is not None  # the first batch has one
        return Given(point.space, point.weights, hvp, first.error)
