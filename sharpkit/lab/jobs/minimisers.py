"""The points of a stored training run: where it ended and where it passed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sharpkit._inputs.types import XpArray
from sharpkit.lab.networks.base import Network, Statistics
from sharpkit.lab.store import Run

END = "end"


class Done(NamedTuple):
    """A finished run with its arrays."""

    run: Run
    arrays: Mapping[str, XpArray]


class Point(NamedTuple):
    """Weights with the batch-norm statistics that belong to them."""

    weights: XpArray
    statistics: Statistics


def packed(name: str, point: Point) -> dict[str, XpArray]:
    """Return the arrays of a point under its name, for the store."""
    means, variances = point.statistics.means, point.statistics.variances
    return {
        f"{name}/weights": point.weights,
        f"{name}/means": np.concatenate(means),
        f"{name}/variances": np.concatenate(variances),
    }


def point(network: Network, done: Done, name: str = END) -> Point:
    """Return a point of a training run, by the name `packed` was given."""
    weights = done.arrays[f"{name}/weights"]
    likes = network.initial_statistics(weights).means
    ends = np.cumsum([len(like) for like in likes])[:-1]
    means, variances = (
        tuple(np.split(done.arrays[f"{name}/{what}"], ends))
        for what in ("means", "variances")
    )
    return Point(weights, Statistics(means, variances))
