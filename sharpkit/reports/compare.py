"""Two points of one problem side by side: measures, and the line between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.progress import Progress, reporter
from sharpkit._inputs.types import Vector
from sharpkit.measures._point import Point
from sharpkit.measures._texts import documented
from sharpkit.reports.evaluate import accuracy, fitted, norm
from sharpkit.reports.inputs import pairs_of
from sharpkit.reports.measure import MEASURES, Plan, checked_measures, steps
from sharpkit.results.comparison import Comparison, Path, Settings
from sharpkit.results.report import Report

Pairs = dict[str, tuple[Point, Point]]  # of each data set, the points A and B


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
    seed: int = 0,
    backend: str | None = None,
    progress: Progress = None,
    on_result: Callable[[Comparison], None] | None = None,
) -> Comparison:
    """Compare two points of one problem, measure by measure and along a line.

    Differences are given in units of ``sqrt(error_A^2 + error_B^2)``. The line is
    ``(1 - alpha) A + alpha B``, as in Figure 3 of Keskar et al.

    Parameters
    ----------
    a, b
        Two checkpoints: paths (see `sharpkit.reports.checkpoints.load`), mappings of
        names to arrays, or flat vectors (a model's buffers are then those of the
        problem). Or problems, or mappings of names of data sets to problems;
        ``problem`` is then None.
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
        The names of the measures, as of `sharpkit.measure`.
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
        Both reports, and the line between them.

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
    wanted = checked_measures(measures)
    _require_function(on_result)
    plan = Plan(epsilon, repeats, k, wanted, seed, progress)
    places = _checked_alphas(alphas)
    pairs = {
        data: (Point.of(one, backend=backend), Point.of(other, backend=backend))
        for data, (one, other) in pairs_of(a, b, problem).items()
    }
    for found in _results(pairs, _checked_names(names), plan, places):
        if on_result is not None:
            on_result(found)
    return found


def _results(
    pairs: Pairs, names: tuple[str, str], plan: Plan, alphas: Vector
) -> Iterator[Comparison]:
    """Yield the comparison so far after everything that takes time."""
    measured, *others = pairs
    for pair in pairs.values():
        _require_alike(*pair)
    one, other = pairs[measured]
    running = [steps(point, plan) for point in (one, other)]
    a, b = (next(each) for each in running)
    fits = {measured: (a.fit, b.fit)}
    for data in others:
        of_a, of_b = (
            fitted(point, plan.seed, epsilon=plan.epsilon).fit for point in pairs[data]
        )
        fits[data] = (of_a, of_b)
    found = Comparison(
        a=a,
        b=b,
        names=names,
        fits=fits,
        distance=norm(other.weights.astype(np.float64) - one.weights),
        paths={},
        settings=_settings(plan),
        complete=False,
    )
    yield found
    for data, pair in pairs.items():
        path = _path(*pair, alphas, plan.progress)
        found = replace(found, paths=found.paths | {data: path})
        done = len(found.paths) == len(pairs)
        yield replace(found, complete=done and not plan.measures)
    for side, report, left in _alternately(pairs[measured], running, plan):
        ends_of = {"a": found.a, "b": found.b} | {side: report}
        found = replace(found, a=ends_of["a"], b=ends_of["b"], complete=not left)
        yield found


def _settings(plan: Plan) -> Settings:
    return Settings(
        epsilon=float(plan.epsilon),
        repeats=int(plan.repeats),
        measures=plan.measures,
        k=int(plan.k),
        seed=int(plan.seed),
    )


def _alternately(
    pair: tuple[Point, Point], running: list[Iterator[Report]], plan: Plan
) -> Iterator[tuple[str, Report, int]]:
    """Yield side, report, and how many are left: A, then B, each measure in turn."""
    left = 2 * sum(
        plan.repeats if name == "sharpness" else 1 for name in set(plan.measures)
    )
    while left:
        for side, point, each in zip(("a", "b"), pair, running, strict=True):
            left -= 1
            report = next(each)
            point.release()
            yield side, report, left


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
    assert one.problem is not None  # `pairs_of` makes problems only
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


def _require_function(on_result: Any) -> None:
    if on_result is not None and not callable(on_result):
        msg = (
            f"on_result={on_result!r} is of type {type(on_result).__name__}; give a "
            "function of the comparison so far, or None"
        )
        raise TypeError(msg)


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
