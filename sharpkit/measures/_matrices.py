"""Which weights are the matrix of a layer, and how it lies in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import Array
from sharpkit.measures._point import Point


class Matrix(NamedTuple):
    """A matrix of weights, whose rows are the layer's outputs, its neurons.

    Attributes
    ----------
    place : slice
        The range of the weights.
    shape : tuple of int
        The shape of the array that it is, of two axes or more.
    axis : int
        The axis of that array along which the outputs are.
    """

    place: slice
    shape: tuple[int, ...]
    axis: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """The number of rows and of columns."""
        rows = self.shape[self.axis]
        return rows, math.prod(self.shape) // rows

    def rows(self, part: Array) -> Array:
        """Return a part of a vector, as long as the range, as the matrix."""
        array = array_module(part).moveaxis(part.reshape(self.shape), self.axis, 0)
        matrix: Array = array.reshape(self.size)
        return matrix

    def part(self, matrix: Array) -> Array:
        """Return the part of a vector that a matrix makes: the inverse of `rows`."""
        rest = [each for i, each in enumerate(self.shape) if i != self._axis]
        array = matrix.reshape([self.size[0], *rest])
        part: Array = array_module(matrix).moveaxis(array, 0, self.axis).reshape(-1)
        return part

    @property
    def _axis(self) -> int:
        return self.axis % len(self.shape)


def matrices_of(given: Any, point: Point, loss_fn: Any) -> dict[str, Matrix]:
    """Return the matrices by name: those given, or those that the problem knows.

    Parameters
    ----------
    given
        A mapping of names to ``(slice, shape)`` or ``(slice, shape, axis of the
        outputs)``, or None.
    point
        The point, whose problem may know them.
    loss_fn
        The loss, which may.

    Raises
    ------
    TypeError
        If it is no such mapping.
    ValueError
        If nobody knows any, or one does not fit the weights.
    """
    if given is None:
        given = getattr(point.problem or loss_fn, "matrices", None)
        if not given:
            msg = (
                "matrices=None, and the problem does not know the shapes of its "
                "layers; give a mapping such as {'first': (slice(0, 50), (5, 10))}, "
                "of shapes (outputs, inputs)"
            )
            raise ValueError(msg)
    if not isinstance(given, Mapping) or not given:
        msg = (
            f"matrices is of type {type(given).__name__}, or empty; give a mapping "
            "such as {'first': (slice(0, 50), (5, 10))}, of shapes (outputs, inputs)"
        )
        raise TypeError(msg)
    return {str(name): _checked(name, each, point.n) for name, each in given.items()}


def _checked(name: Any, given: Any, n: int) -> Matrix:
    try:
        matrix = Matrix(*given)
        shape = tuple(int(each) for each in matrix.shape)
        begin, end, step = matrix.place.indices(n)
        rows = shape[matrix.axis]
    except (TypeError, AttributeError, IndexError, ValueError) as error:
        msg = (
            f"matrices[{name!r}] = {given!r}; give (slice, shape), or (slice, shape, "
            "axis of the outputs)"
        )
        raise TypeError(msg) from error
    fits = step == 1 and len(shape) > 1 and end - begin == math.prod(shape) and rows > 0
    if not fits or (matrix.place.stop is not None and matrix.place.stop > n):
        msg = (
            f"matrices[{name!r}] has shape {shape} at {matrix.place}, of {n} weights; "
            "give a range that holds as many weights as the array of two axes or more"
        )
        raise ValueError(msg)
    return Matrix(slice(begin, end), shape, matrix.axis)
