"""What can be recorded: each by its name, with what the record before has left."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sharpkit._inputs.preconditioner import Preconditioner
from sharpkit._inputs.warn import warn
from sharpkit.measures._chart import checked_metric, in_metric
from sharpkit.measures._given import required
from sharpkit.measures._point import Point
from sharpkit.measures.batch_sharpness import batch_sharpness
from sharpkit.measures.critical_sharpness import critical_sharpness
from sharpkit.measures.eigenvalues import searched
from sharpkit.measures.sharpness import sharpness
from sharpkit.monitor.moment import Moment
from sharpkit.results.common import Headline

TOL = 1e-2  # of the residual of an eigenvalue
AFRESH = 16  # one record of so many looks for eigenvalues that tracking may pass over
TRIED = 64  # one record of so many tries a product again that was found exact
BOX = 200  # evaluations of the box sharpness at most
RESTS = "the optimiser did not move the weights at this step"
BATCHES, RTOL = 32, 0.1  # batches at most, and the relative error that is enough


class UnmovedError(Exception):
    """The optimiser made no step, as a scaler of gradients may have it."""


class Reading(NamedTuple):
    """One value, its error, its threshold, what it took, and how that ended."""

    value: float
    error: float
    threshold: float | None = None
    calls: int = 0
    products: int = 0
    status: str = "ok"


@dataclass(frozen=True)
class Entry:
    """One thing that can be recorded.

    Attributes
    ----------
    take : callable
        The function that takes it at a moment.
    share : float
        Its share of the budget, among others.
    evaluations, products : int
        What the first time takes, about.
    follows : bool
        Whether it needs the update that follows, and is taken after that.
    first : int
        The first step at which there is something to take.
    later : float
        What the next times take of the first, about; 0 where the first tells of them.
    """

    take: Callable[[Moment], Reading]
    share: float
    evaluations: float = 0
    products: int = 0
    follows: bool = False
    first: int = 0
    later: float = 0.0


def entries_for(batch_size: int | None, epsilon: float) -> dict[str, Entry]:
    """Return all that can be recorded, by name.

    Parameters
    ----------
    batch_size
        The size of the batches of the batch sharpness; None leaves it out.
    epsilon
        The half-width of the box.
    """

    def batches(moment: Moment) -> Reading:
        assert batch_size is not None  # it is left out otherwise
        found = batch_sharpness(
            moment.problem,
            batch_size=batch_size,
            max_batches=BATCHES,
            rtol=RTOL,
            progress=False,
        )
        return _reading(found, _over(moment.rate))

    def box(moment: Moment) -> Reading:
        return _reading(
            sharpness(
                moment.problem, epsilon=epsilon, max_evaluations=BOX, progress=False
            )
        )

    found = {
        "loss": Entry(_loss, 0.1, evaluations=1),
        "gradient_norm": Entry(_gradient_norm, 0.1, evaluations=1),
        "update_norm": Entry(_update_norm, 0.05, evaluations=1, follows=True),
        "distance": Entry(_distance, 0.05, evaluations=1),
        "critical_sharpness": Entry(
            _critical, 0.2, evaluations=12, follows=True, later=0.2
        ),
        "lambda_max": Entry(_lambda_max, 0.4, products=20),
        "preconditioned_lambda_max": Entry(_preconditioned, 0.4, products=25, first=1),
        "batch_sharpness": Entry(batches, 0.2, evaluations=2 * BATCHES),
        "sharpness": Entry(box, 0.1, evaluations=BOX),
    }
    if batch_size is None:
        del found["batch_sharpness"]
    return found


def _over(rate: float | None) -> float | None:
    return 2 / rate if rate else None


def _reading(found: Headline, threshold: float | None = None) -> Reading:
    status = found.status.name.lower().replace("_", " ")
    run = found.run
    return Reading(
        float(found), found.error, threshold, run.calls, run.products, status
    )


def _loss(moment: Moment) -> Reading:
    value, _ = moment.loss
    return Reading(value, max(moment.memory.noise, moment.eps * abs(value)), calls=1)


def _gradient_norm(moment: Moment) -> Reading:
    value = moment.point.space.norm(required(moment.loss[1]))
    return Reading(value, math.hypot(moment.memory.gap, moment.eps * value), calls=1)


def _update_norm(moment: Moment) -> Reading:
    assert moment.update is not None  # it is taken after the update
    value = moment.point.space.norm(moment.update)
    return Reading(value, moment.eps * value)


def _distance(moment: Moment) -> Reading:
    value = moment.point.space.norm(moment.point.weights - moment.memory.start)
    return Reading(value, moment.eps * value)


def _critical(moment: Moment) -> Reading:
    """Take the critical sharpness along the update, per unit of the learning rate.

    Without a rate it is that along the update itself, which raises the loss above 2.

    Raises
    ------
    UnmovedError
        If there was no update.
    """
    rate = 1.0 if moment.rate is None else moment.rate
    update = moment.update
    assert update is not None  # it is taken after the update
    if not rate > 0 or not bool((update != 0).any()):
        raise UnmovedError(RESTS)
    memory = moment.memory
    found = critical_sharpness(
        moment.point, direction=update / rate, guess=memory.guess, progress=False
    )
    memory.guess = found.step
    return _reading(found, 2 / rate)


def _lambda_max(moment: Moment) -> Reading:
    found = _tracked("lambda_max", "weights", moment, None)
    try:
        return found._replace(threshold=moment.threshold)
    except (TypeError, ValueError) as error:  # the eigenvalue stands without it
        warn(f"no threshold is known: {error}")
        return found


def _preconditioned(moment: Moment) -> Reading:
    if moment.rate == 0:
        raise UnmovedError(RESTS)
    metric = moment.metric
    assert metric is not None  # it is left out otherwise
    found = _tracked("preconditioned_lambda_max", "metric", moment, metric)
    return found._replace(threshold=metric.threshold)


def _tracked(
    name: str, coordinates: str, moment: Moment, metric: Preconditioner | None
) -> Reading:
    """Find the largest eigenvalue from the last vector, and now and then afresh.

    Afresh the search goes on until an eigenvalue that was passed over, as when two
    cross, would have shown. An exact product is the same code at all weights, and is
    tried again less often than differences, whose error is that of the step.
    """
    memory = moment.memory
    count, known = memory.taken[name], memory.vectors.get(name)
    afresh = count % AFRESH == AFRESH - 1
    again = afresh and not _exact(memory.points.get(coordinates))
    again |= count % TRIED == TRIED - 1
    point = Point.of(moment.problem) if again else moment.point
    if metric is not None:
        point = in_metric(point, checked_metric(metric, point.weights))
        if not again:
            point = moment.inheriting(coordinates, point)
    found, _ = searched(
        point,
        k=1,
        tol=TOL,
        v0=known,
        verify=afresh,
        seed=0,
        max_products=200,
        progress=False,
    )
    memory.points[coordinates] = point
    memory.vectors[name] = found.vectors[:1]
    memory.taken[name] += 1
    return _reading(found)


def _exact(point: Point | None) -> bool:
    """Whether the products there were found exact but for the rounding of the dtype."""
    if point is None:
        return False
    known = point.trusted()
    return known.hvp is not None and known.error == 0


NAMES = tuple(entries_for(1, 1e-3))
OF_GRADIENT = {*NAMES} - {"loss", "update_norm", "distance", "critical_sharpness"}
OF_PRODUCTS = {"lambda_max", "preconditioned_lambda_max"}
