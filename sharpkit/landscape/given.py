"""What a line and a plane are given, checked before anything is evaluated."""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from sharpkit._inputs.checks import as_float, checked_seed, one_of
from sharpkit._inputs.executors import checked_executor
from sharpkit._inputs.progress import (
    OutOfTime,
    Progress,
    require_progress,
    until,
)
from sharpkit.landscape.frames import Frame
from sharpkit.landscape.grid import Place
from sharpkit.landscape.surface import Floats, Values
from sharpkit.landscape.walk import Job, Walk, walk
from sharpkit.measures._point import Point
from sharpkit.problem import Problem, as_problem
from sharpkit.results.common import Run

BatchNorm = Literal["problem", "data"]


@dataclass(frozen=True)
class Given:
    """The problems of a landscape, and how it is to be taken.

    Attributes
    ----------
    problems : dict
        The problems, by the names of their data sets; None for one that has none.
    point : Point
        The first, at whose weights it begins.
    options : dict
        What `walk` takes.
    """

    problems: dict[str | None, Any]
    point: Point
    backend: str | None
    samples: int | None
    seed: int
    options: dict[str, Any]
    began: float
    end: float

    @classmethod
    def of(
        cls,
        problem: Any,
        loss_fn: Any,
        *,
        backend: str | None,
        samples: Any,
        seed: Any,
        executor: Any,
        checkpoint: Any,
        time_budget: Any,
        progress: Progress,
    ) -> Given:
        """Return what was given, checked."""
        began = time.perf_counter()
        require_progress(progress)
        problems = problems_of(problem, loss_fn)
        points = [Point.of(each, backend=backend) for each in problems.values()]
        require_one_place(points)
        options = {
            "executor": checked_executor(executor),
            "checkpoint": checkpoint,
            "progress": progress,
        }
        return cls(
            problems,
            points[0],
            backend,
            samples,
            checked_seed(seed),
            options,
            began,
            began + _seconds(time_budget),
        )

    @contextmanager
    def in_time(self) -> Iterator[None]:
        """Look for directions inside, before there is any point to return.

        Raises
        ------
        ValueError
            If the time is over before they are found.
        """
        try:
            with until(self.end):
                yield
        except OutOfTime as error:
            msg = (
                "time_budget was over before the directions were found; give more "
                "seconds, or directions that need no search"
            )
            raise ValueError(msg) from error

    def taken(
        self,
        frame: Frame,
        coordinates: tuple[Floats, ...],
        batch_norm: BatchNorm | None,
        *,
        title: str,
        apart: bool = False,
    ) -> tuple[Walk, dict[str, Any]]:
        """Take all points; return them, and what results say of them all.

        Parameters
        ----------
        frame
            Where they lie.
        coordinates
            The coordinates along each axis.
        batch_norm
            Which statistics count: ``"problem"``, its own; ``"data"``, those of the
            data at each point; None takes the latter between checkpoints.
        title
            What is taken.
        apart
            Whether each row is a line of its own.
        """
        if batch_norm is not None:
            one_of("batch_norm", batch_norm, get_args(BatchNorm))
        moved = frame.between if batch_norm is None else batch_norm == "data"
        problems = {
            name: each.on_line() if moved else each
            for name, each in self.problems.items()
        }
        job = Job(
            problems, frame.block, coordinates, frame.steps, self.samples, self.seed,
            self.backend, apart,
        )  # fmt: skip
        walked = walk(job, title=title, end=self.end, **self.options)
        first = next(iter(problems.values()))
        known = {
            "axes": tuple(frame.axes),
            "marks": frame.marks,
            "centre": walked.centre.values,
            "batch_norm": batch_norm_of(first),
            "samples": self.samples or first.samples,
            "run": self._run(walked),
        }
        return walked, known

    def _run(self, walked: Walk) -> Run:
        point = self.point
        return Run(
            n=point.n,
            source="none",
            calls=walked.calls,
            seconds=time.perf_counter() - self.began,
            callback_seconds=walked.seconds,
            backend=point.backend,
            dtype=str(point.weights.dtype),
            seed=self.seed,
        )


def require_one_place(points: Iterable[Point]) -> None:
    """Raise unless problems of several data sets are at the same weights.

    Raises
    ------
    ValueError
        If they are not.
    """
    first, *others = points
    if not all(np.array_equal(each.weights, first.weights) for each in others):
        msg = (
            "the problems of the data sets are at different weights; make them of one "
            "model, or move them with problem.at(...)"
        )
        raise ValueError(msg)


def gridded(walked: Walk, shape: tuple[int, ...]) -> tuple[Values, Values, Any]:
    """Return values, errors and what was taken, each as arrays over the grid.

    Parameters
    ----------
    walked
        What was taken.
    shape
        The number of points along each axis.
    """
    taken = np.zeros(shape, bool)
    values = {name: np.full(shape, np.nan) for name in walked.centre.values}
    errors = {name: np.full(shape, np.nan) for name in walked.centre.errors}
    place: Place
    for place, found in walked.found.items():
        taken[place] = True
        for name, grid in values.items():
            grid[place] = found.values[name]
        for name, grid in errors.items():
            grid[place] = found.errors[name]
    return values, errors, taken


def called(names: Any, count: int) -> Sequence[str]:
    """Return the names of checkpoints.

    Raises
    ------
    ValueError
        If they are not as many different names.
    """
    usual = tuple("ABC"[:count])
    given = usual if names is None else names
    own = given if isinstance(given, (tuple, list)) else ()
    texts = [each for each in own if isinstance(each, str) and each]
    if not len(set(texts)) == len(own) == count:
        msg = f"names={names!r}; give {count} different names, such as {usual}"
        raise ValueError(msg)
    return texts


def problems_of(problem: Any, loss_fn: Any) -> dict[str | None, Any]:
    """Return the problems by the names of their data sets.

    Raises
    ------
    ValueError
        If there are none.
    """
    if isinstance(problem, Mapping):
        if not problem:
            msg = "problem is empty; give at least one problem"
            raise ValueError(msg)
        return {
            str(name): as_problem(f"problem[{name!r}]", each)
            for name, each in problem.items()
        }
    point = Point.of(problem, loss_fn)  # which checks both
    if point.problem is not None:
        return {None: point.problem}
    return {None: Problem(problem, loss_fn)}


def batch_norm_of(problem: Any) -> str:
    """Return the statistics that batch norms use; empty where there are none."""
    known = str(getattr(problem, "batch_norm", "") or "")
    without = known and known != "batch" and problem.on_line() is problem
    return "" if without else known


def _seconds(time_budget: Any) -> float:
    """Return the seconds that all may take; infinite for None.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is not above 0.
    """
    if time_budget is None:
        return math.inf
    if isinstance(time_budget, bool) or not isinstance(time_budget, numbers.Real):
        msg = f"time_budget={time_budget!r} is not a number; give seconds, such as 60"
        raise TypeError(msg)
    if not as_float(time_budget) > 0:
        msg = f"time_budget={time_budget!r}; give seconds above 0, such as 60, or None"
        raise ValueError(msg)
    return float(time_budget)
