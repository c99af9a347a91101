"""The points of a line or a plane: where they are, and in which order."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np

from sharpkit._inputs.checks import at_least
from sharpkit.landscape.surface import Floats

Place = tuple[int, ...]

COARSEST = 3  # points along an axis that are taken first: both ends and the middle
NEAR = 1e-9  # of the span; a coordinate so near to 0 or 1 is meant to be that


def coordinates(name: str, points: Any, span: Any) -> Floats:
    """Return the coordinates along one axis, from one end of the span to the other.

    Parameters
    ----------
    name
        The name of the argument that gave the span.
    points
        The number of points.
    span
        Both ends, or one number: from its negative to it.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If the ends are not finite, or in the wrong order.
    """
    count = at_least("points", points, 2)
    ends = (-span, span) if isinstance(span, numbers.Real) else span
    try:
        low, high = (float(each) for each in ends)
    except (TypeError, ValueError) as error:
        msg = f"{name}={span!r}; give a number, such as 1, or both ends: (-0.5, 1.5)"
        raise TypeError(msg) from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        msg = f"{name}={span!r}; give two finite ends, the smaller one first"
        raise ValueError(msg)
    found = np.linspace(low, high, count)
    for meant in (0.0, 1.0):
        found[np.abs(found - meant) < NEAR * (high - low)] = meant
    return found


def levels(count: int) -> list[list[int]]:
    """Return the places along an axis that each level of refinement takes in all.

    The first has the ends and the middle, each next about twice as many, spread evenly;
    what one has, the next have, too.
    """
    found: list[list[int]] = []
    own: set[int] = set()
    size = COARSEST
    while len(own) < count:
        spread = np.linspace(0, count - 1, min(size, count))
        own |= set(np.rint(spread).astype(int).tolist())
        found.append(sorted(own))
        size = 2 * size - 1
    return found


def in_order(shape: tuple[int, ...]) -> Iterator[Place]:
    """Yield all places of a grid, coarse ones first.

    Parameters
    ----------
    shape
        The number of points along each axis.

    Yields
    ------
    tuple of int
        A place.
    """
    each = [levels(count) for count in shape]
    done: set[Place] = set()
    for level in range(max(map(len, each))):
        axes = [own[min(level, len(own) - 1)] for own in each]
        for place in itertools.product(*axes):
            if place not in done:
                done.add(place)
                yield place


def finest(taken: Any) -> list[list[int]] | None:
    """Return the places along each axis of the finest level that is complete.

    Parameters
    ----------
    taken : array of bool
        Which points of the grid were taken.
    """
    each = [levels(count) for count in taken.shape]
    found = None
    for level in range(max(map(len, each))):
        axes = [own[min(level, len(own) - 1)] for own in each]
        if not taken[np.ix_(*axes)].all():
            break
        found = axes
    return found
