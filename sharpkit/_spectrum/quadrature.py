"""What Gauss quadratures of random probes say of a spectrum, and how surely.

Probe v gives nodes t and weights a with ``sum_i a_i f(t_i) = v^T f(A) v`` for
polynomials f of degree up to ``2 steps - 1``, v of norm 1. Over random directions the
mean of that is ``tr f(A) / n``, and its variance is known without a sample of probes:
``2 / (n + 2) (mean f^2 - (mean f)^2)``. So the error bars here come from the spectrum
itself; they are as good for one probe as for ten. What the finite number of steps adds
shows where fewer steps of the same run (see `rules`) give something else.

The functions below take ``nodes`` and ``weights``, a row for each probe, and the number
of weights n, which is the number of eigenvalues.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from sharpkit._inputs.types import Matrix, Vector
from sharpkit._spectrum.rules import Rule

CONFIDENCE = 0.95  # of the bands
MISSED = 1e-3  # of single eigenvalues, which weigh too much to be seen as one


class Estimate(NamedTuple):
    """A number and its standard error.

    It is made of that of the random probes and of what the finite number of steps
    leaves open, as far as fewer steps show it. Where a few eigenvalues make up the
    number, its error is skewed and the standard error itself is uncertain: ``value ±
    1.96 stderr`` then covers some 85 to 90 %; give more probes.

    Attributes
    ----------
    value : float
        The number.
    stderr : float
        Its standard error.
    """

    value: float
    stderr: float


class Band(NamedTuple):
    """Values with their 95 % intervals, one for each place asked for.

    Attributes
    ----------
    value : (places,) float64
        The values.
    low, high : (places,) float64
        The ends of the intervals.
    """

    value: Vector
    low: Vector
    high: Vector


class Parts(NamedTuple):
    """A number and what its error is made of.

    Attributes
    ----------
    value : float
        The number.
    probes, steps : float
        Its standard error by the random probes, and what the other rules of the same
        runs differ by at most.
    """

    value: float
    probes: float
    steps: float

    @property
    def total(self) -> Estimate:
        """The number with its standard error."""
        return Estimate(self.value, float(np.hypot(self.probes, self.steps)))


def mean(
    nodes: Matrix,
    weights: Matrix,
    n: int,
    f: Callable[[Matrix], Any],
    others: Sequence[Rule] = (),
) -> Parts:
    """Estimate the mean of f over all eigenvalues, ``tr f(A) / n``.

    Parameters
    ----------
    nodes, weights, n
        The quadratures, as above.
    f
        The function of eigenvalues, of arrays.
    others
        Other rules for the same probes (see `rules`).
    """
    values = np.asarray(f(nodes), np.float64)
    # A power of two, which changes no digit, leaves the squares in range.
    scale = float(np.exp2(np.frexp(np.abs(values).max())[1]))
    values = values / scale
    first, second = (_mean_over(weights, each) for each in (values, values**2))
    # An eigenvalue lies at each end, which a probe may all but miss.
    second = max(second, float((values[:, [0, -1]] ** 2).max()) / n)
    variance = 2 / (n + 2) * max(second - first**2, 0.0) / len(nodes)
    found = [_mean_over(a, np.asarray(f(t), np.float64) / scale) for t, a in others]
    steps = max((abs(each - first) for each in found), default=0.0)
    return Parts(scale * first, scale * float(np.sqrt(variance)), scale * steps)


def ratio(
    nodes: Matrix,
    weights: Matrix,
    n: int,
    above: Callable[[Matrix], Matrix],
    below: Callable[[Matrix], Matrix],
    others: Sequence[Rule] = (),
) -> Parts:
    """Estimate ``tr above(A) / tr below(A)``, and 0 where the latter is 0."""
    bottom = mean(nodes, weights, n, below).value
    if bottom == 0:
        return Parts(0.0, 0.0, 0.0)
    value = mean(nodes, weights, n, above).value / bottom

    def rest(x: Matrix) -> Matrix:  # its mean is 0: the error of the ratio, linearised
        return (above(x) - value * below(x)) / bottom

    return mean(nodes, weights, n, rest, others)._replace(value=value)


def entropy(
    nodes: Matrix, weights: Matrix, n: int, order: float, others: Sequence[Rule] = ()
) -> Parts:
    """Estimate the negative Renyi entropy of the eigenvalues' magnitudes.

    ``log(sum_i p_i^a) / (a - 1)`` with ``p_i = |lambda_i| / sum_j |lambda_j|``, and its
    limit ``sum_i p_i log p_i`` at a = 1; NaN where all eigenvalues are 0.

    Parameters
    ----------
    nodes, weights, n
        The quadratures, as above.
    order
        The order a > 0.
    others
        Other rules for the same probes (see `rules`).
    """
    scale = float(np.abs(nodes).max())
    if scale == 0:
        return Parts(np.nan, np.nan, np.nan)

    def size(x: Matrix) -> Matrix:
        return np.abs(x) / scale

    def power(x: Matrix) -> Matrix:
        if order != 1:
            return size(x) ** order
        return size(x) * np.log(np.where(x == 0, 1.0, size(x)))

    first, raised = (mean(nodes, weights, n, f).value for f in (size, power))
    if order == 1:
        value = raised / first - np.log(n * first)
    else:
        value = (np.log(raised) - order * np.log(first)) / (order - 1) - np.log(n)

    def rest(x: Matrix) -> Matrix:  # its mean is constant: the error, linearised
        if order == 1:
            return (power(x) - (1 + raised / first) * size(x)) / first
        return (power(x) / raised - order * size(x) / first) / (order - 1)

    found = mean(nodes, weights, n, rest, others)
    return found._replace(value=float(value))


def density(nodes: Matrix, weights: Matrix, n: int, grid: Vector, width: float) -> Band:
    """Estimate the density of eigenvalues, smoothed by a Gaussian.

    ``(1 / n) sum_i exp(-(x - lambda_i)^2 / 2 width^2) / (width sqrt(2 pi))``. The
    estimate is close to a multiple of chi-square with as many degrees of freedom as
    there are eigenvalues in reach, times the probes; the band inverts that.

    Parameters
    ----------
    nodes, weights, n
        The quadratures, as above.
    grid : (places,) float64
        The places x at which the density is wanted.
    width
        The standard deviation of the Gaussian.
    """
    from scipy.special import gdtrib

    value, square = np.empty(len(grid)), np.empty(len(grid))
    for index, x in enumerate(grid):  # one place at a time: nodes may be many
        bell = np.exp(-0.5 * ((x - nodes) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        value[index] = _mean_over(weights, bell)
        square[index] = _mean_over(weights, bell**2)
    low, high = np.zeros_like(value), np.zeros_like(value)
    seen = value > np.finfo(float).tiny ** 0.5
    spread = square[seen] - value[seen] ** 2
    flat = spread <= 1e-12 * square[seen]  # all eigenvalues in one place: no error
    spread = np.where(flat, 1.0, spread)
    degrees = len(nodes) * n * value[seen] ** 2 / spread
    for end, share in ((low, (1 + CONFIDENCE) / 2), (high, (1 - CONFIDENCE) / 2)):
        factor = np.where(flat, 1.0, 2 * gdtrib(0.5, share, degrees) / degrees)
        end[seen] = factor * value[seen]
    return Band(value, np.minimum(low, value), np.maximum(high, value))


def outliers(nodes: Matrix, weights: Matrix, n: int, width: float) -> Vector:
    """Return the places of single eigenvalues that stand apart from the rest.

    They are those where every probe has nodes that together weigh no more than a single
    eigenvalue may, further than ``2 width`` from all other nodes. What p probes give
    one eigenvalue is chi-square with p degrees of freedom; it is above the limit once
    in a thousand times, and the limit at least three eigenvalues.
    """
    from scipy.special import chdtri

    probe = np.repeat(np.arange(len(nodes)), nodes.shape[1])[weights.ravel() > 0]
    t, a = nodes[weights > 0], weights[weights > 0]
    order = np.argsort(t, kind="stable")
    t, a, probe = t[order], a[order], probe[order]
    ends = np.flatnonzero(np.diff(t) > 2 * width) + 1
    limit = max(3.0 * len(nodes), float(chdtri(len(nodes), MISSED)))
    found = [
        float(np.average(places, weights=shares))
        for places, shares, owners in zip(
            np.split(t, ends), np.split(a, ends), np.split(probe, ends), strict=True
        )
        if len(set(owners)) == len(nodes) and shares.sum() * n < limit
    ]
    return np.array(found)


def _mean_over(weights: Matrix, values: Matrix) -> float:
    return float((weights * values).sum(axis=1).mean())
