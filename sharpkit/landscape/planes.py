"""The loss on a plane."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

from sharpkit._inputs.progress import Progress
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import LossFn
from sharpkit.landscape.directions import Direction, Normalize, directions_of
from sharpkit.landscape.frames import (
    Frame,
    principal,
    projected,
    spanned,
    through as plane_through,
    weights_at,
)
from sharpkit.landscape.given import BatchNorm, Given, called, gridded
from sharpkit.landscape.grid import coordinates
from sharpkit.landscape.surface import PlaneResult
from sharpkit.measures._sharded import unsharded

TRAJECTORY = "trajectory"  # the name of its mark


@unsharded
@documented
def plane(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    directions: Any = None,
    through: Sequence[Any] | None = None,
    trajectory: Sequence[Any] | None = None,
    names: tuple[str, str, str] | None = None,
    points: Any = 51,
    span: Any = None,
    normalize: Normalize | None = None,
    groups: Any = None,
    samples: int | None = None,
    batch_norm: BatchNorm | None = None,
    seed: int = 0,
    executor: Executor | int | None = None,
    checkpoint: Any = None,
    time_budget: float | None = None,
    backend: str | None = None,
    progress: Progress = None,
) -> PlaneResult:
    """Take loss and accuracy on a plane through the weights, ``w + x d + y e``.

    Parameters
    ----------
    problem
        $problem
        Or a mapping of names of data sets to problems at the same weights: all of them
        are taken in one pass.
    loss_fn
        $loss_fn
    directions
        ``"random"``, two of them; ``"eigenvectors"``, of the two largest eigenvalues of
        the Hessian, of norm 1 and never rescaled; ``"principal"``, the first two
        components of the trajectory; or a pair of ``"random"``, ``"gradient"``,
        ``"eigenvector"`` and vectors, which are taken as they are. None is
        ``"principal"`` with a trajectory, and ``"random"`` without.
    through
        Two more checkpoints in place of directions: paths, mappings of names to arrays,
        flat vectors or problems. The weights are at (0, 0), the first of them at
        (1, 0), the second above; both axes have one length and are orthogonal.
    trajectory
        Checkpoints along a training, in order, which are marked on the plane: the
        coordinates are those of least squares.
    names
        What the weights and the two checkpoints are called.
    points
        The number of points along each axis, one for both or a pair.
    span
        The ends of both axes: a number for ``(-span, span)``, or a pair of what each
        axis has, a number or both ends. None is 1, or a quarter beyond what is marked.
    normalize
        $normalize
    groups
        $groups
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
    PlaneResult
        The coordinates and the values; ``result.plot()`` draws them, and
        ``result.save("plane.html")`` writes a page to turn it about.

    Raises
    ------
    TypeError, ValueError
        $raises

    Notes
    -----
    It takes an evaluation for each point and one at the weights: a forward pass alone
    where the problem has that. Every point is computed from the weights in float64 and
    rounded once. Memory beside the callback's own, in vectors of the weights' length,
    at most: 8, or 10 through checkpoints; the search for eigenvectors may take more
    before that, and the points of a trajectory are held twice.

    References
    ----------
    Li, Xu, Taylor, Studer and Goldstein, arXiv 1712.09913; Garipov et al., arXiv
    1802.10026.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> problem = sharpkit.Problem(np.zeros(2), lambda w: (float(w @ w), 2 * w))
    >>> found = sharpkit.landscape.plane(problem, directions=np.eye(2), points=3)
    >>> found.values["loss"].tolist()
    [[2.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 2.0]]
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
    point, first = given.point, next(iter(given.problems.values()))
    path = [
        weights_at(point, first, f"trajectory[{i}]", each)
        for i, each in enumerate([] if trajectory is None else trajectory)
    ]
    if through is not None:
        frame = _through(given, through, names, directions)
    else:
        usual = "principal" if path else "random"
        wanted = usual if directions is None else directions
        if isinstance(wanted, str) and wanted == "principal":
            frame = principal(point, path)
        else:
            with given.in_time():
                both = _pair(given, wanted, normalize, groups, progress)
            frame = spanned(point, both)
    if path:
        frame.marks[TRAJECTORY] = projected(point, frame, path)
    counts = points if isinstance(points, (tuple, list)) else (points, points)
    each = _spans(span, frame)
    x, y = (
        coordinates("span", count, ends)
        for count, ends in zip(counts, each, strict=True)
    )
    walked, known = given.taken(frame, (x, y), batch_norm, title="plane")
    values, errors, taken = gridded(walked, (len(x), len(y)))
    return PlaneResult(
        x,
        values,
        taken,
        errors=errors,
        y=y,
        cosine=frame.cosine,
        explained=frame.explained,
        **known,
    )


def _through(
    given: Given, through: Sequence[Any], names: Any, directions: Any
) -> Frame:
    """Return the frame through two checkpoints.

    Raises
    ------
    ValueError
        If they are not two, or there are directions besides.
    """
    if directions is not None:
        msg = "through= gives the directions itself; leave out directions"
        raise ValueError(msg)
    if not isinstance(through, (tuple, list)) or len(through) != 2:
        msg = "through= takes two checkpoints, beside the problem's weights"
        raise ValueError(msg)
    first = next(iter(given.problems.values()))
    others = [
        weights_at(given.point, first, f"through[{i}]", each)
        for i, each in enumerate(through)
    ]
    return plane_through(given.point, others, called(names, 3))


def _pair(
    given: Given,
    wanted: Any,
    normalize: Normalize | None,
    groups: Any,
    progress: Progress,
) -> list[Direction]:
    """Return two directions.

    Raises
    ------
    ValueError
        If there are not two.
    """
    alone = isinstance(wanted, str)
    if not alone and len(wanted) != 2:
        msg = f"directions has {len(wanted)} entries; give two, or one name for both"
        raise ValueError(msg)
    if alone and wanted in ("gradient", "eigenvector"):
        msg = (
            f"directions={wanted!r} is one direction; give two, such as "
            f"({wanted!r}, 'random')"
        )
        raise ValueError(msg)
    both = (wanted, wanted) if alone and wanted == "random" else wanted
    found: list[Direction] = []
    for index, each in enumerate([both] if isinstance(both, str) else both):
        found += directions_of(
            given.point,
            "directions",
            each,
            normalize=normalize,
            groups=groups,
            seed=given.seed,
            index=index,
            progress=progress,
        )
    return found[:2]


def _spans(span: Any, frame: Frame) -> Sequence[Any]:
    """Return what was given for each axis."""
    if span is None:
        return frame.span(0), frame.span(1)
    if isinstance(span, (tuple, list)) and len(span) == 2:
        return span
    return span, span
