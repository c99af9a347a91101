"""The diagonal of the Hessian, entry by entry, with error bars."""

from __future__ import annotations

from typing import Any, Literal, get_args

from sharpkit._inputs.checks import at_least, checked_seed, one_of
from sharpkit._inputs.journal import resumable_here
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Hvp, LossFn, Path
from sharpkit._spectrum import hutchinson, xdiag
from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit._spectrum.sampling import quantile
from sharpkit._spectrum.scaled import Scaled
from sharpkit.measures._point import Point, warn_asymmetric
from sharpkit.measures._resumable import resumable
from sharpkit.measures._sharded import sharded
from sharpkit.results.trace import DiagonalResult

Method = Literal["xdiag", "hutchinson"]

METHODS = {
    "xdiag": (xdiag.estimate, xdiag.LEAST_PRODUCTS),
    "hutchinson": (hutchinson.diagonal, hutchinson.LEAST_OF_DIAGONAL),
}


@sharded
@resumable
@documented
def diagonal(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    hvp: Hvp | None = None,
    max_products: int = 60,
    method: Method = "xdiag",
    seed: int = 0,
    backend: str | None = None,
    checkpoint: Path | None = None,
    process_group: Any = None,
    comm: Any = None,
    progress: Progress = None,
) -> DiagonalResult:
    r"""Estimate the diagonal of the Hessian at the weights, with honest error bars.

    ``H_ii`` for each i, from products of the Hessian with random sign vectors.
    ``values`` is unbiased, and ``values +- quantile * stderr`` holds the diagonal in
    about 95 % of the entries.

    Parameters
    ----------
    problem
        $problem
    loss_fn
        $gradient_fn
    hvp
        $hvp
    max_products
        The products that may be done, at least 4.
    method : {"xdiag", "hutchinson"}
        The estimator. ``"xdiag"``: exact on what the products have found, and sampled
        only for the rest; ``max_products + 2`` vectors of memory. ``"hutchinson"``: the
        plain mean of ``v * H v``; two vectors, and two of float64.
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
    DiagonalResult
        The entries, with the standard error of each.

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
    Epperly, Tropp, Webber, arXiv 2301.07825, section 4 (XDiag); Bekas, Kokiopoulou,
    Saad, Applied Numerical Mathematics 57 (2007).

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> features = np.random.default_rng(0).standard_normal((25, 200))
    >>> result = sharpkit.diagonal(
    ...     np.zeros(200), hvp=lambda w, v: features.T @ (features @ v)
    ... )
    >>> bool(np.allclose(result.values, (features**2).sum(axis=0)))
    True
    >>> result.status.name
    'EXACT'
    """
    point = Point.of(problem, loss_fn, hvp=hvp, backend=backend, comm=comm)
    began = point.begin()
    one_of("method", method, get_args(Method))
    estimate, least = METHODS[method]
    budget = at_least("max_products", max_products, least)
    seed = checked_seed(seed)
    with reporter(
        progress, budget, title="diagonal", unit="products", value="trace {:.4g}"
    ) as report:
        operator = point.operator(seed, report)
        scaled = Scaled(operator)
        report = scaled.reported(report)
        with resumable_here():
            found = estimate(scaled, budget, seed=seed, report=report)
    found = scaled.diagonal(found)
    if found.status is SpectrumStatus.ASYMMETRIC:
        warn_asymmetric(operator)
    return DiagonalResult(
        values=found.values,
        stderr=found.stderr,
        quantile=quantile(found.degrees),
        status=found.status,
        method=method,
        run=point.run_of_products(operator, began, seed),
    )
