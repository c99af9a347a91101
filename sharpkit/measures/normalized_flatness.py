"""Normalised flatness: the PAC-Bayes cost of weights, rows and columns scaled apart."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.checks import checked_seed
from sharpkit._inputs.progress import Progress
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit._spectrum.sampling import quantile
from sharpkit.measures._matrices import matrices_of
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import unsharded
from sharpkit.measures.diagonal import Method, diagonal
from sharpkit.results.normalized import NormalizedFlatness

SWEEPS = 2000  # of the alternating updates, at most
SETTLED = 1e-12  # a relative gain of a sweep that ends them
DRAWS = 8  # of the diagonal within its error bars, by which its bias is known
# Errors of two entries of a diagonal from sign probes are correlated, by H_ij^2; so the
# variance of a weighted sum is once to twice what it were if they were not. The root of
# 1.5 is within a fifth of both.
CORRELATED = math.sqrt(1.5)


@unsharded
@documented
def normalized_flatness(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    matrices: Any = None,
    hvp: Hvp | None = None,
    max_products: int = 60,
    method: Method = "xdiag",
    seed: int = 0,
    backend: str | None = None,
    progress: Progress = None,
) -> NormalizedFlatness:
    r"""Estimate the normalised flatness, which no scaling of rows or columns changes.

    The sum over the layers' matrices W of :math:`\min_{\sigma, \sigma' > 0} \sum_{ij}
    [ h_{ij} \sigma_i^2 \sigma_j'^2 + W_{ij}^2 / (2 \sigma_i^2 \sigma_j'^2) ]`, where
    :math:`h_{ij} \ge 0` is the diagonal of the Hessian, clipped at 0: what the best
    noise of rows and columns costs in loss and in distance from 0. A large value is
    sharp.

    Parameters
    ----------
    problem
        $problem
    loss_fn
        $gradient_fn
    matrices
        The matrices of the layers, as in `relative_flatness`; None stands for
        ``problem.matrices``.
    hvp
        $hvp
    max_products
        The products that may be done for the diagonal, which all layers share.
    method : {"xdiag", "hutchinson"}
        The estimator of the diagonal, as in `diagonal`.
    seed
        $seed
    backend
        $backend
    progress
        $progress

    Returns
    -------
    NormalizedFlatness
        The sum over the layers, and the value of each, with errors.

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
    The minimum is found by alternating closed-form updates, which reach it: the sum is
    convex in the logarithms. With a weight :math:`\lambda` of the second term, :math:`1
    / (2 \lambda)`, the value is :math:`1 / \sqrt{\lambda}` times this one. Rows and
    columns without curvature, or without weights, cost nothing. Biases do not count.

    The standard error is that of the diagonal to first order, with the correlations
    that sign probes may have, and the bias that clipping and the minimum add, which is
    estimated by drawing the diagonal within its error bars and subtracted.

    References
    ----------
    Tsuzuku, Sato, Sugiyama, *Normalized flat minima*, ICML 2020, arXiv 1901.04653.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> curvature = np.ones(6)
    >>> found = sharpkit.normalized_flatness(
    ...     np.ones(6), hvp=lambda w, v: curvature * v,
    ...     matrices={"layer": (slice(0, 6), (2, 3))},
    ... )
    >>> round(float(found), 6)  # sqrt(2) |W| sqrt(h), summed
    8.485281
    """
    point = Point.of(problem, loss_fn, hvp=hvp, backend=backend)
    matrices = matrices_of(matrices, point, loss_fn)
    seed = checked_seed(seed)
    found = diagonal(
        point,
        max_products=max_products,
        method=method,
        seed=seed,
        progress=progress,
    )
    random = np.random.default_rng(seed)
    layers: dict[str, Minimum] = {}
    for name, matrix in matrices.items():
        w, h, error = (
            matrix.rows(vector[matrix.place].astype(np.float64))
            for vector in (point.weights, found.values, found.stderr)
        )
        layers[name] = _debiased(w, h, error, random)
    values, linear, bias = zip(*layers.values(), strict=True)
    return NormalizedFlatness(
        value=sum(values),
        stderr=math.hypot(*linear, sum(bias)),
        quantile=quantile(math.inf),  # the errors of many entries tell their size
        layers={name: (each.value, each.error) for name, each in layers.items()},
        status=found.status,
        method=found.method,
        run=found.run,
    )


class Minimum(NamedTuple):
    """The value of one matrix, its error to first order, and the bias taken off."""

    value: float
    linear: float
    bias: float

    @property
    def error(self) -> float:
        """The standard error."""
        return math.hypot(self.linear, self.bias)


def _debiased(w: Array, h: Array, error: Array, random: np.random.Generator) -> Minimum:
    """Return the value without the bias that an inexact diagonal gives it."""
    xp: Any = array_module(w)
    clipped = h.clip(0)
    value, slope = minimum(w, clipped)
    linear = CORRELATED * float(((slope * error) ** 2).sum()) ** 0.5
    if linear <= SETTLED * value:
        return Minimum(value, linear, 0.0)
    # Drawn on the host: the same numbers wherever the weights live.
    drawn = [
        minimum(w, (clipped + error * xp.asarray(each)).clip(0))[0]
        for each in (random.standard_normal(h.shape) for _ in range(DRAWS))
    ]
    bias = float(np.mean(drawn)) - value
    return Minimum(value - bias, linear, bias)


def minimum(w: Array, h: Array) -> tuple[float, Array]:
    r"""Return the minimum over the scales of rows and columns, and its slope in h.

    Parameters
    ----------
    w, h : (rows, columns) float64
        The weights, and the curvature along each, at least 0.

    Returns
    -------
    float
        The minimum.
    (rows, columns) float64
        The derivative by each entry of h: the best ``sigma_i^2 sigma'_j^2``.
    """
    xp: Any = array_module(w)
    cost = w * w / 2
    rows, columns = _counted(h, cost)
    h, cost = h[rows][:, columns], cost[rows][:, columns]
    slope = xp.zeros(w.shape)
    if not h.size:
        return 0.0, slope
    b, value = xp.ones(h.shape[1]), math.inf
    a = xp.ones(h.shape[0])
    for _ in range(SWEEPS):
        a = xp.sqrt((cost @ (1 / b)) / (h @ b))
        b = xp.sqrt(((1 / a) @ cost) / (a @ h))
        b /= xp.exp(xp.log(b).mean())  # of a and b only the product counts
        before, value = value, 2 * float(xp.sqrt((cost @ (1 / b)) * (h @ b)).sum())
        if before - value <= SETTLED * value:
            break
    a = xp.sqrt((cost @ (1 / b)) / (h @ b))
    slope[xp.ix_(rows, columns)] = a[:, None] * b
    return value, slope


def _counted(h: Array, cost: Array) -> tuple[Array, Array]:
    """Return the rows and columns that have both curvature and weights."""
    xp: Any = array_module(h)
    rows, columns = xp.ones(h.shape[0], bool), xp.ones(h.shape[1], bool)
    while True:
        left = xp.ix_(rows, columns)
        some = [(part[left] > 0) for part in (h, cost)]
        good = some[0].any(1) & some[1].any(1)
        rest = some[0].any(0) & some[1].any(0)
        if bool(good.all()) and bool(rest.all()):
            return xp.nonzero(rows)[0], xp.nonzero(columns)[0]
        rows[xp.nonzero(rows)[0][~good]] = False
        columns[xp.nonzero(columns)[0][~rest]] = False
