"""The points of a stored training run: where it ended and where it passed."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from sharpkit._inputs.arrays import array_module, to_host
from sharpkit._inputs.types import XpArray
from sharpkit.lab.data import Dataset
from sharpkit.lab.networks.base import Network, Statistics
from sharpkit.lab.store import Run

END = "end"


class Done(NamedTuple):
    """A finished run with its arrays.

    Attributes
    ----------
    run : Run
        The run.
    arrays : mapping of str to array
        Its arrays by name, on the host.
    """

    run: Run
    arrays: Mapping[str, XpArray]


class Point(NamedTuple):
    """Weights with the batch-norm statistics that belong to them.

    Attributes
    ----------
    weights : (n,)
        The weights.
    statistics : Statistics
        The running averages there.
    """

    weights: XpArray
    statistics: Statistics


def packed(name: str, point: Point) -> dict[str, XpArray]:
    """Return the arrays of a point under its name, for the store."""
    means, variances = point.statistics.means, point.statistics.variances
    return {
        f"{name}/weights": to_host(point.weights),
        f"{name}/means": np.concatenate([to_host(each) for each in means]),
        f"{name}/variances": np.concatenate([to_host(each) for each in variances]),
    }


def point(network: Network, data: Dataset, done: Done, name: str = END) -> Point:
    """Return a point of a training run, where the data are, by its name in `packed`."""
    xp = array_module(data.x_train)
    weights, means, variances = (
        xp.asarray(done.arrays[f"{name}/{what}"])
        for what in ("weights", "means", "variances")
    )
    likes = network.initial_statistics(weights).means
    ends = [0, *np.cumsum([len(like) for like in likes]).tolist()]
    statistics = (
        tuple(each[begin:end] for begin, end in pairwise(ends))
        for each in (means, variances)
    )
    return Point(weights, Statistics(*statistics))
