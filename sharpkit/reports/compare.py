"""Two points of one problem side by side: measures, and the line between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.progress import Progress, reporter
from sharpkit.reports.evaluate import Evaluator, norm
from sharpkit.reports.inputs import Pairs, pairs_of
from sharpkit.reports.measure import MEASURES, Plan, checked_measures, release, steps
from sharpkit.results.comparison import Comparison, Path, Settings
from sharpkit.results.report import Report


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
        problem). Or problems, or mappings of names of data
        sets to problems, ``problem`` then being None.
    problem
        A problem, or a mapping such as ``{"train": one, "test": other}``: the first
        is measured; loss, accuracy and the line are taken on all.
    names
        What A and B are called.
    epsilon, repeats, k, measures, seed, backend, progress
        As of `sharpkit.measure`. ``progress`` also hears of the line.
    alphas
        Places on the line, ascending; None: 25 from -1 to 2, as the paper.
    on_result
        ``on_result(comparison)`` after every finished measurement, with all that has
        been found so far: to keep it in case the rest is interrupted.

    Returns
    -------
    Comparison

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
    plan = Plan(epsilon, repeats, k, wanted, seed, backend, progress)
    places = _checked_alphas(alphas)
    pairs = pairs_of(a, b, problem)
    for found in _results(pairs, _checked_names(names), plan, places):
        if on_result is not None:
            on_result(found)
    return found


def _results(
    pairs: Pairs, names: tuple[str, str], plan: Plan, alphas: NDArray[np.float64]
) -> Iterator[Comparison]:
    """Yield the comparison so far after everything that takes time."""
    measured, *others = pairs
    ends = {data: _ends(pair) for data, pair in pairs.items()}
    one, other = ends[measured]
    running = [steps(problem, plan) for problem in pairs[measured]]
    a, b = (next(each) for each in running)
    fits = {measured: (a.fit, b.fit)}
    for data in others:
        fits[data] = (ends[data][0].fit(), ends[data][1].fit())
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
    del one, other  # their weights: what stands in `ends` goes with its path
    yield found
    for data, pair in pairs.items():
        path = _path(pair[0], *ends.pop(data), alphas, plan.progress)
        found = replace(found, paths=found.paths | {data: path})
        yield replace(found, complete=not plan.measures and not ends)
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
    pair: tuple[Any, Any], running: list[Iterator[Report]], plan: Plan
) -> Iterator[tuple[str, Report, int]]:
    """Yield side, report, and how many are left: A, then B, each measure in turn."""
    left = 2 * sum(
        plan.repeats if name == "sharpness" else 1 for name in set(plan.measures)
    )
    while left:
        for side, problem, each in zip(("a", "b"), pair, running, strict=True):
            left -= 1
            report = next(each)
            release(problem)
            yield side, report, left


def _ends(pair: tuple[Any, Any]) -> tuple[Evaluator, Evaluator]:
    """Return both ends if a line can be drawn between them."""
    one, other = (Evaluator(problem) for problem in pair)
    for what, of_a, of_b in (
        ("size", one.weights.size, other.weights.size),
        ("dtype", one.weights.dtype, other.weights.dtype),
        ("kind", one.kind_name, other.kind_name),
    ):
        if of_a != of_b:
            msg = (
                f"the weights of a have {what} {of_a}, those of b {of_b}; compare two "
                "points of one problem"
            )
            raise ValueError(msg)
    return one, other


def _path(
    problem: Any,
    one: Evaluator,
    other: Evaluator,
    alphas: NDArray[np.float64],
    progress: Progress,
) -> Path:
    on_line = getattr(problem, "on_line", None)
    line = Evaluator(problem if on_line is None else on_line())
    losses, shares = [], []
    with reporter(
        progress, len(alphas), title="path", unit="points", value="loss {:.4g}"
    ) as report:
        for done, alpha in enumerate(alphas.tolist(), 1):
            w = (1 - alpha) * one.weights + alpha * other.weights
            losses.append(line.loss(w))
            shares.append(line.accuracy(w))
            report(done, losses[-1])
    known = [share for share in shares if share is not None]
    accuracy = np.array(known) if len(known) == len(shares) else None
    return Path(alphas, np.array(losses), accuracy)


def _checked_alphas(alphas: Any) -> NDArray[np.float64]:
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
    two = tuple(names) if isinstance(names, (tuple, list)) else ()
    if len(set(two)) != 2 or not all(isinstance(name, str) and name for name in two):
        msg = f"names={names!r}; give two different names, such as ('small', 'large')"
        raise ValueError(msg)
    return two[0], two[1]
