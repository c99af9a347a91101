"""Batches of samples, drawn by a seed, and what their gradients are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sharpkit._inputs.checks import at_least
from sharpkit._inputs.samples import Indices
from sharpkit._inputs.types import Array, Vector
from sharpkit._inputs.warn import warn
from sharpkit._spectrum.sampling import quantile
from sharpkit._vectors.streams import Stream
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import require_equal

Part = Callable[[Indices], Point]
STRAIGHT = 1e-6  # so little skewness bends nothing
ADDITIVE = 1e-3  # relative; by so much more than rounding gradients fail to add up


class Draws:
    """Samples in random order, a hash of the seed.

    Parameters
    ----------
    seed
        The seed.
    """

    def __init__(self, seed: int) -> None:
        key = np.array([seed, Stream.SAMPLES], np.uint64)
        self._bits = np.random.Philox(key=key)

    def order(self, samples: int) -> Indices:
        """Return all samples in random order."""
        keys = self._bits.random_raw(samples)
        return np.argsort(keys, kind="stable").astype(np.int64)

    def batches(self, samples: int, size: int, count: int) -> Iterator[Indices]:
        """Yield batches, each drawn anew without replacement, its samples in order.

        Yields
        ------
        indices
            The samples of one batch.
        """
        for _ in range(count):
            yield np.sort(self.order(samples)[:size])


class Sampled(NamedTuple):
    """A problem that single samples can be taken of.

    Attributes
    ----------
    part : callable
        The problem over the samples of some indices.
    samples : int
        The number of samples that there are.
    size : int
        The number of samples of a batch.
    """

    part: Part
    samples: int
    size: int

    @classmethod
    def of(cls, point: Point, name: str, size: object) -> Sampled:
        """Return it, and the size of a batch as it was given for an argument.

        Raises
        ------
        ValueError
            If the problem has no samples to choose from, or fewer than that.
        """
        batch = at_least(name, size, 1)
        part = point.subsets(f"{name}={batch}")
        samples = point.samples
        if samples is None:
            msg = f"{name}={batch}, and problem.samples is None; give their number"
            raise ValueError(msg)
        if point.comm is not None:
            require_equal(point.comm, "samples", samples)
        if batch > samples:
            msg = (
                f"{name}={batch}, and the problem has {samples} samples; give at most "
                "as many"
            )
            raise ValueError(msg)
        return cls(part, samples, batch)


class Spent:
    """The calls of callbacks, and the seconds inside them."""

    def __init__(self) -> None:
        self.calls, self.seconds = 0, 0.0

    def gradient(self, point: Point) -> Array:
        """Return the gradient of a point's loss at the weights, a copy.

        Raises
        ------
        ValueError
            If there is none, or it is not finite.
        """
        objective = point.objective()
        loss, gradient = objective(point.weights.copy())
        self.calls, self.seconds = self.calls + 1, self.seconds + objective.seconds
        if gradient is None:
            msg = (
                "loss_fn returns no gradient, and this measure needs that of batches; "
                "return (loss, gradient)"
            )
            raise ValueError(msg)
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            msg = (
                f"the loss of a batch is {loss}, or its gradient is not finite, at the "
                "given weights; give weights where the losses of all samples are finite"
            )
            raise ValueError(msg)
        copied: Array = gradient.copy()
        return copied


def interval_of_mean(
    values: Sequence[float] | Vector, *, left: float = 1.0, error: float = 0.0
) -> tuple[float, float]:
    """Return the interval that holds the mean of a population in about 95 %.

    It is Student's, bent by the skewness of the sample (Hall, J. R. Stat. Soc. B 54,
    1992): squares of gradients have a long tail, which a symmetric interval misses.

    Parameters
    ----------
    values : (k,)
        A sample, of two at least.
    left
        The share of the variance that is left where no value is drawn twice.
    error
        The error that all values have in common.
    """
    v = np.asarray(values, np.float64)
    k, mean, spread = len(v), float(np.mean(v)), float(np.std(v, ddof=1))
    stderr = spread * math.sqrt(left / k)
    if stderr == 0:
        return mean - error, mean + error
    third = float(np.mean((v - mean) ** 3)) / (spread * math.sqrt((k - 1) / k)) ** 3
    if k > 2:
        third *= math.sqrt(k * (k - 1)) / (k - 2)
    skew = third * math.sqrt(left / k)

    def bent(t: float) -> float:
        if abs(skew) < STRAIGHT:
            return t
        return 3 / skew * (math.cbrt(1 + skew * (t - skew / 6)) - 1)

    width = quantile(k - 1)
    down, up = bent(width) * stderr, -bent(-width) * stderr
    return mean - math.hypot(down, 2 * error), mean + math.hypot(up, 2 * error)


def warn_unless_additive(
    part: Part, spent: Spent, indices: Indices, names: str
) -> None:
    """Warn if the gradient over some samples is not the mean of those of two halves.

    Parameters
    ----------
    part
        The problem over the samples of some indices.
    spent
        What counts the calls: three.
    indices : (k,)
        An even number of samples.
    names
        What is wrong then, such as ``"the gradient's variance"``.

    Warns
    -----
    SharpkitWarning
        If the loss is no mean over samples.
    """
    whole, half = part(indices), len(indices) // 2
    space = whole.space
    gap = spent.gradient(whole)
    size = space.norm(gap)
    for own in (indices[:half], indices[half:]):
        gradient = spent.gradient(part(own))
        size = max(size, space.norm(gradient))
        space.add(gradient, gap, -0.5)
    if space.norm(gap) > ADDITIVE * size:
        warn(
            "the gradient over some samples is not the mean of the gradients over each "
            f"half of them, so that {names} is not that of samples: they share batch "
            "statistics (batch_norm='running' or 'frozen' has constant ones), or they "
            "do not count alike"
        )
