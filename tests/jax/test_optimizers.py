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


WRAPPED = {
    "chain": (lambda o: optax.chain(optax.identity(), o), lambda s: s),
    "multi steps": (lambda o: optax.MultiSteps(o, 1), lambda s: s),
    "finite": (lambda o: optax.apply_if_finite(o, 3), lambda s: s),
    "masked": (lambda o: optax.masked(o, {"one": True, "two": True}), lambda s: s),
    "labels": (
        lambda o: optax.multi_transform(
            {"a": o, "b": optax.adam(1.0)}, {"one": "a", "two": "a"}
        ),
        lambda s: s.inner_states["a"],
    ),
}


def stepped(optimizer, params):
    state, rng = optimizer.init(params), np.random.default_rng(7)
    for _ in range(3):
        noise = jax.tree.map(lambda x: 0.3 + jnp.asarray(rng.random(x.shape)), params)
        _, state = optimizer.update(noise, state, params)
    return state


@pytest.mark.parametrize("kind", WRAPPED)
@pytest.mark.parametrize("name", ["adamw", "rmsprop centered", "polyak"])
def test_a_state_inside_others_is_found(kind, name):
    make, options = MAKERS[name]
    problem, (wrap, pick) = sharpkit.jax.problem(loss(1.0), start()), WRAPPED[kind]
    plain, wrapped = (
        sharpkit.jax.preconditioner(make, state, problem, **options)
        for state in (
            stepped(make(**options), start()),
            pick(stepped(wrap(make(**options)), start())),
        )
    )
    assert (plain.values == wrapped.values).all()
    assert plain.threshold == wrapped.threshold


def test_injected_options_are_those_of_the_state():
    problem, params = sharpkit.jax.problem(loss(1.0), start()), start()
    rate = optax.cosine_decay_schedule(0.1, 10)
    injected = optax.inject_hyperparams(optax.adamw)(rate, weight_decay=0.5, b1=0.8)
    state = stepped(injected, params)
    state.hyperparams["weight_decay"] = jnp.asarray(0.25)  # as a script may
    found = sharpkit.jax.preconditioner(optax.adamw, state, problem)
    now = float(rate(2))  # of the last of three steps
    options = {"learning_rate": now, "weight_decay": 0.25, "b1": 0.8}
    plain = stepped(optax.adamw(**options), params)
    wanted = sharpkit.jax.preconditioner(optax.adamw, plain, problem, **options)
    assert found.threshold == pytest.approx(wanted.threshold, rel=1e-6)
    assert np.allclose(found.values, wanted.values, rtol=1e-5)


def test_parameters_of_several_optimisers():
    """A problem of those that one of them trains has its metric."""
    several = optax.multi_transform(
        {"a": optax.adam(0.01), "b": optax.sgd(0.1)}, {"one": "a", "two": "b"}
    )
    state, rate = stepped(several, start()), {"learning_rate": 0.01}
    whole = sharpkit.jax.problem(loss(1.0), start())
    refused("nothing of parameter two, which an", optax.adam, state, whole, **rate)
    part = sharpkit.jax.problem(loss(1.0), start(), parameters=["one"])
    found = sharpkit.jax.preconditioner(optax.adam, state, part, **rate)
    (nu,) = jax.tree.leaves(state.inner_states["a"].inner_state[0].nu)
    expected = (1 - 0.9**3) * (jnp.sqrt(nu / (1 - 0.999**3)) + 1e-8)
    assert np.allclose(found.values, expected.ravel(), rtol=1e-12)


def test_a_state_of_another_optimiser_is_refused():
    problem = sharpkit.jax.problem(loss(1.0), start())
    _, adam, params = prepared("adam")
    _, polyak, _ = prepared("polyak")
    rate = {"learning_rate": 0.1}
    refused("has second moments, and", optax.sgd, adam, problem, **rate)
    refused("has a momentum, and the", optax.sgd, polyak, problem, **rate)
    none = optax.sgd(0.1).init(params)
    refused("has none, and .* a mom", optax.sgd, none, problem, momentum=0.9, **rate)
    refused("0 parts with nu", optax.rmsprop, adam, problem, **rate)
    fresh = optax.rmsprop(0.1).init(params)
    refused("no step yet", optax.rmsprop, fresh, problem, **rate)
    strict = stepped(optax.amsgrad(0.1), params)
    refused("0 parts with count", optax.adam, strict, problem, **rate)


def test_a_decay_that_diverges_alone_is_above_the_threshold():
    problem, options = sharpkit.jax.problem(loss(1e-9), start()), MAKERS["adamw"][1]
    options = options | {"learning_rate": 1.0, "weight_decay": 3.0}
    state = stepped(optax.adamw(**options), start())
    metric = sharpkit.jax.preconditioner(optax.adamw, state, problem, **options)
    found = sharpkit.eigenvalues(problem, preconditioner=metric)
    assert metric.threshold == pytest.approx(38)
    assert found.ratio == pytest.approx(1.5)  # 1 - rate * decay is -2
