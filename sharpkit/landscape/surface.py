"""What lines and planes are when they have been measured: coordinates and values."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sharpkit.results.common import Recorded, Run, plain, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sharpkit._inputs.types import Path

Floats = NDArray[np.float64]
Values = dict[str, Floats]

LOSS, ACCURACY = "loss", "accuracy"


@dataclass(frozen=True)
class Axis:
    """How one direction came about, and what is known along it.

    Attributes
    ----------
    name : str
        What it is, such as ``"random"`` or ``"eigenvector 1"``.
    norm : float
        Its length in the space of the weights: what one unit of the coordinate is.
    normalize : str
        How a random direction was scaled: ``"filter"``, ``"layer"``, ``"weight"``,
        ``"groups"``, ``"vector"`` or ``"none"``; empty for all others.
    seed : int or None
        The seed of a random direction.
    varied : float
        The share of weights that it changes.
    slope, curvature : float or None
        ``d.g`` and ``d.Hd`` at the weights, where they are known: along eigenvectors.
    """

    name: str
    norm: float
    normalize: str = ""
    seed: int | None = None
    varied: float = 1.0
    slope: float | None = None
    curvature: float | None = None

    def __str__(self) -> str:
        """Return it in words."""
        how = f", normalised by {self.normalize}" if self.normalize else ""
        how += "" if self.seed is None else f", seed {self.seed}"
        if self.varied < 1:
            how += f", {self.varied:.1%} of the weights vary"
        if self.curvature is not None:
            how += f", eigenvalue {self.curvature:.4g}"
        return f"{self.name}{how}, length {self.norm:.4g}"


@dataclass(frozen=True, repr=False, eq=False)
class Surface(Recorded):
    """What a line and a plane share.

    Attributes
    ----------
    values : dict of str to array
        What was measured at each point, NaN and infinity as they came. The loss is
        called ``"loss"``, or ``"train loss"`` of a data set called ``"train"``; of
        targets that are classes there is ``"accuracy"``, too, from 0 to 1.
    errors : dict of str to array
        The standard error of a value over the samples, where only some of them were
        taken; empty where the values are those of all.
    taken : array of bool
        Which points were taken; values are NaN where they were not.
    axes : tuple of Axis
        How the directions came about.
    marks : dict of str to (k, axes) array
        The coordinates of checkpoints by their names, and of a trajectory, whose points
        are in order.
    centre : dict of str to float
        The values at the weights themselves, where all coordinates are 0.
    batch_norm : str
        The statistics that batch norms used: ``"running"``, ``"batch"`` (of the data
        at each point), ``"frozen"``; empty where that is the callback's own affair.
    samples : int or None
        The samples that the values are means of, where it is known: those of the first
        data set, where all are taken.
    run : Run
        How the result was obtained.
    """

    x: Floats
    values: Values
    taken: NDArray[np.bool_]
    axes: tuple[Axis, ...]
    run: Run
    errors: Values = field(default_factory=dict)
    marks: Values = field(default_factory=dict)
    centre: dict[str, float] = field(default_factory=dict)
    batch_norm: str = ""
    samples: int | None = None

    @property
    def complete(self) -> bool:
        """Whether all points were taken."""
        return bool(self.taken.all())

    def value(self, name: str | None = None) -> Floats:
        """Return one value at all points.

        Parameters
        ----------
        name
            The name of the value; None is the first, a loss.

        Raises
        ------
        KeyError
            If there is none of this name.
        """
        name = next(iter(self.values)) if name is None else name
        if name not in self.values:
            msg = f"{name!r} is not among the values: {', '.join(self.values)}"
            raise KeyError(msg)
        return self.values[name]

    def save(self, path: Path, **options: Any) -> None:
        """Write the result to a file, whose suffix says how.

        ``.npz`` (arrays, and ``description`` as JSON) and ``.json`` keep all, and
        `sharpkit.landscape.load` reads them. ``.h5`` has the layout of Li et al.'s
        code, ``.vtp`` is for ParaView, ``.html`` is a page to look at, with nothing
        from elsewhere. Other suffixes are pictures, as of `plot`.

        Parameters
        ----------
        path
            The file. A crash leaves the old or the new one.
        **options
            For ``.vtp`` and pictures, as of `plot`: ``value=``, ``log=`` and others.
        """
        from sharpkit.landscape.files import save

        save(self, path, **options)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; None for what is not finite."""
        own = {
            name: each.tolist() if isinstance(each, np.ndarray) else each
            for name, each in vars(self).items()
        }
        for name in {"values", "errors", "marks", "repeats"} & set(own):
            own[name] = {key: each.tolist() for key, each in own[name].items()}
        own["axes"] = [asdict(each) for each in self.axes]
        own["run"] = self.run.to_dict()
        record: dict[str, Any] = plain(own)
        return record

    def _at_centre(self) -> float:
        """Return the first value, a loss, at the weights."""
        return self.centre[next(iter(self.values))]

    def _notes(self) -> list[str]:
        """Return what there is to say of the points, the data and the marks."""
        notes = []
        if not self.complete:
            notes.append(f"{int(self.taken.sum())} of {self.taken.size} points taken")
        if self.samples is not None:
            band = " with their sampling error" if self.errors else ""
            notes.append(f"{self.samples:,} samples{band}")
        if self.batch_norm:
            notes.append(f"batch norms use {self.batch_norm!r} statistics")
        for name, grid in self.values.items():
            bad = int((self.taken & ~np.isfinite(grid)).sum())
            if bad:
                notes.append(f"{name}: {bad} points are not finite")
        return notes

    def _lines(self, title: str) -> str:
        lines = [title, *(f"  {each}" for each in self._axis_lines())]
        for name, grid in self.values.items():
            good = grid[np.isfinite(grid)]
            if good.size:
                lines.append(f"  {name}: {good.min():.6g} to {good.max():.6g}")
        for name, where in self.marks.items():
            if len(where) == 1:
                place = ", ".join(f"{each:.4g}" for each in where[0])
                lines.append(f"  {name} at ({place})")
            else:
                lines.append(f"  {name}: {len(where)} points")
        notes = self._notes()
        lines += wrapped("; ".join(notes)) if notes else []
        return "\n".join([*lines, f"  {self.run}"])

    def _axis_lines(self) -> list[str]:
        return [f"{name}: {axis}" for name, axis in zip("xy", self.axes, strict=False)]


@dataclass(frozen=True, repr=False, eq=False)
class LineResult(Surface):
    """Values along a line through the weights: ``weights + x direction``.

    Attributes
    ----------
    x : (points,) float64
        The coordinates, in units of the direction.
    values, errors, taken
        As of a plane, of shape (points,). Of several random directions the values are
        the means over them.
    repeats : dict of str to (k, points) array
        The values along each of several random directions; empty where there is one.
    """

    repeats: Values = field(default_factory=dict)

    def parabola(self) -> Floats | None:
        """Return ``loss(0) + slope x + curvature x^2 / 2``, where that is known."""
        axis = self.axes[0]
        if axis.curvature is None:
            return None
        return self._at_centre() + _bent(axis, self.x)

    def plot(
        self,
        path: Path | None = None,
        *,
        ax: Axes | None = None,
        value: str | None = None,
        log: bool | None = None,
    ) -> Figure:
        """Draw the curves: losses, accuracies on an axis of their own, and bands.

        The parabola of an eigenvalue is drawn beside the loss along its eigenvector.

        Parameters
        ----------
        path
            The file that the picture is saved to, of a type that matplotlib writes.
        ax
            The axes to draw on; None makes a new figure.
        value
            The only value to draw; None draws all.
        log
            Whether the axis of losses is logarithmic; None lets the values decide.
        """
        from sharpkit.plot import figure_of
        from sharpkit.plot.landscape import line_panel

        return figure_of([line_panel(self, value, log)], path, ax)

    def _axis_lines(self) -> list[str]:
        more = len(self.axes) - 1
        also = f", and {more} more, of the seeds that follow" if more else ""
        return [f"x: {self.axes[0]}{also}"]

    def __repr__(self) -> str:
        """Return the range of the values, and how they were obtained."""
        low, high = self.x[0], self.x[-1]
        return self._lines(
            f"line of {len(self.x)} points, x from {low:g} to {high:g}, n = {self.n:,}"
        )


@dataclass(frozen=True, repr=False, eq=False)
class PlaneResult(Surface):
    """Values on a plane through the weights: ``weights + x first + y second``.

    Attributes
    ----------
    x, y : (points,) float64
        The coordinates, in units of the directions.
    values : dict of str to (x, y) array
        What was measured: ``values["loss"][i, j]`` is the loss at ``x[i], y[j]``.
    cosine : float
        The cosine of the angle between the directions.
    explained : tuple of float
        The share of a trajectory's variance that each principal component explains;
        empty where the directions are others.
    """

    y: Floats = field(default_factory=lambda: np.zeros(0))
    cosine: float = math.nan
    explained: tuple[float, ...] = ()

    def whole(self) -> tuple[list[int], list[int]] | None:
        """Return the places along x and y of the finest grid that was taken whole."""
        from sharpkit.landscape.grid import finest

        found = finest(self.taken)
        return None if found is None else (found[0], found[1])

    def quadratic(self) -> Floats | None:
        """Return the quadratic of eigenvalues on the plane, (x, y), where known."""
        if any(each.curvature is None for each in self.axes):
            return None
        first, second = self.axes
        surface: Floats = _bent(first, self.x)[:, None] + _bent(second, self.y)
        return self._at_centre() + surface

    def plot(
        self,
        path: Path | None = None,
        *,
        ax: Axes | None = None,
        value: str | None = None,
        kind: str = "filled",
        log: bool | None = None,
        levels: int = 20,
    ) -> Figure:
        """Draw one value over the plane, with the marks on it.

        Parameters
        ----------
        path
            The file that the picture is saved to, of a type that matplotlib writes.
        ax
            The axes to draw on, of a three-dimensional projection for a surface; None
            makes a new figure.
        value
            The name of the value; None is the first, a loss.
        kind
            ``"filled"`` contours, ``"contour"`` lines, or a ``"surface"``.
        log
            Whether the scale is logarithmic; None lets the values decide.
        levels
            The number of contours.
        """
        from sharpkit.plot import figure_of
        from sharpkit.plot.planes import plane_panel

        panel = plane_panel(self, value, kind, log, levels)
        return figure_of([panel], path, ax, projection="3d" * (kind == "surface"))

    def __repr__(self) -> str:
        """Return the range of the values, and how they were obtained."""
        ends = (self.x[0], self.x[-1], self.y[0], self.y[-1])
        low, high, left, right = (f"{each:g}" for each in ends)
        lines = self._lines(
            f"plane of {len(self.x)} x {len(self.y)} points, x from {low} to {high}, "
            f"y from {left} to {right}, n = {self.n:,}"
        )
        if self.explained:
            shares = ", ".join(f"{share:.1%}" for share in self.explained)
            lines += f"\n  explained variance of the trajectory: {shares}"
        return lines


def _bent(axis: Axis, at: Floats) -> Floats:
    """Return ``slope x + curvature x^2 / 2`` along an axis."""
    curve: Floats = (axis.slope or 0.0) * at + (axis.curvature or 0.0) * at**2 / 2
    return curve


def named(data: str | None, what: str) -> str:
    """Return the name of a value of a data set; there may be only one, without."""
    return what if data is None else f"{data} {what}"
