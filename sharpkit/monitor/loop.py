"""The monitor of a bare loop over flat weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sharpkit._inputs.preconditioner import (
    Preconditioner,
    checked_rate,
    stable_up_to,
)
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Hvp, LossFn, Path, XpArray
from sharpkit.measures._point import Point
from sharpkit.monitor.core import Measures, Monitor
from sharpkit.problem import (
    Problem,
    ProblemLike,
    as_problem,
    at_vector,
    is_problem,
)


@documented
def loop(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    hvp: Hvp | None = None,
    rate: float | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    preconditioner: Preconditioner | None = None,
    measures: Measures | None = None,
    every: int = 1,
    budget: float | None = 0.05,
    path: Path | None = None,
    sinks: Iterable[Any] = (),
    batch_size: int | None = None,
    epsilon: float = 1e-3,
    first_step: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Monitor:
    r"""Watch a loop that trains flat weights, of NumPy, CuPy, torch or JAX.

    ``monitor.step(w)`` is called once for each step, before the weights change, and
    ``monitor.close(w)`` after the last one.

    Parameters
    ----------
    problem
        The problem whose loss is watched, at the weights before the first step: the
        probe. Or the flat weights, beside ``loss_fn``.
    loss_fn
        The loss at flat weights, ``w -> (loss, gradient)``.
    hvp
        The exact product with the Hessian at flat weights, ``hvp(w, v)``.
    rate
        The learning rate, by which thresholds are known; ``monitor.step(w, rate=)``
        changes it. None leaves them out.
    momentum, nesterov
        The momentum of the loop, and whether it is Nesterov's.
    preconditioner
        The metric of the first step, ``Preconditioner(values, threshold)``, of a loop
        that steps in one, as Adam does; ``monitor.step(w, preconditioner=)`` changes
        it.
    $recorded
    settings
        What else the head of the file shall hold, such as the learning rate.

    Returns
    -------
    Monitor
        The monitor.

    Raises
    ------
    TypeError, ValueError
        If an argument cannot be used, or the loss at the weights.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> h, w = np.array([1.0, 4.0]), np.ones(2)
    >>> problem = sharpkit.Problem(w, lambda w: (0.5 * float(h @ w**2), h * w))
    >>> watching = {"measures": ["lambda_max"], "budget": None}
    >>> with sharpkit.monitor.loop(problem, rate=0.1, **watching) as monitor:
    ...     for _ in range(3):
    ...         rows = monitor.step(w)
    ...         w = w - 0.1 * h * w
    >>> round(rows[0].value, 2), round(rows[0].threshold, 2)
    (4.0, 20.0)
    """
    problem = _as_problem(problem, loss_fn, hvp)
    watched = _Loop(problem, rate, preconditioner, momentum=momentum, nesterov=nesterov)
    return Monitor(
        watched,
        measures=measures,
        every=every,
        budget=budget,
        path=path,
        sinks=sinks,
        batch_size=batch_size,
        epsilon=epsilon,
        first_step=first_step,
        settings=settings,
    )


def _as_problem(problem: Any, loss_fn: LossFn | None, hvp: Hvp | None) -> ProblemLike:
    Point.of(problem, loss_fn, hvp=hvp)  # says what cannot be used
    if loss_fn is None and hvp is None:
        return as_problem("problem", problem)
    if loss_fn is None or is_problem(problem):
        msg = (
            "give a problem alone, sharpkit.Problem(weights, loss_fn, hvp=...), or "
            "flat weights with loss_fn="
        )
        raise TypeError(msg)
    return as_problem("problem", Problem(problem, loss_fn, hvp=hvp))


class _Loop:
    """The weights that a loop tells of."""

    sees = False

    def __init__(
        self,
        problem: ProblemLike,
        rate: float | None,
        metric: Preconditioner | None,
        *,
        momentum: float,
        nesterov: bool,
    ) -> None:
        self._problem, self._weights = problem, problem.weights
        self._rate = None if rate is None else checked_rate("rate", rate)
        self._momentum, self._nesterov = momentum, nesterov
        self._metric, self.has_metric = metric, metric is not None

    def now(
        self,
        weights: XpArray,
        *,
        rate: float | None = None,
        preconditioner: Preconditioner | None = None,
    ) -> None:
        """Note the weights, and what else has changed."""
        self._weights = weights
        if rate is not None:
            self._rate = rate  # of 0 at an end of a schedule, too
        if preconditioner is not None:
            self._metric = preconditioner

    def problem(self) -> ProblemLike:
        """Return the problem at the weights."""
        return at_vector(self._problem, self._weights)

    def weights(self) -> XpArray:
        """Return the weights."""
        return self._weights

    def rate(self) -> float | None:
        """Return the learning rate."""
        return self._rate

    def threshold(self, problem: ProblemLike) -> float | None:
        """Return the largest stable eigenvalue, for a loop in no other metric."""
        if not self._rate or self._metric is not None:
            return None
        return stable_up_to(
            self._rate, momentum=self._momentum, nesterov=self._nesterov
        )

    def metric(self, problem: ProblemLike) -> Preconditioner | None:
        """Return the metric that the loop has told of."""
        return self._metric

    def settle(self) -> None:
        """Do nothing: what a loop has begun is its own to wait for."""
