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
        "sharpkit.measures._sharded.ranks_of",
        lambda process_group, comm: process_group or comm,
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


def test_samples_that_are_not_those_of_all_ranks_are_refused():
    def counted(ranks, w, loss):
        place = slice(0, 30) if ranks.rank == 0 else slice(30, 60)
        loss = Sampled(ranks, place)
        loss.samples = 10 + ranks.rank
        sharpkit.gradient_noise(w, loss, comm=ranks)

    for rank, error in enumerate(ends((30, 30), counted)):
        assert isinstance(error, ValueError)
        text = f"samples is not the same on all ranks, here it is {10 + rank}; give"
        assert str(error).startswith(text)

    def alone(ranks, w, loss):
        place = slice(0, 30) if ranks.rank == 0 else slice(30, 60)
        loss = Forward(ranks, place)
        loss.reduces = False
        sharpkit.fisher_rao(w, loss, comm=ranks)

    for error in ends((30, 30), alone):
        assert isinstance(error, ValueError)
        assert str(error).startswith("directional returned other derivatives on some")


def test_errors_of_each_rank_alone_are_refused():
    def call(ranks, w, loss):
        shares = {"accuracy": lambda w: 0.5 + 0.25 * ranks.rank}
        sharpkit.flatness_radius(sharpkit.Problem(w, loss, **shares), comm=ranks)

    for error in ends((30, 30), call):
        assert isinstance(error, ValueError)
        assert "1 - problem.accuracy(w) was from 0.25 to 0.5 on the ranks" in str(error)
        assert "return the accuracy over the data of all ranks: reduce" in str(error)


def test_a_worst_radius_over_ranks_needs_a_gradient():
    def call(ranks, w, loss):
        known = {"kind": "worst", "of": "loss", "comm": ranks}
        sharpkit.flatness_radius(w, lambda w: loss(w)[0], **known)

    for error in ends((30, 30), call):
        assert isinstance(error, ValueError)
        assert "to climb by over ranks: return (loss, gradient), or" in str(error)


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


class Spread:
    """A problem that knows its ranks, as that of a model under fully_shard does."""

    weights, copies, layers = WEIGHTS, False, {"all": slice(0, N)}
    accuracy = samples = subset = hvp = None

    def __init__(self, process_group=True):
        self.process_group, self.calls = process_group, 0

    def __call__(self, w):
        self.calls += 1
        return whole(w)


REFUSING = {
    "measure": sharpkit.measure,
    "profile": sharpkit.profile,
    "check": sharpkit.check,
    "by_group": partial(sharpkit.by_group, sharpkit.trace),
    "operator": sharpkit.operator,
    "relative_flatness": sharpkit.relative_flatness,
    "normalized_flatness": sharpkit.normalized_flatness,
    "compare": partial(sharpkit.compare, WEIGHTS, WEIGHTS),
    "line": sharpkit.landscape.line,
    "plane": sharpkit.landscape.plane,
    "curve": partial(sharpkit.landscape.curve, to=WEIGHTS),
}


@pytest.mark.parametrize("name", REFUSING)
def test_what_is_not_taken_over_ranks_says_so(name):
    call, spread = REFUSING[name], Spread()
    problem = sharpkit.Problem(WEIGHTS, whole, layers=Spread.layers)
    text = f"^{name} cannot be done where the weights are spread over ranks; these can"
    with pytest.raises(NotImplementedError, match=text):
        call(spread)
    for known in ("comm", "process_group"):
        with pytest.raises(NotImplementedError, match=text):
            call(problem, **{known: object()})
    assert spread.calls == 0


def test_what_is_not_taken_over_ranks_is_refused_inside_of_others_too():
    spread = Spread()
    for call in (
        partial(sharpkit.compare, spread, sharpkit.Problem(WEIGHTS, whole)),
        partial(sharpkit.compare, [{"train": spread}], [{"train": spread}]),
        partial(sharpkit.landscape.line, {"train": spread}),
        partial(sharpkit.landscape.curve, sharpkit.Problem(WEIGHTS, whole), spread),
        partial(sharpkit.profile, sharpkit.Problem(WEIGHTS, whole), start=spread),
    ):
        with pytest.raises(NotImplementedError, match="where the weights are spread"):
            call()
    with pytest.raises(NotImplementedError, match="where the weights are spread"):
        sharpkit.monitor.loop(spread)
    assert spread.calls == 0


@pytest.mark.parametrize(
    "call",
    [
        partial(sharpkit.batch_sharpness, batch_size=2),
        sharpkit.gradient_noise,
        sharpkit.fisher_rao,
        partial(sharpkit.average_sharpness, subset=2),
    ],
)
@pytest.mark.parametrize("copies", [False, True])
def test_samples_of_a_model_over_ranks_are_refused_before_any_work(call, copies):
    def end(comm, place):
        problem = Spread(ThreadRanks(comm))
        problem.copies = copies
        with pytest.raises(NotImplementedError) as caught:
            call(problem)
        return str(caught.value), problem.calls

    for text, calls in run_ranks((N, N), end):
        assert "needs single samples, and a model over ranks runs on the" in text
        assert "give a problem of the whole model and all data in one process" in text
        assert ("full_state_dict=True" in text) != copies
        assert calls == 0


@pytest.mark.parametrize("kind", ["average", "worst"])
def test_the_error_of_a_model_over_ranks_is_refused_before_any_work(kind):
    def end(comm, place):
        problem = Spread(ThreadRanks(comm))
        with pytest.raises(NotImplementedError, match=r"has no accuracy; give of='los"):
            sharpkit.flatness_radius(problem, kind=kind)
        return problem.calls

    assert run_ranks((N, N), end) == [0, 0]


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
