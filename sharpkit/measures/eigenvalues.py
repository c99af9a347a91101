"""The most extreme eigenvalues of the Hessian: the sharpest and flattest directions."""

from __future__ import annotations

import math
import numbers
from typing import Any, get_args

import numpy as np

from sharpkit._inputs.checks import at_least, one_of
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit._spectrum.thick_restart import Search, Which
from sharpkit.measures.groups import groupable
from sharpkit.measures.setup import Setup
from sharpkit.results import EigenResult, SpectrumStatus

MAX_PRODUCTS = 1000
LEAST_TOL = 32  # roundings


@groupable("most extreme eigenvalue")
def eigenvalues(
    weights: Array,
    loss_fn: LossFn | None = None,
    *,
    hvp: Hvp | None = None,
    groups: None = None,
    k: int = 1,
    which: Which = "LA",
    tol: float = 1e-3,
    max_products: int = MAX_PRODUCTS,
    basis: int | None = None,
    verify: bool = True,
    seed: int = 0,
    backend: str | None = None,
    progress: Progress = None,
) -> EigenResult:
    r"""Find the ``k`` most extreme eigenvalues of the Hessian, with proof for each.

    ``A v = lambda v`` to a residual ``||A v - lambda v|| <= tol max |lambda|``; an
    eigenvalue of a symmetric A lies within its residual of each value returned. By
    thick-restart Lanczos with full orthogonality.

    Parameters
    ----------
    weights : (n,) float32 or float64, NumPy, CuPy, torch or JAX
        The point; never written to.
    loss_fn
        ``loss_fn(w) -> (loss, gradient)``, differentiated by central differences, at
        two calls per product. If it has a method ``hvp``, that is used. May be None
        where ``hvp`` is given.
    hvp
        ``hvp(w, v) -> A v``, exact: the Hessian, the Gauss-Newton matrix, or any
        symmetric operator on (n,) vectors.
    groups : mapping of str to slice, optional
        Measure each of these ranges of the weights by itself, the others fixed, and
        return `GroupResults`: ``problem.layers`` tells which layers are sharp. The
        budget is that of one group; ``progress`` counts groups.
    k
        Number of eigenvalues, at most n.
    which : {"LA", "SA", "LM"}
        The largest, the smallest (most negative), or the largest in magnitude.
    tol
        Of the residual, as a share of the largest magnitude of an eigenvalue.
    max_products
        The most products; what has not converged by then is returned and marked.
    basis
        Vectors kept, which bounds the memory; None: ``max(2 k + 20, 40)``, at most n.
    verify
        Go on, once the pairs have converged, until eigenvalues passed over, such as
        further copies of a multiple one, would have shown with a probability of 99 %,
        if by more than ``2 tol``: some 5 to 10 products for the Hessian of a network.
    seed
        Fixes the random vectors; the same seed gives the same bits.
    backend : {None, "cpu", "cuda", "reference"}
        None: where the weights live.
    progress
        True, False, a callable ``progress(products, budget, pairs converged)``, or
        None: a line on stderr if that is a terminal and it takes over two seconds.

    Returns
    -------
    EigenResult
        With ``groups``, `GroupResults` of them.

    Raises
    ------
    TypeError, ValueError
        If an argument, or what the callback returns, cannot be used.

    Warns
    -----
    SharpkitWarning
        If the products are not those of a symmetric operator.

    Notes
    -----
    Memory beside the callback's own, in vectors of the weights' length and dtype:
    ``basis + k + 2``, and 17 MB at a restart; with differences 5 more while the step is
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
    setup = Setup(weights, loss_fn, hvp, seed=seed, backend=backend)
    k = _checked_k(k, setup.n)
    one_of("which", which, get_args(Which))
    tol = _checked_tol(tol, setup.weights.dtype)
    budget = at_least("max_products", max_products, 1)
    rows = basis_rows(basis, k, setup.n)
    with reporter(
        progress,
        budget,
        title="eigenvalues",
        unit="products at most",
        value="{:.0f} of " + f"{k} converged",
    ) as report:
        operator = setup.operator(report)
        search = Search(
            operator,
            k=k,
            which=which,
            tol=tol,
            budget=budget,
            rows=rows,
            seed=setup.seed,
            verify=verify,
            report=report,
        )
        found = search.run()
    if found.status is SpectrumStatus.ASYMMETRIC:
        setup.warn_asymmetric()
    return EigenResult(
        **found._asdict(),
        size=search.size,
        which=which,
        tol=tol,
        verified=verify and found.status is SpectrumStatus.CONVERGED,
        n=setup.n,
        run=setup.run(),
    )


def _checked_k(k: Any, n: int) -> int:
    number = at_least("k", k, 1)
    if number > n:
        msg = f"k={k}; there are {n} eigenvalues, one per weight: give at most {n}"
        raise ValueError(msg)
    return number


def _checked_tol(tol: Any, dtype: Any) -> float:
    if isinstance(tol, bool) or not isinstance(tol, numbers.Real):
        msg = f"tol={tol!r} is not a number; give one such as 1e-3"
        raise TypeError(msg)
    least = LEAST_TOL * float(np.finfo(dtype).eps)
    if not (least <= float(tol) < math.inf):
        msg = (
            f"tol={tol!r}; in {dtype} residuals can be known to {least:.1g} of the "
            "largest eigenvalue: give a tol above that, such as 1e-3"
        )
        raise ValueError(msg)
    return float(tol)


def basis_rows(basis: Any, k: int, n: int) -> int:
    """Return the vectors of the basis: as asked for, or the default for None."""
    if basis is None:
        return min(max(2 * k + 20, 40), n)
    rows = at_least("basis", basis, 1)
    if rows < min(k + 3, n):
        msg = (
            f"basis={basis} with k={k}; give at least {min(k + 3, n)} vectors, or None "
            "for the default"
        )
        raise ValueError(msg)
    return min(rows, n)
