"""What a batch counts in the mean over all data, told from the losses of its parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

TOLERANCE = 300  # roundings of a loss that fits
CLEAR = 5  # times that, of one that clearly does not
NOISE = 30  # times the difference between two losses that should be the same
ADDITIVE = 1e-6  # relative; float32 sums of class weights round
FEW = 8  # samples that are looked at
MAPPING = (
    'return {"loss": mean, "weight": weight}, where weight is the number that the mean '
    "divides by"
)
ADDS_UP = (
    "loss adds up over the samples of a batch: two halves give the loss of the whole "
    "if they are added, not averaged; return the mean, because the mean over all data "
    "is formed from the means of the batches"
)
NO_MEAN = (
    "the loss of a batch is no mean of the losses of its samples (it compares samples "
    "with each other, uses statistics of the batch, or adds means over different "
    "things), so that the numbers depend on how the data are cut into batches; give "
    "all data as one batch, or, if these batches are meant, "
) + MAPPING
UNKNOWN = (
    "what a batch counts in the mean over all data cannot be told from this loss, and "
    "its rows are counted; " + MAPPING
)


class Split(NamedTuple):
    """The losses of some samples and of two parts of them, and what these may count.

    Attributes
    ----------
    whole, one, other
        The three losses.
    counts : dict of str to (whole, one, other)
        What each may count, by name.
    """

    whole: float
    one: float
    other: float
    counts: dict[str, tuple[float, float, float]]


class Verdict(NamedTuple):
    """What splits tell.

    Attributes
    ----------
    fits : tuple of str
        The names of the counts that explain all splits.
    adds_up : bool
        Whether the loss is a sum over samples, perhaps with a constant.
    clear : bool
        Whether what does not fit, does not by far.
    tells, noisy : bool
        Whether the parts have different losses, and whether one part has.
    """

    fits: tuple[str, ...]
    adds_up: bool
    clear: bool
    tells: bool
    noisy: bool


def halves(count: int) -> list[tuple[list[int], list[int]]]:
    """Return ways to cut some samples in two, by their places; an even padding shows.

    Parameters
    ----------
    count
        The number of samples.
    """
    places = list(range(count))
    ways = [
        (places[: count // 2], places[count // 2 :]),
        (places[::2], places[1::2]),
        (places[:1], places[1:]),
    ]
    return [way for i, way in enumerate(ways) if way not in ways[:i] and all(way)]


def few(count: int) -> list[int]:
    """Return the places of some samples of many, from the first to the last."""
    if count <= FEW:
        return list(range(count))
    return [i * (count - 1) // (FEW - 1) for i in range(FEW)]


def judged(splits: Sequence[Split], rounding: float, noise: float) -> Verdict:
    """Return what the losses of parts tell.

    Parameters
    ----------
    splits
        The losses of the same samples, cut in several ways.
    rounding
        The relative rounding of a loss: the spacing of numbers at 1.
    noise
        The absolute difference between losses that should be the same.
    """
    finite = [abs(x) for split in splits for x in split[:3] if math.isfinite(x)]
    scale = max(finite, default=0.0)
    rounded = TOLERANCE * rounding * scale
    allowed = rounded + NOISE * noise
    misfits = {
        name: max(_misfit(split, name) for split in splits) for name in splits[0].counts
    }
    gaps = [split.one + split.other - split.whole for split in splits]
    # A constant, such as a penalty on the weights, is in every part.
    apart = max(gaps) - min(gaps) if len(gaps) > 1 else abs(gaps[0])
    return Verdict(
        fits=tuple(name for name, misfit in misfits.items() if misfit <= allowed),
        adds_up=all(map(math.isfinite, gaps)) and apart <= allowed,
        clear=min(misfits.values(), default=math.inf) > CLEAR * allowed,
        tells=any(abs(split.one - split.other) > allowed for split in splits),
        noisy=noise > rounded,
    )


def _misfit(split: Split, name: str) -> float:
    whole, *parts = split.counts[name]
    if not whole > 0 or abs(whole - sum(parts)) > ADDITIVE * whole:
        return math.inf
    losses = list(zip(parts, (split.one, split.other), strict=True))
    if any(math.isinf(loss) and not count for count, loss in losses):
        return 0.0  # a sum over zero: this split says nothing
    mean = sum(count * loss for count, loss in losses if count) / whole
    return abs(mean - split.whole) if math.isfinite(mean) else math.inf
