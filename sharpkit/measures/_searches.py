"""Several searches of one box, from a centre that is evaluated once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sharpkit._box.box import Box, Point as Place
from sharpkit._box.solvers import LBFGSB, Auto, ScipyLBFGSB
from sharpkit._inputs.types import Array, Report, Vector

CENTRE_EVALUATIONS = 2  # the loss at the weights, and again to see its noise


@dataclass(frozen=True)
class Search:
    """What one search has found.

    Attributes
    ----------
    z : vector of the search space
        The highest place.
    loss : float
        The loss there.
    gap : float
        The first-order gain left there as a share of the rise, or NaN.
    starts : tuple of float
        The best loss that each start reached, where it is finite.
    kin : tuple of bool
        Of each of these, whether it owes its direction to others.
    evaluations : int
        The evaluations that were spent, those at the centre included.
    outside : bool
        Whether the loss could be evaluated outside the box.
    settled, stopped : bool
        What `sharpkit._box.box.Outcome` says.
    """

    z: Array
    loss: float
    gap: float
    starts: tuple[float, ...]
    kin: tuple[bool, ...]
    evaluations: int
    outside: bool
    settled: bool
    stopped: bool


@dataclass(frozen=True)
class Found:
    """What searches of one box with seeds of their own have found.

    Attributes
    ----------
    best : Search
        The one that reached highest.
    displacement : vector of the weights
        The step to its place.
    losses : list of float
        The best loss of each search.
    history : (evaluations,) float64
        The best loss after each evaluation, all searches together.
    non_finite : bool
        Whether a loss or a gradient that is not finite has been met in the box.
    """

    best: Search
    displacement: Array
    losses: list[float]
    history: Vector
    non_finite: bool


def search(
    box: Box, solver: Auto | LBFGSB | ScipyLBFGSB, seeds: range, report: Report
) -> Found:
    """Search a box once with each seed.

    Memory beside that of one search, where there are several: the gradient at the
    centre and the best place.

    Parameters
    ----------
    box
        The box, evaluated at its centre, which is taken from it.
    solver
        What searches it.
    seeds
        The seeds.
    report
        A function of (evaluations, best loss), all searches together.
    """
    centre, best = box.centre.gradient, None
    del box.centre  # a search takes over its vectors
    losses: list[float] = []
    histories: list[Vector] = []
    non_finite = False
    for seed in seeds:
        gradient = centre
        if seed != seeds[-1]:
            gradient = box.space.empty()
            box.space.copy(centre, gradient)
        own = box.at(Place(box.space.zeros(), box.history[0], gradient))
        spent = sum(len(each) - CENTRE_EVALUATIONS for each in histories)
        own.report = partial(_report, report, spent, list(losses))
        found = _search(own, solver, seed)
        losses.append(found.loss)
        histories.append(np.array(own.history))
        non_finite |= own.non_finite
        if best is None or found.loss > best.loss:
            best = found
        del own, found, gradient  # and the place, if it is no longer needed
    assert best is not None
    return Found(best, box.displacement(best.z), losses, _joined(histories), non_finite)


def _report(
    report: Report, spent: int, losses: list[float], evaluations: int, loss: float
) -> None:
    report(spent + evaluations, max([loss, *losses]))


def _joined(histories: list[Vector]) -> Vector:
    first, *others = histories
    parts = [first, *(each[CENTRE_EVALUATIONS:] for each in others)]
    return np.asarray(np.maximum.accumulate(np.concatenate(parts)))


def _search(box: Box, solver: Any, seed: int) -> Search:
    found = solver.maximise(box, seed=seed)
    finite = [i for i, each in enumerate(found.starts) if np.isfinite(each)]
    return Search(
        z=found.best.z,
        loss=found.best.loss,
        gap=_relative_gap(box, found.best),
        starts=tuple(found.starts[i] for i in finite),
        kin=tuple(found.kin[i] for i in finite),
        evaluations=len(box.history),
        outside=box.outside and isinstance(solver, Auto),
        settled=found.settled,
        stopped=found.stopped,
    )


def _relative_gap(box: Box, best: Place) -> float:
    """Return the first-order gain left at ``best`` as a share of the rise, or NaN."""
    rise = best.loss - box.history[0]
    followable = box.space.dot(best.gradient, best.gradient) > 0
    if rise <= 0 or (box.non_finite and not followable):
        return float("nan")
    return box.gap(best) / rise
