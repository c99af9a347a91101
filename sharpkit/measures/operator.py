"""The curvature as a linear operator of SciPy, for other libraries to work with."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from sharpkit._inputs.arrays import array_module, to_host
from sharpkit._inputs.checks import checked_seed, one_of
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit._spectrum.operators import Operator
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import unsharded

Kind = Literal["hessian", "gauss_newton", "empirical_fisher", "monte_carlo_fisher"]


class CurvatureOperator(LinearOperator):  # type: ignore[misc]
    """A symmetric linear operator of SciPy, which counts its products.

    `sharpkit.operator` makes it. It takes and returns arrays of NumPy, as SciPy does.

    Attributes
    ----------
    shape : (int, int)
        The number of weights, twice.
    dtype : numpy.dtype
        The type of the weights' numbers.
    source : str
        How products are obtained: ``"hvp"``, or differences of the gradient.
    error : float
        The estimated error of a product with a unit vector; 0 where only rounding is
        known.
    """

    def __init__(self, operator: Operator, weights: Array) -> None:
        super().__init__(weights.dtype, (weights.size, weights.size))
        self._operator, self._xp = operator, array_module(weights)
        self.source, self.error = operator.source, operator.error

    @property
    def products(self) -> int:
        """The products done so far."""
        return self._operator.products

    def _matvec(self, x: Any) -> NDArray[Any]:
        v = self._xp.array(np.asarray(x).ravel(), self.dtype)
        out = self._operator.space.zeros()
        if bool(v.any()):  # products are those of vectors other than 0
            self._operator.apply(v, out)
        return to_host(out).copy()

    def _rmatvec(self, x: Any) -> NDArray[Any]:
        return self._matvec(x)

    def _adjoint(self) -> CurvatureOperator:
        return self

    def _transpose(self) -> CurvatureOperator:
        return self


@unsharded
@documented
def operator(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    kind: Kind = "hessian",
    hvp: Hvp | None = None,
    seed: int = 0,
    backend: str | None = None,
) -> CurvatureOperator:
    r"""Return the Hessian, or another curvature matrix, as an operator of SciPy.

    ``scipy.sparse.linalg.eigsh``, ``cg``, ``lobpcg`` and others take it, as do
    libraries that are built on SciPy's operators.

    Parameters
    ----------
    problem
        $problem
    loss_fn
        $gradient_fn
    kind : {"hessian", "gauss_newton", "empirical_fisher", "monte_carlo_fisher"}
        The matrix: the Hessian, or another of which the problem has a product of that
        name. Those of PyTorch and JAX models do.
    hvp
        $hvp
    seed
        The seed of the direction in which the step of differences is chosen, and of the
        labels that a Monte-Carlo Fisher matrix draws.
    backend
        $backend

    Returns
    -------
    CurvatureOperator
        The operator at the weights, a symmetric ``scipy.sparse.linalg.LinearOperator``
        of their dtype. Its vectors are NumPy arrays; where the weights live on a device
        each product copies one vector there and one back.

    Raises
    ------
    TypeError, ValueError
        $raises

    Warns
    -----
    SharpkitWarning
        $asymmetric

    Examples
    --------
    >>> import numpy as np, scipy.sparse.linalg, sharpkit
    >>> curvature = np.arange(100.0)
    >>> problem = sharpkit.Problem(
    ...     np.ones(100), lambda w: (curvature @ w**2 / 2, curvature * w)
    ... )
    >>> H = sharpkit.operator(problem)
    >>> scipy.sparse.linalg.eigsh(H, k=1, which="LA", tol=1e-6)[0].round(3).tolist()
    [99.0]
    """
    one_of("kind", kind, get_args(Kind))
    seed = checked_seed(seed)
    if kind != "hessian":
        hvp = _own(problem, kind, hvp, seed)
    point = Point.of(problem, loss_fn, hvp=hvp, backend=backend)
    made = point.operator(seed, lambda products, value: None)
    return CurvatureOperator(made, point.weights)


def _own(problem: Any, kind: Kind, hvp: Hvp | None, seed: int) -> Hvp:
    """Return the problem's own product with a matrix.

    Raises
    ------
    ValueError
        If it has none, or another product is given.
    """
    own: Any = getattr(problem, kind, None)
    if own is None or hvp is not None:
        what = (
            "and hvp is given" if own is not None else "and problem has no such product"
        )
        msg = (
            f"kind={kind!r} {what}; give a problem with a product {kind} and no hvp, "
            "or that product as hvp= with kind='hessian'"
        )
        raise ValueError(msg)
    return _Other(own(seed) if kind == "monte_carlo_fisher" else own)


class _Other:
    """A product that says it is none with the Hessian, and is not held against one."""

    hessian = False

    def __init__(self, product: Hvp) -> None:
        self._product = product

    def __call__(self, w: Any, v: Any) -> Any:
        """Return the product."""
        return self._product(w, v)
