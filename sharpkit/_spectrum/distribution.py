"""The share of eigenvalues up to a place, from Gauss quadratures of random probes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.types import Matrix, Vector
from sharpkit._spectrum.quadrature import CONFIDENCE

BISECTIONS = 60  # of an interval, which is then as short as rounding
NEAR = 3  # nodes to each side of a place tell whether weights are smooth there


class Distribution(NamedTuple):
    """A distribution function with its 95 % band and what the quadrature resolves.

    Attributes
    ----------
    value : (places,) float64
        The shares of eigenvalues up to each place.
    low, high : (places,) float64
        The ends of their intervals: of the random probes, and of the steps.
    resolution : (places,) float64
        What the finite number of nodes can be wrong by at most (Chebyshev, Markov and
        Stieltjes).
    """

    value: Vector
    low: Vector
    high: Vector
    resolution: Vector


class _Own(NamedTuple):
    """What one probe says at each place.

    Attributes
    ----------
    value, low, high : (places,) float64
        Its distribution function, and between what it lies.
    roughness : (places,) float64
        What r is in `distribution`, from 0, smooth, to 1.
    resolution : (places,) float64
        How far the function may be from the value at most.
    """

    value: Vector
    low: Vector
    high: Vector
    roughness: Vector
    resolution: Vector


def distribution(
    nodes: Matrix,
    weights: Matrix,
    n: int,
    x: Vector,
    closed: NDArray[np.bool_] | None = None,
    error: float = 0.0,
) -> Distribution:
    """Estimate the share of eigenvalues up to each x.

    Between its nodes a quadrature is interpolated, each node counting half at its own
    place. For normal probes and k of n eigenvalues below x the estimate is distributed
    as Beta(k p / 2, (n - k) p / 2) with p probes; the band inverts that, as Clopper and
    Pearson's does the binomial.

    The band goes on from what the quadrature leaves open. Chebyshev, Markov and
    Stieltjes bound it by the weights of the nodes beside x; where the weights follow a
    smooth density interpolation is far better than that. Of their width counts
    therefore the share r^2, r being ``1 - least / greatest`` of the densities that the
    three nodes to each side show. The two parts are independent where that is little,
    and added as such; where r is near 1 all of a node's weight may lie to one side, and
    they are added in full (a mixture of both, with the weight r^4).

    Parameters
    ----------
    nodes, weights, n
        The quadratures, as in `quadrature`.
    x : (places,) float64
        The places.
    closed : (probes,) bool
        Which probes need no interpolation, because their quadrature is the whole
        measure; None says that no probe is one.
    error
        The error of the nodes: nodes so near to x may be on either side.
    """
    if closed is None:
        closed = np.zeros(len(nodes), bool)
    every = [
        _whole(t[a > 0], a[a > 0], x, error)
        if exact
        else _interpolated(t[a > 0], a[a > 0], x, error)
        for t, a, exact in zip(nodes, weights, closed, strict=True)
    ]
    own = _Own(*np.mean(every, axis=0))
    value, mixed = own.value, own.roughness**4
    tail, count = (1 - CONFIDENCE) / 2, n * len(nodes)
    least = own.low - _inverted(own.low, count, tail)
    most = 1 - _inverted(1 - own.high, count, tail) - own.high

    def both(steps: Vector, probes: Vector) -> Vector:
        full: Vector = steps + probes
        return np.hypot(steps, probes) * (1 - mixed) + full * mixed

    low = np.maximum(value - both(value - own.low, least), 0.0)
    high = np.minimum(value + both(own.high - value, most), 1.0)
    return Distribution(value, low, high, own.resolution)


def _whole(t: Vector, a: Vector, x: Vector, error: float) -> _Own:
    """Return what a quadrature says that is the whole measure of its probe."""
    sums = np.concatenate([[0.0], np.cumsum(a)])
    value, low, high = (
        sums[np.searchsorted(t, x + shift, side="right")]
        for shift in (0, -error, error)
    )
    return _Own(value, low, high, np.where(low < high, 1.0, 0.0), np.zeros(len(x)))


def _interpolated(t: Vector, a: Vector, x: Vector, error: float) -> _Own:
    """Return what a quadrature says of the measure of its probe.

    Chebyshev, Markov and Stieltjes: between the nodes i and i + 1 the function lies
    between the sums of all weights before i and of those up to i + 1.
    """
    sums = np.concatenate([[0.0, 0.0], np.cumsum(a), [a.sum()]])
    value = np.interp(x, t, sums[2:-1] - a / 2, left=0.0, right=1.0)
    place, before, after = _places(t, x, error)
    rough = np.where(before < after, 1.0, _roughness(t, a, place))
    low, high = (value + rough**2 * (sums[i] - value) for i in (before, after + 2))
    resolution = np.maximum(value - sums[place], sums[place + 2] - value)
    return _Own(value, low, high, rough, resolution)


def _places(t: Vector, x: Vector, error: float) -> list[NDArray[np.intp]]:
    """Return how many nodes there are up to x, and at least and at most may be."""
    return [np.searchsorted(t, x + by, side="right") for by in (0, -error, error)]


def _roughness(t: Vector, a: Vector, place: NDArray[np.intp]) -> Vector:
    """Return ``1 - least / greatest`` of the densities that nearby nodes show."""
    if len(t) < 2:
        return np.ones(len(place))
    gaps = np.diff(t)
    room = np.concatenate([gaps[:1], (gaps[1:] + gaps[:-1]) / 2, gaps[-1:]])
    with np.errstate(divide="ignore", over="ignore"):
        density = np.minimum(a / room, np.finfo(float).max)
    near = density[np.clip(place + np.arange(-NEAR, NEAR)[:, None], 0, len(t) - 1)]
    rough: Vector = 1 - near.min(axis=0) / near.max(axis=0)
    return rough


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
