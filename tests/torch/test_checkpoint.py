from __future__ import annotations

import copy

import numpy as np
import pytest
from torch_cases import case, direction
from torch_required import torch

from sharpkit.torch import problem

nn = torch.nn
NAMES = ["conv_batch_norm", "tied_language", "frozen_and_unused", "lstm"]


def another(model, seed=5):
    """Return the model with other parameters and buffers."""
    other, draw = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*other.parameters(), *other.buffers()]:
            if tensor.is_floating_point():
                tensor += 0.3 * torch.rand(tensor.shape, generator=draw).to(tensor)
    return other


FORMS = {
    "tensors": lambda state: state,
    "arrays": lambda state: {name: x.numpy() for name, x in state.items()},
    "single": lambda state: {
        name: x.float() if x.is_floating_point() else x for name, x in state.items()
    },
    "DataParallel": lambda state: {f"module.{name}": x for name, x in state.items()},
    "both": lambda state: {f"_orig_mod.module.{n}": x for n, x in state.items()},
    "old": lambda state: {
        name: x for name, x in state.items() if not name.endswith("num_batches_tracked")
    },
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_at_is_the_problem_of_that_model(watch, name, form):
    own = case(name)
    other = another(own.model)
    p = problem(watch(own.model), own.loss, own.data, micro_batch=4)
    there = p.at(FORMS[form](other.state_dict()))
    known = problem(other, own.loss, own.data, micro_batch=4)
    rounding = 1e-5 if form == "single" else 0
    w = there.weights
    assert torch.allclose(w, known.weights, rtol=rounding, atol=0)
    assert there(w)[0] == pytest.approx(known(w)[0], rel=rounding, abs=0)
    assert there.accuracy(w) == known.accuracy(w)
    v = direction(w.numel())
    assert torch.allclose(there.hvp(w, v), known.hvp(w, v), rtol=1e-4, atol=1e-4)
    assert p(w)[0] != there(w)[0] or name in ("tied_language", "lstm")
    assert p.layers == there.layers
    assert p.at(own.model.state_dict())(w)[0] == p(w)[0]


@pytest.mark.parametrize("mode", ["running", "batch", "frozen"])
def test_batch_norm_stays(watch, mode):
    own = case("conv_batch_norm")
    other = another(own.model)
    p = problem(watch(own.model), own.loss, own.data, batch_norm=mode)
    there = p.at(other.state_dict())
    assert there.batch_norm == mode
    known = problem(other, own.loss, own.data, batch_norm=mode)
    assert there(there.weights)[0] == known(known.weights)[0]
    line, w = there.on_line(), there.weights
    assert line.batch_norm == "batch"
    assert line(w)[0] == known.on_line()(w)[0]


def test_tied_tensors_by_any_name(watch):
    own = case("tied_language")
    state = another(own.model).state_dict()
    p = problem(watch(own.model), own.loss, own.data)
    for left_out in ("embed.weight", "head.weight"):
        one = {name: x for name, x in state.items() if name != left_out}
        assert torch.equal(p.at(one).weights, p.at(state).weights)
    wrong = state | {"head.weight": state["head.weight"] + 1}
    with pytest.raises(ValueError, match=r"embed\.weight and head\.weight, tied in"):
        p.at(wrong)


def test_buffers_that_are_not_saved_stay(watch):
    own = case("regression")
    own.model.register_buffer("scale", torch.tensor(3.0), persistent=False)
    p = problem(watch(own.model), own.loss, own.data)
    p.at(own.model.state_dict())


def test_a_snapshot_of_the_checkpoint(watch):
    own = case("conv_batch_norm")
    state = another(own.model).state_dict()
    p = problem(watch(own.model), own.loss, own.data, parameters="0.*").at(state)
    before = p(p.weights)[0]
    for tensor in state.values():
        tensor.zero_()
    assert p(p.weights)[0] == before


def test_names_that_do_not_fit(watch):
    own = case("regression")
    p = problem(watch(own.model), own.loss, own.data)
    state = own.model.state_dict()
    wrong = {**state, "2.bias": np.zeros(5), "extra": np.zeros(1)}
    del wrong["0.weight"]
    with pytest.raises(
        ValueError,
        match=r"missing: 0\.weight; not the model's: extra; of another shape: 2\.bias "
        r"\(5,\) for \(2,\)\. Give the names and shapes of model\.state_dict\(\)",
    ):
        p.at(wrong)
    with pytest.raises(ValueError, match=r"missing: 0\.weight.*'s: state_dict\. Give"):
        p.at({"state_dict": np.zeros(1)})
    with pytest.raises(TypeError, match="named is of type list; give a mapping of"):
        p.at([1, 2])
    with pytest.raises(TypeError, match=r"named\['0\.bias'\]: .*; give a tensor or"):
        p.at({**state, "0.bias": "x"})


def test_missing_buffers(watch):
    own = case("conv_batch_norm")
    state = own.model.state_dict()
    del state["1.running_mean"]
    p = problem(watch(own.model), own.loss, own.data)
    with pytest.raises(ValueError, match=r"missing: 1\.running_mean\. Give the names"):
        p.at(state)
