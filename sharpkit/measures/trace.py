"""The trace of the Hessian: the sum of its eigenvalues, with an error bar."""

from __future__ import annotations

from typing import Any, Literal, get_args

from sharpkit._inputs.checks import at_least, checked_rtol, checked_seed, one_of
from sharpkit._inputs.journal import resumable_here
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Hvp, LossFn, Path
from sharpkit._spectrum import deflated, hutchinson, hutchpp, xtrace
from sharpkit._spectrum.estimate import SpectrumStatus, TraceEstimate
from sharpkit._spectrum.sampling import quantile
from sharpkit._spectrum.scaled import Scaled
from sharpkit.measures._point import Point, warn_asymmetric
from sharpkit.measures._resumable import resumable
from sharpkit.measures._sharded import sharded
from sharpkit.measures.eigenvalues import Known
from sharpkit.results.trace import TraceResult

Method = Literal["xtrace", "hutch++", "hutchinson"]

METHODS = {
    "xtrace": (xtrace.estimate, xtrace.LEAST_PRODUCTS),
    "hutch++": (hutchpp.estimate, hutchpp.LEAST_PRODUCTS),
    "hutchinson": (hutchinson.trace, hutchinson.LEAST_PRODUCTS),
}


@sharded
@resumable
@documented
def trace(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    hvp: Hvp | None = None,
    max_products: int = 60,
    method: Method = "xtrace",
    rtol: float | None = None,
    seed: int = 0,
    backend: str | None = None,
    checkpoint: Path | None = None,
    process_group: Any = None,
    comm: Any = None,
    progress: Progress = None,
) -> TraceResult:
    r"""Estimate the trace of the Hessian at the weights, with an honest error bar.

    ``tr(H) = sum_i H_ii``, from products of the Hessian with random vectors. ``value``
    is unbiased (without rtol), and ``interval`` holds the trace in about 95 of 100 runs
    with different seeds.

    Parameters
    ----------
    problem
        $problem
    loss_fn
        $gradient_fn
    hvp
        $hvp
    max_products
        The products that may be done: at least 4, or 2 with ``method="hutchinson"``.
    method : {"xtrace", "hutch++", "hutchinson"}
        The estimator. ``"xtrace"``: by far the best where few eigenvalues dominate;
        ``max_products / 2 + 1`` vectors of memory. ``"hutch++"``: a simpler relative;
        ``max_products / 3 + 4`` vectors. ``"hutchinson"``: the plain mean over sign
        vectors; 4 vectors, and fewer products than the others for a rough value where
        no eigenvalues dominate.
    rtol
        The relative error that is enough: the estimate ends as soon as the standard
        error is at most ``rtol * |value|``, looked at a few times only. None does all
        products.
    seed
        $seed
    backend
        $backend
    checkpoint
        $resumed
    process_group
        $process_group
    comm
        $comm
    progress
        $progress

    Returns
    -------
    TraceResult
        The value, its standard error and its interval.

    Raises
    ------
    TypeError, ValueError
        $raises

    Warns
    -----
    SharpkitWarning
        $asymmetric
        ``"hutchinson"`` cannot tell an asymmetric operator.

    References
    ----------
    Epperly, Tropp, Webber, arXiv 2301.07825 (XTrace); Meyer, Musco, Musco, Woodruff,
    arXiv 2010.09649 (Hutch++); Hutchinson 1990.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> curvature = np.arange(200.0)
    >>> result = sharpkit.trace(np.zeros(200), hvp=lambda w, v: curvature * v)
    >>> low, high = result.interval
    >>> bool(low < curvature.sum() < high)
    True
    """
    point = Point.of(problem, loss_fn, hvp=hvp, backend=backend, comm=comm)
    began = point.begin()
    one_of("method", method, get_args(Method))
    estimate, least = METHODS[method]
    budget = at_least("max_products", max_products, least)
    rtol, seed = checked_rtol(rtol), checked_seed(seed)
    with reporter(
        progress, budget, title="trace", unit="products", value="{:.4g} so far"
    ) as report:
        operator = point.operator(seed, report)
        scaled = Scaled(operator)
        report = scaled.reported(report)
        with resumable_here():
            found = estimate(scaled, budget, seed=seed, rtol=rtol, report=report)
    return _result(point, scaled, found, method, began, seed)


def trace_beside(
    point: Point,
    known: Known,
    *,
    max_products: int,
    seed: int,
    progress: Progress = None,
) -> TraceResult:
    """Estimate the trace where a search for eigenvalues has been before.

    Parameters
    ----------
    point
        The point.
    known
        What that search has left: the trace of it needs no products.
    max_products
        The products that may be done, each of which is a sample of the rest.
    seed, progress
        As `trace` takes them.
    """
    began = point.begin()
    budget = at_least("max_products", max_products, deflated.LEAST_PRODUCTS)
    with reporter(
        progress, budget, title="trace", unit="products", value="{:.4g} so far"
    ) as report:
        scaled = Scaled(point.operator(seed, report), known.factor)
        with resumable_here():
            found = deflated.estimate(
                scaled,
                budget,
                basis=known.basis,
                restricted=known.restricted,
                seed=seed,
                report=scaled.reported(report),
            )
    return _result(point, scaled, found, "deflated", began, seed)


def _result(
    point: Point,
    scaled: Scaled,
    found: TraceEstimate,
    method: str,
    began: float,
    seed: int,
) -> TraceResult:
    operator, found = scaled.original, scaled.trace(found)
    if found.status is SpectrumStatus.ASYMMETRIC:
        warn_asymmetric(operator)
    width = quantile(found.degrees) * found.stderr
    return TraceResult(
        value=found.value,
        stderr=found.stderr,
        interval=(found.value - width, found.value + width),
        status=found.status,
        method=method,
        history=found.history,
        run=point.run_of_products(operator, began, seed),
    )
