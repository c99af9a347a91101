"""The trace of the Hessian: the sum of its eigenvalues, with an error bar."""

from __future__ import annotations

import math
import numbers
from typing import Any, Literal, get_args

from sharpkit._inputs.checks import at_least, one_of
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit._spectrum import hutchinson, hutchpp, xtrace
from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit._spectrum.sampling import quantile
from sharpkit.measures.groups import groupable
from sharpkit.measures.setup import Setup
from sharpkit.results.trace import TraceResult

Method = Literal["xtrace", "hutch++", "hutchinson"]

METHODS = {
    "xtrace": (xtrace.estimate, xtrace.LEAST_PRODUCTS),
    "hutch++": (hutchpp.estimate, hutchpp.LEAST_PRODUCTS),
    "hutchinson": (hutchinson.trace, hutchinson.LEAST_PRODUCTS),
}


@groupable("trace")
def trace(
    weights: Array,
    loss_fn: LossFn | None = None,
    *,
    hvp: Hvp | None = None,
    groups: None = None,
    products: int = 60,
    method: Method = "xtrace",
    rtol: float | None = None,
    seed: int = 0,
    backend: str | None = None,
    progress: Progress = None,
) -> TraceResult:
    r"""Estimate the trace of the Hessian at the weights, with an honest error bar.

    ``tr(H) = sum_i H_ii``, from products of the Hessian with random vectors. ``value``
    is unbiased (without rtol), and ``interval`` holds the trace in about 95 of 100 runs
    with different seeds.

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
    groups : mapping of str to slice, optional
        Measure each of these ranges of the weights by itself, the others fixed, and
        return `GroupResults`: ``problem.layers`` tells which layers are sharp. The
        budget is that of one group; ``progress`` counts groups.
    products
        Products that may be done. At least 4; 2 with ``method="hutchinson"``.
    method : {"xtrace", "hutch++", "hutchinson"}
        ``"xtrace"``: by far the best where few eigenvalues dominate; ``products / 2 +
        1`` vectors of memory. ``"hutch++"``: a simpler relative; ``products / 3 + 2``
        vectors. ``"hutchinson"``: the plain mean over sign vectors; 2 vectors, and
        fewer products than the others for a rough value where no eigenvalues dominate.
    rtol
        Stop as soon as the standard error is at most ``rtol * |value|``; looked at a
        few times only. None: all products.
    seed
        Fixes the random vectors; the same seed gives the same bits.
    backend : {None, "cpu", "cuda", "reference"}
        None: where the weights live. ``"cuda"`` needs weights on a CUDA device, and
        callbacks that take and return arrays there.
    progress
        True, False, a callable ``progress(products, budget, value)``, or None: a line
        on stderr if that is a terminal and the estimate takes over two seconds.

    Returns
    -------
    TraceResult
        With ``groups``, `GroupResults` of them.

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
    setup = Setup(weights, loss_fn, hvp, seed=seed, backend=backend)
    one_of("method", method, get_args(Method))
    estimate, least = METHODS[method]
    products = at_least("products", products, least)
    rtol = _checked_rtol(rtol)
    with reporter(
        progress, products, title="trace", unit="products", value="{:.4g} so far"
    ) as report:
        operator = setup.operator(report)
        found = estimate(operator, products, seed=setup.seed, rtol=rtol, report=report)
    if found.status is SpectrumStatus.ASYMMETRIC:
        setup.warn_asymmetric()
    width = quantile(found.degrees) * found.stderr
    return TraceResult(
        value=found.value,
        stderr=found.stderr,
        interval=(found.value - width, found.value + width),
        status=found.status,
        method=method,
        n=setup.n,
        history=found.history,
        run=setup.run(),
    )


def _checked_rtol(rtol: Any) -> float | None:
    if rtol is None:
        return None
    if isinstance(rtol, bool) or not isinstance(rtol, numbers.Real):
        msg = f"rtol={rtol!r} is not a number; give one such as 0.01, or None"
        raise TypeError(msg)
    if not 0 < float(rtol) < math.inf:
        msg = f"rtol={rtol!r}; give a number above 0, such as 0.01"
        raise ValueError(msg)
    return float(rtol)
