"""The result of `sharpkit.spectral_density`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.types import Matrix
from sharpkit._spectrum import quadrature
from sharpkit._spectrum.distribution import Distribution, distribution
from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit._spectrum.quadrature import Band, Estimate, Parts
from sharpkit._spectrum.rules import Rule, others
from sharpkit.results.common import Headline, Run

ROUNDINGS = 16  # so many roundings of the largest one may be in any eigenvalue


@dataclass(frozen=True, eq=False, repr=False)
class DensityResult(Headline):
    """The spectrum of an operator as weighted nodes, and what follows from it.

    Attributes
    ----------
    nodes, weights : (probes, steps) float64
        The nodes of each probe, ascending, and what each weighs:
        ``sum_i weights_i f(nodes_i)`` estimates ``tr f(A) / n``. The weights of a probe
        sum to 1.
    reorthogonalized : bool
        Whether the Lanczos vectors were kept and held orthogonal.
    status : SpectrumStatus
        How the estimate ended; its value is advice.
    run : Run
        How the result was obtained: products, calls, seconds, backend, dtype, seed.
    """

    headline: ClassVar[str] = "mean eigenvalue"

    nodes: Matrix
    weights: Matrix
    reorthogonalized: bool
    status: SpectrumStatus
    run: Run

    def __float__(self) -> float:
        """Return the mean eigenvalue."""
        return float(self.moment(1).value)

    @property
    def error(self) -> float:
        """The standard error of the mean eigenvalue."""
        return float(self.moment(1).stderr)

    @property
    def width(self) -> float:
        """A width for smoothing: the distance of nodes if they were spread evenly."""
        reach = float(np.ptp(self.nodes))
        reach = reach or max(abs(float(self.nodes[0, 0])), 1.0)
        return reach / int(self.nodes.shape[1])

    def density(self, grid: Any, width: float | None = None) -> Band:
        """Return the density of eigenvalues on a grid, smoothed, with its 95 % band.

        ``(1 / n) sum_i exp(-(x - lambda_i)^2 / 2 width^2) / (width sqrt(2 pi))``; the
        band is of the random probes. Widths much below `width` show the nodes.

        Parameters
        ----------
        grid : (m,)
            The places at which the density is wanted.
        width
            The standard deviation of the smoothing; None stands for `width`.

        Raises
        ------
        ValueError
            If the width is not above 0.
        """
        width = self.width if width is None else float(width)
        if not (math.isfinite(width) and width > 0):
            msg = f"width={width!r}; give a number above 0, such as {self.width:.2g}"
            raise ValueError(msg)
        places = np.atleast_1d(np.asarray(grid, np.float64))
        return quadrature.density(self.nodes, self.weights, self.n, places, width)

    def cdf(self, x: Any) -> Distribution:
        """Return the share of eigenvalues up to each x, with its 95 % band.

        The band is of the random probes and of the finite number of steps;
        ``resolution`` bounds what the latter may be wrong by at most.
        """
        places = np.atleast_1d(np.asarray(x, np.float64))
        rounding = ROUNDINGS * float(np.finfo(self.run.dtype).eps)
        error = rounding * float(np.abs(self.nodes).max()) + self.run.product_error
        return distribution(
            self.nodes, self.weights, self.n, places, self._closed, error
        )

    @property
    def _closed(self) -> NDArray[np.bool_]:
        """Which probes span a space that is closed: they end in repeated nodes."""
        if not self.reorthogonalized or self.nodes.shape[1] < 2:
            return np.zeros(len(self.nodes), bool)
        repeated = self.nodes[:, -1] == self.nodes[:, -2]
        return np.asarray(repeated & (self.weights[:, -1] == 0))

    @cached_property
    def _others(self) -> list[Rule]:
        """Other rules of the same runs."""
        return others(self.nodes, self.weights, self._closed)

    def mean(self, f: Callable[[Matrix], Any]) -> Estimate:
        """Return ``tr f(A) / n`` with its standard error; f takes arrays.

        The error is of the random probes and of the finite number of steps. It is
        mostly of the steps where f changes at once between two nodes: more products for
        each probe make it smaller.
        """
        rules = self._others
        return quadrature.mean(self.nodes, self.weights, self.n, f, rules).total

    def moment(self, j: int) -> Estimate:
        """Return ``tr A^j / n`` with its standard error; inf beyond float64's range."""
        scale = float(np.exp2(np.frexp(np.abs(self.nodes).max())[1]))
        found = self.mean(lambda x: (x / scale) ** j)
        with np.errstate(over="ignore", under="ignore"):
            back = np.float64(scale) ** j
            return Estimate(float(back * found.value), float(back * found.stderr))

    def effective_dimension(self, alpha: float) -> Estimate:
        """Return ``sum_i lambda_i / (lambda_i + alpha)`` over positive eigenvalues.

        The number of directions that the data determine better than a prior of
        precision alpha (MacKay 1992; Maddox, Benton and Wilson, arXiv 2003.02139).

        Raises
        ------
        ValueError
            If alpha is not above 0.
        """
        if not alpha > 0:
            msg = f"alpha={alpha!r}; give a number above 0"
            raise ValueError(msg)

        def share(x: Matrix) -> Matrix:
            above = np.maximum(x, 0)
            return above / (above + alpha)

        value, stderr = self.mean(share)
        return Estimate(self.n * value, self.n * stderr)

    def negative_share(self) -> Estimate:
        """Return ``sum |lambda_i| over lambda_i < 0 / sum |lambda_i|``.

        By size, not by number: of the many eigenvalues near 0 rounding decides the
        sign. For their number ask `cdf` below 0.
        """
        return self._negative.total

    @property
    def _negative(self) -> Parts:
        return quadrature.ratio(
            self.nodes,
            self.weights,
            self.n,
            lambda x: np.maximum(-x, 0),
            np.abs,
            self._others,
        )

    def renyi_sharpness(self, order: float = 2) -> Estimate:
        r"""Return the negative Rényi entropy of the eigenvalues' magnitudes.

        ``-1 / (1 - a) log(sum_i p_i^a)`` of the shares ``p_i = |lambda_i| / sum_j
        |lambda_j|``, a the order; at a = 1 its limit, Shannon's ``sum_i p_i log p_i``.
        It lies between ``-log n``, all eigenvalues of one size, and 0, a single one: a
        large value is an uneven spectrum. No factor of the loss changes it. Magnitudes
        are taken because the Hessian may be indefinite; those of the Gauss-Newton
        matrix are the eigenvalues (arXiv 2510.07758).

        The standard error is the first order's; NaN where all eigenvalues are 0. Small
        orders count the many eigenvalues near 0, for which steps are often too few.

        Parameters
        ----------
        order
            The order a > 0.

        Raises
        ------
        ValueError
            If the order is not above 0, or infinite.
        """
        if not 0 < order < math.inf:
            msg = f"order={order!r}; give a number above 0, such as 2"
            raise ValueError(msg)
        return quadrature.entropy(
            self.nodes, self.weights, self.n, float(order), self._others
        ).total

    def outliers(self, width: float | None = None) -> Matrix:
        """Return the places of eigenvalues that stand apart from the rest.

        Places where every probe has nodes that weigh no more than a single eigenvalue
        may (one in a thousand does), further than ``2 width`` from all others; None:
        `width`.
        """
        width = self.width if width is None else width
        return quadrature.outliers(self.nodes, self.weights, self.n, width)

    def __repr__(self) -> str:
        probes, steps = self.nodes.shape
        first, second = self.moment(1), self.moment(2)
        negative = self._negative
        unclear = negative.steps > negative.probes
        advice = ", mostly for lack of steps: raise max_products" if unclear else ""
        kept = "" if self.reorthogonalized else ", not re-orthogonalised"
        return "\n".join(
            [
                f"spectral density, n = {self.n:,}, {probes} probes of {steps} steps"
                f"{kept}",
                f"  eigenvalues from {self.nodes.min():.4g} to {self.nodes.max():.4g}, "
                f"mean {first.value:.4g} ± {first.stderr:.1g}, mean square "
                f"{second.value:.4g} ± {second.stderr:.1g}",
                f"  negative curvature {100 * negative.value:.3g} ± "
                f"{100 * negative.total.stderr:.1g} % of all, by size{advice}",
                f"  {self.run}",
                f"  {self.status.value}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON."""
        return {
            "nodes": self.nodes.tolist(),
            "weights": self.weights.tolist(),
            "reorthogonalized": self.reorthogonalized,
            "status": self.status.name,
            **self.run.to_dict(),
        }
