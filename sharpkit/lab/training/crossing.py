"""The point inside an epoch at which the training loss passes a threshold.

After an epoch the loss may be far below the threshold: where it fluctuates, and where
an epoch has few updates. Runs that stop there are compared at losses that differ. So
the last epoch is gone through again. Bisection over its updates finds one before which
the loss is above the threshold and after which it is not, and of that one only a part
is taken, as an update at a lower rate would be.

A look is the mean over all training samples, the very function whose sharpness is
measured: it has no noise that several looks would average out. What fluctuates is the
weights, and the point found lies on the threshold itself, not somewhere beyond, for
any batch size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sharpkit.lab.training.update import Updater

LOOKS = 60  # at most, at parts of one update; a few suffice
TINY = 1e-300  # what a loss of zero counts as: it has a logarithm


class Place(NamedTuple):
    """How far an epoch has come.

    Attributes
    ----------
    way : Updater
        The weights, running averages and optimiser.
    loss : float
        The mean loss over the training set there.
    right, seen : int
        The right ones of the samples trained on so far, and all of these.
    """

    way: Updater
    loss: float
    right: int = 0
    seen: int = 0


def crossing(
    before: Place,
    after: Place,
    batches: Sequence[Any],
    advanced: Callable[[Place, Sequence[Any]], Place],
    look: Callable[[Updater], float],
    limit: float,
    within: float,
) -> Place:
    """Return where the loss of an epoch is at most ``limit``, by less than ``within``.

    Parameters
    ----------
    before, after : Place
        The beginning of the epoch and its end, where the loss is at most the limit.
    batches
        The batches of the epoch.
    advanced
        A function that takes a copy of a place through some of the batches.
    look
        The mean loss over the training set at weights and averages.
    limit, within
        The threshold, and the share of it by which the loss may lie below.

    Returns
    -------
    Place
        The place; the end of the epoch, if its beginning was not above the limit.
    """
    if before.loss <= limit:
        return after
    least = (1 - within) * limit
    first, last = 0, len(batches)
    while last - first > 1 and after.loss < least:
        middle = (first + last) // 2
        tried = advanced(before, batches[first:middle])
        if tried.loss <= limit:
            after, last = tried, middle
        else:
            before, first = tried, middle
    return _part(before, after, look, limit, least)


def _part(
    before: Place,
    after: Place,
    look: Callable[[Updater], float],
    limit: float,
    least: float,
) -> Place:
    """Return as much of the way between two places as leads to the threshold."""
    begin, end = 0.0, 1.0
    high, low = before.loss, after.loss
    found = after
    for _ in range(LOOKS):
        if found.loss >= least:
            break
        # As if the logarithm fell along a line, but never too near an end.
        aim = math.log(high / math.sqrt(limit * least))
        share = min(max(aim / math.log(high / max(low, TINY)), 0.1), 0.9)
        at = begin + share * (end - begin)
        way = before.way.toward(after.way, at)
        loss = look(way)
        if loss <= limit:
            end, low, found = at, loss, after._replace(way=way, loss=loss)
        else:
            begin, high = at, loss
    return found
