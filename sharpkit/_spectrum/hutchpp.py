"""Hutch++: the trace on a sketch of the range exactly, and of the rest by sampling."""

from __future__ import annotations

import math

import numpy as np

from sharpkit._inputs.types import Array, Matrix, Report, Vector
from sharpkit._spectrum.basis import Basis, finite_norm, finite_square
from sharpkit._spectrum.estimate import SpectrumStatus, TraceEstimate
from sharpkit._spectrum.operators import Operator
from sharpkit._spectrum.sampling import (
    FEW,
    FIRST_LOOK,
    SignProbes,
    error_of_products,
    looks,
    looks_asymmetric,
)
from sharpkit._spectrum.xtrace import whole
from sharpkit._vectors.streams import Stream

LEAST_PRODUCTS = 4  # for the sketch one, for its trace one, and two for the rest


def estimate(
    operator: Operator,
    products: int,
    *,
    seed: int,
    rtol: float | None,
    report: Report,
) -> TraceEstimate:
    r"""Estimate the trace of a symmetric operator with an error bar.

    ``tr(Q^T A Q) + mean_i w_i^T (I - Q Q^T) A (I - Q Q^T) w_i``: a third of the
    products makes Q, an orthonormal basis of A times normal probes, a third goes into
    ``Q^T A Q``, and the rest into m sign probes w_i. Given Q these are independent, so
    that the standard error is that of their mean, ``std / sqrt(m)``. Where the sketch
    spans the operator's range before it is complete, the value is ``tr(Q^T A Q)``,
    exact but for rounding.

    Parameters
    ----------
    operator
        The operator. A product that is not finite raises a ValueError.
    products
        The number of products that may be done, at least 4.
    seed
        The seed of the probes.
    rtol
        The relative error at which to stop: as soon as the standard error is at most
        rtol times the value, looked at after 20, 28, 40, 57, ... products only, and
        after ten samples of the rest. None does all products.
    report
        A function that is called with (products done, value so far).

    Notes
    -----
    Where large eigenvalues are left in the rest its samples are skewed, and few of them
    cover less than their t interval promises. With fewer than ten the variance is
    therefore at least the one that the entries of the samples show (see `SignProbes`),
    and fewer than 20 products take the trace in a basis of the whole space, exactly,
    where they suffice for that.

    Memory: ``products / 3 + 4`` vectors.

    References
    ----------
    Meyer, Musco, Musco, Woodruff, *Hutch++: Optimal stochastic trace estimation*, SOSA
    2021, arXiv 2010.09649, Algorithm 1.
    """
    space = operator.space
    if space.size <= products < FIRST_LOOK:
        return whole(operator, seed, report)
    third = min(products // 3, space.size)
    basis, vectors = Basis(space, third), space.empty(2)
    norm, missed = _sketch(operator, basis, seed, vectors, report)
    h = _compression(operator, basis, vectors[1], report)
    trace, size = float(np.trace(h)), space.size
    error = error_of_products(operator, norm)
    if basis.count == third < size:
        rest = Rest(operator, basis, seed, vectors, report, trace)
        found = sampled(rest, products, 2 * third, rtol, error)
    else:
        stderr, status = math.hypot(missed, error), SpectrumStatus.EXACT
        history = ((operator.products, trace, stderr),)
        found = TraceEstimate(trace, stderr, math.inf, status, history)
    if looks_asymmetric(h, operator.error):
        found = found._replace(status=SpectrumStatus.ASYMMETRIC)
    return found


def sampled(
    rest: Rest, products: int, spent: int, rtol: float | None, error: float
) -> TraceEstimate:
    """Sample what the sketch has left, until the error is small if that is asked.

    Parameters
    ----------
    rest
        The samples.
    products, spent
        The products that may be done, and those of them that the sketch took.
    rtol
        The relative error that is enough.
    error
        The error of the products in a trace.
    """
    history: list[tuple[int, float, float]] = []
    status = SpectrumStatus.COMPLETE if rtol is None else SpectrumStatus.BUDGET
    for done in looks(products):
        count = done - spent
        if done < products and count < FEW:
            continue
        samples = rest.grow(count)
        value = rest.trace + float(samples.mean())
        stderr = math.hypot(rest.probes.stderr(samples), error)
        history.append((rest.products, value, stderr))
        if rtol is not None and history[-1][2] <= rtol * abs(value):
            status = SpectrumStatus.CONVERGED
            break
    _, value, stderr = history[-1]
    return TraceEstimate(value, stderr, count - 1.0, status, tuple(history))


def _sketch(
    operator: Operator, basis: Basis, seed: int, vectors: Array, report: Report
) -> tuple[float, float]:
    """Fill the basis with A times normal probes, until it spans the operator's range.

    Return the root mean square of the products' norms, and what of the trace the last
    probe saw outside of a basis that spans the range, else 0.
    """
    space, squares, seen = operator.space, [], []
    while basis.count < len(basis.block):
        index, probe = basis.count, vectors[0]
        row = basis.block[index]
        space.fill_normal(probe, seed, Stream.PROBES + index)
        operator.apply(probe, row)
        squares.append(finite_square(space, row))
        seen.append(space.dot(probe, row))
        report(operator.products, float(np.mean(seen)))
        basis.extend()
        if basis.count == index:  # the row holds what of the product is not in Q
            return math.sqrt(float(np.mean(squares))), space.dot(probe, row)
    return math.sqrt(float(np.mean(squares))), 0.0


def _compression(
    operator: Operator, basis: Basis, product: Array, report: Report
) -> Matrix:
    """Return ``Q^T A Q``."""
    rows = basis.block[: basis.count]
    h = np.zeros((basis.count, basis.count))
    for index, row in enumerate(rows):
        operator.apply(row, product)
        finite_norm(operator.space, product)  # raises unless finite
        h[:, index] = operator.space.gram(rows, product[None])[:, 0]
        report(operator.products, float(np.trace(h)))
    return h


class Rest:
    """Samples ``w^T (I - Q Q^T) A (I - Q Q^T) w`` of sign probes w.

    Attributes
    ----------
    trace : float
        ``tr(Q^T A Q)``.
    probes : SignProbes
        The probes.
    """

    def __init__(
        self,
        operator: Operator,
        basis: Basis,
        seed: int,
        vectors: Array,
        report: Report,
        trace: float,
    ) -> None:
        self._operator, self._basis = operator, basis
        self._vectors, self._report = vectors, report
        self.trace = trace
        self.probes = SignProbes(operator.space, seed, basis.count)
        self._samples: list[float] = []

    @property
    def products(self) -> int:
        """How many products have been done in all."""
        return self._operator.products

    def grow(self, count: int) -> Vector:
        """Return so many samples, those from before included."""
        while len(self._samples) < count:
            self._samples.append(self._next())
            value = self.trace + float(np.mean(self._samples))
            self._report(self.products, value)
        return np.array(self._samples)

    def _next(self) -> float:
        space, basis = self._operator.space, self._basis
        probe, product = self._vectors
        self.probes.draw(probe)
        given = space.norm(probe)
        self._leave_sketch(probe)
        # In few dimensions a probe may lie in Q: it then sees nothing of the rest.
        if space.norm(probe) <= 4 * basis.rounding * given:
            product.fill(0)
            self.probes.see(product)
            return 0.0
        self._operator.apply(probe, product)
        finite_norm(space, product)  # raises unless finite
        sample = space.dot(probe, product)
        self._leave_sketch(product)
        self.probes.see(product)
        return sample

    def _leave_sketch(self, vector: Array) -> None:
        """``vector = (I - Q Q^T) vector``."""
        space, block = self._operator.space, self._basis.block[: self._basis.count]
        inside = space.gram(block, vector[None])
        space.combine(-inside.T, block, vector[None], beta=1.0)
