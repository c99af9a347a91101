"""Directions in the space of the weights, and what each is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.checks import one_of
from sharpkit._inputs.progress import Progress
from sharpkit._inputs.types import Array
from sharpkit._vectors.streams import Stream
from sharpkit.landscape.surface import Axis
from sharpkit.measures._given import required, vector
from sharpkit.measures._matrices import Matrix, matrices_of
from sharpkit.measures._point import Point
from sharpkit.measures.eigenvalues import searched
from sharpkit.problem import is_problem

Normalize = Literal["filter", "layer", "weight", "groups", "vector", "none"]
NAMES = ("random", "gradient", "eigenvector", "eigenvectors")


class Direction(NamedTuple):
    """A direction, (n,), and how it came about."""

    vector: Array
    axis: Axis


def directions_of(
    point: Point,
    name: str,
    given: Any,
    *,
    normalize: Normalize | None,
    groups: Any,
    seed: int,
    index: int = 0,
    progress: Progress,
) -> list[Direction]:
    """Return what was asked for as directions: one, or two ``"eigenvectors"``.

    Parameters
    ----------
    point
        The point that it begins at.
    name
        The name of the argument.
    given
        One of `NAMES`, or a vector, which is taken as it is.
    normalize, groups
        How a random one is scaled: see `random_direction`.
    seed
        The seed of a random one, and of the search for eigenvectors.
    index
        Which one it is among the random directions of a seed.
    progress
        Who is told of the search.
    """
    if not isinstance(given, str):
        own = given.weights if is_problem(given) else given
        found = vector(point, name, own)
        return [Direction(found, Axis("given", point.space.norm(found)))]
    one_of(name, given, NAMES)
    if given == "random":
        how: dict[str, Any] = {"normalize": normalize, "groups": groups, "seed": seed}
        return [random_direction(point, index=index, **how)]
    if given == "gradient":
        found = required(point.objective()(point.weights.copy())[1]).copy()
        norm = point.space.norm(found)
        return [Direction(found, Axis("gradient", norm, slope=norm**2))]
    return eigenvectors(point, 1 + (given == "eigenvectors"), seed, progress)


def random_direction(
    point: Point,
    *,
    normalize: Normalize | None = None,
    groups: Any = None,
    seed: int = 0,
    index: int = 0,
) -> Direction:
    r"""Return a Gaussian direction, scaled part by part to the norms of the weights.

    ``d_k <- d_k / ||d_k|| ||w_k||`` for each part k of the weights, and 0 for weights
    that are in none (Li et al., arXiv 1712.09913, section 4). Parts are the filters, a
    row of a weight for each output, or whole weights of two axes or more; biases and
    norms, which have one axis, do not move.

    Parameters
    ----------
    point
        The point.
    normalize
        ``"filter"``; ``"layer"``, each weight of two axes or more as one part;
        ``"weight"``, each number of them; ``"groups"``, those given; ``"vector"``, all
        weights as one part; ``"none"``, numbers of variance 1. None takes the groups,
        or filters where the problem knows the shapes of its layers, or the vector.
    groups
        The parts: slices of the weights, by name or not, or ``(slice, shape)`` or
        ``(slice, shape, axis of the outputs)``, whose filters they are.
    seed, index
        The seed, and which one it is among the directions of that.

    Raises
    ------
    ValueError
        If groups and ``normalize`` do not go together, or the shapes are unknown.
    """
    known = getattr(point.problem, "matrices", None)
    if normalize is None:
        usual: Normalize = "filter" if known else "vector"
        normalize = usual if groups is None else "groups"
    one_of("normalize", normalize, get_args(Normalize))
    if (normalize == "groups") != (groups is not None):
        msg = (
            f"normalize={normalize!r} and groups={groups!r:.60}; give groups= with "
            "normalize='groups', and with nothing else"
        )
        raise ValueError(msg)
    found = point.space.empty()
    point.space.fill_normal(found, seed, Stream.DIRECTIONS + index)
    share = 1.0
    if normalize == "vector":
        _scale(Matrix(slice(0, point.n), (1, point.n)), point.weights, found, normalize)
    elif normalize != "none":
        fixed = np.full(point.n, fill_value=True)
        for matrix in _parts(point, normalize, groups):
            _scale(matrix, point.weights, found, normalize)
            fixed[matrix.place] = False
        found[array_module(found).asarray(fixed)] = 0
        share = 1 - float(fixed.mean())
    axis = Axis("random", point.space.norm(found), normalize, seed, share)
    return Direction(found, axis)


def _parts(point: Point, normalize: Normalize, groups: Any) -> list[Matrix]:
    """Return the arrays of weights that are scaled row by row, or as a whole.

    Raises
    ------
    ValueError
        If nobody knows any.
    """
    if normalize == "groups":
        return _groups(point, groups)
    if not getattr(point.problem, "matrices", None):
        msg = (
            f"normalize={normalize!r} needs the shapes of the layers, which this "
            "problem does not know; give groups=[slice(0, 100), ...], or [(slice, "
            "shape), ...] for the filters of arrays, or normalize='vector'"
        )
        raise ValueError(msg)
    return list(matrices_of(None, point, None).values())


def _groups(point: Point, groups: Any) -> list[Matrix]:
    """Return the groups that were given, each with its rows.

    Raises
    ------
    TypeError
        If they are no such groups.
    """
    given = groups.values() if isinstance(groups, Mapping) else groups
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        msg = f"groups is of type {type(groups).__name__}; give slices of the weights"
        raise TypeError(msg)
    named: dict[str, Any] = {}
    for index, each in enumerate(given):
        if isinstance(each, slice):
            size = len(range(*each.indices(point.n)))
            each = (each, (1, size))
        named[str(index)] = each
    return list(matrices_of(named, point, None).values())


def _scale(matrix: Matrix, weights: Array, out: Array, normalize: Normalize) -> None:
    """Scale a part of a direction to the norms of the weights there, in float64."""
    xp = array_module(weights)
    own = matrix.rows(weights[matrix.place]).astype(np.float64)
    drawn = matrix.rows(out[matrix.place]).astype(np.float64)
    if normalize == "weight":
        drawn *= own
    else:
        axis = None if normalize == "layer" else 1
        norm = xp.sqrt((own**2).sum(axis=axis, keepdims=True))
        length = xp.sqrt((drawn**2).sum(axis=axis, keepdims=True))
        drawn *= norm / xp.where(length > 0, length, 1)
    out[matrix.place] = matrix.part(drawn).astype(out.dtype)


def eigenvectors(
    point: Point, k: int, seed: int, progress: Progress
) -> list[Direction]:
    """Return eigenvectors of the largest eigenvalues of the Hessian, of norm 1.

    Parameters
    ----------
    point
        The point.
    k
        How many.
    seed
        The seed of the search.
    progress
        Who is told of it.

    Raises
    ------
    ValueError
        If fewer converged: what is no eigenvector would be drawn as one.
    """
    found, _ = searched(point, k=k, seed=seed, progress=progress)
    good = int(found.converged[:k].sum())
    if good < k:
        msg = (
            f"of {k} eigenvectors {good} converged ({found.status.value}); give "
            "directions='random', or the vectors of sharpkit.eigenvalues with more "
            "products"
        )
        raise ValueError(msg)
    _, gradient, _ = point.centre(point.objective())
    lines = []
    for index, (value, each) in enumerate(
        zip(found.values, found.vectors, strict=True)
    ):
        slope = None if gradient is None else point.space.dot(gradient, each)
        name = f"eigenvector {index + 1}"
        axis = Axis(name, 1.0, slope=slope, curvature=float(value))
        lines.append(Direction(each, axis))
    return lines
