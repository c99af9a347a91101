"""What all results share: the record of how they were obtained, and their headline."""

from __future__ import annotations

import enum
import math
import textwrap
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sharpkit._inputs.types import Path

WIDTH = 88  # of lines of words


@dataclass(frozen=True)
class Run:
    """How a result was obtained: the record that every result carries.

    Attributes
    ----------
    n : int
        The number of weights.
    source : str
        Where the derivatives came from: the callback's gradient, its exact products
        (``"hvp"``), or differences and their step.
    calls : int
        The calls of the callback, all included.
    seconds, callback_seconds : float
        The wall time in total, and the part of it that was spent in the callback.
    backend : str
        The kernels that ran: ``"cpu"``, ``"cuda"`` or ``"reference"``.
    dtype : str
        The type of the weights' numbers, in which all vectors were kept.
    seed : int
        The seed of the random vectors.
    products : int
        The products with the Hessian; 0 for measures that need none.
    product_error : float
        The estimated error of a product with a unit vector; 0 where only rounding is
        known.
    """

    n: int
    source: str
    calls: int
    seconds: float
    callback_seconds: float
    backend: str
    dtype: str
    seed: int
    products: int = 0
    product_error: float = 0.0

    @classmethod
    def together(cls, runs: Iterable[Run]) -> Run:
        """Return the record of several runs at one point: sums of what they took."""
        every = list(runs)
        first = every[0]
        sources = [part for run in every for part in run.source.split("; ")]
        return cls(
            n=first.n,
            source="; ".join(dict.fromkeys(sources)),
            calls=sum(run.calls for run in every),
            seconds=sum(run.seconds for run in every),
            callback_seconds=sum(run.callback_seconds for run in every),
            backend=first.backend,
            dtype=first.dtype,
            seed=first.seed,
            products=sum(run.products for run in every),
            product_error=max(run.product_error for run in every),
        )

    def __str__(self) -> str:
        own = max(self.seconds - self.callback_seconds, 0.0)
        did = f"{self.calls} calls"
        if self.products:
            error = f" (error {self.product_error:.1g})" if self.product_error else ""
            did = f"{self.products} products by {self.source}{error}"
        return (
            f"{did}, seed {self.seed}, {self.backend} {self.dtype}, "
            f"{self.seconds:.2f} s ({own:.2f} s outside the callback)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON."""
        return asdict(self)


class Recorded:
    """What results with a `Run` share: its figures, as if they were their own."""

    run: Run

    @property
    def n(self) -> int:
        """The number of weights."""
        return self.run.n

    @property
    def source(self) -> str:
        """Where the derivatives came from."""
        return self.run.source

    @property
    def calls(self) -> int:
        """The calls of the callback."""
        return self.run.calls

    @property
    def products(self) -> int:
        """The products with the Hessian."""
        return self.run.products

    @property
    def seconds(self) -> float:
        """The wall time in total."""
        return self.run.seconds

    @property
    def callback_seconds(self) -> float:
        """The wall time inside the callback."""
        return self.run.callback_seconds

    @property
    def backend(self) -> str:
        """The kernels that ran."""
        return self.run.backend

    @property
    def dtype(self) -> str:
        """The type of the weights' numbers."""
        return self.run.dtype

    @property
    def seed(self) -> int:
        """The seed of the random vectors."""
        return self.run.seed


class Drawn:
    """What results that have a picture share."""

    def plot(self, path: Path | None = None, *, ax: Axes | None = None) -> Figure:
        """Draw the result with matplotlib.

        Parameters
        ----------
        path
            The file that the picture is saved to, of a type that matplotlib writes.
        ax
            The axes to draw on, where one panel is all there is to draw; None makes a
            new figure.

        Returns
        -------
        Figure
            The figure that was drawn on.
        """
        from sharpkit.plot import figure_of, panels

        return figure_of(panels(self), path, ax)


class Headline(Recorded, Drawn):
    """A result that one number stands for: ``float(result)``, with its `error`.

    Attributes
    ----------
    headline : str
        What the number is, with its unit.
    status : enum
        How the search or the estimate ended; its value is advice.
    """

    headline: ClassVar[str]
    status: enum.Enum

    @property
    def error(self) -> float:
        """The error of the number."""
        raise NotImplementedError

    def __float__(self) -> float:
        """Return the number."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON."""
        raise NotImplementedError


def finite(number: float) -> float | None:
    """Return the number, or None if it is not finite: JSON has no NaN."""
    return float(number) if math.isfinite(number) else None


def plain(value: Any) -> Any:
    """Return the value with None for each number in it that is not finite."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return finite(value) if isinstance(value, float) else value


def wrapped(text: str) -> list[str]:
    """Return a sentence below a table, in as many lines as it takes."""
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
