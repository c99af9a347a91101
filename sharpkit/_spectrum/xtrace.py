"""XTrace: the trace from products in which each probe tests what the others found."""

from __future__ import annotations

import math

import numpy as np

from sharpkit._inputs.types import Array, Matrix, Report, Vector
from sharpkit._spectrum.basis import Basis, finite_norm
from sharpkit._spectrum.estimate import SpectrumStatus, TraceEstimate
from sharpkit._spectrum.operators import Operator
from sharpkit._spectrum.sampling import (
    alike,
    directions,
    error_of_products,
    looks,
    looks_asymmetric,
)
from sharpkit._vectors.streams import Stream

LEAST_PRODUCTS = 4  # for two probes: a single one tells nothing of its error


def estimate(
    operator: Operator,
    products: int,
    *,
    seed: int,
    rtol: float | None,
    report: Report,
) -> TraceEstimate:
    r"""Estimate the trace of a symmetric operator with an error bar.

    With p normal probes w_i, ``y_i = A w_i`` and ``Q_i`` an orthonormal basis of all y
    but the i-th, the value is the mean of

        ``tr_i = tr(Q_i^T A Q_i)
        + (n - p + 1) / ||(I - Q_i Q_i^T) w_i||^2  w_i^T (I - Q_i Q_i^T) A (I - Q_i
        Q_i^T) w_i``,

    each of which is unbiased. It takes p products for the y and p for the basis Q of
    all of them. Where the y become dependent they span the operator's range, and the
    value is ``tr(Q^T A Q)``, exact but for rounding; so it is where the products
    suffice for a basis of the whole space.

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
        rtol times the value, looked at after 20, 28, 40, 57, ... products only. None
        does all products.
    report
        A function that is called with (products done, value so far).

    Notes
    -----
    The standard error is not the paper's ``std(tr_i) / sqrt(p)``: the tr_i use the same
    products, which makes two of them correlated, and that error too small: by up to a
    factor 1.4 with flat or slowly decaying spectra. With ``tr_i^(j)``, the estimate of
    probe i in the basis that knows neither i nor j,

        ``Cov(tr_i, tr_j) = E[(tr_i - tr_i^(j)) (tr_j - tr_j^(i))]``

    exactly: given all other probes, ``tr_i^(j)`` depends on w_i alone and ``tr_j^(i)``
    on w_j alone, so that they are independent; and whatever w_i, the mean of
    ``tr_j - tr_j^(i)`` over w_j is zero. The mean of these products over all pairs is
    therefore added to ``var(tr_i) / p``, which makes an unbiased variance of the value;
    where that mean is mostly noise, at least ``var(tr_i) / p`` is (see `_shared`).
    Where there are as many probes as large eigenvalues above a gap, leaving out any
    probe may lose nearly the same direction s, and all tr_i then err alike, by up to
    the trace along it: the variance is taken for at least half of the mean over all
    pairs of ``cos^4(s_i, s_j) h_i h_j``, ``h_i`` being the trace along ``s_i`` beyond
    the mean eigenvalue that the probe sees in the rest. All that costs small matrices
    only.

    Memory: ``products / 2 + 1`` vectors. The probes are not kept but drawn again.

    References
    ----------
    Epperly, Tropp, Webber, *XTrace: Making the most of every sample in stochastic trace
    estimation*, SIAM J. Matrix Anal. Appl. 45 (2024), arXiv 2301.07825, sections 1.3
    and 2.3 (the normal probes' scale).
    """
    space = operator.space
    if products >= space.size:
        return whole(operator, seed, report)
    sketch = _Sketch(operator, products // 2, seed, report)
    history: list[tuple[int, float, float]] = []
    status = SpectrumStatus.COMPLETE if rtol is None else SpectrumStatus.BUDGET
    for spent in looks(products):
        sketch.grow(spent // 2)
        value, stderr = sketch.exact() if sketch.spanned else sketch.estimate()
        history.append((operator.products, value, stderr))
        report(*history[-1][:2])
        if sketch.spanned:
            status = SpectrumStatus.EXACT
            break
        if rtol is not None and stderr <= rtol * abs(value):
            status = SpectrumStatus.CONVERGED
            break
    degrees = math.inf if sketch.spanned else sketch.basis.count - 1.0
    status = SpectrumStatus.ASYMMETRIC if sketch.asymmetric else status
    return TraceEstimate(value, stderr, degrees, status, tuple(history))


def whole(operator: Operator, seed: int, report: Report) -> TraceEstimate:
    """Take the trace in a random basis of the whole space: n products, exact."""
    space = operator.space
    sketch = _Sketch(operator, space.size, seed, report)
    while sketch.basis.draw(seed, sketch.basis.count):
        pass
    sketch.compress(0)
    value, stderr = sketch.exact()
    status = SpectrumStatus.EXACT
    status = SpectrumStatus.ASYMMETRIC if sketch.asymmetric else status
    history = ((operator.products, value, stderr),)
    return TraceEstimate(value, stderr, math.inf, status, history)


class _Sketch:
    """The sketch Q R = Y = A Omega, with the small matrices that estimates are made of.

    Attributes
    ----------
    basis : Basis
        Q.
    r, h, w : (capacity, capacity) float64
        ``R``, ``Q^T A Q`` and ``Q^T Omega``; their leading parts are filled.
    squares : (capacity,) float64
        The squares of the probes' norms.
    spanned : bool
        Whether Q spans the operator's range.
    asymmetric : bool
        Whether ``Q^T A Q`` tells that A is not symmetric.
    value : float
        The trace so far; before the first look at it, the mean of ``w . A w``.
    """

    def __init__(
        self, operator: Operator, capacity: int, seed: int, report: Report
    ) -> None:
        self.operator, self.space, self._seed = operator, operator.space, seed
        self.basis = Basis(self.space, capacity)
        shape = (capacity, capacity)
        self.r, self.h, self.w = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.squares = np.zeros(capacity)
        self.spanned = self.asymmetric = False
        self.value = math.nan
        self._missed = 0.0  # what of the trace a probe saw outside of Q
        self._vector, self._report = self.space.empty(), report

    def grow(self, probes: int) -> None:
        """Take more probes, until Q spans the operator's range."""
        done, tried = self.basis.count, 0.0
        while self.basis.count < probes and not self.spanned:
            index = self.basis.count
            row = self.basis.block[index]
            self._draw(index)
            self._apply(self._vector, row)
            tried += self.space.dot(self._vector, row)
            self.r[:index, index], self.r[index, index] = self.basis.extend()
            if not done:
                self.value = tried / (index + 1)
            if self.basis.count == index:
                self.spanned = True
                # The row now holds what of the product is not in Q.
                self._missed = self.space.dot(self._vector, row)
        self.compress(done)
        if not self.spanned:
            self._project(done)

    def compress(self, done: int) -> None:
        """Multiply the rows of Q from ``done`` on by A, and fill in h."""
        end = self.basis.count
        rows = self.basis.block[:end]
        for index in range(done, end):
            self._apply(rows[index], self._vector)
            finite_norm(self.space, self._vector)  # raises unless finite
            self.h[:end, index] = self.space.gram(rows, self._vector[None])[:, 0]
        # The products with the old rows are gone; A is symmetric.
        self.h[done:end, :done] = self.h[:done, done:end].T
        new = self.h[done:end, done:end]
        self.asymmetric |= looks_asymmetric(new, self.operator.error)

    def exact(self) -> tuple[float, float]:
        """Return ``tr(Q^T A Q)`` and the error of the products it is made of."""
        h = self.h[: self.basis.count, : self.basis.count]
        self.value = float(np.trace(h))
        error = self._error(float(np.linalg.norm(h)))
        return self.value, math.hypot(error, self._missed)

    def estimate(self) -> tuple[float, float]:
        """Return the mean over the probes, and its standard error."""
        p = self.basis.count
        r, h, w = (m[:p, :p] for m in (self.r, self.h, self.w))
        samples, shared, least = _samples(
            r, (h + h.T) / 2, w, self.squares[:p], self.space.size, self.basis.rounding
        )
        self.value = float(samples.mean())
        error = self._error(float(np.linalg.norm(r)) / math.sqrt(p))
        variance = max(float(samples.var(ddof=1)) / p + shared, least)
        return self.value, math.hypot(math.sqrt(variance), error)

    def _error(self, norm: float) -> float:
        return error_of_products(self.operator, norm)

    def _apply(self, v: Array, out: Array) -> None:
        self.operator.apply(v, out)
        self._report(self.operator.products, self.value)

    def _draw(self, index: int) -> None:
        self.space.fill_normal(self._vector, self._seed, Stream.PROBES + index)

    def _project(self, done: int) -> None:
        """Fill in w; the probes are drawn again, and only new pairs are multiplied."""
        end, probe = self.basis.count, self._vector[None]
        for index in range(end):
            self._draw(index)
            begin = 0 if index >= done else done
            rows = self.basis.block[begin:end]
            self.w[begin:end, index] = self.space.gram(rows, probe)[:, 0]
            if index >= done:
                self.squares[index] = self.space.gram(probe, probe)[0, 0]


def _samples(
    r: Matrix, h: Matrix, w: Matrix, squares: Vector, n: int, rounding: float
) -> tuple[Vector, float, float]:
    """Return each probe's estimate, the covariance of two, and the least variance.

    ``r, h, w`` are R, H = Q^T A Q (symmetric) and Q^T Omega. Leaving out the i-th
    probe takes the direction ``s_i`` from Q, leaving out two takes two; what a probe
    finds then follows from products of S with H and W.
    """
    s, own, cosines, inverse = directions(r, rounding)
    p = len(r)
    sw, shw, shs = s.T @ w, s.T @ h @ w, s.T @ h @ s
    outside = squares - (w * w).sum(axis=0)  # ||(I - Q Q^T) w_i||^2
    whole = (w * (h @ w)).sum(axis=0) - (w * r).sum(axis=0)
    trace = float(np.trace(h))
    a, hii = sw.diagonal(), shs.diagonal()

    quadratic = whole + 2 * a * (own - shw.diagonal()) + a * a * hii
    seen = quadratic / (outside + a * a)  # the mean eigenvalue, says the probe
    samples = trace - hii + (n - p + 1) * seen
    excess = hii - seen

    # Row i, column j: the i-th probe, in the basis that knows neither i nor j. There
    # it has lost x s_i + z s_j.
    ai, b = a[:, None], sw.T
    x, z = inverse * (ai - cosines * b), inverse * (b - cosines * ai)
    lost = inverse * (hii[:, None] - 2 * cosines * shs + hii)
    quadratic = (
        whole[:, None]
        + 2 * x * (own - shw.diagonal())[:, None]
        - 2 * z * shw.T
        + x * x * hii[:, None]
        + 2 * x * z * shs
        + z * z * hii
    )
    left = np.where(inverse > 0, outside[:, None] + ai * x + b * z, 1.0)
    without = trace - lost + (n - p + 2) / left * quadratic
    change = np.where(inverse > 0, samples[:, None] - without, 0.0)
    least = float((alike(cosines) * np.outer(excess, excess)).mean())
    return samples, _shared(samples, change * change.T), least


def _shared(samples: Vector, products: Matrix) -> float:
    """Return the covariance of two probes' estimates, from above where it is unclear.

    ``products`` holds, for each pair, the product of what the one changes in the other.
    Their mean is unbiased, but rests on smaller bases: where a few eigenvalues dominate
    and the probes are about as many, it may be mostly noise. It is then taken for at
    least ``var / p``, as it is if all that probes change in each other is between two.
    """
    p = len(samples)
    found = float(products.sum()) / (p * (p - 1))
    noise = math.sqrt(2 * float((products**2).sum())) / (p * (p - 1))
    return max(found, min(float(samples.var(ddof=1)) / p, noise))
