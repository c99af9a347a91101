"""The result of `sharpkit.eigenvalues`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit.results.common import Ran, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class EigenResult(Ran):
    """The most extreme eigenpairs, and how far to believe each.

    values : (k,) float64
        The most extreme one first; fewer than k only where the products ran out early.
    vectors : (k, n), of the weights' dtype, NumPy or CuPy
        Unit vectors, one per row, where the weights live.
    residuals : (k,) float64
        ``||A v - value v||``, rounding and the error of the products included: an
        eigenvalue of A lies within that distance of the value.
    converged : (k,) bool
        Whether the residual is at most `tol` times `size`.
    size : float
        The largest magnitude of an eigenvalue seen.
    status : SpectrumStatus
        How the search ended; its value is advice.
    which : {"LA", "SA", "LM"}
    tol : float
    verified : bool
        Whether it was looked for eigenvalues passed over, such as further copies of a
        multiple one.
    n : int
    run : Run
        Products, seed, backend, dtype, seconds.
    """

    values: NDArray[np.float64]
    vectors: NDArray[Any]
    residuals: NDArray[np.float64]
    converged: NDArray[np.bool_]
    size: float
    status: SpectrumStatus
    which: str
    tol: float
    verified: bool
    n: int
    run: Run

    def __float__(self) -> float:
        """Return the most extreme eigenvalue."""
        return float(self.values[0])

    def __repr__(self) -> str:
        kind = {"LA": "largest", "SA": "smallest", "LM": "largest in magnitude"}
        lines = [f"{len(self.values)} eigenvalues, {kind[self.which]}, n = {self.n:,}"]
        for value, residual, good in zip(
            self.values, self.residuals, self.converged, strict=True
        ):
            mark = "" if good else "  not converged"
            lines.append(f"  {value:.6g} ± {residual:.1g}{mark}")
        lines += [f"  {self.run}", f"  {self.status.value}"]
        return "\n".join(lines)

    def to_dict(self, *, vectors: bool = False) -> dict[str, Any]:
        """Return plain Python values, ready for JSON.

        The vectors, each as long as the weights, are left out unless asked for.
        """
        record: dict[str, Any] = {
            "values": self.values.tolist(),
            "residuals": self.residuals.tolist(),
            "converged": self.converged.tolist(),
            "size": self.size,
            "status": self.status.name,
            "which": self.which,
            "tol": self.tol,
            "verified": self.verified,
            "n": self.n,
            **asdict(self.run),
        }
        if vectors:
            record["vectors"] = self.vectors.tolist()
        return record

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the eigenvalues with their error bars; return the axes."""
        from sharpkit.plot import plot_eigenvalues

        return plot_eigenvalues(self, ax)
