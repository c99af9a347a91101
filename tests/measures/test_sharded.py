"""Measures over ranks: the numbers of one rank, and one end for all."""

from functools import partial

import numpy as np
import pytest
from thread_comm import ThreadRanks, run_ranks

import sharpkit
from sharpkit._vectors.comm import Serial
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.ranks import Copies, RankError
from sharpkit._vectors.space import Space

N = 60
H = np.linspace(-1.0, 3.0, N)
WEIGHTS, DTYPE = np.random.default_rng(0).standard_normal(N), "float64"
SHARDS = [(60,), (23, 37), (7, 0, 41, 12)]


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


SPECTRAL = "eigenvalues", "trace", "spectral_density", "diagonal"
CASES = [
    *((name, lengths, False) for name in MEASURES for lengths in SHARDS),
    *((name, lengths, True) for name in SPECTRAL for lengths in SHARDS[1:]),
]


@pytest.mark.parametrize(("name", "lengths", "given"), CASES)
def test_values_are_those_of_one_rank(name, lengths, given):
    measure, field = MEASURES[name]

    def known(h):
        return {"hvp": exact(h)} if given else {}

    def of_rank(ranks, w, loss, place):
        return measure(w, loss, comm=ranks, **known(H[place]))

    alone, found = measure(WEIGHTS, whole, **known(H)), over(lengths, of_rank)
    values = [np.asarray(getattr(each, field)) for each in found]
    if name == "diagonal":
        values = [np.concatenate(values)]
    right = np.asarray(getattr(alone, field))
    differs = (
        name in (*SPECTRAL, "directional_sharpness") and not given
    )  # a rounding is divided by a step
    for value in values:
        assert (value == values[0]).all()
        assert np.abs(value - right).max() <= (1e-7 if differs else 1e-12) * (
            np.abs(right).max()
        )
    assert {each.run.n for each in found} == {N}
    assert {each.run.calls for each in found} == {alone.run.calls}


@pytest.mark.parametrize("draw", ["fill_signs", "fill_normal"])
@pytest.mark.parametrize("lengths", [(60,), (23, 37), (7, 0, 53), (5, 10, 1, 40, 4)])
def test_random_numbers_are_those_of_one_rank_to_the_bit(draw, lengths):
    alone = np.empty(N)
    getattr(Space(cpu, N, np.float64), draw)(alone, 3, 5)

    def of_rank(ranks, w, loss, place):
        ranks.place(w.size)
        getattr(Space(cpu, w.size, np.float64, ranks), draw)(w, 3, 5)
        return w

    assert (np.concatenate(over(lengths, of_rank)) == alone).all()


@pytest.mark.parametrize("draw", ["fill_signs", "fill_normal"])
def test_random_numbers_of_pieces_are_those_of_one_rank_to_the_bit(draw):
    alone = np.empty(N)
    getattr(Space(cpu, N, np.float64), draw)(alone, 3, 5)
    order = np.r_[40:60, 0:10, 10:40]  # as the weights of layers lie, on two ranks
    pieces = [[(20, 40), (10, 0)], [(30, 10)]]
    for rank, (begin, end) in enumerate([(0, 30), (30, 60)]):
        comm = Serial()
        comm.pieces = pieces[rank]
        space, part = Space(cpu, end - begin, np.float64, comm), np.empty(end - begin)
        getattr(space, draw)(part, 3, 5)
        assert (part == alone[order[begin:end]]).all()
        slab = np.empty(13)
        getattr(space, draw)(slab, 3, 5, 15)
        assert (slab == part[15:28]).all()


def ends(lengths, call):
    """Return how a call has ended on each rank: None, or an error."""

    def of_rank(ranks, w, loss, place):
        try:
            call(ranks, w, loss)
        except Exception as error:
            return error
        return None

    return over(lengths, of_rank)


def test_an_error_in_a_callback_ends_all_ranks_with_its_message():
    def call(ranks, w, loss):
        def late(w):
            found = loss(w)
            if ranks.rank == 1:
                raise KeyError("a sample is missing")
            return found

        sharpkit.sharpness(w, late, comm=ranks)

    first, second, third = ends((20, 20, 20), call)
    assert isinstance(second, KeyError)
    assert second.__notes__ == ["raised on rank 1 of 3"]
    for other in (first, third):
        assert isinstance(other, RankError)
        assert str(other) == "rank 1 of 3 raised KeyError: 'a sample is missing'"


def test_an_input_wrong_on_one_rank_ends_all():
    def call(ranks, w, loss):
        if ranks.rank == 2:
            w[0] = np.nan
        sharpkit.trace(w, loss, comm=ranks)

    first, second, third = ends((20, 20, 20), call)
    assert isinstance(third, ValueError)
    for other in (first, second):
        assert str(other).startswith(
            "rank 2 of 3 raised ValueError: weights has 1 non-finite entries"
        )


def test_an_argument_that_differs_is_named_with_the_ranks():
    def call(ranks, w, loss):
        sharpkit.sharpness(w, loss, seed=int(ranks.rank == 1), comm=ranks)

    for rank, error in enumerate(ends((30, 30), call)):
        assert isinstance(error, ValueError)
        assert "seed is not the same on all ranks: rank 1 and rank 0" in str(error)
        assert f"here, on rank {rank}, it is {rank}" in str(error)


def test_losses_of_each_rank_alone_are_refused():
    def call(ranks, w, loss):
        sharpkit.gradient_norm(w, lambda w: local(w, loss.h), comm=ranks)

    for error in ends((30, 30), call):
        assert "return the loss over the data of all ranks: reduce" in str(error)


def test_a_loss_alone_needs_a_subspace():
    def call(ranks, w, loss):
        sharpkit.sharpness(w, lambda w: loss(w)[0], comm=ranks)

    for error in ends((30, 30), call):
        assert "search a random subspace with subspace=100" in str(error)


def test_checkpoints_are_of_one_process(tmp_path):
    def call(ranks, w, loss):
        sharpkit.trace(w, loss, comm=ranks, checkpoint=tmp_path / "trace.npz")

    for error in ends((30, 30), call):
        assert "give it for weights of one process" in str(error)


def test_ranks_that_are_asked_for_other_measures_go_down():
    def call(ranks, w, loss):
        (sharpkit.trace if ranks.rank else sharpkit.diagonal)(w, loss, comm=ranks)

    for error in ends((30, 30), call):
        assert "the 2 ranks do not do the same" in str(error)


def test_kinds_of_weights_must_be_alike():
    def call(ranks, w, loss):
        w = w.astype(np.float32 if ranks.rank else np.float64)
        sharpkit.trace(w, loss, comm=ranks)

    for error in ends((30, 30), call):
        assert str(error).startswith("weights is of another kind on some ranks")


def test_copies_are_one_vector():
    alone = sharpkit.eigenvalues(WEIGHTS, whole)

    def of_rank(ranks, w, loss, place):
        return sharpkit.eigenvalues(WEIGHTS, whole, comm=Copies(ranks))

    for found in over((1, 1, 1), of_rank):
        assert found.values == alone.values
        assert found.run.n == N


def test_what_is_not_taken_over_ranks_says_so():
    problem = sharpkit.Problem(WEIGHTS, whole)
    spread = type("Spread", (), {"weights": WEIGHTS, "process_group": object()})
    spread.__call__ = lambda self, w: problem(w)
    with pytest.raises(NotImplementedError, match="spread over ranks; these can"):
        sharpkit.flatness_radius(spread())


def test_a_plan_is_of_the_weights_of_all_ranks():
    lengths = SHARDS[-1]

    def of_rank(ranks, w, loss, place):
        return sharpkit.plan(w, loss, memory=2**20, measures=["trace"], comm=ranks)

    plans = over(lengths, of_rank)
    alone = sharpkit.plan(N, measures=["trace"], products="differences", dtype=DTYPE)
    first = plans[0]
    assert (first.n, first.ranks) == (N, len(lengths))
    assert all(each.to_dict() == first.to_dict() for each in plans)
    assert first["trace"].calls == alone["trace"].calls
    assert first["trace"].bytes == alone["trace"].bytes / len(lengths)

    def of_copy(comm, place):
        return sharpkit.plan(WEIGHTS, whole, comm=Copies(ThreadRanks(comm)))

    assert [each.ranks for each in run_ranks((N, N), of_copy)] == [1, 1]
