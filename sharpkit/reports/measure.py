"""All measures of one point, in one call."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from sharpkit._diagnosis.missing import judged
from sharpkit._inputs.checks import at_least, checked_epsilon, checked_seed, one_of
from sharpkit._inputs.progress import Progress
from sharpkit.measures._point import Point
from sharpkit.measures._texts import documented
from sharpkit.measures.eigenvalues import eigenvalues
from sharpkit.measures.sharpness import sharpness
from sharpkit.measures.spectral_density import spectral_density
from sharpkit.measures.trace import trace
from sharpkit.problem import as_problem
from sharpkit.reports.evaluate import fitted, norm
from sharpkit.results.common import Run
from sharpkit.results.report import Report

MEASURES = ("sharpness", "eigenvalues", "trace", "spectral_density")


class Plan(NamedTuple):
    """The options of `measure`, as given."""

    epsilon: float
    repeats: int
    k: int
    measures: tuple[str, ...]
    seed: int
    progress: Progress


@documented
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
    value kept: each is a lower bound. Its error is what such searches may have missed,
    with the noise of the loss, or the standard deviation of the repeats if that is
    larger.

    Parameters
    ----------
    problem
        A problem, as `sharpkit.torch.problem`, `sharpkit.jax.problem` or
        `sharpkit.Problem` make it, or any loss function with an attribute ``weights``.
    epsilon
        The size of the box of the sharpness, relative to ``|w_i| + 1``.
    repeats
        The number of searches for the sharpness, with the seeds ``seed``, ``seed + 1``
        and so on.
    k
        The number of eigenvalues.
    measures
        The names of the measures: some of ``"sharpness"``, ``"eigenvalues"``,
        ``"trace"`` and ``"spectral_density"``.
    seed
        $seed
    backend
        $backend
    progress
        $progress

    Returns
    -------
    Report
        The full result of each measure; for more options call those themselves.

    Raises
    ------
    TypeError, ValueError
        $raises

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> problem = sharpkit.Problem(np.zeros(3), lambda w: (1.5 * float(w @ w), 3 * w))
    >>> report = sharpkit.measure(problem, measures=("eigenvalues", "trace"))
    >>> round(float(report.eigenvalues), 3), round(float(report.trace), 3)
    (3.0, 9.0)
    """
    wanted = checked_measures(measures)
    plan = Plan(epsilon, repeats, k, wanted, seed, progress)
    point = Point.of(as_problem("problem", problem), backend=backend)
    report = deque(steps(point, plan), maxlen=1).pop()
    point.release()
    return report


def steps(point: Point, plan: Plan) -> Iterator[Report]:
    """Yield the report after loss and accuracy, and again after every measurement.

    Raises
    ------
    TypeError, ValueError
        If an option cannot be used; before the first report.
    """
    _check(plan, point)
    fit, run, differentiable = fitted(
        point,
        plan.seed,
        epsilon=plan.epsilon,
        products=bool(set(plan.measures) - {"sharpness"}),
    )
    if not differentiable:
        _require_product(plan, point)
    report = Report(fit=fit, norm=norm(point.weights), run=run)
    yield report
    options: dict[str, Any] = {"progress": plan.progress}
    if "sharpness" in plan.measures and fit.loss <= -1:
        reason = f"it divides by 1 + loss, and the loss is {fit.loss:.6g}"
        report = replace(report, undefined={"sharpness": reason})
        yield from [report] * plan.repeats
    elif "sharpness" in plan.measures:
        for seed in range(plan.seed, plan.seed + plan.repeats):
            found = sharpness(point, epsilon=plan.epsilon, seed=seed, **options)
            best = max(filter(None, [report.sharpness, found]), key=float)
            values = (*report.sharpness_values, found.value)
            report = replace(
                report,
                run=Run.together([report.run, found.run]),
                sharpness=judged(best, values, best.evaluations),
                sharpness_values=values,
            )
            yield report
    options["seed"] = plan.seed
    spectral: dict[str, Callable[[], Any]] = {
        "eigenvalues": lambda: eigenvalues(point, k=plan.k, **options),
        "trace": lambda: trace(point, **options),
        "spectral_density": lambda: spectral_density(point, **options),
    }
    for name, taken in spectral.items():
        if name in plan.measures:
            result = taken()
            together = Run.together([report.run, result.run])
            report = replace(report, run=together, **{name: result})
            yield report


def checked_measures(measures: Iterable[str]) -> tuple[str, ...]:
    """Return the names of measures as a tuple if all are known.

    Raises
    ------
    TypeError
        If they are one text, or none at all.
    """
    given: Any = measures
    if isinstance(given, str):
        msg = f"measures={given!r} is text; give a tuple: ({given!r},)"
        raise TypeError(msg)
    if not isinstance(given, Iterable) or getattr(given, "shape", None) == ():
        msg = f"measures={given!r}; give a tuple of names, such as {MEASURES[:2]}"
        raise TypeError(msg)
    wanted = tuple(given)
    for name in wanted:
        one_of("measures", name, MEASURES)
    return wanted


def _check(plan: Plan, point: Point) -> None:
    """Raise for whatever a measure would refuse, before the first begins.

    Raises
    ------
    ValueError
        If there are fewer eigenvalues than are wanted.
    """
    checked_epsilon(plan.epsilon, point.weights)
    at_least("repeats", plan.repeats, 1)
    if at_least("k", plan.k, 1) > point.n:
        msg = (
            f"k={plan.k}; there are {point.n} eigenvalues, one per weight: give at "
            f"most {point.n}"
        )
        raise ValueError(msg)
    checked_seed(checked_seed(plan.seed) + plan.repeats - 1)


def _require_product(plan: Plan, point: Point) -> None:
    spectral = [name for name in plan.measures if name != "sharpness"]
    if spectral and point.hvp is None:
        msg = (
            f"measures={plan.measures!r}, but the problem returns no gradient, which "
            f"{', '.join(spectral)} need: return (loss, gradient), give hvp=, or "
            "measures=('sharpness',)"
        )
        raise ValueError(msg)
