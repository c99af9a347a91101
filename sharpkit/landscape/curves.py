"""Curves between two minima along which the loss stays low, trained on flat weights."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path as File
from typing import Any

import numpy as np

from sharpkit._inputs.arrays import array_module, to_host
from sharpkit._inputs.checks import at_least, checked_seed
from sharpkit._inputs.objective import ROUNDINGS, Objective
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Array, Report, Vector
from sharpkit._inputs.warn import warn
from sharpkit._vectors.streams import Stream
from sharpkit.landscape.curve_result import CurveResult, coefficients, require_kind
from sharpkit.landscape.given import batch_norm_of, problems_of, require_one_place
from sharpkit.landscape.surface import Values as Along
from sharpkit.landscape.values import Values
from sharpkit.measures._batches import Draws
from sharpkit.measures._given import Sum, positive, required, vector
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import unsharded
from sharpkit.problem import as_problem, is_problem
from sharpkit.reports.inputs import at_checkpoint

GOLDEN = (math.sqrt(5) - 1) / 2
FAST, SLOW = 0.9, 0.999  # how Adam's means of the gradient and of its square decay
LEAST = 1e-8  # of the gradient's root mean square: smaller entries take smaller steps
OFF = 1e-3  # of the weights' root mean square: how far off the chord a curve begins


@unsharded
@documented
def curve(
    problem: Any,
    to: Any,
    *,
    kind: str = "bezier",
    bends: int = 1,
    steps: int = 300,
    rate: float = 0.1,
    batch_size: int | None = None,
    points: int = 61,
    seed: int = 0,
    backend: str | None = None,
    progress: Progress = None,
) -> CurveResult:
    r"""Connect two minima by a curve along which the loss is low.

    The inner points of a Bézier curve or a polygon between the weights are trained to
    minimise the mean loss along it, ``E loss(phi(t))`` with t uniform from 0 to 1, by
    Adam. Both ends stay where they are. Batch norms take the statistics of the data at
    every point, in training as in evaluation, because running averages belong to the
    ends alone.

    Parameters
    ----------
    problem
        A problem at one end of the curve, or a mapping of names of data sets to
        problems: the curve is trained on the first, and all are evaluated along it.
    to
        The other end: the path of a checkpoint, a mapping of names to arrays, a flat
        vector, or a problem at it.
    kind
        ``"bezier"`` or ``"polygon"``, whose corners are the inner points.
    bends
        The number of inner points. Training keeps three vectors for each.
    steps
        The number of gradients that the training takes.
    rate
        The first step of Adam, relative to the root mean square of the weights at both
        ends; it decays to 0 along half a cosine.
    batch_size
        The samples of each gradient; None takes all. It needs ``problem.subset``.
    points
        The number of points at which the curve, and the straight line, are evaluated.
    seed
        $seed
    backend
        $backend
    progress
        $progress

    Returns
    -------
    CurveResult
        The curve, the values along it and along the straight line, and the barriers.

    Raises
    ------
    TypeError, ValueError
        $raises

    Warns
    -----
    SharpkitWarning
        If some gradients were not finite and have been left out, or if the loss at
        the other end is not what ``to`` has there.

    References
    ----------
    Garipov et al., Loss surfaces, mode connectivity, and fast ensembling of DNNs, 2018,
    https://arxiv.org/abs/1802.10026.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> def ring(w):  # whose minima are the points at distance 1 from the origin
    ...     off = float(w @ w) - 1
    ...     return off**2, 4 * off * w
    >>> problem = sharpkit.Problem(np.array([1.0, 0.0]), ring)
    >>> found = sharpkit.landscape.curve(problem, np.array([-1.0, 0.0]), bends=3)
    >>> found.straight_barrier
    1.0
    >>> found.barrier < 0.1
    True
    """
    require_kind(kind)
    at_least("bends", bends, 1)
    at_least("steps", steps, 1)
    at_least("points", points, 3)
    rate = positive("rate", rate)
    seed = checked_seed(seed)
    problems = {
        name: as_problem("problem", each.on_line())
        for name, each in problems_of(problem, None).items()
    }
    points_of = {
        name: Point.of(each, backend=backend) for name, each in problems.items()
    }
    require_one_place(points_of.values())
    first, point = next(iter(problems.values())), next(iter(points_of.values()))
    began = point.begin()
    evaluate = Values.of(points_of, None, seed)
    end, own = _end(problem, to, point)
    path = _Path(point, end, kind, bends, seed)
    gradients = _Gradients(point, batch_size, steps, seed)
    losses = np.full(steps, math.nan)
    with reporter(
        progress,
        steps + 2 * points - 2,
        title="curve",
        unit="points",
        value="loss {:.4g} so far",
    ) as report:
        _train(path, gradients, rate, losses, report, seed)
        values, straight = _evaluated(path, evaluate, points, steps, report)
    if own is not None:
        _warn_if_other(float(next(iter(values.values()))[-1]), own, point)
    for each in points_of.values():
        each.release()
    return CurveResult(
        t=np.linspace(0, 1, points),
        values=values,
        straight=straight,
        bends=to_host(path.controls[1:-1]),
        ends=to_host(path.ends),
        kind=kind,
        names=("start", _name(to)),
        training=losses,
        batch_norm=batch_norm_of(first),
        run=point.run(Sum(gradients, evaluate), began, seed=seed, source="gradient"),
    )


class _Path:
    """The points that make a curve, as a block, and where it is at t.

    It begins a little off the chord: where a loss is symmetric about that, no gradient
    on it leads away.
    """

    def __init__(
        self, point: Point, end: Array, kind: str, bends: int, seed: int
    ) -> None:
        self.space, self.kind, self.bends = point.space, kind, bends
        self.controls, self.ends = self.space.empty(bends + 2), self.space.empty(2)
        for i, each in enumerate((point.weights, end)):
            self.space.copy(each, self.ends[i])
            self.space.copy(each, self.controls[-i])
        norms = [self.space.norm(each) for each in self.ends]
        self.size = math.hypot(*norms) / math.sqrt(2 * point.n) or 1.0
        for i in range(1, bends + 1):
            row, share = self.controls[i], i / (bends + 1)
            self.space.fill_normal(row, seed, Stream.CURVE + i)
            self.space.combine(
                [[1 - share, share]], self.ends, row[None], beta=OFF * self.size
            )

    def to(self, shares: Vector, out: Array) -> Array:
        """Write the point of some shares."""
        self.space.combine(shares[None], self.controls, out[None])
        return out

    def shares(self, t: float) -> Vector:
        """Return the shares of all points at t of the curve."""
        return coefficients(self.kind, self.bends, t)

    def chord(self, t: float) -> Vector:
        """Return the shares of all points at t of the straight line."""
        return np.array([1 - t, *[0.0] * self.bends, t])


class _Gradients:
    """Losses and gradients of all samples, or of a new batch each time, counted."""

    def __init__(
        self, point: Point, batch_size: int | None, steps: int, seed: int
    ) -> None:
        self.calls, self.seconds = 0, 0.0
        self._objectives = _objectives(point, batch_size, steps, seed)

    def __call__(self, w: Array) -> tuple[float, Array]:
        objective = next(self._objectives)
        before = objective.calls, objective.seconds
        loss, gradient = objective(w)
        self.calls += objective.calls - before[0]
        self.seconds += objective.seconds - before[1]
        return loss, required(gradient)


def _objectives(
    point: Point, batch_size: int | None, steps: int, seed: int
) -> Iterator[Objective]:
    """Return the loss of each step.

    Raises
    ------
    ValueError
        If there are no samples to choose from, or too few.
    """
    if batch_size is None:
        whole = point.objective()
        return (whole for _ in range(steps))
    at_least("batch_size", batch_size, 1)
    part = point.subsets(f"batch_size={batch_size}")
    samples = point.samples or 0
    if batch_size > samples:
        msg = f"batch_size={batch_size}; the problem has {samples} samples: give fewer"
        raise ValueError(msg)
    batches = Draws(seed).batches(samples, batch_size, steps)
    return (part(batch).objective() for batch in batches)


class _Adam:
    """Adam for the inner points, on gradients divided by the size of the first."""

    def __init__(self, path: _Path) -> None:
        self._path, space = path, path.space
        self._xp = array_module(path.controls)
        self._mean, self._square = space.empty(path.bends), space.empty(path.bends)
        self._mean.fill(0)
        self._square.fill(0)
        self._scaled, self._size, self._taken = space.empty(1), 0.0, 0

    def step(self, shares: Vector, gradient: Array, norm: float, rate: float) -> None:
        """Move the inner points, whose gradients are their shares of the given one."""
        space, scaled = self._path.space, self._scaled
        self._size = self._size or norm / math.sqrt(space.size)
        if not self._size:
            return
        self._taken += 1
        space.copy(gradient, scaled[0], 1 / self._size)
        own = shares[1:-1, None]
        space.combine((1 - FAST) * own, scaled, self._mean, beta=FAST)
        scaled *= scaled
        space.combine((1 - SLOW) * own**2, scaled, self._square, beta=SLOW)
        late = math.sqrt(1 - SLOW**self._taken)
        for i in range(self._path.bends):
            move = self._xp.sqrt(self._square[i])
            move += LEAST * late
            self._xp.divide(self._mean[i], move, out=move)
            factor = rate * late / (1 - FAST**self._taken)
            space.add(move, self._path.controls[i + 1], -factor)


def _train(
    path: _Path,
    gradients: _Gradients,
    rate: float,
    losses: Vector,
    report: Report,
    seed: int,
) -> None:
    """Move the inner points to where the mean loss along the curve is least.

    The points at which gradients are taken are each uniform from 0 to 1, and together
    spread more evenly than if each were drawn alone.
    """
    raw = np.random.Philox(key=np.array([seed, Stream.CURVE], np.uint64)).random_raw()
    begin, steps, left_out = (raw >> 11) * 2.0**-53, len(losses), 0
    adam, x = _Adam(path), path.space.empty()
    for step in range(steps):
        shares = path.shares((begin + step * GOLDEN) % 1)
        losses[step], gradient = gradients(path.to(shares, x))
        norm = path.space.norm(gradient)
        if math.isfinite(losses[step]) and math.isfinite(norm):
            now = rate * path.size * (1 + math.cos(math.pi * step / steps)) / 2
            adam.step(shares, gradient, norm, now)
        else:
            left_out += 1
        report(step + 1, losses[step])
    if left_out:
        warn(
            f"{left_out} of {steps} losses or gradients along the curve were not "
            "finite and moved nothing; see `training` of the result, and give a "
            "smaller rate= if they began late"
        )


def _evaluated(
    path: _Path, evaluate: Values, points: int, done: int, report: Report
) -> tuple[Along, Along]:
    """Return the values along the curve, and along the straight line."""
    x, along = path.space.empty(), np.linspace(0, 1, points)
    known: dict[float, dict[str, float]] = {}  # at the ends, which both have

    def at(shares: Callable[[float], Vector], t: float) -> dict[str, float]:
        nonlocal done
        if t in known:
            return known[t]
        path.to(shares(t), x)
        found = evaluate(x).values
        done += 1
        report(done, next(iter(found.values())))
        if t in (0, 1):
            known[t] = found
        return found

    both = []
    for shares in (path.shares, path.chord):
        rows = [at(shares, t) for t in along.tolist()]
        both.append({name: np.array([row[name] for row in rows]) for name in rows[0]})
    return both[0], both[1]


def _end(problem: Any, to: Any, point: Point) -> tuple[Array, Any]:
    """Return the weights at the other end, and the problem there if it is its own."""
    if is_problem(to):
        own = as_problem("to", to)
    elif isinstance(to, (str, os.PathLike, Mapping)):
        own = at_checkpoint(problem, to)
    else:
        return vector(point, "to", to), None
    return vector(point, "to", own.weights), own


def _warn_if_other(ours: float, own: Any, point: Point) -> None:
    """Warn if the problem at the other end has another loss than is measured there."""
    there = Point.of(as_problem("to", own.on_line()))
    theirs = there.objective()(there.weights)[0]
    if abs(theirs - ours) > ROUNDINGS * float(np.finfo(point.weights.dtype).eps) * (
        1 + abs(ours)
    ):
        warn(
            f"the loss at the weights of `to` is {ours:.6g}, and that of `to` itself "
            f"{theirs:.6g}: its data, or values that are no measured weights, such as "
            "frozen parameters, are others; give both ends the same"
        )


def _name(to: Any) -> str:
    return File(to).stem if isinstance(to, (str, os.PathLike)) else "end"
