"""All measures of one point, in one call."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from sharpkit._inputs.checks import at_least, checked_epsilon, checked_seed, one_of
from sharpkit._inputs.progress import Progress
from sharpkit._vectors.backends import kernels_for
from sharpkit.measures.eigenvalues import eigenvalues
from sharpkit.measures.sharpness import sharpness
from sharpkit.measures.spectral_density import spectral_density
from sharpkit.measures.trace import trace
from sharpkit.reports.evaluate import Evaluator, checked_problem, norm
from sharpkit.results.report import Report

MEASURES = ("sharpness", "eigenvalues", "trace", "density")


class Plan(NamedTuple):
    """The options of `measure`, as given."""

    epsilon: float
    repeats: int
    k: int
    measures: tuple[str, ...]
    seed: int
    backend: str | None
    progress: Progress


def measure(
    problem: Any,
    *,
    epsilon: float = 1e-3,
    repeats: int = 3,
    k: int = 1,
    measures: Iterable[str] = MEASURES,
    seed: int = 0,
    backend: str | None = None,
    progress: Progress = None,
) -> Report:
    """Take every measure of a problem at its weights.

    The sharpness is searched ``repeats`` times from different seeds and the largest
    value kept: each is a lower bound. Its error is the standard deviation of the
    repeats, or the noise of the loss if that is larger; it says how reproducible the
    search is.

    Parameters
    ----------
    problem
        What `sharpkit.torch.problem` and `sharpkit.jax.problem` return, a
        `sharpkit.Problem`, or any loss function with an attribute ``weights``.
    epsilon
        Size of the box of the sharpness, relative to ``|w_i| + 1``.
    repeats
        Searches for the sharpness, of the seeds ``seed``, ``seed + 1``, ...
    k
        Number of eigenvalues.
    measures
        Some of ``"sharpness"``, ``"eigenvalues"``, ``"trace"`` and ``"density"``.
    seed
        Fixes all random numbers.
    backend : {None, "cpu", "cuda", "reference"}
        None: where the weights live.
    progress
        As the measures take it: True, False, a callable, or None.

    Returns
    -------
    Report
        With the full result of each measure; for more options call those themselves.

    Raises
    ------
    TypeError, ValueError
        If an argument or what the problem returns cannot be used.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> problem = sharpkit.Problem(np.zeros(3), lambda w: (1.5 * float(w @ w), 3 * w))
    >>> report = sharpkit.measure(problem, measures=("eigenvalues", "trace"))
    >>> round(float(report.eigenvalues), 3), round(float(report.trace), 3)
    (3.0, 9.0)
    """
    wanted = checked_measures(measures)
    plan = Plan(epsilon, repeats, k, wanted, seed, backend, progress)
    report = deque(steps(checked_problem("problem", problem), plan), maxlen=1).pop()
    release(problem)
    return report


def release(problem: Any) -> None:
    """Have a problem free what it keeps for products: torch's graph."""
    own = getattr(problem, "release", None)
    if own is not None:
        own()


def steps(problem: Any, plan: Plan) -> Iterator[Report]:
    """Yield the report after loss and accuracy, and again after every measurement.

    Raises
    ------
    TypeError, ValueError
        Of options, before the first.
    """
    evaluator = Evaluator(problem)
    _check(plan, evaluator)
    n = evaluator.weights.size
    report = Report(fit=evaluator.fit(), n=n, norm=norm(evaluator.weights))
    _require_gradient(plan, evaluator)
    del evaluator  # and its copy of the weights
    yield report
    weights = problem.weights
    options: dict[str, Any] = {"backend": plan.backend, "progress": plan.progress}
    if "sharpness" in plan.measures:
        for seed in range(plan.seed, plan.seed + plan.repeats):
            found = sharpness(
                weights, problem, epsilon=plan.epsilon, seed=seed, **options
            )
            best = report.sharpness
            better = best is None or found.value > best.value
            report = replace(
                report,
                sharpness=found if better else best,
                sharpness_values=(*report.sharpness_values, found.value),
            )
            yield report
    options["seed"] = plan.seed
    if "eigenvalues" in plan.measures:
        pairs = eigenvalues(weights, problem, k=plan.k, **options)
        report = replace(report, eigenvalues=pairs)
        yield report
    if "trace" in plan.measures:
        report = replace(report, trace=trace(weights, problem, **options))
        yield report
    if "density" in plan.measures:
        spectrum = spectral_density(weights, problem, **options)
        report = replace(report, density=spectrum)
        yield report


def checked_measures(measures: Iterable[str]) -> tuple[str, ...]:
    """Return the names of measures as a tuple if all are known."""
    if isinstance(measures, str):
        msg = f"measures={measures!r} is text; give a tuple: ({measures!r},)"
        raise TypeError(msg)
    wanted = tuple(measures)
    for name in wanted:
        one_of("measures", name, MEASURES)
    return wanted


def _check(plan: Plan, evaluator: Evaluator) -> None:
    """Raise for whatever a measure would refuse, before the first begins."""
    checked_epsilon(plan.epsilon, evaluator.weights)
    at_least("repeats", plan.repeats, 1)
    n = evaluator.weights.size
    if at_least("k", plan.k, 1) > n:
        msg = f"k={plan.k}; there are {n} eigenvalues, one per weight: give at most {n}"
        raise ValueError(msg)
    checked_seed(checked_seed(plan.seed) + plan.repeats - 1)
    kernels_for(plan.backend, evaluator.weights)


def _require_gradient(plan: Plan, evaluator: Evaluator) -> None:
    spectral = [name for name in plan.measures if name != "sharpness"]
    if not spectral or evaluator.differentiable:
        return
    if getattr(evaluator.problem, "hvp", None) is None:
        msg = (
            f"measures={plan.measures!r}, but the problem returns no gradient, which "
            f"{', '.join(spectral)} need: return (loss, gradient), give hvp=, or "
            "measures=('sharpness',)"
        )
        raise ValueError(msg)
