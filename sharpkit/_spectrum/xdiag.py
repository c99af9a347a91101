"""XDiag: the diagonal from products in which each probe tests what the others found."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import Array, Matrix, Report
from sharpkit._spectrum.basis import Basis, finite_norm
from sharpkit._spectrum.estimate import DiagonalEstimate, SpectrumStatus
from sharpkit._spectrum.operators import Operator
from sharpkit._spectrum.sampling import (
    Directions,
    alike,
    directions,
    looks_asymmetric,
)
from sharpkit._vectors.streams import Stream

LEAST_PRODUCTS = 4  # for two probes: a single one tells nothing of its error
SLAB_BYTES = 1 << 21  # of one float64 block of all rows over a range of coordinates


def estimate(
    operator: Operator, products: int, *, seed: int, report: Report
) -> DiagonalEstimate:
    r"""Estimate the diagonal of a symmetric operator, each entry with an error bar.

    With p random sign vectors w_i, ``y_i = A w_i`` and ``Q_i`` an orthonormal basis of
    all y but the i-th, the value is the mean of

        ``d_i = diag(Q_i Q_i^T A) + w_i * (I - Q_i Q_i^T) A w_i``,

    each of which is unbiased (* is entry by entry). It takes p products for the y and p
    for ``Z = A Q``, Q a basis of all of them. Where the y span the operator's range,
    and where the products suffice for a basis of the whole space, the value is
    ``diag(Q Z^T)``, exact but for rounding.

    Parameters
    ----------
    operator
        The operator. A product that is not finite raises a ValueError.
    products
        The number of products that may be done, at least 4.
    seed
        The seed of the probes.
    report
        A function that is called with (products done, the trace so far).

    Notes
    -----
    The standard error is not the paper's ``std(d_i) / sqrt(p)``: the d_i use the same
    products, which makes two of them correlated, and that error too small: by a factor
    of 1.4 as a rule. With ``d_i^(j)``, the estimate of probe i in the basis that knows
    neither i nor j, ``Cov(d_i, d_j) = E[(d_i - d_i^(j)) (d_j - d_j^(i))]`` exactly:
    given all other probes, ``d_i^(j)`` and ``d_j^(i)`` are independent, and whatever
    w_i, the mean of ``d_j - d_j^(i)`` over w_j is zero. The mean of these products over
    all pairs, where it is positive, is therefore added to ``var(d_i) / p``. The
    variance is at least half of what the probes' directions hold where these are
    nearly parallel, as in XTrace.

    Memory: ``products + 2`` vectors, and a dozen blocks of 2 MiB.

    References
    ----------
    Epperly, Tropp, Webber, *XTrace: Making the most of every sample in stochastic trace
    estimation*, SIAM J. Matrix Anal. Appl. 45 (2024), arXiv 2301.07825, section 4.
    """
    space = operator.space
    whole = products >= space.size
    capacity = space.size if whole else products // 2
    basis, r = Basis(space, capacity), np.zeros((capacity, capacity))
    probes: list[int] = []
    spans = True
    if whole:
        while basis.draw(seed, basis.count):
            pass
    else:
        probes, spans = _sketch(operator, basis, r, products, seed, report)
    k = basis.count
    images = _images(operator, basis, report)
    slabs = _Slabs(operator, basis, images)
    if spans:
        values, stderr = slabs.exact()
    else:
        lost = directions(r[:k, :k], basis.rounding)
        values, stderr = slabs.estimate(lost, seed, probes)
    status = SpectrumStatus.EXACT if spans else SpectrumStatus.COMPLETE
    h = space.gram(basis.block[:k], images)
    degrees = math.inf if spans else max(k - 1.0, 1.0)
    if looks_asymmetric(h, operator.error):
        status = SpectrumStatus.ASYMMETRIC
    return DiagonalEstimate(values, stderr, degrees, status)


def _sketch(
    operator: Operator,
    basis: Basis,
    r: Matrix,
    products: int,
    seed: int,
    report: Report,
) -> tuple[list[int], bool]:
    """Fill the basis with A times sign probes, and R with what they are made of.

    Return the probes that were used, and whether the basis spans the operator's range.
    Products of sign vectors may depend on each other although much of the range is
    missing, where A sees few coordinates. A normal probe then tells; a sign probe that
    brings nothing new is passed over.
    """
    space, probe = operator.space, operator.space.empty()
    probes: list[int] = []
    index, seen = 0, 0.0

    def affordable(more: int) -> bool:  # and then one for each row of the basis
        return operator.products + basis.count + more <= products

    while basis.count < len(basis.block) and affordable(2):
        count, row = basis.count, basis.block[basis.count]
        space.fill_signs(probe, seed, Stream.PROBES + index)
        operator.apply(probe, row)
        seen += space.dot(probe, row)
        report(operator.products, seen / (index + 1))
        coefficients, norm = basis.extend()
        if basis.count > count:
            r[:count, count], r[count, count] = coefficients, norm
            probes.append(index)
        elif affordable(1):
            space.fill_normal(probe, seed, Stream.SPARE_PROBES + index)
            operator.apply(probe, row)
            basis.extend()
            if basis.count == count:
                return probes, True
            basis.count = count
        index += 1
    return probes, False


def _images(operator: Operator, basis: Basis, report: Report) -> Array:
    """Return A times each row of the basis."""
    rows = basis.block[: basis.count]
    images, trace = operator.space.empty(basis.count), 0.0
    for row, image in zip(rows, images, strict=True):
        operator.apply(row, image)
        finite_norm(operator.space, image)  # raises unless finite
        trace += operator.space.dot(row, image)
        report(operator.products, trace)
    return images


class _Slabs:
    """Values and standard errors, one range of coordinates after the other.

    Parameters
    ----------
    operator
        The operator A.
    basis
        The basis Q.
    images
        A times each row of Q, which is Z.

    Attributes
    ----------
    values, stderr : (n,)
        The diagonal and its standard errors.
    count : int
        The number of rows of Q.
    """

    def __init__(self, operator: Operator, basis: Basis, images: Array) -> None:
        self.space, self.count = operator.space, basis.count
        self._basis, self._images = basis, images
        self._error, self._rounding = operator.error, 4 * basis.rounding
        self.values, self.stderr = self.space.empty(), self.space.empty()

    def _pieces(self) -> Iterator[tuple[slice, Array, Array]]:
        """Yield one range after the other.

        Yields
        ------
        slice
            The range.
        (count, length) float64
            The rows of Q there.
        (count, length) float64
            The rows of Z there.
        """
        width = max(SLAB_BYTES // (8 * max(self.count, 1)) >> 10 << 10, 1 << 10)
        for begin in range(0, self.space.n, width):
            part = slice(begin, min(begin + width, self.space.n))
            q = self._basis.block[: self.count, part].astype(np.float64)
            yield part, q, self._images[:, part].astype(np.float64)

    def _write(self, part: slice, values: Array, variance: Array, z: Array) -> None:
        inexact = self._error**2 + self._rounding**2 * (z * z).sum(axis=0)
        self.values[part] = values
        self.stderr[part] = array_module(values).sqrt(variance + inexact)

    def exact(self) -> tuple[Array, Array]:
        """Return ``diag(Q Z^T)``; what the last probe saw outside of Q is error."""
        left = self._basis.block[self.count : self.count + 1]
        for part, q, z in self._pieces():
            seen = left[:, part].astype(np.float64)
            self._write(part, (q * z).sum(axis=0), (seen * seen).sum(axis=0), z)
        return self.values, self.stderr

    def estimate(
        self, lost: Directions, seed: int, probes: list[int]
    ) -> tuple[Array, Array]:
        """Return the means over the probes, and their standard errors.

        With ``u_i = Q s_i``, ``v_i = Z s_i`` and ``f_i = (s_i . r_i) w_i - v_i``,
        leaving out the i-th probe takes ``u_i * v_i`` from the diagonal, and
        ``d_i = diag(Q Z^T) + u_i * f_i``.

        Parameters
        ----------
        lost
            The directions that are lost when a probe, or a pair, is left out.
        seed
            The seed of the probes.
        probes
            The numbers of those that were used.
        """
        p = self.count
        for part, q, z in self._pieces():
            u, v, f = (self._float64(q.shape) for _ in range(3))
            self.space.combine(lost.s.T, q, u)
            self.space.combine(lost.s.T, z, v)
            sign = self.space.kernels.empty(u.shape[1], self.space.dtype)
            for i, index in enumerate(probes):
                self.space.fill_signs(sign, seed, Stream.PROBES + index, part.start)
                f[i] = float(lost.own[i]) * sign.astype(np.float64) - v[i]
            e = u * f
            mean = e.sum(axis=0) / max(p, 1)
            away = e - mean
            if p > 1:
                variance = (away * away).sum(axis=0) / (p * (p - 1))
                shared = self._shared(lost, u, v, f, e) / (p * (p - 1))
                xp = array_module(u)
                lost_here = u * v
                least = self._mixed(alike(lost.cosines), lost_here) * lost_here
                variance += xp.maximum(shared, 0.0)
                variance = xp.maximum(variance, least.sum(axis=0) / p**2)
            else:
                variance = mean * 0 + math.inf
            self._write(part, (q * z).sum(axis=0) + mean, variance, z)
        return self.values, self.stderr

    def _shared(
        self, lost: Directions, u: Array, v: Array, f: Array, e: Array
    ) -> Array:
        """Return the sum over pairs of what each probe changes in the other's estimate.

        With ``c`` the cosine of ``s_i, s_j``, for probe i without j

            ``d_i - d_i^(j) = (-c^2 u_i f_i + u_j v_j - c u_i v_j + c u_j f_i)
            / (1 - c^2)``;

        the sum over i and j of its products with the same for j without i is made of
        products with small matrices.
        """
        c, weight = lost.cosines, lost.inverse_sines**2
        pairs = weight * c**2
        h, g = v * f, u * v
        total = self._mixed(weight * (c**4 + c**2), e) * e
        total += self._mixed(weight * (1 + c**2), g) * g
        total += 2 * u * h * self._mixed(weight * (c**3 + c), u)
        total -= 2 * u * e * self._mixed(weight * c**3, f)
        total -= 2 * u * g * self._mixed(weight * c, v)
        total -= 2 * h * self._mixed(pairs + np.diag(pairs.sum(axis=0)), u * u)
        summed: Array = total.sum(axis=0)
        return summed

    def _mixed(self, small: Matrix, rows: Array) -> Array:
        out = self._float64(rows.shape)
        self.space.combine(small, rows, out)
        return out

    def _float64(self, shape: tuple[int, ...]) -> Array:
        out: Array = self.space.kernels.empty(shape, np.float64)
        return out
