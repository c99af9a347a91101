"""What training refuses before it begins."""

from __future__ import annotations

import math

from sharpkit._inputs.types import XpArray
from sharpkit.lab.networks.base import Network, Statistics
from sharpkit.lab.networks.mlp import require_one_place
from sharpkit.lab.steps import check_labels
from sharpkit.lab.training.regime import Regime


def require_possible(
    regime: Regime, network: Network, rows: int, shape: tuple[int, ...] | None
) -> None:
    """Check that a regime can train a network on so many samples of a shape.

    Raises
    ------
    ValueError
        If a batch is larger than the training set, a ghost batch larger than every
        batch, or ``shape`` is missing or wrong where the regime augments.
    """
    sizes = {"batch_size": regime.batch_size}
    sizes |= {f"growth: batch_size from epoch {begin}": n for begin, n in regime.growth}
    for name, size in sizes.items():
        if not 1 <= size <= rows:
            msg = f"{name}={size}: give 1 to {rows}, the number of samples"
            raise ValueError(msg)
    largest = max(sizes.values())
    if regime.ghost is not None and regime.ghost > largest:
        msg = f"ghost={regime.ghost}: give 2 to {largest}, the largest batch"
        raise ValueError(msg)
    if regime.augment and (shape is None or math.prod(shape) != network.features):
        msg = (
            f"shape={shape} with augment=True: give the shape of an image of "
            f"{network.features} numbers"
        )
        raise ValueError(msg)


def require_fit(network: Network, start: XpArray, **samples: XpArray) -> None:
    """Check samples and labels, by their names, against the network and the start.

    Raises
    ------
    IndexError
        If there is not a label for each sample, or one is not that of an output.
    ValueError
        If a sample does not have the network's features.
    TypeError
        If they live elsewhere than the start, or are of another dtype.
    """
    require_one_place(weights=start, **samples)
    (name, x), (_, y) = samples.items()
    check_labels(y, len(x), network.classes)
    if x.shape[1:] != (network.features,):
        msg = f"{name} has shape {x.shape}; give (rows, {network.features})"
        raise ValueError(msg)
    if x.dtype != start.dtype:
        msg = f"{name} is {x.dtype}, start {start.dtype}; give both in one dtype"
        raise TypeError(msg)


def require_same_layers(statistics: Statistics, known: Statistics) -> None:
    """Check given running averages against the network's own first ones.

    Raises
    ------
    ValueError
        If they are of other shapes.
    TypeError
        If they live elsewhere, or are of another dtype.
    """
    arrays = (*statistics.means, *statistics.variances)
    own = (*known.means, *known.variances)
    if [each.shape for each in arrays] != [each.shape for each in own]:
        found = ", ".join(str(each.shape) for each in arrays) or "none"
        needed = ", ".join(str(each.shape) for each in own)
        msg = f"statistics are of shapes {found}; the network's are {needed}"
        raise ValueError(msg)
    for each, first in zip(arrays, own, strict=True):
        require_one_place(weights=first, statistics=each)
        if each.dtype != first.dtype:
            msg = f"statistics are {each.dtype}, start {first.dtype}; give one dtype"
            raise TypeError(msg)
