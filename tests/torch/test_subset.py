"""Some of the samples are the problem that they alone would make."""

import numpy as np
import pytest
from torch_cases import MAKERS, case, direction
from torch_required import torch

import sharpkit
from sharpkit.torch import problem

CHOSEN = [6, 1, 4, 8]
data = torch.utils.data


def taken(own, chosen):
    return own.inputs[chosen], own.targets[chosen]


def loader(own, **options):
    samples = data.TensorDataset(own.inputs, own.targets)
    return data.DataLoader(samples, batch_size=3, **options)


FORMS = {
    "tensors": (lambda own: own.data, {}),
    "cut tensors": (lambda own: own.data, {"micro_batch": 2}),
    "batches": (lambda own: own.batches(4, 3, 2), {}),
    "loader": (loader, {}),
    "shuffled": (lambda own: loader(own, shuffle=True), {}),
}


def close(found, known, rounding=1e-12):
    assert float((found - known).abs().max()) <= rounding * float(known.abs().max())


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("name", list(MAKERS))
def test_it_is_the_problem_of_these_samples(watch, name, form):
    own = case(name)
    watch(own.model)
    make, options = FORMS[form]
    whole = problem(own.model, own.loss, make(own), **options)
    part = whole.subset(CHOSEN)
    alone = problem(own.model, own.loss, taken(own, CHOSEN))
    w = whole.weights + 0.05 * direction(len(whole.weights))
    v = direction(len(w), 8)
    (loss, gradient), (true, slope) = part(w), alone(w)
    assert loss == pytest.approx(true, rel=1e-13)
    close(gradient, slope)
    close(part.hvp(w, v), alone.hvp(w, v))
    close(part.gauss_newton(w, v), alone.gauss_newton(w, v))
    assert part.accuracy(w) == alone.accuracy(w)
    assert (part.samples, whole.samples) == (4, 9)
    assert torch.equal(part.weights, whole.weights)
    assert part.subset([3, 0]).samples == 2


@pytest.mark.parametrize("mode", ["running", "batch", "frozen"])
def test_batch_norms_do_as_in_the_whole(mode):
    own = case("conv_batch_norm")
    whole = problem(own.model, own.loss, own.data, batch_norm=mode)
    parts = [whole.subset(i) for i in (range(3), range(3, 9))]
    w = whole.weights + 0.1 * direction(len(whole.weights))
    assert {part.batch_norm for part in parts} == {mode}
    if mode == "batch":  # statistics are those of the samples
        chosen = taken(own, [0, 1, 2])
        alone = problem(own.model, own.loss, chosen, batch_norm=mode)
        assert parts[0](w)[0] == pytest.approx(alone(w)[0], rel=1e-13)
    else:  # constants stay, so that the parts make up the whole
        mean = (3 * parts[0](w)[0] + 6 * parts[1](w)[0]) / 9
        assert mean == pytest.approx(whole(w)[0], rel=1e-13)


def test_a_loss_of_ones_own_counts_as_in_the_whole():
    own = case("tied_language")

    def loss(model, batch):
        per = torch.nn.functional.cross_entropy(
            model(batch["x"]), batch["y"], reduction="none"
        )
        return per.sum() / (batch["y"] != -100).sum()

    batches = [{"x": x, "y": y} for x, y in own.batches(4, 5)]
    whole = problem(own.model, loss, batches, loss_takes="model")
    whole(whole.weights)
    alone = problem(own.model, own.loss, taken(own, [7, 2, 0]))
    part = whole.subset([7, 2, 0])
    assert part(part.weights)[0] == pytest.approx(alone(part.weights)[0], rel=1e-13)


def test_a_part_at_a_checkpoint_and_at_a_moved_vector():
    own = case("regression")
    whole = problem(own.model, own.loss, own.data)
    state = {name: x + 1 for name, x in own.model.state_dict().items()}
    assert torch.equal(whole.at(state).subset([0]).weights, whole.weights + 1)


def test_the_samples_that_a_loader_drops_are_none():
    own = case("regression")
    samples = data.TensorDataset(own.inputs, own.targets)
    dropping = data.DataLoader(samples, batch_size=4, drop_last=True)
    whole = problem(own.model, own.loss, dropping)
    assert (whole.samples, whole.subset([7]).samples) == (8, 1)
    with pytest.raises(ValueError, match="indices holds 8, and there are 8 samples"):
        whole.subset([8])


class Stream(data.IterableDataset):
    def __iter__(self):
        return iter([(torch.ones(4, dtype=torch.float64), torch.ones(2).double())] * 4)


class Again:
    def __iter__(self):
        yield torch.ones(3, 4), torch.ones(3, 2)


def none(own):
    samples = data.TensorDataset(own.inputs, own.targets)
    chosen = data.SubsetRandomSampler([0, 1, 2])
    again = data.RandomSampler(samples, replacement=True)
    return {
        "stream": data.DataLoader(Stream(), batch_size=2),
        "iterable": Again(),
        "sampler": data.DataLoader(samples, batch_size=2, sampler=chosen),
        "replacement": data.DataLoader(samples, batch_size=2, sampler=again),
        "batch sampler": data.DataLoader(samples, batch_sampler=[[0, 1], [2]]),
        "no batches": data.DataLoader([(own.inputs, own.targets)], batch_size=None),
        "shuffled and dropped": loader(own, shuffle=True).__class__(
            samples, batch_size=4, shuffle=True, drop_last=True
        ),
        "objects": [(own.inputs, own.targets, ["a name"] * 9)],
        "unequal": [(own.inputs, own.targets[:5])],
    }


@pytest.mark.parametrize("form", list(none(case("regression"))))
def test_data_that_has_no_single_samples(form):
    own = case("regression")
    takes = {"loss_takes": "model"} if form in ("objects", "unequal") else {}
    whole = problem(own.model, own.loss, none(own)[form], **takes)
    assert whole.subset is None


def test_indices_of_any_library_and_bad_ones():
    own = case("regression")
    whole = problem(own.model, own.loss, own.data)
    for indices in (torch.tensor([2, 5]), np.array([2, 5], np.uint8), (2, 5)):
        assert whole.subset(indices).samples == 2
    with pytest.raises(TypeError, match="indices are of type float32; give whole"):
        whole.subset(torch.ones(2))
    with pytest.raises(ValueError, match="indices holds 9, and there are 9 samples"):
        whole.subset([9])


def test_a_measure_takes_it():
    own = case("regression")
    whole = problem(own.model, own.loss, own.data)
    part = whole.subset(CHOSEN)
    alone = problem(own.model, own.loss, taken(own, CHOSEN))
    found, true = (float(sharpkit.eigenvalues(x)) for x in (part, alone))
    assert found == pytest.approx(true, rel=1e-6)


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX's, if it is loaded
def test_workers_are_kept_for_many_samples_alone():
    own = case("regression")
    several = loader(own, num_workers=1)
    whole = problem(own.model, own.loss, several)
    loaders = [whole.subset(range(k))._evaluation.batches.data for k in (3, 4)]
    assert [x.num_workers for x in loaders] == [0, 1]
