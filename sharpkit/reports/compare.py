"""Two sides of one problem, measure by measure, and the line between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.checks import at_least
from sharpkit._inputs.progress import OutOfTime, Progress, reporter, until
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Vector
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import unsharded
from sharpkit.reports.asked import checked_measures, end_of, require_function
from sharpkit.reports.evaluate import accuracy, fitted, norm
from sharpkit.reports.inputs import sides_of
from sharpkit.reports.measure import MEASURES, MOST
from sharpkit.reports.profile import begun, tell
from sharpkit.reports.session import Session, Work
from sharpkit.reports.steps import INTERRUPTED, last_of, steps
from sharpkit.results.comparison import Comparison, Path
from sharpkit.results.report import Report, Settings

# Of each data set, the points of A and of B.
Sides = dict[str, tuple[list[Point], list[Point]]]


@unsharded
@documented
def compare(
    a: Any,
    b: Any,
    problem: Any = None,
    *,
    names: tuple[str, str] = ("A", "B"),
    epsilon: float = 1e-3,
    alphas: Any = None,
    repeats: int = 3,
    k: int = 1,
    measures: Iterable[str] = MEASURES,
    max_evaluations: int | None = MOST,
    time_budget: float | None = None,
    seed: int = 0,
    backend: str | None = None,
    progress: Progress = None,
    on_result: Callable[[Comparison], None] | None = None,
) -> Comparison:
    """Compare two points of one problem, measure by measure and along a line.

    Of one pair differences are given in units of their errors of measurement,
    ``sqrt(error_A^2 + error_B^2)``; of several checkpoints of each side, which alone
    tell what differs between two ways of training, in standard errors of the means. The
    line is ``(1 - alpha) A + alpha B``, as in Figure 3 of Keskar et al.

    Parameters
    ----------
    a, b
        Two checkpoints: paths (see `sharpkit.reports.checkpoints.load`), mappings of
        names to arrays, or flat vectors (a model's buffers are then those of the
        problem). Or problems, or mappings of names of data sets to problems;
        ``problem`` is then None. Or lists of several of these.
    problem
        The problem that the checkpoints belong to, or a mapping of names of data sets
        to problems, such as ``{"train": one, "test": other}``: the first is measured;
        loss, accuracy and the line are taken on all.
    names
        What A and B are called.
    epsilon
        The size of the box of the sharpness, relative to ``|w_i| + 1``.
    alphas
        The places on the line, ascending; None stands for 25 from -1 to 2, as in the
        paper.
    repeats
        The number of searches for the sharpness at each point.
    k
        The number of eigenvalues.
    measures
        The names of the measures, as of `sharpkit.profile`.
    max_evaluations
        What the measures of one checkpoint, with its share of the line, may cost in
        evaluations, as of `sharpkit.measure`.
    time_budget
        The seconds that all may take, as of `sharpkit.profile`: the line first, then
        the measures of all checkpoints in turn.
    seed
        $seed
    backend
        $backend
    progress
        $progress
    on_result
        A function ``on_result(comparison)`` that is called after every finished
        measurement, with all that has been found so far: to keep it in case the rest is
        interrupted.

    Returns
    -------
    Comparison
        All reports, and the line between the first of each side. After an interrupt
        (Ctrl-C) it is what was finished.

    Raises
    ------
    TypeError, ValueError, OSError
        If an argument, a checkpoint, or what a problem returns cannot be used; before
        the measurements begin.

    Notes
    -----
    On the line only the weights are interpolated. What else a model holds, its buffers
    and frozen parameters, is that of A. Batch norms take the statistics of the data at
    every point (``problem.on_line()``), for averages belong to no point between: with
    them the ends of the line are not the losses of the table.

    References
    ----------
    Keskar et al., arXiv 1609.04836, section 2.2.1; Goodfellow, Vinyals and Saxe, arXiv
    1412.6544.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> problem = sharpkit.Problem(np.zeros(2), lambda w: (float(w @ w), 2 * w))
    >>> found = sharpkit.compare(
    ...     np.zeros(2), np.ones(2), problem, measures=("trace",), alphas=[0, 0.5, 1]
    ... )
    >>> found.paths["data"].loss.tolist()
    [0.0, 0.5, 2.0]
    """
    settings = Settings(
        epsilon, repeats, checked_measures(measures), k, seed,
        max_evaluations, time_budget,
    )  # fmt: skip
    require_function(on_result)
    end, places, called = (
        end_of(settings),
        _checked_alphas(alphas),
        _checked_names(names),
    )
    sides: Sides = {
        data: (
            [Point.of(each, backend=backend) for each in one],
            [Point.of(each, backend=backend) for each in other],
        )
        for data, (one, other) in sides_of(a, b, problem).items()
    }
    return last_of(_results(sides, called, settings, places, progress, end), on_result)


def _results(
    sides: Sides,
    names: tuple[str, str],
    settings: Settings,
    alphas: Vector,
    progress: Progress,
    end: float,
) -> Iterator[Comparison]:
    """Yield the comparison so far after everything that takes time."""
    measured, *others = sides
    for one, other in sides.values():
        for each in [*one[1:], *other]:
            _require_alike(one[0], each)
    points = [*sides[measured][0], *sides[measured][1]]
    count = len(sides[measured][0])
    settings = _without_path(settings, len(alphas) * len(sides), len(points))
    sessions = [begun(point, settings, progress, end) for point in points]
    running = [steps(session) for session in sessions]
    reports = [next(each) for each in running]
    fits = {measured: [report.fit for report in reports]}
    for data in others:
        fits[data] = [
            fitted(point, settings.seed, epsilon=settings.epsilon).fit
            for side in sides[data]
            for point in side
        ]
    on_line = len(alphas) * len(sides) * sessions[0].seconds(Work(1))
    tell(progress, sessions, on_line)

    def halves(found: list[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return tuple(found[:count]), tuple(found[count:])

    first, second = points[0], points[count]
    found = Comparison(
        reports=halves(reports),
        names=names,
        fits={data: halves(each) for data, each in fits.items()},
        distance=norm(second.weights.astype(np.float64) - first.weights),
        paths={},
        settings=reports[0].settings,
        complete=False,
    )
    yield found
    for data, (of_a, of_b) in sides.items():
        try:
            with until(end):
                path = _path(of_a[0], of_b[0], alphas, progress)
        except OutOfTime:  # which a note tells of
            break
        found = replace(found, paths=found.paths | {data: path})
        yield replace(found, complete=_done(found) and len(found.paths) == len(sides))
    for measured_so_far in _in_turn(sessions, running, reports):
        found = replace(found, reports=halves(measured_so_far))
        found = replace(found, complete=_done(found))
        yield found


def _without_path(settings: Settings, places: int, points: int) -> Settings:
    """Return the settings of one point: the line is paid for by all together."""
    most = settings.max_evaluations
    if most is None:
        return settings
    most = at_least("max_evaluations", most, 1)
    return replace(settings, max_evaluations=max(most - -(-places // points), 1))


def _done(found: Comparison) -> bool:
    return all(each.complete for side in found.reports for each in side)


def _in_turn(
    sessions: list[Session], running: list[Iterator[Report]], reports: list[Report]
) -> Iterator[list[Report]]:
    """Yield all reports after each measure: one of every point, then the next."""
    measures = sessions[0].settings.measures
    for done, _ in enumerate(measures, 1):
        for index, (session, each) in enumerate(zip(sessions, running, strict=True)):
            last = done == len(measures)
            session.partners = len(sessions) - index if last else len(sessions)
            reports[index] = next(each)
            yield reports
            if reports[index].taken[-1].reason == INTERRUPTED:
                next(each)  # which raises the interrupt again
            session.point.release()


def _require_alike(one: Point, other: Point) -> None:
    """Raise unless a line can be drawn between both.

    Raises
    ------
    ValueError
        If size, dtype or kind of the weights differ.
    """
    for what, of_a, of_b in (
        ("size", one.n, other.n),
        ("dtype", one.weights.dtype, other.weights.dtype),
        ("kind", _kind(one), _kind(other)),
    ):
        if of_a != of_b:
            msg = (
                f"the weights of a have {what} {of_a}, those of b {of_b}; compare two "
                "points of one problem"
            )
            raise ValueError(msg)


def _kind(point: Point) -> str:
    """Return whose arrays the weights are."""
    own = array_module(point.weights).__name__
    return f"{own} array" if point.kind is None else point.kind.name


def _path(one: Point, other: Point, alphas: Vector, progress: Progress) -> Path:
    assert one.problem is not None  # `sides_of` makes problems only
    line = Point.of(one.problem.on_line(), backend=one.backend)
    loss, losses, shares = line.objective(), [], []
    with reporter(
        progress, len(alphas), title="path", unit="points", value="loss {:.4g}"
    ) as report:
        for done, alpha in enumerate(alphas.tolist(), 1):
            w = (1 - alpha) * one.weights + alpha * other.weights
            losses.append(loss(w)[0])
            shares.append(accuracy(line, w))
            report(done, losses[-1])
    known = [share for share in shares if share is not None]
    shown = np.array(known) if len(known) == len(shares) else None
    return Path(alphas, np.array(losses), shown)


def _checked_alphas(alphas: Any) -> Vector:
    if alphas is None:
        return np.linspace(-1, 2, 25)
    places = np.asarray(alphas)
    if (
        places.ndim != 1
        or not places.size
        or places.dtype.kind not in "fiu"
        or not np.isfinite(places).all()
        or (np.diff(places) <= 0).any()
    ):
        msg = (
            f"alphas={alphas!r}; give finite numbers in ascending order, such as "
            "numpy.linspace(-1, 2, 25)"
        )
        raise ValueError(msg)
    return places.astype(np.float64)


def _checked_names(names: Any) -> tuple[str, str]:
    given = names if isinstance(names, (tuple, list)) else ()
    two = tuple(name for name in given if isinstance(name, str) and name)
    if not len(set(two)) == len(given) == 2:
        msg = f"names={names!r}; give two different names, such as ('small', 'large')"
        raise ValueError(msg)
    return two[0], two[1]
