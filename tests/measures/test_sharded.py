"""Measures over ranks: the numbers of one rank, and one end for all."""

from functools import partial

import numpy as np
import pytest
from thread_comm import ThreadRanks, run_ranks

import sharpkit

N = 60
H = np.linspace(-1.0, 3.0, N)
WEIGHTS = np.random.default_rng(0).standard_normal(N)
SHARDS = [(60,), (23, 37), (31, 0, 29), (7, 1, 40, 12)]


@pytest.fixture(autouse=True)
def _threads(monkeypatch):
    """Let ranks of threads be handed in as communicators are."""
    monkeypatch.setattr(
        "sharpkit.measures._sharded.ranks_of", lambda process_group, comm: comm
    )


def local(w, h):
    """Return the loss of a piece, and its gradient."""
    return 0.5 * float(h @ w**2) + 0.25 * float((w**4).sum()), h * w + w**3


def whole(w):
    return local(w, H)


class Piece:
    """The loss over all ranks, as one of them sees it."""

    def __init__(self, comm, place):
        self.comm, self.h = comm, H[place]

    def __call__(self, w):
        loss, gradient = local(w, self.h)
        return float(self.comm.sum(np.array([loss]))[0]), gradient


def over(lengths, function):
    """Call a function of (ranks, weights, loss, its own rank's place) on each rank."""

    def rank_main(comm, place):
        ranks = ThreadRanks(comm)
        return function(ranks, WEIGHTS[place].copy(), Piece(comm, place), place)

    return run_ranks(lengths, rank_main)


MEASURES = {
    "sharpness": (sharpkit.sharpness, "value"),
    "sharpness in a subspace": (partial(sharpkit.sharpness, subspace=5), "value"),
    "sharpness by L-BFGS-B": (partial(sharpkit.sharpness, solver="lbfgsb"), "value"),
    "eigenvalues": (partial(sharpkit.eigenvalues, k=2, tol=1e-8), "values"),
    "trace": (sharpkit.trace, "value"),
    "spectral_density": (
        partial(sharpkit.spectral_density, max_products=20, probes=2),
        "nodes",
    ),
    "diagonal": (sharpkit.diagonal, "values"),
    "critical_sharpness": (sharpkit.critical_sharpness, "value"),
    "gradient_norm": (sharpkit.gradient_norm, "value"),
    "directional_sharpness": (
        lambda w, loss, **known: sharpkit.directional_sharpness(
            w, loss_fn=loss, **known
        ),
        "value",
    ),
    "ball_sharpness": (sharpkit.ball_sharpness, "value"),
    "ball_sharpness in linf": (partial(sharpkit.ball_sharpness, norm="linf"), "value"),
    "average_sharpness": (sharpkit.average_sharpness, "value"),
    "adaptive average_sharpness": (
        partial(sharpkit.average_sharpness, adaptive=True, distribution="uniform"),
        "value",
    ),
}


@pytest.mark.parametrize("lengths", SHARDS)
@pytest.mark.parametrize("name", MEASURES)
def test_values_are_those_of_one_rank(name, lengths):
    measure, field = MEASURES[name]
    alone = measure(WEIGHTS, whole)
    found = over(lengths, lambda ranks, w, loss, _: measure(w, loss, comm=ranks))
    values = [np.asarray(getattr(each, field)) for each in found]
    if name == "diagonal":
        values = [np.concatenate(values)]
    for value in values:
        assert (value == values[0]).all()
        np.testing.assert_allclose(value, getattr(alone, field), rtol=1e-9)
    assert {each.run.n for each in found} == {N}
    assert {each.run.calls for each in found} == {alone.run.calls}
