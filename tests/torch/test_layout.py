import copy

import numpy as np
import pytest
from torch_cases import case, direction, truth
from torch_required import torch

from sharpkit import SharpkitWarning
from sharpkit.torch import Problem, problem

nn = torch.nn


def flat(model, names):
    named = dict(model.named_parameters())
    return torch.cat([named[name].detach().reshape(-1) for name in names])


def test_layers(watch):
    own = case("frozen_and_unused")
    p = problem(watch(own.model), own.loss, own.data)
    assert isinstance(p, Problem)
    sizes = {"scale": 1, "first": 25, "unused": 12, "last": 18}
    assert {name: part.stop - part.start for name, part in p.layers.items()} == sizes
    assert [part.start for part in p.layers.values()] == [0, 1, 26, 38]
    w = p.weights
    for name, part in p.layers.items():
        names = [x for x, _ in own.model.named_parameters() if x.startswith(name)]
        assert torch.equal(w[part], flat(own.model, names))
    gradient, product = p(w)[1], p.hvp(w, direction(w.numel()))
    for vector in (gradient, product):
        assert not vector[p.layers["unused"]].any()
        assert all(vector[p.layers[name]].any() for name in ("scale", "first", "last"))
    assert repr(p) == (
        "Problem of n = 56 weights in 4 layers, float64 on cpu, batch_norm='running'"
    )


def test_tied_parameters_count_once(watch):
    own = case("tied_language")
    p = problem(watch(own.model), own.loss, own.data)
    assert "head" not in p.layers
    assert p.layers["embed"] == slice(0, 24)
    by_other = problem(own.model, own.loss, own.data, parameters="head.*")
    assert by_other.layers == {"embed": slice(0, 24)}
    assert torch.equal(by_other.weights, p.weights[:24])
    assert torch.allclose(by_other(by_other.weights)[1], p(p.weights)[1][:24])


CHOICES = {
    "a pattern": ("first.*", ["first.weight", "first.bias"]),
    "a name": (["last.bias"], ["last.bias"]),
    "a frozen one": (["second.weight"], ["second.weight"]),
    "several": (["last.*", "first.bias"], ["first.bias", "last.weight", "last.bias"]),
    "biases": ("*.bias", ["first.bias", "second.bias", "unused.bias", "last.bias"]),
    "a function": (
        lambda name: name in ("scale", "second.bias"),
        ["scale", "second.bias"],
    ),
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("micro_batch", [None, 4])
def test_choice(watch, choice, micro_batch):
    own = case("frozen_and_unused")
    chosen, names = CHOICES[choice]
    p = problem(
        watch(own.model), own.loss, own.data, parameters=chosen, micro_batch=micro_batch
    )
    assert torch.equal(p.weights, flat(own.model, names))
    w = p.weights + 0.1
    model = copy.deepcopy(own.model).eval()
    tensors = [dict(model.named_parameters())[name] for name in names]
    for tensor in tensors:
        tensor.requires_grad_()
    nn.utils.vector_to_parameters(w.clone(), tensors)
    loss = own.loss(model(own.inputs), own.targets)
    slope = torch.autograd.grad(
        loss, tensors, allow_unused=True, materialize_grads=True
    )
    found, gradient = p(w)
    assert found == pytest.approx(float(loss.detach()), rel=1e-12)
    assert torch.allclose(gradient, torch.cat([part.reshape(-1) for part in slope]))
    v, h = direction(w.numel()), 1e-6
    difference = (p(w + h * v)[1] - p(w - h * v)[1]) / (2 * h)
    assert torch.allclose(p.hvp(w, v), difference, rtol=1e-5, atol=1e-8)


def test_a_choice_of_nothing(watch):
    own = case("frozen_and_unused")
    message = r"'frist\.\*' matches no parameter; choose some of these: scale, first\."
    with pytest.raises(ValueError, match=message):
        problem(watch(own.model), own.loss, own.data, parameters="frist.*")


MODELS = [
    (lambda: nn.Tanh(), ValueError, "no parameter .* requires a gradient; .*: none"),
    (
        lambda: nn.Linear(2, 1).requires_grad_(False),
        ValueError,
        "no parameter .* requires a gradient; .* among these: weight, bias",
    ),
    (lambda: nn.LazyLinear(1), ValueError, "weight has no values yet; run the model"),
    (lambda: nn.Linear(2, 1, device="meta"), ValueError, "weight has no values yet"),
    (lambda: torch.tanh, TypeError, "model is of type .*; give a torch.nn.Module"),
]


@pytest.mark.parametrize(("make", "error", "match"), MODELS)
def test_models_that_cannot_be_used(make, error, match):
    with pytest.raises(error, match=match):
        problem(make(), nn.MSELoss(), (torch.ones(3, 2), torch.ones(3, 1)))


def test_integers_are_refused():
    model = nn.Linear(2, 1)
    model.weight = nn.Parameter(torch.ones(1, 2, dtype=torch.int8), requires_grad=False)
    data = torch.ones(3, 2), torch.ones(3, 1)
    with pytest.raises(
        TypeError, match=r"weight has dtype torch\.int8, and only float"
    ):
        problem(model, nn.MSELoss(), data, parameters="weight")


def test_sparse_weights_are_refused():
    model = nn.Linear(2, 1)
    model.weight = nn.Parameter(torch.ones(1, 2).to_sparse())
    with pytest.raises(
        TypeError, match=r"weight has layout torch\.sparse_coo; make it"
    ):
        problem(model, nn.MSELoss(), (torch.ones(3, 2), torch.ones(3, 1)))


def test_scripted_models_are_refused():
    class Scripted(torch.jit.ScriptModule):
        pass

    model = nn.Sequential(nn.Linear(2, 1), Scripted())
    with pytest.raises(TypeError, match=r"scripted module; give the torch\.nn\.Module"):
        problem(model, nn.MSELoss(), (torch.ones(3, 2), torch.ones(3, 1)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["layer_norm_mlp", "conv_batch_norm", "lstm"])
def test_half_precision_is_measured_wider(watch, name, dtype):
    own = case(name, dtype=dtype)
    watch(own.model)
    with pytest.warns(SharpkitWarning, match=rf"parameters of {dtype}, in which") as w:
        p = problem(own.model, own.loss, own.data)
    assert len(w) == 1
    assert p.weights.dtype == torch.float32
    wide = case(name, dtype=dtype)
    wide.model.double()
    expected, slope = problem(wide.model, wide.loss, wide.data)(p.weights.double())
    loss, gradient = p(p.weights)
    assert loss == pytest.approx(expected, rel=1e-5)
    scale = float(slope.abs().max())
    assert torch.allclose(gradient.double(), slope, rtol=1e-4, atol=1e-5 * scale)
    assert p.hvp(p.weights, p.weights).dtype == torch.float32
    quiet = problem(own.model, own.loss, own.data, dtype=torch.float32)
    assert quiet(p.weights)[0] == loss


@pytest.mark.filterwarnings("ignore::sharpkit.SharpkitWarning")
def test_load_rounds_to_half():
    own = case("regression", dtype=torch.bfloat16)
    p = problem(own.model, own.loss, own.data)
    w = p.weights + 0.001
    p.load(w)
    found = torch.cat([x.detach().reshape(-1) for x in own.model.parameters()])
    assert torch.equal(found, w.bfloat16())


def test_the_widest_precision(watch):
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2).double())
    data = torch.ones(5, 4), torch.ones(5, 2)
    p = problem(watch(model), nn.MSELoss(), data)
    assert p.weights.dtype == torch.float64
    assert p(p.weights)[1].dtype == torch.float64
    p = problem(model, nn.MSELoss(), data, parameters="0.*")
    assert p.weights.dtype == torch.float32
    assert p(p.weights)[1].dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, "float32", int])
def test_dtypes_that_cannot_be_used(watch, dtype):
    own = case("regression")
    with pytest.raises(ValueError, match=r"dtype=.*; give torch\.float32, torch\.fl"):
        problem(watch(own.model), own.loss, own.data, dtype=dtype)


@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
def test_wrapped_models(watch):
    own, known = case("regression"), truth("regression")
    wrapped = nn.DataParallel(own.model), torch.compile(own.model)
    watch(own.model)
    for model in wrapped:
        p = problem(model, own.loss, own.data)
        assert p(p.weights)[0] == pytest.approx(known.at(known.weights)[0], rel=1e-12)
        assert list(p.layers) == ["0", "2"]


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
