"""The diagonal of the Hessian, entry by entry, with error bars."""

from __future__ import annotations

from typing import Literal, get_args

from sharpkit._inputs.checks import at_least, one_of
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit._spectrum import hutchinson, xdiag
from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit._spectrum.sampling import quantile
from sharpkit.measures.setup import Setup
from sharpkit.results.trace import DiagonalResult

Method = Literal["xdiag", "hutchinson"]

METHODS = {
    "xdiag": (xdiag.estimate, xdiag.LEAST_PRODUCTS),
    "hutchinson": (hutchinson.diagonal, hutchinson.LEAST_PRODUCTS),
}


def diagonal(
    weights: Array,
    loss_fn: LossFn | None = None,
    *,
    hvp: Hvp | None = None,
    products: int = 60,
    method: Method = "xdiag",
    seed: int = 0,
    backend: str | None = None,
    progress: Progress = None,
) -> DiagonalResult:
    r"""Estimate the diagonal of the Hessian at the weights, with honest error bars.

    ``H_ii`` for each i, from products of the Hessian with random sign vectors.
    ``values`` is unbiased, and ``values +- quantile * stderr`` holds the diagonal in
    about 95 % of the entries.

    Parameters
    ----------
    weights : (n,) float32 or float64, NumPy, CuPy, torch or JAX
        All weights, flattened; never written to. float16 is measured on a float32 copy.
    loss_fn
        ``loss_fn(w) -> (loss, gradient)``. A product is a central difference of the
        gradient (two calls), unless ``loss_fn`` has a method ``hvp(w, v)``.
    hvp
        ``hvp(w, v) -> H v``, (n,): an exact product with the Hessian, or with any
        symmetric operator. ``loss_fn`` is then not needed.
    products
        Products that may be done. At least 4; 2 with ``method="hutchinson"``.
    method : {"xdiag", "hutchinson"}
        ``"xdiag"``: exact on what the products have found, and sampled only for the
        rest; ``products + 2`` vectors of memory. ``"hutchinson"``: the plain mean of
        ``v * H v``; two vectors, and two of float64.
    seed
        Fixes the random vectors; the same seed gives the same bits.
    backend : {None, "cpu", "cuda", "reference"}
        None: where the weights live. ``"cuda"`` needs weights on a CUDA device, and
        callbacks that take and return arrays there.
    progress
        True, False, a callable ``progress(products, budget, trace)``, or None: a line
        on stderr if that is a terminal and the estimate takes over two seconds.

    Returns
    -------
    DiagonalResult

    Raises
    ------
    TypeError, ValueError
        If an argument or a value that a callback returns cannot be used. The message
        names it and the fix. Exceptions of callbacks come through unchanged.

    Warns
    -----
    SharpkitWarning
        If the products are not those of a symmetric operator (``"hutchinson"`` cannot
        tell), or a product has another dtype.

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
    setup = Setup(weights, loss_fn, hvp, seed=seed, backend=backend)
    one_of("method", method, get_args(Method))
    estimate, least = METHODS[method]
    products = at_least("products", products, least)
    with reporter(
        progress, products, title="diagonal", unit="products", value="trace {:.4g}"
    ) as report:
        operator = setup.operator(report)
        found = estimate(operator, products, seed=setup.seed, report=report)
    if found.status is SpectrumStatus.ASYMMETRIC:
        setup.warn_asymmetric()
    return DiagonalResult(
        values=found.values,
        stderr=found.stderr,
        quantile=quantile(found.degrees),
        status=found.status,
        method=method,
        n=setup.n,
        run=setup.run(),
    )
