"""The metric and the threshold of stock optimisers of optax, against themselves."""

import numpy as np
import pytest

import sharpkit

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
jnp = jax.numpy

N = 6


@pytest.fixture(autouse=True)
def float64():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def hessian():
    A = np.random.default_rng(1).standard_normal((N, N))
    return A @ A.T + np.eye(N)


def start():
    w = np.random.default_rng(2).standard_normal(N)
    return {"one": jnp.asarray(w[:4]).reshape(2, 2), "two": jnp.asarray(w[4:])}


def flat(tree):
    return jnp.concatenate([tree["one"].ravel(), tree["two"]])


def loss(scale):
    H = jnp.asarray(hessian()) * scale
    return lambda params: flat(params) @ H @ flat(params) / 2


STILL = 1 - 1e-9
MAKERS = {
    "sgd": (optax.sgd, {"learning_rate": 0.1}),
    "polyak": (optax.sgd, {"learning_rate": lambda count: 0.1, "momentum": 0.9}),
    "nesterov": (
        optax.sgd,
        {"learning_rate": 0.1, "momentum": 0.8, "nesterov": True},
    ),
    "adam": (optax.adam, {"learning_rate": 0.01, "b2": STILL, "eps_root": 1e-3}),
    "adamw": (optax.adamw, {"learning_rate": 0.1, "b2": STILL, "weight_decay": 1.5}),
    "rmsprop": (optax.rmsprop, {"learning_rate": 0.01, "decay": STILL}),
    "rmsprop momentum": (
        optax.rmsprop,
        {
            "learning_rate": lambda count: 0.01,
            "decay": STILL,
            "momentum": 0.7,
            "eps_in_sqrt": False,
        },
    ),
    "rmsprop centered": (
        optax.rmsprop,
        {"learning_rate": 0.01, "decay": STILL, "centered": True},
    ),
}


def prepared(name, t=3):
    make, options = MAKERS[name]
    optimizer, params = make(**options), start()
    state, rng = optimizer.init(params), np.random.default_rng(7)
    for _ in range(t):
        noise = jax.tree.map(lambda x: 0.3 + rng.random(x.shape), params)
        _, state = optimizer.update(noise, state, params)
    return optimizer, state, params


def measured(name, scale):
    make, options = MAKERS[name]
    _, state, params = prepared(name)
    problem = sharpkit.jax.problem(loss(scale), params)
    metric = sharpkit.jax.preconditioner(make, state, problem, **options)
    return sharpkit.eigenvalues(problem, preconditioner=metric, tol=1e-10)


def held(now, then):
    """The state of now, its time and its second moments those of then."""
    if not hasattr(now, "_fields"):
        return tuple(held(*each) for each in zip(now, then, strict=True))
    kept = {"count", "nu"} & set(now._fields)
    if "nu" in kept and "count" not in kept and "mu" in now._fields:
        kept.add("mu")  # the mean of a centred RMSprop
    past = {name: getattr(then, name) for name in kept}
    if "count" in past:
        past["count"] = past["count"] - 1
    return now._replace(**past)


def grows(name, scale, steps=600):
    optimizer, then, params = prepared(name)
    params = jax.tree.map(lambda x: 1e-60 * x, params)
    slope = jax.grad(loss(scale))

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(slope(params), held(state, then), params)
        return optax.apply_updates(params, updates), state

    norms, state = [], optimizer.init(params)
    for _ in range(steps):
        params, state = step(params, state)
        norms.append(float(jnp.linalg.norm(flat(params))))
    return max(norms[-100:]) > max(norms[steps // 3 :][:100])


@pytest.mark.parametrize("name", MAKERS)
def test_optimisers_diverge_just_above_their_threshold_only(name):
    plain = measured(name, 1.0)  # decay of optax is decoupled: no shift depends on H
    for wanted in (0.995, 1.005):
        scale = wanted / plain.ratio
        found = measured(name, scale)
        assert found.ratio == pytest.approx(wanted, rel=1e-8)
        assert grows(name, scale) == (wanted > 1), (wanted, found)


def refused(text, *arguments, **options):
    with pytest.raises((TypeError, ValueError), match=text) as found:
        sharpkit.jax.preconditioner(*arguments, **options)
    assert "give" in str(found.value) or "call" in str(found.value)


def test_what_has_no_metric_is_refused_with_the_cure():
    params = start()
    problem = sharpkit.jax.problem(loss(1.0), params)
    state, rate = optax.adam(1.0).init(params), {"learning_rate": 0.1}
    _, moved, _ = prepared("adam")
    refused("is not known", optax.lion, state, problem, **rate)
    refused("is not known", optax.adam(1.0), state, problem, **rate)
    refused("no step yet", optax.adam, state, problem, **rate)
    refused("missing a required", optax.adam, moved, problem)
    refused("unexpected keyword", optax.adam, moved, problem, beta=1, **rate)
    refused("nesterov=True", optax.adam, moved, problem, nesterov=True, **rate)
    refused("mask=", optax.adamw, moved, problem, mask={"one": True}, **rate)
    refused("bias_correction", optax.rmsprop, moved, problem, bias_correction=1, **rate)
    refused("learning_rate=0", optax.adam, moved, problem, learning_rate=0)
    refused("has no count", optax.sgd, (), problem, learning_rate=lambda count: 1)
    refused("0 parts", optax.adam, optax.sgd(1.0).init(params), problem, **rate)
    refused("problem is of type dict", optax.adam, moved, params, **rate)
    small = optax.adam(1.0).init({"one": params["one"]})
    small = (small[0]._replace(count=1), *small[1:])
    refused("other parameters", optax.adam, small, problem, **rate)
