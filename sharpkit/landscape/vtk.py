"""Lines and planes as polygons for ParaView: XML of VTK, which needs no library."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from sharpkit._inputs.types import Array
from sharpkit.landscape.surface import Floats, PlaneResult, Values


def write(
    result: Any, file: Path, *, value: str | None = None, log: bool | None = None
) -> None:
    """Write a plane as a surface of height z, and its trajectory as a line on it.

    Cells with a corner that is not finite are left out, as are the points of a
    trajectory beside the plane; points that the result marks alone become vertices.

    Parameters
    ----------
    result
        The plane.
    file
        The file.
    value
        The value that is the height; None is the first, a loss. All are point data.
    log
        Whether the height is its logarithm to the base 10; None is False.

    Raises
    ------
    TypeError
        If it is no plane.
    ValueError
        If the value is finite at no point.
    """
    if not isinstance(result, PlaneResult):
        msg = (
            f"a {type(result).__name__} has no surface for .vtp; save .npz or a picture"
        )
        raise TypeError(msg)
    height = _height(result.value(value), bool(log))
    if not np.isfinite(height).any():
        msg = f"value={value!r} with log={log!r} is finite at no point"
        raise ValueError(msg)
    kept = np.isfinite(height)
    index = np.where(kept, np.cumsum(kept).reshape(kept.shape) - 1, -1)
    corners = np.stack(
        [index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], axis=-1
    ).reshape(-1, 4)
    x, y = (grid[kept] for grid in np.meshgrid(result.x, result.y, indexing="ij"))
    points = [np.column_stack([x, y, height[kept]])]
    values = {name: [grid[kept]] for name, grid in result.values.items()}
    cells: dict[str, list[Array]] = {"Verts": [], "Lines": [], "Polys": []}
    cells["Polys"] = list(corners[(corners >= 0).all(axis=1)])
    for where in result.marks.values():
        z = _between(result, height, where)
        there = np.isfinite(z)
        rank = sum(map(len, points)) + np.cumsum(there) - 1
        points.append(np.column_stack([where, z])[there])
        for name, grid in result.values.items():
            values[name].append(_between(result, grid, where)[there])
        kind = "Verts" if len(where) == 1 else "Lines"
        gaps = np.flatnonzero(np.diff(there)) + 1
        parts = zip(np.split(rank, gaps), np.split(there, gaps), strict=True)
        cells[kind] += [part for part, inside in parts if inside.all()]
    joined = {name: np.concatenate(each) for name, each in values.items()}
    file.write_text(_xml(np.concatenate(points), joined, cells), encoding="ascii")


def _height(grid: Floats, log: bool) -> Floats:
    if not log:
        return grid
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(grid)


def _between(result: PlaneResult, grid: Floats, where: Floats) -> Floats:
    """Return what a grid is at points between its own, (k,); NaN beside it."""
    found = np.full(len(where), math.nan)
    for row, (x, y) in enumerate(where):
        i, across = _cell(result.x, x)
        j, up = _cell(result.y, y)
        if i >= 0 and j >= 0:
            sides = np.outer([1 - across, across], [1 - up, up])
            square = grid[i : i + 2, j : j + 2]
            weighed = sides > 0  # a corner that has no part may be what it likes
            found[row] = float((sides[weighed] * square[weighed]).sum())
    return found


def _cell(at: Floats, x: float) -> tuple[int, float]:
    """Return the interval of ascending coordinates that x is in, and where; or -1."""
    if len(at) < 2 or not at[0] <= x <= at[-1]:
        return -1, 0.0
    i = min(int(np.searchsorted(at, x, "right")) - 1, len(at) - 2)
    return i, float((x - at[i]) / (at[i + 1] - at[i]))


def _xml(points: Floats, values: Values, cells: dict[str, list[Array]]) -> str:
    counts = " ".join(f'NumberOf{kind}="{len(each)}"' for kind, each in cells.items())
    parts = [
        '<VTKFile type="PolyData" version="1.0" byte_order="LittleEndian">',
        f'<PolyData><Piece NumberOfPoints="{len(points)}" {counts} NumberOfStrips="0">',
        f"<PointData Scalars={quoteattr(next(iter(values)))}>",
        *(_array("Float64", name, each) for name, each in values.items()),
        "</PointData><Points>",
        _array("Float64", "Points", points.ravel(), 3),
        "</Points>",
    ]
    for kind, each in cells.items():
        ends = np.cumsum([len(cell) for cell in each], dtype=np.int64)
        joined = np.concatenate(each) if each else np.zeros(0, np.int64)
        parts += [
            f"<{kind}>",
            _array("Int64", "connectivity", joined),
            _array("Int64", "offsets", ends),
            f"</{kind}>",
        ]
    return "\n".join([*parts, "</Piece></PolyData></VTKFile>\n"])


def _array(kind: str, name: str, values: Iterable[Any], components: int = 1) -> str:
    text = " ".join(repr(each.item()) for each in np.asarray(values))
    # References keep names of any language in ASCII.
    called = quoteattr(name).encode("ascii", "xmlcharrefreplace").decode()
    return (
        f'<DataArray type="{kind}" Name={called} NumberOfComponents="{components}" '
        f'format="ascii">{text}</DataArray>'
    )
