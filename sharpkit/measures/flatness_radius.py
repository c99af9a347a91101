"""How far the weights may be perturbed before the error, or the loss, has risen."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np

from sharpkit._box.ball import Cube
from sharpkit._box.box import NUMERICAL_LIMIT
from sharpkit._diagnosis.noise import spurious_rise
from sharpkit._inputs.checks import at_least, checked_seed, one_of, true_or_false
from sharpkit._inputs.objective import Objective, require_moderate
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Array, LossFn, Report
from sharpkit.measures._average_radius import Crossing, Draws
from sharpkit.measures._bounds import Bounds
from sharpkit.measures._given import (
    Sum,
    centre,
    closer,
    error,
    forward,
    positive,
    start_of,
)
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import require_equal, sharded
from sharpkit.measures._worst_radius import Shrinking
from sharpkit.results.radius import Bound, RadiusResult, RadiusStatus

Kind = Literal["average", "worst"]
Of = Literal["error", "loss"]
USUAL = {"average": 200, "worst": 400}  # evaluations
LEAST = 100  # evaluations; fewer say too little
FIRST = 1e-2  # times the root mean square of the weights, and by magnitude: itself

ENDS = {
    "converged": RadiusStatus.CONVERGED,
    "upper bound": RadiusStatus.UPPER_BOUND,
    "budget": RadiusStatus.BUDGET,
    "unreached": RadiusStatus.UNREACHED,
    "noise": RadiusStatus.BELOW_NOISE,
    "floor": RadiusStatus.FLOOR,
    "non-finite": RadiusStatus.NON_FINITE,
}


@sharded
@documented
def flatness_radius(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    kind: Kind = "average",
    magnitude: bool = False,
    target: float = 0.1,
    of: Of = "error",
    start: Any = None,
    max_evaluations: int | None = None,
    seed: int = 0,
    backend: str | None = None,
    process_group: Any = None,
    comm: Any = None,
    progress: Progress = None,
) -> RadiusResult:
    r"""Measure how far weights may move until the error has *risen* by a target.

    The radii of Jiang et al.: sigma (average), alpha (worst) and, with ``magnitude``,
    sigma' and alpha'. The rise is that above the error, or loss, at the weights, not
    the value that is reached; at a training error of zero both are one.

    Parameters
    ----------
    problem
        $problem
    loss_fn
        $loss_fn
        A loss alone knows no error: give ``of="loss"``.
    kind : {"average", "worst"}
        What rises by the target. ``"average"``: the mean over normal perturbations,
        ``u_i ~ N(0, sigma^2)``, and ``N(0, sigma'^2 w_i^2 + 1e-6)`` by magnitude.
        ``"worst"``: the largest value in the box ``|u_i| <= alpha``, and ``alpha'
        |w_i|`` by magnitude. It is searched: a point with the rise is known in the box
        of the radius, so that this is an upper bound of alpha. Nothing is known from
        below, and there is no error bar. The *loss* is maximised there, for an error
        has no gradient, and the error is taken at the points found.
    magnitude
        Whether a weight is perturbed in proportion to its magnitude.
    target
        The rise: of the share of wrong answers, from 0 to 1, or of the loss.
    of : {"error", "loss"}
        What rises. ``"error"`` is one minus ``problem.accuracy``.
    start
        The weights that the training began with, a vector or a problem at them, for the
        `RadiusResult.bounds` that count the distance from there.
    max_evaluations
        The evaluations of error or loss that may be done, at least 100, besides a few
        at the weights; None is 200, and 400 for the worst kind. For the average, about
        a third of them are perturbations.
    seed
        $seed
    backend
        $backend
    process_group
        $process_group
    comm
        $comm
    progress
        $progress

    Returns
    -------
    RadiusResult
        The radius, how sure it is, and the measures that are made of it.

    Raises
    ------
    TypeError, ValueError
        $raises
    NotImplementedError
        If the error is asked for of a model over ranks, which knows its loss only.

    Warns
    -----
    SharpkitWarning
        If the loss, or the error, is not deterministic.

    See Also
    --------
    sharpness : The rise at a given size of the box.

    Notes
    -----
    A gradient that is taken numerically counts as one evaluation.

    The average sees the same perturbations at all scales. The interval turns what their
    spread leaves open of the mean rise into scales, by the power of the scale that the
    rise grows with there; it holds the radius in about 95 of 100 runs. It is assumed
    that the rise grows with the scale: one crossing of the target is found.

    For the worst kind the box is shrunk to the last point found, again and again, and
    every search begins from there.

    `RadiusResult.bounds` has the measures of the paper by name, each ``sqrt(value /
    m)``, for m samples. Where sources disagree it has: pacbayes-mag-orig with ``w_i``,
    not ``w_i - w0_i``, in the denominator; the sums of logarithms times 1/4; the sigma
    beside alpha where the first terms agree, ``alpha / sqrt(log(2 N))`` (by magnitude
    ``alpha' / sqrt(4 log(2 N / delta))``); and delta = 0.05. The paper folds batch
    norms into the layers before them; that is left to you.

    References
    ----------
    Jiang, Neyshabur, Mobahi, Krishnan, Bengio, arXiv 1912.02178; Dziugaite et al.,
    arXiv 2010.11924.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> def loss(w):
    ...     return 0.5 * float(w @ w), w
    >>> r = sharpkit.flatness_radius(np.zeros(20), loss, kind="worst", of="loss")
    >>> round(float(r), 6)  # sqrt(2 * 0.1 / 20)
    0.1
    """
    point = Point.of(problem, loss_fn, backend=backend, comm=comm)
    began = point.begin()
    one_of("kind", kind, get_args(Kind))
    one_of("of", of, get_args(Of))
    magnitude = true_or_false("magnitude", magnitude)
    usual = USUAL[kind] if max_evaluations is None else max_evaluations
    budget = at_least("max_evaluations", usual, LEAST)
    target, seed = positive("target", target), checked_seed(seed)
    bounds = _bounds(point, start)
    what = _Rising(point, of, target, climbs=kind == "worst")
    with reporter(
        progress, budget, title="flatness radius", unit="evaluations", value="{:.4g}"
    ) as report:
        measure = _average if kind == "average" else _worst
        value, interval, rise, draws, status = measure(
            point, what, magnitude, budget, seed, report
        )
    if target <= spurious_rise(budget) * what.noise:
        status, interval = RadiusStatus.BELOW_NOISE, (0.0, math.inf)
    made: dict[str, Bound] = {}
    if bounds is not None:
        made = bounds.of(value, interval, worst=kind == "worst", mag=magnitude)
    counted = Sum(*what.callbacks)
    return RadiusResult(
        value=value,
        interval=interval,
        kind=kind,
        magnitude=magnitude,
        of=of,
        target=target,
        centre=what.centre,
        rise=rise,
        noise=what.noise,
        evaluations=counted.calls,
        draws=draws,
        bounds=made,
        status=status,
        run=point.run(counted, began, seed=seed, source=what.source),
    )


class _Rising:
    """What is to rise, and the loss that is climbed for it, both seen at the weights.

    Raises
    ------
    ValueError
        If there is no accuracy, no gradient where one is needed, or the error cannot
        rise by so much.
    """

    def __init__(self, point: Point, of: Of, target: float, *, climbs: bool) -> None:
        self.target, self.source = target, "accuracy"
        self.objective = point.objective()
        self.gradient: Array | None = None
        self.height = forward(point) if of == "loss" else error(point)
        if of == "loss" or climbs:
            self.loss, self.gradient, noise = centre(self.objective, point.weights)
            require_moderate(self.loss)
            if climbs and self.gradient is None:
                _require_few(point)
        if of == "loss":
            seen = point.looks.noise(
                self.objective, self.loss, self.gradient, epsilon=FIRST
            )
            self.centre, self.source = self.loss, "loss"
            least = target / spurious_rise(LEAST)
            noise = closer(point, self.objective, self.loss, noise, least)
            self.noise = max(noise, seen)
        else:
            self.centre, _, self.noise = centre(self.height, point.weights)
            if self.centre + target > 1:
                msg = (
                    f"target={target}: the error is {self.centre:.3g} at the weights, "
                    "and cannot rise by so much; give a smaller one, or of='loss'"
                )
                raise ValueError(msg)

    @property
    def callbacks(self) -> list[Objective]:
        """The callbacks that were called."""
        return [self.objective, self.height]

    def at(self, x: Array) -> float:
        return self.height(x)[0]


def _require_few(point: Point) -> None:
    """Raise unless gradients can be taken numerically.

    Raises
    ------
    ValueError
        If they cannot.
    """
    where = ""
    if point.n > NUMERICAL_LIMIT:
        where = f"in {point.n} dimensions, above {NUMERICAL_LIMIT}"
    elif point.comm is not None:
        where = "over ranks"
    if where:
        msg = (
            f"loss_fn returns no gradient to climb by {where}: return (loss, "
            "gradient), or give kind='average'"
        )
        raise ValueError(msg)


Answer = tuple[float, tuple[float, float], float, int, RadiusStatus]


def _average(
    point: Point,
    what: _Rising,
    magnitude: bool,
    budget: int,
    seed: int,
    report: Report,
) -> Answer:
    slope = what.gradient if what.source == "loss" else None
    draws = Draws(
        point.space,
        point.weights,
        what.at,
        what.centre,
        slope,
        magnitude=magnitude,
        seed=seed,
    )
    crossing = Crossing(draws, what.target, what.noise, budget, report)
    root = crossing.run(_first(point, magnitude))
    end = "floor" if magnitude and root.end == "noise" else root.end
    return root.scale, root.interval, root.rise, root.draws, ENDS[end]


def _worst(
    point: Point,
    what: _Rising,
    magnitude: bool,
    budget: int,
    seed: int,
    report: Report,
) -> Answer:
    first = _first(point, magnitude)
    cube = Cube(point.space, point.weights, first, adaptive=magnitude)
    found = Shrinking(
        what.objective,
        cube,
        what.loss,
        what.gradient,
        what.at,
        what.centre,
        target=what.target,
        budget=budget,
        seed=seed,
        report=report,
    ).run(first)
    end, interval = found.end, (math.nan, found.radius)
    if end == "unreached":
        interval = (found.radius, math.inf)
    elif end == "noise":
        interval = (0.0, math.inf)
    elif math.isinf(found.rise):
        end = "non-finite"
    return found.radius, interval, found.rise, 0, ENDS[end]


def _first(point: Point, magnitude: bool) -> float:
    """Return the scale that the search begins with."""
    mean = point.space.norm(point.weights) / math.sqrt(point.n)
    return FIRST if magnitude or not mean > 0 else FIRST * mean


def _bounds(point: Point, start: Any) -> Bounds | None:
    """Return what makes measures of a radius, where the number of samples is known."""
    begun = None if start is None else start_of(point, start)
    samples = None if point.problem is None else point.problem.samples
    if point.comm is not None:
        require_equal(point.comm, "problem.samples", samples)
    if not samples:
        return None
    references = {"orig": point.weights}
    if begun is not None:
        references["init"] = np.subtract(point.weights, begun)
    return Bounds(point.space, references, samples)
