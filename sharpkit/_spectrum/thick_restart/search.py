"""The search for extreme eigenpairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sharpkit._inputs.types import Array, Matrix
from sharpkit._spectrum.estimate import SpectrumStatus
from sharpkit._spectrum.lanczos import Lanczos, Ritz
from sharpkit._spectrum.operators import Operator
from sharpkit._spectrum.thick_restart.beyond import (
    KEYS,
    Which,
    top_outside,
    would_have_shown,
)

TRIAL = 8  # rows after which an operator that is not symmetric is given up
# Climb to this share of the tolerance: making room afterwards adds rounding.
SAFETY = 0.95
# Of what is passed over, the most that vectors held in the search for it may hide:
# the square of the cosine.
HIDDEN = 0.1
EDGE = 1e-2  # a share of the largest eigenvalue; see `Search._none_left`
# Residuals cannot be expected below so many times the error of the products.
BLURRED = 3.0


class Found(NamedTuple):
    """Eigenpairs, the most extreme one first, and how the search ended.

    values, residuals : (k,) float64
    vectors : (k, n)
    converged : (k,) bool
    """

    values: Matrix
    vectors: Array
    residuals: Matrix
    converged: NDArray[np.bool_]
    status: SpectrumStatus


class Search:
    """The ``k`` most extreme eigenpairs of an operator.

    Memory: ``rows + 1`` vectors, and k for the eigenvectors in the end.

    Parameters
    ----------
    operator
    k
    which
        Largest, smallest, or largest in magnitude.
    tol
        A pair has converged when its residual is at most tol times the largest
        magnitude of an eigenvalue seen.
    budget
        The most products.
    rows
        Rows of the basis, at least k + 2 or n.
    verify
        Whether to look for eigenvalues passed over.
    report
        Called with (products, pairs converged) after each product.

    Attributes
    ----------
    size
        The largest magnitude of an eigenvalue seen.
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
        report: Callable[[int, float], None],
    ) -> None:
        self._operator, self._k, self._which = operator, k, which
        self._tol, self._verify, self._report = tol, verify, report
        self._left = budget
        self._lanczos = Lanczos(operator, rows, seed=seed)
        self._locked = np.empty(0)  # values and residuals of the frozen rows
        self._locked_residuals = np.empty(0)
        self.size, self.key = 0.0, KEYS[which]

    def run(self) -> Found:
        """Return the pairs found within the budget."""
        self._lanczos.draw()
        while True:
            ritz = self._climb()
            if self._lanczos.asymmetric:
                return self._result(ritz, SpectrumStatus.ASYMMETRIC)
            if not self._all_within(ritz, self._tol * self.size - self._operator.error):
                return self._result(ritz, self._unfinished(ritz))
            if not self._verify:
                return self._result(ritz, SpectrumStatus.CONVERGED)
            ritz = self._make_room(ritz)
            state = self._complement(ritz)
            if state is not None:
                return self._result(ritz, state)

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
            _, residuals = (part[self._best(ritz)] for part in self._all(ritz))
            good = residuals + self._operator.error <= self._tol * self.size
            self._report(self._operator.products, float(good.sum()))
            if not self._left or self._all_within(ritz, self._reachable):
                return ritz
            if lanczos.columns > TRIAL and lanczos.asymmetric:
                return ritz

    def _all_within(self, ritz: Ritz, limit: float) -> bool:
        """Whether there are k pairs, and the best have residuals within a limit."""
        _, residuals = (part[self._best(ritz)] for part in self._all(ritz))
        return len(residuals) == self._k and bool((residuals <= limit).all())

    def _step(self) -> None:
        self._lanczos.step()
        self._left -= 1

    def _seen(self, ritz: Ritz) -> Ritz:
        self.size = max(self.size, float(np.abs(ritz.values).max(initial=0.0)))
        return ritz

    def _thicken(self, ritz: Ritz, wanted: int | None = None) -> None:
        """Restart with the pairs wanted and half of what else there is room for."""
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
        return worst + 2 * self._tol * self.size

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
            slack = self._tol * self.size / 2
            value, vector = top_outside(lanczos.whole(), best, self.key)
            if self.key(value) > worst + slack:
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
        return bool(residual <= self._tol * self.size / 2) and shown(past + edge)

    def _lock(self, ritz: Ritz, best: Matrix, vector: Matrix) -> None:
        """Keep the best k pairs as frozen rows, and go on from the vector found."""
        values, residuals = (part[self._best(ritz)] for part in self._all(ritz))
        padded = np.zeros((len(vector), self._k + 1))
        padded[: len(best), : self._k] = best
        padded[:, self._k] = vector
        self._lanczos.lock(padded, values)
        self._locked, self._locked_residuals = values, residuals

    def _mix(self, ritz: Ritz) -> Matrix:
        """Return what the best k pairs are made of: columns, over all rows."""
        frozen = len(self._locked)
        whole = np.eye(frozen + len(ritz.mix))
        whole[frozen:, frozen:] = ritz.mix
        return whole[:, self._best(ritz)]

    def _all(self, ritz: Ritz) -> tuple[Matrix, Matrix]:
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
        converged = residuals <= self._tol * self.size
        if status is SpectrumStatus.ASYMMETRIC:
            converged[:] = False
        elif status is SpectrumStatus.CONVERGED and not converged.all():
            status = SpectrumStatus.PRODUCT_ERROR
        return Found(values, vectors, residuals, converged, status)

    def _unfinished(self, ritz: Ritz) -> SpectrumStatus:
        if self._left and self._all_within(ritz, self._reachable):
            return SpectrumStatus.PRODUCT_ERROR
        return SpectrumStatus.BUDGET

    @property
    def _reachable(self) -> float:
        """A residual, without the error of the products, to stop at."""
        error = self._operator.error
        return max(SAFETY * self._tol * self.size - error, BLURRED * error)

    def _order(self, ritz: Ritz) -> NDArray[np.intp]:
        return np.argsort(-self.key(ritz.values), kind="stable")
