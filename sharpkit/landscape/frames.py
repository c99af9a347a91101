"""Where a line or a plane lies: origin, directions, and what is marked on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import Array
from sharpkit.landscape.directions import Direction
from sharpkit.landscape.surface import Axis, Floats, Values
from sharpkit.measures._given import vector
from sharpkit.measures._point import Point
from sharpkit.problem import is_problem
from sharpkit.reports.inputs import at_checkpoint

MARGIN = 0.25  # beyond what is marked, as a share of its extent
ALONG = 1e-6  # of a variance; what explains less is rounding


@dataclass(frozen=True)
class Frame:
    """A line or a plane.

    Attributes
    ----------
    block : (rows, n) array
        The weights, and below them directions or other weights.
    axes : list of Axis
        How the directions came about.
    steps : (axes, rows) array
        What one unit of each coordinate adds to the factors of the rows.
    marks : dict of str to (k, axes) array
        Coordinates of checkpoints, and of a trajectory.
    cosine : float
        That of the angle between two directions.
    explained : tuple of float
        The share of a trajectory's variance along each direction.
    between : bool
        Whether it is drawn through several checkpoints.
    """

    block: Array
    axes: list[Axis]
    steps: Floats
    marks: Values = field(default_factory=dict)
    cosine: float = math.nan
    explained: tuple[float, ...] = ()
    between: bool = False

    def span(self, axis: int) -> tuple[float, float]:
        """Return the ends of an axis: around what is marked, or from -1 to 1."""
        at = [float(each) for where in self.marks.values() for each in where[:, axis]]
        low, high = min(at, default=0.0), max(at, default=0.0)
        if low == high:
            return low - 1, high + 1
        return low - MARGIN * (high - low), high + MARGIN * (high - low)


def spanned(point: Point, directions: Sequence[Direction]) -> Frame:
    """Return the frame of one direction or two at the weights, or of several lines.

    Parameters
    ----------
    point
        The point.
    directions
        The directions, of which none may be zero.

    Raises
    ------
    ValueError
        If one is zero, or two lie on one line.
    """
    rows = [each.vector for each in directions]
    block = array_module(point.weights).stack([point.weights, *rows])
    gram = point.space.gram(block[1:], block[1:])
    lengths = np.sqrt(np.diag(gram))
    for each, length in zip(directions, lengths, strict=True):
        if not (length > 0 and math.isfinite(length)):
            msg = (
                f"the direction {each.axis.name!r} has length {length:g}: all of its "
                "points are the same; give another, or another normalize="
            )
            raise ValueError(msg)
    cosine = math.nan
    if len(rows) == 2:
        cosine = float(gram[0, 1] / lengths.prod())
        _require_apart(1 - cosine**2)
    steps = np.eye(len(rows), 1 + len(rows), 1)
    return Frame(block, [each.axis for each in directions], steps, cosine=cosine)


def _require_apart(share: float) -> None:
    """Raise unless two directions span a plane.

    Raises
    ------
    ValueError
        If they lie on one line.
    """
    if not share > ALONG**2:
        msg = "both directions lie on one line; give two that span a plane, or a line"
        raise ValueError(msg)


def weights_at(point: Point, problem: Any, name: str, given: Any) -> Array:
    """Return the weights of a checkpoint, where those of the point live.

    Parameters
    ----------
    point
        The point.
    problem
        The problem that the checkpoint belongs to.
    name
        The name of the argument.
    given
        A path, a mapping of names to arrays, a flat vector, or a problem at them.
    """
    if not is_problem(given) and not hasattr(given, "shape"):
        given = at_checkpoint(problem, given)
    return vector(point, name, given.weights if is_problem(given) else given)


def toward(point: Point, other: Array, names: Sequence[str]) -> Frame:
    """Return the line through the weights, at 0, and others, at 1.

    Parameters
    ----------
    point
        The point.
    other
        The other weights.
    names
        What both are called.

    Raises
    ------
    ValueError
        If both are the same.
    """
    length = point.space.norm(other - point.weights)
    if not length > 0:
        msg = "to= has the same weights as the problem; give two different checkpoints"
        raise ValueError(msg)
    a, b = names
    return Frame(
        array_module(point.weights).stack([point.weights, other]),
        [Axis(f"{a} to {b}", length)],
        np.array([[-1.0, 1.0]]),
        {a: np.zeros((1, 1)), b: np.ones((1, 1))},
        between=True,
    )


def through(point: Point, others: Sequence[Array], names: Sequence[str]) -> Frame:
    """Return the plane through the weights and two others, without distortion.

    The axes are orthogonal and of one length: the first leads from the weights, at
    (0, 0), to the second checkpoint, at (1, 0), and the third has a y above 0 (Garipov
    et al., arXiv 1802.10026, section 4).

    Parameters
    ----------
    point
        The point.
    others
        The weights of the second and the third.
    names
        What the three are called.
    """
    apart = array_module(point.weights).stack([each - point.weights for each in others])
    gram = point.space.gram(apart, apart)
    del apart  # two vectors
    length = math.sqrt(gram[0, 0])
    along = gram[0, 1] / gram[0, 0] if length else 0.0
    height = gram[1, 1] - along * gram[0, 1]
    _require_apart(height / gram[1, 1] if length and gram[1, 1] else 0.0)
    # second - first, and what the third adds beside it, scaled to that length
    scale = length / math.sqrt(height)
    steps = np.array(
        [[-1.0, 1.0, 0.0], [scale * (along - 1), -scale * along, scale]], np.float64
    )
    a, b, c = names
    marks = {
        a: np.array([[0.0, 0.0]]),
        b: np.array([[1.0, 0.0]]),
        c: np.array([[along, 1 / scale]]),
    }
    axes = [Axis(f"{a} to {b}", length), Axis(f"toward {c}", length)]
    block = array_module(point.weights).stack([point.weights, *others])
    return Frame(block, axes, steps, marks, cosine=0.0, between=True)


def principal(point: Point, path: Sequence[Array]) -> Frame:
    """Return the plane of the first two principal components of a trajectory.

    The components are those of the centred points, as unit vectors from the weights
    (Li et al., arXiv 1712.09913, section 7).

    Parameters
    ----------
    point
        The point, such as the end of the trajectory.
    path
        The weights along it.

    Raises
    ------
    ValueError
        If there are too few, or all lie on one line.
    """
    if len(path) < 3:
        msg = f"trajectory has {len(path)} points; give at least three"
        raise ValueError(msg)
    apart = array_module(point.weights).stack([each - point.weights for each in path])
    gram = point.space.gram(apart, apart)
    count = len(path)
    centring = np.eye(count) - 1 / count
    values, vectors = np.linalg.eigh(centring @ gram @ centring)
    values, vectors = values[::-1], vectors[:, ::-1]
    _require_apart(values[1] / values[0] if values[0] > 0 else 0.0)
    factors = (centring @ vectors[:, :2] / np.sqrt(values[:2])).T
    factors *= np.where((factors @ gram)[:, :1] < 0, -1.0, 1.0)  # the first point > 0
    block = point.space.empty(3)
    point.space.copy(point.weights, block[0])
    point.space.combine(factors, apart, block[1:])
    shares = tuple(float(each) for each in values[:2] / values.clip(0).sum())
    axes = [Axis(f"principal component {i + 1}", 1.0) for i in range(2)]
    steps = np.eye(2, 3, 1)
    return Frame(block, axes, steps, cosine=0.0, explained=shares, between=True)


def projected(point: Point, frame: Frame, path: Iterable[Array]) -> Floats:
    """Return the coordinates of weights on a plane, by least squares, (k, axes).

    Parameters
    ----------
    point
        The point.
    frame
        The plane, whose directions need not be orthogonal.
    path
        The weights.
    """
    found = []
    directions = point.space.empty(len(frame.steps))
    point.space.combine(frame.steps, frame.block, directions)
    gram = point.space.gram(directions, directions)
    for each in path:
        products = point.space.gram(directions, (each - point.weights)[None])
        found.append(np.linalg.solve(gram, products[:, 0]))
    return np.array(found)
