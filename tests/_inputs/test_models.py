"""A model or its parameters, given where a vector of weights is wanted."""

import re
import sys
from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest

from sharpkit._inputs.models import model_message

TORCH = r"sharpkit\.torch\.problem\(model, loss, data\)"
JAX = r"sharpkit\.jax\.problem\(loss, params, data"


def says(value, *patterns):
    message = model_message(value)
    assert message is not None
    assert message.startswith("weights is a")
    for pattern in patterns:
        assert re.search(pattern, message), message


def linear():
    return pytest.importorskip("torch").nn.Linear(2, 1)


def test_a_module_of_torch():
    says(linear(), r"a PyTorch model \(of type Linear\)", TORCH)


def test_a_module_in_another():
    torch = pytest.importorskip("torch")
    says(torch.nn.DataParallel(linear()), r"of type DataParallel", TORCH)
    says(torch.nn.Sequential(linear()), TORCH)


def test_a_model_of_transformers():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=5, n_positions=4, n_embd=4, n_layer=1, n_head=1
    )
    model = transformers.GPT2LMHeadModel(config)
    says(model, "a Hugging Face model", TORCH, r"model\(\*\*batch\)\.loss")


@pytest.mark.parametrize(
    "collect",
    [
        lambda model: model.state_dict(),
        lambda model: model.state_dict().values(),
        lambda model: {"epoch": 3, "model": model.state_dict()},
        lambda model: list(model.parameters()),
        lambda model: tuple(model.parameters()),
        lambda model: dict(model.named_parameters()),
    ],
)
def test_tensors_of_torch_in_a_collection(collect):
    says(collect(linear()), "a collection of torch tensors", TORCH)


def test_a_generator_of_parameters_is_not_passed_over():
    model = linear()
    given = model.parameters()
    says(given, r"a generator, as model\.parameters\(\) is", TORCH)
    assert len(list(given)) == 2
    says(filter(None, model.parameters()), TORCH)
    says((p for p in model.parameters()), TORCH)


def test_a_linen_module():
    linen = pytest.importorskip("flax.linen")
    says(linen.Dense(3), "a Flax Linen model", JAX, r"model=model\.apply\)")


def test_an_nnx_module_and_its_state():
    nnx = pytest.importorskip("flax.nnx")
    net = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    says(net, "a Flax NNX model", r"nnx\.split\(model", JAX)
    says(nnx.state(net), "a collection of JAX arrays", JAX)


def test_an_equinox_module():
    eqx, jax = pytest.importorskip("equinox"), pytest.importorskip("jax")
    says(eqx.nn.Linear(2, 1, key=jax.random.key(0)), "an Equinox model", JAX, "vmap")


@pytest.mark.parametrize(
    ("transform", "call"),
    [
        ("transform", r"network\.apply\(params, None, x\)"),
        ("transform_with_state", r"network\.apply\(params, state, None, x\)\[0\]"),
    ],
)
def test_a_transformed_function_of_haiku(transform, call):
    hk = pytest.importorskip("haiku")
    says(getattr(hk, transform)(lambda x: hk.Linear(1)(x)), "a Haiku model", JAX, call)


@pytest.mark.parametrize(
    "collect",
    [
        lambda a: {"layer": {"w": a, "b": a}},
        lambda a: [a, a],
        lambda a: (("relu", a),),
        lambda a: OrderedDict(w=a),
    ],
)
def test_a_pytree(collect):
    jax = pytest.importorskip("jax")
    says(collect(jax.numpy.ones(2)), "a collection of JAX arrays", JAX, "model=...")
    says(collect(np.ones(2)), "a collection of NumPy arrays", r"concatenate", JAX)


def test_a_pytree_of_a_class_of_its_own():
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    train_state = pytest.importorskip("flax.training.train_state")
    found = train_state.TrainState.create(
        apply_fn=len, params={"w": jax.numpy.ones(2)}, tx=optax.sgd(0.1)
    )
    says(found, "a collection of JAX arrays", JAX)


def test_arrays_of_numpy_without_a_framework(monkeypatch):
    for name in ("torch", "jax"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    says([np.ones(2)], "a collection of NumPy arrays")
    assert model_message(p for p in [np.ones(2)]) is None


@pytest.mark.parametrize(
    "value",
    [
        np.ones(2),
        np.float32(1),
        None,
        3.0,
        "weights",
        [1.0, 2.0],
        [np.float64(1.0)] * 500,
        {"w": 1.0},
        {},
        range(3),
        object(),
        len,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_model(value):
    assert model_message(value) is None


def test_arrays_of_a_framework_are_no_models():
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    assert model_message(torch.ones(2)) is None
    assert model_message(torch.nn.Parameter(torch.ones(2))) is None
    assert model_message(jax.numpy.ones(2)) is None


def test_a_framework_that_is_half_loaded_is_passed_over(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torch.nn", SimpleNamespace())
    assert model_message([1.0]) is None


def test_no_framework_is_imported(monkeypatch):
    for name in ("torch", "torch.nn", "jax", "flax.linen", "haiku", "equinox"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert model_message(object()) is None
    assert not {"torch", "jax", "haiku", "equinox"} & set(sys.modules)
