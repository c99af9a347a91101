"""Which arrays become weights, what they are called, and how they come back."""

import dataclasses
import warnings

import numpy as np
import pytest
from jax_cases import made, normal, sizes, sum_of_squares
from numpy.testing import assert_allclose, assert_array_equal

import sharpkit
from sharpkit import SharpkitWarning

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")


NESTED = {
    "b": [
        {"kernel": normal(2, 3), "bias": normal(3)},
        {"kernel": normal(3, 4), "bias": normal(4)},
    ],
    "a": (normal(5), normal(6)),
}


def test_weights_lie_in_the_order_of_the_tree():
    problem = made(NESTED)
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(NESTED)])
    assert_array_equal(problem.weights, flat)
    assert list(problem.parameters) == [
        "a.0",
        "a.1",
        "b.0.bias",
        "b.0.kernel",
        "b.1.bias",
        "b.1.kernel",
    ]
    assert_array_equal(
        problem.weights[problem.parameters["b.1.kernel"]],
        NESTED["b"][1]["kernel"].ravel(),
    )
    assert sizes(problem.layers) == {"a": 11, "b.0": 9, "b.1": 16}
    assert problem(problem.weights)[0] == pytest.approx(0.5 * (flat @ flat), rel=1e-6)
    assert repr(problem) == "Problem of n = 36 weights in 6 arrays, float32"


def test_the_tree_comes_back():
    problem = made(NESTED)
    moved = problem.tree(2 * problem.weights)
    assert jax.tree.structure(moved) == jax.tree.structure(NESTED)
    for found, given in zip(
        jax.tree.leaves(moved), jax.tree.leaves(NESTED), strict=True
    ):
        assert_array_equal(found, 2 * given)


def test_arrays_of_the_root_are_layers_by_themselves():
    assert sizes(made({"w": normal(3), "c": normal(2)}).layers) == {"c": 2, "w": 3}
    alone = made(normal(3))
    assert sizes(alone.layers) == sizes(alone.parameters) == {"params": 3}
    assert_array_equal(alone.tree(alone.weights), normal(3))


def test_arrays_torn_from_their_layer_stand_by_themselves():
    block = {"a": normal(2), "inner": {"w": normal(3), "x": normal(1)}, "z": normal(4)}
    problem = made({"block": block})
    assert sizes(problem.layers) == {"block.a": 2, "block.inner": 4, "block.z": 4}
    # without what lies between them they are together again
    problem = made({"block": block}, parameters=["block.a", "block.z"])
    assert sizes(problem.layers) == {"block": 6}


def test_names_that_would_be_the_same_are_spelt_out():
    problem = made({"a.b": {"c": normal(1)}, "a": {"b": {"c": normal(2)}}})
    assert sizes(problem.parameters) == {"['a']['b']['c']": 2, "['a.b']['c']": 1}
    assert sizes(problem.layers) == {"['a']['b']": 2, "['a.b']": 1}


def test_a_box_around_an_array_has_no_name_of_its_own():
    box = dataclasses.make_dataclass("Box", ["value"])
    jax.tree_util.register_dataclass(box, ["value"], [])
    both = dataclasses.make_dataclass("Both", ["other", "value"])
    jax.tree_util.register_dataclass(both, ["other", "value"], [])
    params = {"layer": {"w": box(normal(2)), "b": box(normal(3))}}
    problem = made({**params, "two": both(normal(1), normal(4))})
    names = ["layer.b", "layer.w", "two.other", "two.value"]
    assert list(problem.parameters) == names
    assert sizes(problem.layers) == {"layer": 5, "two": 5}


FILTERS = [
    (["b.0.kernel"], ["b.0.kernel"]),
    ("b.0.kernel", ["b.0.kernel"]),
    (["b.1.*", "a.1"], ["a.1", "b.1.bias", "b.1.kernel"]),
    ("*kernel", ["b.0.kernel", "b.1.kernel"]),
    (lambda name: name.endswith("bias"), ["b.0.bias", "b.1.bias"]),
]


@pytest.mark.parametrize(("wanted", "names"), FILTERS)
def test_a_filter_by_name(wanted, names):
    problem = made(NESTED, parameters=wanted)
    assert list(problem.parameters) == names
    whole = made(NESTED)
    where = np.concatenate([np.r_[whole.parameters[name]] for name in names])
    assert_array_equal(problem.weights, whole.weights[where])
    # the others are constants of the same loss
    found, gradient = problem(problem.weights)
    known, slope = whole(whole.weights)
    assert_allclose(found, known, rtol=1e-6)
    assert_allclose(gradient, slope[where], rtol=1e-6)


def test_a_filter_that_chooses_nothing():
    message = (
        r"parameters='c\.\*' matches no parameter; choose some of these: a\.0, a\.1"
    )
    with pytest.raises(ValueError, match=message):
        made(NESTED, parameters=["a.0", "c.*"])


def test_what_is_no_float_array_is_constant():
    params = {
        "w": normal(3),
        "scalar": np.float32(2.0),
        "steps": np.arange(4),
        "mask": np.array([True, False]),
        "key": jax.random.key(0),
        "rate": 0.1,
        "function": jnp.tanh,
        "label": np.array(["text"]),
        "nothing": None,
    }

    def loss(params):
        assert params["rate"] == 0.1
        assert params["function"] is jnp.tanh
        assert params["nothing"] is None
        draw = jax.random.normal(params["key"], (3,))
        kept = params["function"](params["w"]) * draw
        return kept.sum() * params["rate"] + params["steps"].sum() * params["scalar"]

    problem = sharpkit.jax.problem(loss, params)
    assert sizes(problem.parameters) == {"scalar": 1, "w": 3}
    found, gradient = problem(problem.weights)
    assert_allclose(found, loss(jax.tree.map(lambda leaf: leaf, params)), rtol=1e-6)
    assert gradient[0] == 6
    assert problem.tree(problem.weights)["function"] is jnp.tanh
    assert_array_equal(problem.tree(problem.weights)["steps"], np.arange(4))


def test_params_are_copied():
    given = {"w": normal(3), "table": np.arange(3)}
    problem = sharpkit.jax.problem(lambda p: (p["w"] * p["table"]).sum(), given)
    known, weights = problem(problem.weights)[0], np.array(problem.weights)
    given["w"][:] = 0
    given["table"][:] = 0
    assert_array_equal(problem.weights, weights)
    assert problem(problem.weights)[0] == known
    own = {"w": jnp.ones(3), "table": jnp.arange(3)}
    problem = sharpkit.jax.problem(lambda p: (p["w"] * p["table"]).sum(), own)
    for array in own.values():
        array.delete()  # as a training step does that is given its memory
    assert problem(problem.weights)[0] == 3


def test_params_without_weights():
    for params in ({}, None, {"steps": np.arange(3), "rate": 0.1}, sum_of_squares):
        with pytest.raises(
            ValueError, match=r"params of type \w+ holds no float array"
        ):
            made(params)


def test_complex_weights():
    params = {"w": normal(2), "spectrum": np.ones(2, np.complex64)}
    message = (
        r"params\['spectrum'\] has dtype complex64; a weight is a real .*parameters="
    )
    with pytest.raises(TypeError, match=message):
        made(params)
    problem = made(params, parameters="w")
    assert problem.weights.shape == (2,)
    assert problem.tree(problem.weights)["spectrum"].dtype == np.complex64


def test_float64_needs_jaxs_switch():
    params = {"layer": {"w": normal(3, dtype=np.float64)}}
    message = r"params\['layer.w'\] has dtype float64, .* switched off; call jax.config"
    with pytest.raises(TypeError, match=message):
        made(params)
    with jax.enable_x64(True):
        problem = made({**params, "b": normal(2)})
        assert problem.weights.dtype == np.float64
        assert {
            leaf.dtype for leaf in jax.tree.leaves(problem.tree(problem.weights))
        } == {np.dtype(np.float64)}
        weights = np.asarray(problem.weights)
    message = 'made in float64, .* since; call jax.config.update."jax_enable_x64", True'
    for given in (problem.weights, weights):
        with pytest.raises(RuntimeError, match=message):
            problem(given)
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize("half", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_measured_in_float32(half):
    def loss(params, batch):
        x, y = batch
        out = jax.lax.conv(x, params["filters"], (1, 1), "SAME")  # insists on one dtype
        return jnp.mean((out.sum((1, 2, 3)) * params["scale"] - y) ** 2)

    narrow = {
        "filters": jnp.asarray(normal(2, 1, 3, 3), half),
        "scale": jnp.asarray(0.3, half),
    }
    data = jnp.asarray(normal(6, 1, 4, 4), half), normal(6)
    message = r"params\['filters'\] has dtype .*float16, in which a step of epsilon"
    with pytest.warns(SharpkitWarning, match=message) as caught:
        problem = sharpkit.jax.problem(loss, narrow, data, parameters="filters")
    assert len(caught) == 1
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (narrow, data))
    known = sharpkit.jax.problem(loss, *wide, parameters="filters")
    assert problem.weights.dtype == np.float32
    assert_array_equal(problem.weights, known.weights)
    found, gradient = problem(problem.weights)
    assert found == known(known.weights)[0]
    assert_array_equal(gradient, known(known.weights)[1])


def test_at_other_weights_and_constants():
    params = {"w": normal(2, 3), "shift": normal(2), "steps": np.arange(2)}

    def loss(params):
        moved = params["w"].sum(1) + params["shift"]
        return (moved**2 * (1 + params["steps"])).sum()

    problem = sharpkit.jax.problem(loss, params, parameters="w")
    other = {"w": normal(2, 3, seed=1), "shift": np.float64([3, 4])}
    moved = problem.at(other)
    assert_array_equal(moved.weights, other["w"].ravel())
    known = float(loss({**params, **other}))
    assert moved(moved.weights)[0] == pytest.approx(known, rel=1e-6)
    # the first is as it was
    assert_array_equal(problem.weights, params["w"].ravel())
    assert problem(problem.weights)[0] == pytest.approx(float(loss(params)), rel=1e-6)
    counted = problem.at({**other, "steps": np.array([5, 5])})
    known = float(loss({**other, "steps": np.array([5, 5])}))
    assert counted(counted.weights)[0] == pytest.approx(known, rel=1e-6)
    back = problem.at(problem.tree(problem.weights))
    assert back(back.weights)[0] == problem(problem.weights)[0]
    torch = pytest.importorskip("torch")
    tensors = {name: torch.tensor(array) for name, array in other.items()}
    assert_array_equal(problem.at(tensors).weights, moved.weights)


def test_at_something_else():
    problem = made({"w": normal(3), "shift": normal(2)}, parameters="w")
    for named, kind, message in (
        (
            [normal(3)],
            TypeError,
            "named is of type list; give a mapping of names to arr",
        ),
        ({"shift": normal(2)}, ValueError, "named lacks w; give the arrays of params"),
        (
            {"w": normal(3), "shift": normal(2), "v": normal(1)},
            ValueError,
            "the unknown names v; give .* which are w, shift",
        ),
        (
            {"w": normal(4), "shift": normal(2)},
            ValueError,
            r"named\['w'\] has shape \(4,\); give .* of shape \(3,\), as",
        ),
        (
            {"w": "a", "shift": normal(2)},
            TypeError,
            r"named\['w'\] is of type str; give",
        ),
    ):
        with pytest.raises(kind, match=message):
            problem.at(named)


def test_nothing_warns_where_nothing_is_wrong():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problem = made(NESTED)
        problem.hvp(problem.weights, problem.weights)
