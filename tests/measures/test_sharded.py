"""Measures over ranks: the numbers of one rank."""

from functools import partial

import numpy as np
import pytest
from rank_problems import (
    DTYPE,
    SHARDS,
    WEIGHTS,
    Forward,
    H,
    N,
    Sampled,
    exact,
    over,
    whole,
)
from thread_comm import ThreadRanks, run_ranks

import sharpkit
from sharpkit._vectors.comm import Serial
from sharpkit._vectors.kernels import cpu
from sharpkit._vectors.ranks import Copies
from sharpkit._vectors.space import Space

pytestmark = pytest.mark.usefixtures("threads_as_ranks")

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
    **{
        f"flatness_radius, {kind}, {magnitude=}": (
            partial(
                sharpkit.flatness_radius, kind=kind, magnitude=magnitude, of="loss"
            ),
            "value",
        )
        for kind in ("average", "worst")
        for magnitude in (False, True)
    },
}
OF_SAMPLES = {
    "batch_sharpness": partial(sharpkit.batch_sharpness, batch_size=5, max_batches=40),
    "gradient_noise": sharpkit.gradient_noise,
    "gradient_noise of batches": partial(
        sharpkit.gradient_noise, batch_size=3, large_batch=8, batches=20
    ),
    "fisher_rao": sharpkit.fisher_rao,
    "fisher_rao of some": partial(sharpkit.fisher_rao, max_samples=10),
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


def numbers(result):
    """Return all numbers of a result but those of its run, as one vector."""
    known = {**vars(result)}
    known.pop("run")
    every = [known[name] for name in sorted(known) if not isinstance(known[name], str)]
    kept = [np.ravel(each) for each in every if np.asarray(each).dtype.kind in "if"]
    return np.concatenate(kept).astype(float)


@pytest.mark.parametrize("lengths", SHARDS)
@pytest.mark.parametrize(
    ("name", "kind", "given"),
    [
        *((name, Sampled, False) for name in OF_SAMPLES),
        ("batch_sharpness", Sampled, True),
        ("fisher_rao", Forward, False),
    ],
)
def test_batches_of_all_ranks_are_those_of_one_rank(name, kind, given, lengths):
    measure = OF_SAMPLES[name]

    def of_rank(ranks, w, loss, place):
        return measure(w, kind(ranks, place, given=given), comm=ranks)

    alone = measure(WEIGHTS, kind(Serial(), slice(None), given=given))
    differs = name == "batch_sharpness" and not given  # a rounding over a step
    for found in over(lengths, of_rank):
        assert found.run.calls == alone.run.calls
        assert found.run.n == N
        if differs:
            assert found.value == pytest.approx(alone.value, rel=1e-7)
        else:
            assert numbers(found) == pytest.approx(numbers(alone), rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "magnitude"), [("average", True), ("worst", True), ("worst", False)]
)
def test_the_radius_of_the_error_and_its_measures_are_those_of_one_rank(
    kind, magnitude
):
    start = np.random.default_rng(3).standard_normal(N)

    def radius(ranks, w, loss, place):
        def accuracy(w):
            summed = Serial().sum if ranks is None else loss.comm.sum
            rise = summed(np.array([float((H[place] + 2) @ w**2)]))[0]
            return 1 / (1 + 1e-3 * rise)

        problem = sharpkit.Problem(w, loss, accuracy=accuracy, samples=100)
        return sharpkit.flatness_radius(
            problem, kind=kind, magnitude=magnitude, start=start[place], comm=ranks
        )

    alone = radius(None, WEIGHTS, whole, slice(None))
    for found in over((23, 37), radius):
        assert found.status is alone.status
        right = pytest.approx(numbers(alone), rel=1e-12, nan_ok=True)
        assert numbers(found) == right
        assert len(found.bounds) == 3
        for name, bound in found.bounds.items():
            right = alone.bounds[name]
            assert bound.value == pytest.approx(right.value, rel=1e-12)
            ends = pytest.approx(right.interval, rel=1e-12, nan_ok=True)
            assert bound.interval == ends


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


def test_copies_are_one_vector():
    alone = sharpkit.eigenvalues(WEIGHTS, whole)

    def of_rank(ranks, w, loss, place):
        return sharpkit.eigenvalues(WEIGHTS, whole, comm=Copies(ranks))

    for found in over((1, 1, 1), of_rank):
        assert found.values == alone.values
        assert found.run.n == N


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
