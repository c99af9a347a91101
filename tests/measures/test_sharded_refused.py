"""Measures over ranks: one end for all, and what is refused there."""

import inspect
from functools import partial

import numpy as np
import pytest
from rank_problems import WEIGHTS, Forward, N, Sampled, local, over, whole
from thread_comm import ThreadRanks, run_ranks

import sharpkit
from sharpkit._vectors.ranks import RankError
from sharpkit.measures._sharded import MEASURES

pytestmark = pytest.mark.usefixtures("threads_as_ranks")


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


def test_messages_name_what_takes_ranks():
    taking = {
        name
        for name in {*dir(sharpkit)} - {"jax", "torch"}  # which may not be installed
        if callable(each := getattr(sharpkit, name))
        and not isinstance(each, type)
        and "process_group" in inspect.signature(each).parameters
    }
    assert taking == set(MEASURES.replace(" and ", ", ").split(", "))
