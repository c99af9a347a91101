"""One problem over ranks of threads, and over the samples of it."""

import numpy as np
from thread_comm import ThreadRanks, run_ranks

N = 60
H = np.linspace(-1.0, 3.0, N)
WEIGHTS, DTYPE = np.random.default_rng(0).standard_normal(N), "float64"
SHARDS = [(60,), (23, 37), (7, 0, 41, 12)]


def local(w, h):
    """Return the loss of a piece, and its gradient."""
    return 0.5 * float(h @ w**2) + 0.25 * float((w**4).sum()), h * w + w**3


def whole(w):
    return local(w, H)


def exact(h):
    """Return the exact product of a piece."""
    return lambda w, v: (h + 3 * w**2) * v


class Piece:
    """The loss over all ranks, as one of them sees it."""

    def __init__(self, comm, place):
        self.comm, self.h = comm, H[place]

    def __call__(self, w):
        loss, gradient = local(w, self.h)
        return float(self.comm.sum(np.array([loss]))[0]), gradient


SAMPLES = np.random.default_rng(1).uniform(0.0, 2.0, (24, N))
SHIFTS = np.random.default_rng(2).standard_normal((24, N))


class Sampled:
    """A mean over samples, of which each has a Hessian and a gradient of its own."""

    samples = len(SAMPLES)

    def __init__(self, comm, place, chosen=slice(None), given=False):
        self._comm, self._place, self._given = comm, place, given
        h, s = SAMPLES[:, place][chosen], SHIFTS[:, place][chosen]
        self.h, self.slope = h.mean(0), s.mean(0)
        if given:
            self.hvp = exact(self.h)

    def __call__(self, w):
        loss, gradient = local(w, self.h)
        own = np.array([loss + float(self.slope @ w)])
        return float(self._comm.sum(own)[0]), gradient + self.slope

    def subset(self, indices):
        return Sampled(self._comm, self._place, indices, self._given)


class Forward(Sampled):
    """The same with the derivatives of all samples along a vector."""

    reduces = True

    def directional(self, w, v):
        own = (SAMPLES[:, self._place] * w + w**3 + SHIFTS[:, self._place]) @ v
        return self._comm.sum(own) if self.reduces else own


def over(lengths, function):
    """Call a function of (ranks, weights, loss, its own rank's place) on each rank."""

    def rank_main(comm, place):
        ranks = ThreadRanks(comm)
        return function(ranks, WEIGHTS[place].copy(), Piece(comm, place), place)

    return run_ranks(lengths, rank_main)
