"""A dense matrix as an operator, whole or in pieces, and the probes that are drawn."""

import numpy as np

from sharpkit._vectors.comm import Serial
from sharpkit._vectors.kernels import reference
from sharpkit._vectors.space import Space
from sharpkit._vectors.streams import Stream


class Dense:
    """``A v`` for vectors of which each rank holds a piece."""

    source, drift = "a matrix", 0.0

    def __init__(self, A, *, dtype=np.float64, comm=None, mine=slice(None), error=0.0):
        self._A, self._mine = A, mine
        rows = len(np.arange(len(A))[mine])
        self.space = Space(reference, rows, dtype, comm or Serial())
        self.products, self.calls, self.seconds = 0, 0, 0.0
        self.error, self.drift = error, 0.0

    def apply(self, v, out):
        self.products += 1
        whole = np.zeros(len(self._A))
        whole[self._mine] = v
        out[...] = (self._A @ self.space.comm.sum(whole))[self._mine]


def quiet(done, value):
    """Report nothing."""


def probes(n, indices, seed, law):
    """Return the probes with these indices as columns, (n, p)."""
    fill = {"normal": reference.fill_normal, "sign": reference.fill_signs}[law]
    drawn = np.empty((len(indices), n))
    for row, index in zip(drawn, indices, strict=True):
        fill(row, seed, Stream.PROBES + index, 0)
    return drawn.T


def projector(Y):
    """Return the orthogonal projector on the columns' span."""
    if not Y.shape[1]:
        return np.zeros((len(Y), len(Y)))
    Q = np.linalg.qr(Y)[0]
    return Q @ Q.T


def low_rank(n, rank, seed=0):
    """Return an indefinite symmetric matrix of that rank."""
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((n, rank)))[0]
    return (U * rng.choice([-1, 1], rank) * np.geomspace(1, 10, rank)) @ U.T
