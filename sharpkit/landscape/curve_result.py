"""What a curve between two minima is when it has been trained and measured."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sharpkit._inputs.types import Array, Vector
from sharpkit._vectors.backends import kernels_for
from sharpkit._vectors.space import Space
from sharpkit.landscape.surface import Floats, Values
from sharpkit.results.common import Recorded, Run, plain, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sharpkit._inputs.types import Path

KINDS = ("bezier", "polygon")


@dataclass(frozen=True, repr=False, eq=False)
class CurveResult(Recorded):
    """A curve between two minima, and the values along it and along the straight line.

    Attributes
    ----------
    t : (points,) float64
        Where it was evaluated, from 0, the weights, to 1, the other end.
    values : dict of str to (points,) array
        What was measured along the curve, NaN and infinity as they came, by names as of
        a line: the first is the loss that it was trained on.
    straight : dict of str to (points,) array
        The same along the straight line between the ends.
    bends : (k, n) array
        The inner points, on the host, in the dtype of the weights.
    ends : (2, n) array
        The weights at both ends.
    kind : str
        ``"bezier"`` or ``"polygon"``.
    names : tuple of str
        What the ends are called.
    training : (steps,) float64
        The losses at random points of the curve while it was trained.
    batch_norm : str
        The statistics that batch norms used: ``"batch"``, those of the data at each
        point; empty where there are none, or that is the callback's own affair.
    run : Run
        How the result was obtained.
    """

    t: Floats
    values: Values
    straight: Values
    bends: Array
    ends: Array
    kind: str
    names: tuple[str, str]
    training: Floats
    batch_norm: str
    run: Run

    @property
    def barrier(self) -> float:
        """The most by which the loss along the curve is above the chord, or 0.

        The chord joins the losses at the ends. NaN where a loss is.
        """
        return _barrier(self.t, next(iter(self.values.values())))

    @property
    def straight_barrier(self) -> float:
        """The same along the straight line."""
        return _barrier(self.t, next(iter(self.straight.values())))

    def at(self, t: float) -> Array:
        """Return the weights at a point of the curve.

        Parameters
        ----------
        t
            The point, from 0 to 1.

        Returns
        -------
        (n,) array
            They are on the host, in the dtype of the weights.

        Raises
        ------
        ValueError
            If it is not from 0 to 1.
        """
        given: Any = t
        if not (isinstance(given, numbers.Real) and 0 <= t <= 1):
            msg = f"t={t!r}; give a number from 0, the weights, to 1, the other end"
            raise ValueError(msg)
        controls = np.concatenate([self.ends[:1], self.bends, self.ends[1:]])
        space = Space(kernels_for(None, controls)[1], controls.shape[1], controls.dtype)
        out = space.empty()
        shares = coefficients(self.kind, len(self.bends), float(t))
        space.combine(shares[None], controls, out[None])
        return out

    def plot(self, path: Path | None = None, *, ax: Axes | None = None) -> Figure:
        """Draw the values along the curve beside those along the straight line.

        Parameters
        ----------
        path
            The file that the picture is saved to, of a type that matplotlib writes.
        ax
            The axes to draw on; None makes a new figure.
        """
        from sharpkit.plot import figure_of
        from sharpkit.plot.landscape import curve_panel

        return figure_of([curve_panel(self)], path, ax)

    def save(self, path: Path, **options: Any) -> None:
        """Write the result to a file, whose suffix says how.

        ``.npz`` and ``.json`` keep all, and `sharpkit.landscape.load` reads them;
        ``.html`` is a page to look at; other suffixes are pictures, as of `plot`.

        Parameters
        ----------
        path
            The file. A crash leaves the old or the new one.
        **options
            For pictures, as of `plot`.
        """
        from sharpkit.landscape.files import save

        save(self, path, **options)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON, without the weights.

        What is not finite is None.
        """
        record: dict[str, Any] = plain(
            {
                "kind": self.kind,
                "names": self.names,
                "barrier": self.barrier,
                "straight_barrier": self.straight_barrier,
                "t": self.t.tolist(),
                "values": {name: each.tolist() for name, each in self.values.items()},
                "straight": {
                    name: each.tolist() for name, each in self.straight.items()
                },
                "training": self.training.tolist(),
                "batch_norm": self.batch_norm,
                "run": self.run.to_dict(),
            }
        )
        return record

    def __repr__(self) -> str:
        """Return the barriers, the range of the values, and how they were obtained."""
        name, count = self.kind.replace("bezier", "Bézier curve"), len(self.bends)
        lines = [
            f"{name} of {count} inner point{'s' * (count > 1)} from {self.names[0]} to "
            f"{self.names[1]}, n = {self.n:,}",
            f"  barrier {self.barrier:.4g}, of the straight line "
            f"{self.straight_barrier:.4g}",
        ]
        for which, values in (("", self.values), ("straight line, ", self.straight)):
            for key, each in values.items():
                good = each[np.isfinite(each)]
                if good.size:
                    ends = f"{good.min():.6g} to {good.max():.6g}"
                    lines.append(f"  {which}{key}: {ends}")
                if good.size < each.size:
                    bad = each.size - good.size
                    lines += wrapped(f"{which}{key}: {bad} points are not finite")
        if self.batch_norm:
            lines += wrapped(f"batch norms use {self.batch_norm!r} statistics")
        return "\n".join([*lines, f"  {self.run}"])


def coefficients(kind: str, bends: int, t: float) -> Vector:
    """Return the shares of all points of a curve at t, (bends + 2,); their sum is 1.

    Of a Bézier curve they are the Bernstein polynomials.
    """
    last = bends + 1
    if kind == "bezier":
        shares = np.array([1.0])
        for _ in range(last):  # de Casteljau: no powers that round apart
            shares = np.append((1 - t) * shares, 0) + np.append(0, t * shares)
        return shares
    hats: Vector = np.maximum(0, 1 - np.abs(last * t - np.arange(last + 1)))
    return hats


def require_kind(kind: Any) -> None:
    """Raise unless it is a kind of curve.

    Raises
    ------
    ValueError
        If it is not.
    """
    if kind not in KINDS:
        msg = f"kind={kind!r}; give 'bezier' or 'polygon'"
        raise ValueError(msg)


def _barrier(t: Floats, losses: Floats) -> float:
    """Return how far losses rise above the chord, which is exact at both ends."""
    chord = (1 - t) * losses[0] + t * losses[-1]
    return float(np.maximum(losses - chord, 0).max())
