"""The most extreme eigenvalues of the Hessian: the sharpest and flattest directions."""

from __future__ import annotations

import math
import numbers
from typing import Any, NamedTuple, get_args

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.checks import (
    as_float,
    at_least,
    checked_seed,
    one_of,
    true_or_false,
)
from sharpkit._inputs.foreign import native
from sharpkit._inputs.journal import resumable_here
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Array, Hvp, LossFn, Matrix, Path
from sharpkit._spectrum.basis import Basis
from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit._spectrum.scaled import Scaled
from sharpkit._spectrum.thick_restart import ROUNDINGS, Search, Which
from sharpkit.measures._chart import checked_metric, in_metric
from sharpkit.measures._point import Point, warn_asymmetric
from sharpkit.measures._resumable import resumable
from sharpkit.measures._sharded import sharded
from sharpkit.results.eigen import EigenResult

MAX_PRODUCTS = 1000


@sharded
@resumable
@documented
def eigenvalues(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    hvp: Hvp | None = None,
    preconditioner: Any = None,
    k: int = 1,
    which: Which = "LA",
    tol: float = 1e-3,
    max_products: int = MAX_PRODUCTS,
    ncv: int | None = None,
    v0: Any = None,
    verify: bool = True,
    seed: int = 0,
    backend: str | None = None,
    checkpoint: Path | None = None,
    process_group: Any = None,
    comm: Any = None,
    progress: Progress = None,
) -> EigenResult:
    r"""Find the ``k`` most extreme eigenvalues of the Hessian, with proof for each.

    ``A v = lambda v`` to a residual ``||A v - lambda v|| <= tol |lambda|``, so that
    sign and size are settled; an eigenvalue of a symmetric A lies within its residual
    of each value returned. By thick-restart Lanczos with full orthogonality.

    Parameters
    ----------
    problem
        $problem
    loss_fn
        $gradient_fn
    hvp
        $hvp
    preconditioner
        The diagonal P > 0 of a metric, (n,), or a `Preconditioner`, which
        ``sharpkit.torch.preconditioner`` and ``sharpkit.jax.preconditioner`` read from
        an optimiser: the eigenvalues are then those of ``P^-1/2 H P^-1/2``, by which an
        optimiser that steps in that metric is stable or not, and the vectors are its
        own, ``P^1/2`` times a direction of the weights. None stands for P = 1.
    k
        The number of eigenvalues, at most n.
    which : {"LA", "SA", "LM"}
        The end of the spectrum: the largest, the smallest (most negative), or the
        largest in magnitude.
    tol
        The largest residual that counts as converged, as a share of the eigenvalue's
        own magnitude. A small eigenvalue beside a large one takes many products.
    max_products
        The most products; what has not converged by then is returned and marked.
    ncv
        The number of Lanczos vectors kept, which bounds the memory; None stands for
        ``max(2 k + 20, 40)``, at most n.
    v0
        The vectors to start from: those of an earlier result, or the result itself; one
        vector (n,), or several as rows, of which the first k count. Where the weights
        have changed little since, ``k=1, tol=1e-2, verify=False`` takes some 3
        products. They change how soon pairs converge, never what counts as converged.
        None starts from a random vector.
    verify
        Whether the search goes on, once the pairs have converged, until eigenvalues
        passed over, such as further copies of a multiple one, would have shown with a
        probability of 99 %, if by more than ``2 tol`` of the last value, or, where
        values crowd there, by 1 % of the largest: some 5 to 10 products for the Hessian
        of a network.
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
    EigenResult
        The eigenpairs, with the residual of each.

    Raises
    ------
    TypeError, ValueError
        $raises

    Warns
    -----
    SharpkitWarning
        $asymmetric

    Notes
    -----
    Memory beside the callback's own, in vectors of the weights' length and dtype:
    ``ncv + k + 2``, and 17 MB at a restart; with differences 6 more while the step is
    chosen, 1 after.

    References
    ----------
    Wu and Simon, SIAM J. Matrix Anal. Appl. 22 (2000): thick restarts. Bielich et al.,
    Parallel Computing 112 (2022): delayed re-orthogonalisation. Keskar et al., arXiv
    1609.04836, section 2.2.2: sharp minima have many large positive eigenvalues.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> curvature = np.arange(100.0)
    >>> found = sharpkit.eigenvalues(
    ...     np.zeros(100), hvp=lambda w, v: curvature * v, k=2, tol=1e-9
    ... )
    >>> found.values.round(6).tolist()
    [99.0, 98.0]
    """
    point = Point.of(problem, loss_fn, hvp=hvp, backend=backend, comm=comm)
    return searched(
        point,
        preconditioner=preconditioner,
        k=k,
        which=which,
        tol=tol,
        max_products=max_products,
        ncv=ncv,
        v0=v0,
        verify=verify,
        seed=seed,
        progress=progress,
    )[0]


class Known(NamedTuple):
    """What a search for eigenvalues leaves behind: the operator on a subspace.

    Attributes
    ----------
    basis : Basis
        Orthonormal rows.
    restricted : (rows, rows) float64
        The operator restricted to them, divided by the factor.
    factor : float
        What the operator was divided by: see `Scaled`.
    """

    basis: Basis
    restricted: Matrix
    factor: float


def searched(
    point: Point,
    *,
    k: int,
    preconditioner: Any = None,
    which: Which = "LA",
    tol: float = 1e-3,
    max_products: int = MAX_PRODUCTS,
    ncv: int | None = None,
    v0: Any = None,
    verify: bool = True,
    seed: int,
    progress: Progress = None,
) -> tuple[EigenResult, Known]:
    """Return the eigenvalues at a point, and what the search for them knows then.

    Parameters
    ----------
    point
        The point.
    k, preconditioner, which, tol, max_products, ncv, v0, verify, seed, progress
        As `eigenvalues` takes them.
    """
    began = point.begin()
    k, tol = checked_k(k, point.n), _checked_tol(tol, point.weights.dtype)
    one_of("which", which, get_args(Which))
    budget = at_least("max_products", max_products, 1)
    rows, seed = basis_rows(ncv, k, point.n), checked_seed(seed)
    verify = true_or_false("verify", verify)
    metric, start = None, _start(v0, k, point)
    if preconditioner is not None:
        metric = checked_metric(preconditioner, point.weights)
        point = in_metric(point, metric)
    with reporter(
        progress,
        budget,
        title="eigenvalues",
        unit="products at most",
        value="{:.0f} of " + f"{k} converged",
    ) as report:
        operator = point.operator(seed, report)
        scaled = Scaled(operator)
        search = Search(
            scaled,
            k=k,
            which=which,
            tol=tol,
            budget=budget,
            rows=rows,
            seed=seed,
            verify=verify,
            report=report,
            start=start,
        )
        with resumable_here():
            found = search.run()
    if found.status is SpectrumStatus.ASYMMETRIC:
        warn_asymmetric(operator)
    found = found._replace(
        values=scaled.restored(found.values),
        residuals=scaled.restored(found.residuals),
    )
    result = EigenResult(
        **found._asdict(),
        size=scaled.restored(search.size),
        which=which,
        tol=tol,
        verified=verify and found.status is SpectrumStatus.CONVERGED,
        run=point.run_of_products(operator, began, seed),
        preconditioner=None if metric is None else metric.name,
        threshold=None if metric is None else metric.threshold,
    )
    return result, Known(*search.known(), scaled.factor)


def _start(v0: Any, k: int, point: Point) -> Array | None:
    """Return the sum of the first k vectors, each of norm 1: its Krylov space has all.

    Raises
    ------
    TypeError
        If they are no arrays.
    ValueError
        If they have another shape, are not finite, or 0.
    """
    if v0 is None:
        return None
    given, _ = native(v0.vectors if isinstance(v0, EigenResult) else v0)
    if getattr(getattr(given, "dtype", None), "kind", "") != "f":
        msg = (
            f"v0 is of type {type(v0).__name__}; give the result of an earlier call, "
            "or its vectors, an array of real numbers"
        )
        raise TypeError(msg)
    n = point.space.n
    if given.ndim not in (1, 2) or given.shape[-1] != n or not len(given):
        msg = f"v0 has shape {given.shape}; give vectors of {n} entries, ({n},) or rows"
        raise ValueError(msg)
    start: Array = point.space.zeros()
    for row in array_module(point.weights).asarray(given).reshape(-1, n)[:k]:
        vector = row.astype(start.dtype)
        norm = point.space.norm(vector)
        if not 0 < norm < math.inf:
            msg = f"v0 has a vector of norm {norm:g}; give finite vectors other than 0"
            raise ValueError(msg)
        point.space.add(vector, start, 1 / norm)
    # Vectors that start one another decay where the loss does not depend on a weight,
    # down to numbers below the normal ones, with which processors are slow.
    start[abs(start) < math.sqrt(np.finfo(start.dtype).tiny)] = 0
    return start


def checked_k(k: Any, n: int) -> int:
    """Return how many eigenvalues of n are wanted.

    Raises
    ------
    ValueError
        If there are not so many.
    """
    number = at_least("k", k, 1)
    if number > n:
        msg = f"k={k}; there are {n} eigenvalues, one per weight: give at most {n}"
        raise ValueError(msg)
    return number


def _checked_tol(tol: Any, dtype: Any) -> float:
    if isinstance(tol, bool) or not isinstance(tol, numbers.Real):
        msg = f"tol={tol!r} is not a number; give one such as 1e-3"
        raise TypeError(msg)
    least = ROUNDINGS * float(np.finfo(dtype).eps)
    if not (least <= as_float(tol) < math.inf):
        msg = (
            f"tol={tol!r}; in {dtype} residuals can be known to {least:.1g} of the "
            "largest eigenvalue: give a tol above that, such as 1e-3"
        )
        raise ValueError(msg)
    return float(tol)


def basis_rows(ncv: Any, k: int, n: int) -> int:
    """Return the vectors of the basis: as asked for, or the default for None.

    Raises
    ------
    ValueError
        If there are too few for the eigenvalues that are wanted.
    """
    if ncv is None:
        return min(max(2 * k + 20, 40), n)
    rows = at_least("ncv", ncv, 1)
    if rows < min(k + 3, n):
        msg = (
            f"ncv={ncv} with k={k}; give at least {min(k + 3, n)} vectors, or None "
            "for the default"
        )
        raise ValueError(msg)
    return min(rows, n)
