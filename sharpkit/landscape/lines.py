"""The loss along a line."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import numpy as np

from sharpkit._inputs.checks import at_least
from sharpkit._inputs.progress import Progress
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import LossFn
from sharpkit.landscape.directions import Direction, Normalize, directions_of
from sharpkit.landscape.frames import Frame, spanned, toward, weights_at
from sharpkit.landscape.given import BatchNorm, Given, called, gridded
from sharpkit.landscape.grid import coordinates
from sharpkit.landscape.surface import LineResult, Values
from sharpkit.measures._sharded import unsharded


@unsharded
@documented
def line(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    direction: Any = "random",
    to: Any = None,
    names: tuple[str, str] | None = None,
    points: int = 51,
    span: Any = None,
    normalize: Normalize | None = None,
    groups: Any = None,
    repeats: int = 1,
    samples: int | None = None,
    batch_norm: BatchNorm | None = None,
    seed: int = 0,
    executor: Executor | int | None = None,
    checkpoint: Any = None,
    time_budget: float | None = None,
    backend: str | None = None,
    progress: Progress = None,
) -> LineResult:
    """Take loss and accuracy along a line through the weights, ``w + x d``.

    Parameters
    ----------
    problem
        $problem
        Or a mapping of names of data sets to problems at the same weights: all of them
        are taken in one pass.
    loss_fn
        $loss_fn
    direction
        ``"random"``; ``"gradient"``; ``"eigenvector"``, that of the largest eigenvalue
        of the Hessian, of norm 1; or a vector, which is taken as it is.
    to
        A second checkpoint in place of a direction: a path, a mapping of names to
        arrays, a flat vector or a problem. It is at x = 1.
    names
        What the weights and the second checkpoint are called.
    points
        The number of points.
    span
        Both ends of x, or one number for ``(-span, span)``. None is 1, or a quarter
        beyond both checkpoints.
    normalize
        $normalize
    groups
        $groups
    repeats
        The number of random directions, of the seeds ``seed``, ``seed + 1`` and so on:
        the values are then their means, with all of them beside.
    samples
        $landscape_samples
    batch_norm
        $landscape_batch_norm
    seed
        $seed
    executor
        $executor
    checkpoint
        $checkpoint
    time_budget
        $landscape_budget
    backend
        $backend
    progress
        $progress

    Returns
    -------
    LineResult
        The coordinates and the values; ``result.plot()`` draws them.

    Raises
    ------
    TypeError, ValueError
        $raises

    Notes
    -----
    It takes an evaluation for each point and one at the weights: a forward pass alone
    where the problem has that. Every point is computed from the weights in float64 and
    rounded once. Memory beside the callback's own, in vectors of the weights' length,
    at most: 6, or 8 between checkpoints, and 2 more for each further direction.

    References
    ----------
    Goodfellow, Vinyals and Saxe, arXiv 1412.6544; Li et al., arXiv 1712.09913.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> problem = sharpkit.Problem(np.zeros(2), lambda w: (float(w @ w), 2 * w))
    >>> found = sharpkit.landscape.line(problem, direction=np.ones(2), points=3)
    >>> found.x.tolist(), found.values["loss"].tolist()
    ([-1.0, 0.0, 1.0], [2.0, 0.0, 2.0])
    """
    given = Given.of(
        problem,
        loss_fn,
        backend=backend,
        samples=samples,
        seed=seed,
        executor=executor,
        checkpoint=checkpoint,
        time_budget=time_budget,
        progress=progress,
    )
    repeats = at_least("repeats", repeats, 1)
    if to is not None:
        _require_usual(direction, repeats)
        other = weights_at(given.point, next(iter(given.problems.values())), "to", to)
        frame = toward(given.point, other, called(names, 2))
    else:
        with given.in_time():
            frame = _along(given, direction, repeats, normalize, groups, progress)
    x = coordinates("span", points, frame.span(0) if span is None else span)
    if repeats == 1:
        walked, known = given.taken(frame, (x,), batch_norm, title="line")
        values, errors, taken = gridded(walked, (len(x),))
        return LineResult(x, values, taken, errors=errors, **known)
    lines = np.arange(float(repeats))
    walked, known = given.taken(
        frame, (lines, x), batch_norm, title="lines", apart=True
    )
    every, errors, taken = gridded(walked, (repeats, len(x)))
    return LineResult(
        x,
        _means(every),
        taken.all(axis=0),
        errors=_means(errors),
        repeats=every,
        **known,
    )


def _means(every: Values) -> Values:
    """Return the means over lines; what is not a number stays that."""
    return {name: each.mean(axis=0) for name, each in every.items()}


def _require_usual(direction: Any, repeats: int) -> None:
    """Raise unless a line to a checkpoint is all that was asked for.

    Raises
    ------
    ValueError
        If it is not.
    """
    if repeats != 1 or not isinstance(direction, str) or direction != "random":
        msg = "to= is a direction itself; leave out direction and repeats"
        raise ValueError(msg)


def _along(
    given: Given,
    wanted: Any,
    repeats: int,
    normalize: Normalize | None,
    groups: Any,
    progress: Progress,
) -> Frame:
    """Return the frame of one direction, or of several random ones.

    Raises
    ------
    ValueError
        If others are to be repeated.
    """
    random = isinstance(wanted, str) and wanted == "random"
    if repeats > 1 and not random:
        msg = f"repeats={repeats}; only random directions differ: give repeats=1"
        raise ValueError(msg)
    found: list[Direction] = []
    for index in range(repeats):
        found += directions_of(
            given.point,
            "direction",
            wanted,
            normalize=normalize,
            groups=groups,
            seed=given.seed + index,
            progress=progress,
        )[:1]
    return spanned(given.point, found)
