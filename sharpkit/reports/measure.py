"""The measures of one point that are asked for most, in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sharpkit._inputs.progress import Progress
from sharpkit._inputs.texts import documented
from sharpkit.measures._sharded import unsharded
from sharpkit.measures.check import SHORT, SHORT_EVALUATIONS
from sharpkit.reports.asked import checked_measures
from sharpkit.reports.profile import taken_at
from sharpkit.results.report import Report, Settings

MEASURES, MOST = SHORT, SHORT_EVALUATIONS


@unsharded
@documented
def measure(
    problem: Any,
    *,
    measures: Iterable[str] = MEASURES,
    max_evaluations: int | None = MOST,
    time_budget: float | None = None,
    epsilon: float = 1e-3,
    repeats: int = 3,
    k: int = 1,
    seed: int = 0,
    backend: str | None = None,
    progress: Progress = None,
    on_result: Callable[[Report], None] | None = None,
) -> Report:
    """Take the measures of a problem that are asked for most, quickly.

    It is `sharpkit.profile` with a short list: all together cost at most the time of
    300 evaluations of loss and gradient, which are shared among them. The sharpness is
    searched up to ``repeats`` times from different seeds and the largest value kept:
    each is a lower bound. Its error is what such searches may have missed, with the
    noise of the loss, or the standard deviation of the repeats if that is larger.

    Parameters
    ----------
    problem
        A problem, as `sharpkit.torch.problem`, `sharpkit.jax.problem` or
        `sharpkit.Problem` make it, or any loss function with an attribute ``weights``.
    measures
        The names of the measures, as of `sharpkit.profile`.
    max_evaluations
        What all may cost, in evaluations; a product with the Hessian counts as 3 of
        them, or 2 by differences. None lets each take what it needs by itself.
    time_budget
        The seconds that all may take, as of `sharpkit.profile`.
    epsilon
        The size of the box of the sharpness, relative to ``|w_i| + 1``.
    repeats
        The number of searches for the sharpness, with the seeds ``seed``, ``seed + 1``
        and so on; fewer where the budget is short.
    k
        The number of eigenvalues.
    seed
        $seed
    backend
        $backend
    progress
        $progress
    on_result
        A function ``on_result(report)`` that is called after every finished measure,
        with all that has been found so far.

    Returns
    -------
    Report
        The table, and the full result of each measure; for more options call those
        themselves. After an interrupt (Ctrl-C) it is what was finished.

    Raises
    ------
    TypeError, ValueError
        $raises

    Warns
    -----
    SharpkitWarning
        If it was interrupted, if a measure failed, and whatever the measures warn of.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> problem = sharpkit.Problem(np.zeros(3), lambda w: (1.5 * float(w @ w), 3 * w))
    >>> report = sharpkit.measure(problem, measures=("eigenvalues", "trace"))
    >>> round(float(report.eigenvalues), 3), round(float(report.trace), 3)
    (3.0, 9.0)
    """
    return taken_at(
        problem,
        Settings(
            epsilon, repeats, checked_measures(measures), k, seed,
            max_evaluations, time_budget,
        ),
        backend=backend,
        progress=progress,
        on_result=on_result,
    )  # fmt: skip
