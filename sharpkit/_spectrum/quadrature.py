"""What Gauss quadratures of random probes say of a spectrum, and how surely.

Probe v gives nodes t and weights a with ``sum_i a_i f(t_i) = v^T f(A) v`` for
polynomials f of degree up to ``2 steps - 1``, v of norm 1. Over random directions the
mean of that is ``tr f(A) / n``, and its variance is known without a sample of probes:
``2 / (n + 2) (mean f^2 - (mean f)^2)``. So the error bars here come from the spectrum
itself; they are as good for one probe as for ten.

The functions below take ``nodes`` and ``weights``, a row for each probe, and the number
of weights n, which is the number of eigenvalues.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.types import Matrix, Vector

CONFIDENCE = 0.95  # of the bands
BISECTIONS = 60  # of an interval, which is then as short as rounding


class Estimate(NamedTuple):
    """A number and its standard error.

    Where a few eigenvalues make up the number, its error is skewed and the standard
    error itself is uncertain: ``value ± 1.96 stderr`` then covers some 90 %, not 95.

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


class Distribution(NamedTuple):
    """A distribution function with its 95 % band and what the quadrature resolves.

    Attributes
    ----------
    value : (places,) float64
        The shares of eigenvalues up to each place.
    low, high : (places,) float64
        The ends of their intervals, which are for the random probes alone.
    resolution : (places,) float64
        What the finite number of nodes can be wrong by at most (Chebyshev, Markov and
        Stieltjes).
    """

    value: Vector
    low: Vector
    high: Vector
    resolution: Vector


def mean(
    nodes: Matrix, weights: Matrix, n: int, f: Callable[[Matrix], Any]
) -> Estimate:
    """Estimate the mean of f over all eigenvalues, ``tr f(A) / n``."""
    values = np.asarray(f(nodes), np.float64)
    first, second = (_mean_over(weights, each) for each in (values, values**2))
    variance = 2 / (n + 2) * max(second - first**2, 0.0) / len(nodes)
    return Estimate(first, float(np.sqrt(variance)))


def ratio(
    nodes: Matrix,
    weights: Matrix,
    n: int,
    above: Callable[[Matrix], Matrix],
    below: Callable[[Matrix], Matrix],
) -> Estimate:
    """Estimate ``tr above(A) / tr below(A)``, and 0 where the latter is 0."""
    bottom = mean(nodes, weights, n, below).value
    if bottom == 0:
        return Estimate(0.0, 0.0)
    value = mean(nodes, weights, n, above).value / bottom

    def rest(x: Matrix) -> Matrix:  # its mean is 0: the error of the ratio, linearised
        return (above(x) - value * below(x)) / bottom

    return Estimate(value, mean(nodes, weights, n, rest).stderr)


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


def distribution(
    nodes: Matrix,
    weights: Matrix,
    n: int,
    x: Vector,
    closed: NDArray[np.bool_] | None = None,
) -> Distribution:
    """Estimate the share of eigenvalues up to each x.

    Between its nodes a quadrature is interpolated, each node counting half at its own
    place. For normal probes and k of n eigenvalues below x the estimate is distributed
    as Beta(k p / 2, (n - k) p / 2) with p probes; the band inverts that, as Clopper and
    Pearson's does the binomial.

    Parameters
    ----------
    nodes, weights, n
        The quadratures, as above.
    x : (places,) float64
        The places.
    closed : (probes,) bool
        Which probes need no interpolation, because their quadrature is the whole
        measure; None says that no probe is one.
    """
    if closed is None:
        closed = np.zeros(len(nodes), bool)
    value, resolution = np.zeros(len(x)), np.zeros(len(x))
    for t, a, exact in zip(nodes, weights, closed, strict=True):
        own, reach = _interpolated(t[a > 0], a[a > 0], x, exact=exact)
        value += own
        resolution += reach
    value, resolution = value / len(nodes), resolution / len(nodes)
    tail = (1 - CONFIDENCE) / 2
    low = _inverted(value, n * len(nodes), tail)
    high = 1 - _inverted(1 - value, n * len(nodes), tail)
    return Distribution(value, low, high, resolution)


def _interpolated(
    t: Vector, a: Vector, x: Vector, *, exact: bool
) -> tuple[Vector, Vector]:
    """Return one probe's distribution function and what it may be wrong by.

    Chebyshev, Markov and Stieltjes: between the nodes i and i + 1 the function lies
    between the sums of all weights before i and of those up to i + 1.
    """
    sums = np.concatenate([[0.0, 0.0], np.cumsum(a), [a.sum()]])
    place = np.searchsorted(t, x, side="right")  # nodes up to x
    if exact:
        return sums[place + 1], np.zeros(len(x))
    value = np.interp(x, t, sums[2:-1] - a / 2, left=0.0, right=1.0)
    return value, np.maximum(value - sums[place], sums[place + 2] - value)


def _inverted(value: Vector, count: int, tail: float) -> Vector:
    """Return the share F at which a Beta variable of mean F is >= value so rarely."""
    from scipy.special import betaincc

    low, high = np.zeros_like(value), value.copy()
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        with np.errstate(all="ignore"):
            above = betaincc(count * middle / 2, count * (1 - middle) / 2, value)
        rare = np.isnan(above) | (above < tail)
        low, high = np.where(rare, middle, low), np.where(rare, high, middle)
    return np.where((value <= 0) | (value >= 1), np.clip(value, 0, 1), low)


def outliers(nodes: Matrix, weights: Matrix, n: int, width: float) -> Vector:
    """Return the places of single eigenvalues that stand apart from the rest.

    They are those where every probe has nodes that together weigh less than three
    eigenvalues on average, further than ``2 width`` from all other nodes.
    """
    probe = np.repeat(np.arange(len(nodes)), nodes.shape[1])[weights.ravel() > 0]
    t, a = nodes[weights > 0], weights[weights > 0]
    order = np.argsort(t, kind="stable")
    t, a, probe = t[order], a[order], probe[order]
    ends = np.flatnonzero(np.diff(t) > 2 * width) + 1
    found = [
        float(np.average(places, weights=shares))
        for places, shares, owners in zip(
            np.split(t, ends), np.split(a, ends), np.split(probe, ends), strict=True
        )
        if len(set(owners)) == len(nodes) and shares.sum() * n < 3 * len(nodes)
    ]
    return np.array(found)


def _mean_over(weights: Matrix, values: Matrix) -> float:
    return float((weights * values).sum(axis=1).mean())
