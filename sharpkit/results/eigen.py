"""The result of `sharpkit.eigenvalues`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.types import Array, Vector
from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit.results.common import Headline, Run


@dataclass(frozen=True, eq=False, repr=False)
class EigenResult(Headline):
    """The most extreme eigenpairs, and how far to believe each.

    Attributes
    ----------
    values : (k,) float64
        The eigenvalues, the most extreme one first; fewer than k only where the
        products ran out early.
    vectors : (k, n), of the weights' dtype, NumPy or CuPy
        The unit eigenvectors, one per row, where the weights live.
    residuals : (k,) float64
        The norms ``||A v - value v||``, rounding and the error of the products
        included: an eigenvalue of A lies within that distance of the value. With
        differences of the gradient they are estimates, not bounds.
    converged : (k,) bool
        Whether the residual is at most `tol` times the value's magnitude.
    size : float
        The largest magnitude of an eigenvalue seen.
    status : SpectrumStatus
        How the search ended; its value is advice.
    which : {"LA", "SA", "LM"}
        The end of the spectrum that was asked for.
    tol : float
        The tolerance of the residuals.
    verified : bool
        Whether eigenvalues that had been passed over, such as further copies of a
        multiple one, were looked for.
    run : Run
        How the result was obtained: products, calls, seconds, backend, dtype, seed.
    preconditioner : str or None
        Whose metric the eigenvalues are in, such as ``"AdamW"``.
    threshold : float or None
        The largest eigenvalue with which that optimiser is stable on a quadratic loss,
        where it is known.
    """

    headline: ClassVar[str] = "most extreme eigenvalue"

    values: Vector
    vectors: Array
    residuals: Vector
    converged: NDArray[np.bool_]
    size: float
    status: SpectrumStatus
    which: str
    tol: float
    verified: bool
    run: Run
    preconditioner: str | None = None
    threshold: float | None = None

    @property
    def ratio(self) -> float | None:
        """The largest eigenvalue over the threshold: above 1 the optimiser diverges.

        None where no threshold is known, or other eigenvalues were asked for.
        """
        known = self.threshold is not None and self.which == "LA" and len(self.values)
        return float(self.values[0]) / (self.threshold or 0.0) if known else None

    def __float__(self) -> float:
        """Return the most extreme eigenvalue, NaN if none was found."""
        return float(self.values[0]) if len(self.values) else math.nan

    @property
    def error(self) -> float:
        """The residual of the most extreme eigenvalue."""
        return float(self.residuals[0]) if len(self.residuals) else math.inf

    def __repr__(self) -> str:
        kind = {"LA": "largest", "SA": "smallest", "LM": "largest in magnitude"}
        lines = [f"{len(self.values)} eigenvalues, {kind[self.which]}, n = {self.n:,}"]
        for value, residual, good in zip(
            self.values, self.residuals, self.converged, strict=True
        ):
            mark = "" if good else "  not converged"
            lines.append(f"  {value:.6g} ± {residual:.1g}{mark}")
        if self.preconditioner is not None:
            of = f", {self.ratio:.3g} of its threshold" if self.ratio else ""
            lines.append(f"  in the metric of {self.preconditioner}{of}")
        lines += [f"  {self.run}", f"  {self.status.value}"]
        return "\n".join(lines)

    def to_dict(self, *, vectors: bool = False) -> dict[str, Any]:
        """Return plain Python values, ready for JSON.

        Parameters
        ----------
        vectors
            Whether the vectors, each as long as the weights, are included.
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
            "preconditioner": self.preconditioner,
            "threshold": self.threshold,
            "ratio": self.ratio,
            **self.run.to_dict(),
        }
        if vectors:
            record["vectors"] = self.vectors.tolist()
        return record
