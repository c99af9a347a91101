"""Extreme eigenpairs by thick-restart Lanczos, and a search for those passed over.

Wu and Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems",
SIAM J. Matrix Anal. Appl. 22 (2000). A Krylov space holds one vector of each
eigenspace, so further copies of a multiple eigenvalue do not show in it. Therefore,
once the pairs have converged, the process goes on from a random vector in the
complement of all it holds, until an eigenvalue passed over would have appeared there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space

from sharpkit._inputs.types import Array, Matrix, Report, Vector
from sharpkit._spectrum.basis import Basis
from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit._spectrum.lanczos import Lanczos, Ritz
from sharpkit._spectrum.operators import Operator

Which = Literal["LA", "SA", "LM"]

# Numbers that are the larger the more an eigenvalue is wanted.
KEYS: dict[str, Callable[[Any], Any]] = {
    "LA": np.positive,
    "SA": np.negative,
    "LM": np.abs,
}
TRIAL = 8  # rows after which an operator that is not symmetric is given up
# The pairs must converge to this share of the tolerance: restarts that make room for
# the search for others add rounding to their residuals.
SAFETY = 0.95
# Vectors that are held during that search may hide so much, at most, of an eigenvector
# passed over: the square of the cosine of the angle between it and them.
HIDDEN = 0.1
EDGE = 1e-2  # a share of the largest eigenvalue; see `Search._none_left`
# Residuals cannot be expected below so many times the error of the products.
BLURRED = 3.0
# An eigenvector passed over has by chance a share of about 1 / sqrt(n) in a random
# vector, and less than a hundredth of that in 1 case of 120: so much it must grow.
OVERLAP = 100.0
# Residuals can be known to so many roundings of the largest eigenvalue.
ROUNDINGS = 32.0


class Found(NamedTuple):
    """Eigenpairs, the most extreme one first, and how the search for them ended.

    Attributes
    ----------
    values : (k,) float64
        The eigenvalues.
    vectors : (k, n)
        The eigenvectors, of norm 1, of the operator's dtype.
    residuals : (k,) float64
        What ``||A v - value v||`` is at most, the error of the products included.
    converged : (k,) bool
        Whether a residual is within the tolerance, relative to its eigenvalue.
    status : SpectrumStatus
        How the search ended.
    """

    values: Vector
    vectors: Array
    residuals: Vector
    converged: NDArray[np.bool_]
    status: SpectrumStatus


class Search:
    """The search for the ``k`` most extreme eigenpairs of an operator.

    Memory: ``rows + 1`` vectors, and k for the eigenvectors in the end.

    Parameters
    ----------
    operator
        The symmetric operator whose eigenpairs are wanted.
    k
        The number of eigenpairs.
    which : {"LA", "SA", "LM"}
        The end of the spectrum: the largest eigenvalues, the smallest, or those of the
        largest magnitude.
    tol
        The tolerance: a pair has converged when its residual is at most tol times the
        magnitude of its eigenvalue, so that sign and size are settled.
    budget
        The largest number of products.
    rows
        The number of rows of the basis, at least k + 2 or n.
    seed
        The seed of the random vectors that begin, or go on where a space is closed.
    verify
        Whether eigenvalues passed over are looked for.
    report
        A function that is called with (products, pairs converged) after each product.
    start : (n,)
        The vector to start from; None draws one.

    Attributes
    ----------
    size : float
        The largest magnitude of an eigenvalue seen.
    key : callable
        What is the larger the more an eigenvalue is wanted.
    """

    def __init__(
        self,
        operator: Operator,
        *,
        k: int,
        which: Which,
        tol: float,
        budget: int,
        rows: int,
        seed: int,
        verify: bool,
        report: Report,
        start: Array | None = None,
    ) -> None:
        self._start = start
        self._operator, self._k, self._which = operator, k, which
        self._tol, self._verify, self._report = tol, verify, report
        self._left = budget
        self._lanczos = Lanczos(operator, rows, seed=seed)
        self._locked = np.empty(0)  # values and residuals of the frozen rows
        self._locked_residuals = np.empty(0)
        self.size, self.key = 0.0, KEYS[which]

    def run(self) -> Found:
        """Return the pairs found within the budget."""
        if self._start is None or not self._lanczos.begin_at(self._start):
            self._lanczos.draw()
        while True:
            ritz = self._climb()
            if self._lanczos.asymmetric:
                return self._result(ritz, SpectrumStatus.ASYMMETRIC)
            if not self._reached(ritz):
                return self._result(ritz, SpectrumStatus.BUDGET)
            blurred = self._hindrance is SpectrumStatus.PRODUCT_ERROR
            if blurred and not self._settled(ritz).all():
                return self._result(ritz, SpectrumStatus.PRODUCT_ERROR)
            if not self._verify:
                return self._result(ritz, SpectrumStatus.CONVERGED)
            ritz = self._make_room(ritz)
            state = self._complement(ritz)
            if state is not None:
                return self._result(ritz, state)

    def known(self) -> tuple[Basis, Matrix]:
        """Return the rows that are held, and the operator restricted to them."""
        return self._lanczos.basis, self._lanczos.whole()

    def _climb(self) -> Ritz:
        """Step and restart until the best pairs converge or the budget is spent."""
        lanczos = self._lanczos
        while True:
            if lanczos.closed and not lanczos.draw():
                return self._seen(lanczos.ritz())
            if lanczos.columns == lanczos.rows:
                self._thicken(lanczos.ritz())
            self._step()
            ritz = self._seen(lanczos.ritz())
            self._report(self._operator.products, float(self._settled(ritz).sum()))
            if not self._left or self._reached(ritz):
                return ritz
            if lanczos.columns > TRIAL and lanczos.asymmetric:
                return ritz

    def _settled(self, ritz: Ritz) -> NDArray[np.bool_]:
        """Return which of the best k pairs are within the tolerance: (k,)."""
        values, residuals = (part[self._best(ritz)] for part in self._all(ritz))
        good = np.zeros(self._k, bool)
        good[: len(values)] = residuals + self._operator.error <= self._tol * np.abs(
            values
        )
        return good

    def _reached(self, ritz: Ritz) -> bool:
        """Whether the best k pairs are as good as is wanted, or as they can be."""
        values, residuals = (part[self._best(ritz)] for part in self._all(ritz))
        error = self._operator.error
        if self._lanczos.columns < TRIAL and not self._lanczos.closed:
            error = 0.0  # the first few say nothing, however blurred the rest will be
        limit = np.maximum(
            SAFETY * self._tol * np.abs(values) - error,
            max(BLURRED * error, self._floor),
        )
        return len(residuals) == self._k and bool((residuals <= limit).all())

    @property
    def _floor(self) -> float:
        """What rounding leaves of a residual."""
        eps = float(np.finfo(self._operator.space.dtype).eps)
        return max(ROUNDINGS * eps * self.size, 2 * self._lanczos.floor)

    def _step(self) -> None:
        self._lanczos.step()
        self._left -= 1

    def _seen(self, ritz: Ritz) -> Ritz:
        self.size = max(self.size, float(np.abs(ritz.values).max(initial=0.0)))
        return ritz

    def _thicken(self, ritz: Ritz, wanted: int | None = None) -> None:
        """Restart with the pairs wanted, and fill half of the other rows with more."""
        free = self._lanczos.rows - self._lanczos.frozen
        if wanted is None:
            wanted = int((self._best(ritz) >= len(self._locked)).sum())
        keep = max(min(wanted + (free - wanted) // 2, free - 2), 1)
        self._lanczos.restart(ritz.mix[:, self._order(ritz)[:keep]])

    def _make_room(self, ritz: Ritz) -> Ritz:
        """Keep what the search in the complement may hold; return the pairs anew.

        At most half of the rows, and none that could hide what is looked for: of an
        eigenvector further out, a Ritz vector takes at most its residual over the
        distance of their values (Davis and Kahan 1970).
        """
        lanczos, locked = self._lanczos, len(self._locked)
        best = self._best(ritz)[self._best(ritz) >= locked] - locked
        distance = self._past(ritz) - self.key(ritz.values)
        distance[best] = np.inf  # these are kept in any case
        hidden = ritz.residuals / np.maximum(distance, np.finfo(float).tiny)
        order = np.argsort(hidden, kind="stable")
        count = int((np.cumsum(hidden[order] ** 2) <= HIDDEN).sum())
        most = max((lanczos.rows + self._k) // 2, self._k + 1) - lanczos.frozen
        keep = max(min(count, most), len(best), 1)
        if keep == len(order):
            return ritz
        lanczos.restart(ritz.mix[:, order[:keep]])
        return lanczos.ritz()

    def _past(self, ritz: Ritz) -> float:
        """Return the key from which on an eigenvalue counts as passed over."""
        worst = float(self.key(self._all(ritz)[0][self._best(ritz)]).min())
        return worst + 2 * self._slack(worst)

    def _slack(self, worst: float) -> float:
        """Return by how much the least wanted of the pairs may be off."""
        return max(self._tol * abs(worst), self._floor)

    def _complement(self, ritz: Ritz) -> SpectrumStatus | None:
        """Look for pairs passed over; return the status, None to search further.

        In the latter case the best k pairs are locked, and the next row is the vector
        found.
        """
        lanczos, best = self._lanczos, self._mix(ritz)
        worst = self.key(self._all(ritz)[0][self._best(ritz)]).min()
        lanczos.freeze()
        steps, seen = 0, (np.inf, -np.inf)
        while not lanczos.closed or lanczos.draw():
            if not self._left:
                return SpectrumStatus.UNVERIFIED
            if lanczos.columns == lanczos.rows:
                self._thicken(lanczos.ritz(), 1)
            self._step()
            steps += 1
            beyond = self._seen(lanczos.ritz(inside=True))
            self._report(self._operator.products, float(self._k))
            value, vector = top_outside(lanczos.whole(), best, self.key)
            if self.key(value) > worst + self._slack(worst) / 2:
                self._lock(ritz, best, vector)
                return None
            # Restarts forget the end that is not wanted; it bounds the growth, too.
            seen = min(seen[0], beyond.values[0]), max(seen[1], beyond.values[-1])
            if lanczos.closed or self._none_left(ritz, beyond, seen, steps):
                break
        return SpectrumStatus.CONVERGED

    def _none_left(
        self, ritz: Ritz, beyond: Ritz, seen: tuple[float, float], steps: int
    ) -> bool:
        """Whether an eigenvalue passed over would have shown in the complement.

        Where values crowd at the end of the spectrum and tol is small, that takes too
        long. It is then enough that one by `EDGE` of the largest would have, and that
        the end of the complement has converged.
        """

        def shown(past: float) -> bool:
            n = self._operator.space.size
            return would_have_shown(beyond, seen, past, self._which, steps, n)

        past, edge = self._past(ritz), EDGE * self.size
        if shown(past):
            return True
        residual = beyond.residuals[self._order(beyond)[0]]
        worst = float(self.key(self._all(ritz)[0][self._best(ritz)]).min())
        return bool(residual <= self._slack(worst) / 2) and shown(past + edge)

    def _lock(self, ritz: Ritz, best: Matrix, vector: Vector) -> None:
        """Keep the best k pairs as frozen rows, and go on from the vector found."""
        values, residuals = (part[self._best(ritz)] for part in self._all(ritz))
        padded = np.zeros((len(vector), self._k + 1))
        padded[: len(best), : self._k] = best
        padded[:, self._k] = vector
        self._lanczos.lock(padded, values)
        self._locked, self._locked_residuals = values, residuals

    def _mix(self, ritz: Ritz) -> Matrix:
        """Return the columns that make the best k vectors of all rows."""
        frozen = len(self._locked)
        whole = np.eye(frozen + len(ritz.mix))
        whole[frozen:, frozen:] = ritz.mix
        return whole[:, self._best(ritz)]

    def _all(self, ritz: Ritz) -> tuple[Vector, Vector]:
        """Return values and residuals of the frozen pairs and of the active ones."""
        return (
            np.concatenate([self._locked, ritz.values]),
            np.concatenate([self._locked_residuals, ritz.residuals]),
        )

    def _best(self, ritz: Ritz) -> NDArray[np.intp]:
        """Return where the best k pairs of all are, the most extreme one first."""
        values, _ = self._all(ritz)
        return np.argsort(-self.key(values), kind="stable")[: self._k]

    def _result(self, ritz: Ritz, status: SpectrumStatus) -> Found:
        values, residuals = (part[self._best(ritz)] for part in self._all(ritz))
        mix = self._mix(ritz)
        vectors = self._operator.space.empty(mix.shape[1])
        rows = self._lanczos.block[: len(mix)]
        self._operator.space.combine(mix.T, rows, vectors)
        residuals += [self._operator.error_along(each) for each in vectors]
        converged = residuals <= self._tol * np.abs(values)
        if status is SpectrumStatus.ASYMMETRIC:
            converged[:] = False
        elif status is SpectrumStatus.CONVERGED and not converged.all():
            status = self._hindrance
        return Found(values, vectors, residuals, converged, status)

    @property
    def _hindrance(self) -> SpectrumStatus:
        """What keeps pairs from the tolerance that more products would not bring."""
        if BLURRED * self._operator.error > self._floor:
            return SpectrumStatus.PRODUCT_ERROR
        return SpectrumStatus.ROUNDING

    def _order(self, ritz: Ritz) -> NDArray[np.intp]:
        return np.argsort(-self.key(ritz.values), kind="stable")


def top_outside(
    whole: Matrix, best: Matrix, key: Callable[[Any], Any]
) -> tuple[float, Vector]:
    """Return the most wanted eigenpair of a matrix in the complement of some columns.

    Parameters
    ----------
    whole : (m, m)
        The matrix: the operator restricted to all rows.
    best : (m' <= m, k)
        The columns, orthonormal; where they are shorter, zeros follow.
    key
        The function that is the larger the more an eigenvalue is wanted.

    Returns
    -------
    float
        The eigenvalue.
    (m,) float64
        The eigenvector, of norm 1.
    """
    m, k = len(whole), best.shape[1]
    padded = np.zeros((m, k))
    padded[: len(best)] = best
    outside = null_space(padded.T)
    values, mix = np.linalg.eigh(outside.T @ whole @ outside)
    top = int(np.argmax(key(values)))
    return float(values[top]), outside @ mix[:, top]


def would_have_shown(
    beyond: Ritz,
    seen: tuple[float, float],
    worst: float,
    which: Which,
    steps: int,
    n: int,
) -> bool:
    """Return whether an eigenvalue more wanted than the worst kept would have shown.

    A polynomial of degree ``steps - 1`` that is at most 1 in magnitude where the
    complement has its eigenvalues, as far as seen, can be as large as Chebyshev's at
    an eigenvalue outside. By that factor Lanczos has at least magnified it.

    Parameters
    ----------
    beyond
        The eigenpairs that Lanczos has now in the complement of all that is held.
    seen
        The smallest and the largest value that it has had there.
    worst
        The least key of the best pairs.
    which : {"LA", "SA", "LM"}
        The end of the spectrum that is wanted.
    steps
        The number of steps that Lanczos has made there, from a random vector.
    n
        The number of dimensions.
    """
    low = min(beyond.values[0] - beyond.residuals[0], seen[0])
    high = max(beyond.values[-1] + beyond.residuals[-1], seen[1])
    reach = max(high - low, np.finfo(float).tiny)
    above, below = (worst - high) / reach, (low + worst) / reach
    distances = {"LA": [above], "SA": [below], "LM": [above, below]}[which]
    needed = math.log(2 * OVERLAP * math.sqrt(n))
    return all(
        each > 0 and (steps - 1) * math.acosh(1 + 2 * each) >= needed
        for each in distances
    )
