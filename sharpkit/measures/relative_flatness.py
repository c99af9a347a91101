"""Relative flatness: the curvature of a layer in units of its own weights."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit.measures._chart import Chart
from sharpkit.measures._matrices import Matrix, matrices_of
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import unsharded
from sharpkit.measures.trace import Method, trace
from sharpkit.results.common import Run
from sharpkit.results.groups import GroupResults
from sharpkit.results.trace import RelativeFlatness, TraceResult


@unsharded
@documented
def relative_flatness(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    matrices: Any = None,
    hvp: Hvp | None = None,
    max_products: int = 60,
    method: Method = "xtrace",
    seed: int = 0,
    backend: str | None = None,
    progress: Progress = None,
) -> GroupResults[RelativeFlatness]:
    r"""Estimate the relative flatness of each layer, which rescaling does not change.

    :math:`\kappa_{Tr} = \sum_{s,s'} \langle w_s, w_{s'} \rangle \, tr(H_{s,s'})` over
    the rows :math:`w_s` of a layer's matrix W, the weights of its neurons, and the
    blocks :math:`H_{s,s'}` of the Hessian. A large value is sharp.

    Parameters
    ----------
    problem
        $problem
    loss_fn
        $gradient_fn
    matrices
        The matrices of the layers: a mapping of names to ``(slice, shape)``, where the
        first axis of the shape are the layer's outputs, or to ``(slice, shape, axis of
        the outputs)``. None stands for ``problem.matrices``, which problems of PyTorch
        and JAX know: all arrays of two axes or more. In JAX the outputs are taken to be
        the last axis, unless the array is called ``weight``, as in Equinox.
    hvp
        $hvp
    max_products
        The products that may be done for each layer: at least 4, or 2 with
        ``method="hutchinson"``.
    method : {"xtrace", "hutch++", "hutchinson"}
        The estimator of the trace, as in `trace`.
    seed
        $seed
    backend
        $backend
    progress
        Who is told of progress, as in the measures; what is done is a layer.

    Returns
    -------
    GroupResults
        A `RelativeFlatness` of each layer by its name, with error and interval.

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
    With :math:`R R^T = W W^T` it is the trace of :math:`(R \otimes I)^T H (R \otimes
    I)`, and what holds for `trace` holds for it: a probe Y takes one product, U = R Y,
    as ``U = (W q) z^T`` of random signs q and z does, whose mean is the same and whose
    spread is larger.

    References
    ----------
    Petzka, Kamp, Adilova, Sminchisescu, Boley, *Relative flatness and generalization*,
    NeurIPS 2021, arXiv 2001.00939.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> curvature = np.arange(1.0, 7.0)
    >>> found = sharpkit.relative_flatness(
    ...     np.ones(6), hvp=lambda w, v: curvature * v,
    ...     matrices={"layer": (slice(0, 6), (2, 3))},
    ... )
    >>> round(float(found["layer"]), 6)  # |w_s|^2 = 3 times the sum of the curvature
    63.0
    """
    point = Point.of(problem, loss_fn, hvp=hvp, backend=backend)
    matrices = matrices_of(matrices, point, loss_fn)
    options: Any = {"max_products": max_products, "method": method, "seed": seed}
    found: dict[str, RelativeFlatness] = {}
    with reporter(
        progress,
        len(matrices),
        title="relative flatness",
        unit="layers",
        value="the last {:.4g}",
    ) as report:
        for name, matrix in matrices.items():
            inside = _by_rows(point, matrix)
            value = trace(inside, progress=False, **options)
            known = {
                each.name: getattr(value, each.name) for each in fields(TraceResult)
            }
            found[name] = RelativeFlatness(**known, shape=matrix.size)
            report(len(found), float(value))
    sizes = {name: rows * columns for name, (rows, columns) in _sizes(matrices).items()}
    run = replace(Run.together(each.run for each in found.values()), n=point.n)
    return GroupResults(found, sizes, run)


def _sizes(matrices: dict[str, Matrix]) -> dict[str, tuple[int, int]]:
    return {name: matrix.size for name, matrix in matrices.items()}


def _by_rows(point: Point, matrix: Matrix) -> Point:
    """Return the point in coordinates Y of a layer, ``W = W0 + R (Y - Y0)``.

    R are the left singular vectors of W times their values, of rank of W at the most,
    so that Y0 are the right ones.
    """
    xp: Any = array_module(point.weights)
    own = matrix.rows(point.weights[matrix.place].astype(np.float64))
    left, sizes, right = xp.linalg.svd(own, full_matrices=False)
    rank = max(int((sizes > np.finfo(float).eps * max(own.shape) * sizes[0]).sum()), 1)
    root = (left * sizes)[:, :rank].astype(point.weights.dtype)
    turned = root.T.copy()

    def out(y: Array) -> Array:
        return matrix.part(root @ y.reshape(rank, -1))

    def back(g: Array) -> Array:
        gradient: Array = (turned @ matrix.rows(g)).reshape(-1)
        return gradient

    start = right[:rank].astype(point.weights.dtype).reshape(-1)
    return Chart(point.weights, start, out, back, place=matrix.place).of(point)
