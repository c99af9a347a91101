"""The result of `sharpkit.plan`: what measures will take, and whether it fits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from sharpkit.results.common import wrapped


class Planned(NamedTuple):
    """What one measure will take.

    Attributes
    ----------
    measure : str
        The name of the measure.
    vectors : float
        The most vectors of the weights' length and dtype that it holds, the copy of the
        weights among them, and the callback's own not.
    bytes : int
        The memory of these, and of its buffers, on each rank.
    evaluations : int
        The evaluations of loss and gradient, at most, without those in products; of
        L-BFGS-B as usual, two an iteration.
    products : int
        The products with the Hessian, at most; of eigenvalues as usual.
    calls : int
        The calls of the callback that these make, at most.
    seconds : float or None
        The time inside the callback, about; None where no evaluation was timed.
    fits : bool
        Whether the memory is there.
    advice : str
        What to change where it is not; empty where it is.
    """

    measure: str
    vectors: float
    bytes: int
    evaluations: int
    products: int
    calls: int
    seconds: float | None
    fits: bool
    advice: str


@dataclass(frozen=True, repr=False)
class Plan:
    """What measures will take in memory, evaluations and time, before they run.

    Attributes
    ----------
    n : int
        The number of weights, over all ranks.
    dtype : str
        The type of their numbers.
    ranks : int
        The number of processes that the weights are spread over.
    available : int or None
        The bytes that each rank may take; None if the system does not tell.
    source : str
        How products are had: ``"hvp"``, or ``"differences"`` of the gradient.
    evaluation_seconds : float or None
        The time of one evaluation, where one was timed.
    planned : tuple of Planned
        A row for each measure.
    """

    n: int
    dtype: str
    ranks: int
    available: int | None
    source: str
    evaluation_seconds: float | None
    planned: tuple[Planned, ...]

    @property
    def fits(self) -> bool:
        """Whether every measure fits into the memory."""
        return all(each.fits for each in self.planned)

    def __getitem__(self, measure: str) -> Planned:
        """Return the row of a measure.

        Raises
        ------
        KeyError
            If there is none.
        """
        for each in self.planned:
            if each.measure == measure:
                return each
        raise KeyError(measure)

    def __repr__(self) -> str:
        on = f" on each of {self.ranks} ranks" if self.ranks > 1 else ""
        room = "unknown" if self.available is None else size(self.available)
        head = f"Plan for {self.n:,} weights in {self.dtype}, {room} of memory{on}"
        columns = ("measure", "vectors", "memory", "evaluations", "products", "time")
        rows = [columns, *(self._row(each) for each in self.planned)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [head]
        for first, *cells in rows:
            right = [c.rjust(w) for c, w in zip(cells, widths[1:], strict=True)]
            lines.append("  " + "  ".join([first.ljust(widths[0]), *right]))
        for each in self.planned:
            if each.advice:
                lines += wrapped(f"{each.measure}: {each.advice}")
        return "\n".join(lines)

    @staticmethod
    def _row(each: Planned) -> tuple[str, ...]:
        seconds = "-" if each.seconds is None else f"{each.seconds:.2g} s"
        memory = size(each.bytes) + ("" if each.fits else " !")
        counts = (f"{each.vectors:g}", memory, f"{each.evaluations}")
        return (each.measure, *counts, f"{each.products}", seconds)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON."""
        rows = [each._asdict() for each in self.planned]
        return {**asdict(self), "planned": rows, "fits": self.fits}


def size(count: float) -> str:
    """Return a number of bytes in words."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"
