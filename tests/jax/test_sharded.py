"""Parameters over several devices, which a program of its own pretends to have."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax")

PROGRAM = """
import faulthandler, json, sys, warnings
faulthandler.dump_traceback_later(240, exit=True)
warnings.simplefilter("error")
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
import sharpkit, sharpkit.jax
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_most_optimizations", True)
rng = np.random.default_rng(0)
shapes = {"a": (8, 6), "b": (6,), "c": (6, 3)}
plain = {name: rng.normal(size=shape) for name, shape in shapes.items()}
data = rng.normal(size=(12, 8)), np.arange(12) % 3
seen = set()

def name(sharding):
    return "split" if "x" in getattr(sharding, "spec", ()) else "whole"

def model(p, x):
    jax.debug.inspect_array_sharding(p["a"], callback=lambda s: seen.add(name(s)))
    seen.add(str(jax.typeof(p["a"])))
    return jnp.tanh(x @ p["a"] + p["b"]) @ p["c"]

def loss(out, y):
    return -jnp.mean(jax.nn.log_softmax(out)[jnp.arange(len(y)), y])

def measured(problem):
    w = problem.weights
    return [
        sharpkit.sharpness(problem, max_evaluations=5).value,
        *problem(np.asarray(w))[1].tolist(),
        *problem.hvp(w, w).tolist(),
    ]

def spread(kind):
    mesh = jax.make_mesh((4,), ("x",), axis_types=(kind,))
    specs = {"a": P("x", None), "b": P(), "c": P()}
    shardings = {name: NamedSharding(mesh, spec) for name, spec in specs.items()}
    placed = jax.device_put(plain, shardings)
    problem = sharpkit.jax.problem(loss, placed, data, model=model)
    found, kinds = measured(problem), sorted(seen)
    tree = problem.at(plain).tree(problem.weights)
    return found, kinds, all(tree[k].sharding == v.sharding for k, v in placed.items())

def along(w):
    flat.add(name(w.sharding))
    return (w**2).sum() / 2, w

whole = jax.tree.map(jnp.asarray, plain)
known = measured(sharpkit.jax.problem(loss, whole, data, model=model))
seen.clear()
auto = spread(AxisType.Auto)
seen.clear()
explicit = spread(AxisType.Explicit)
flat, mesh = set(), jax.make_mesh((4,), ("x",), axis_types=(AxisType.Auto,))
w = jax.device_put(np.arange(1.0, 9.0), NamedSharding(mesh, P("x")))
norm = sharpkit.gradient_norm(w, along).value
json.dump([known, auto, explicit, norm, sorted(flat)], sys.stdout)
"""


@pytest.mark.process
def test_parameters_keep_their_shardings_and_values_are_the_same():
    places = {"PYTHONPATH": str(Path(__file__).parents[2])}
    places["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | places | {"JAX_PLATFORMS": "cpu"},
    )
    assert not run.returncode, run.stderr
    known, auto, explicit, norm, flat = json.loads(run.stdout)
    for found, _, left in (auto, explicit):
        assert found == pytest.approx(known, rel=1e-12, abs=1e-14)
        assert left
    assert auto[1] == ["float64[8,6]", "split"]
    assert "float64[8@x,6]" in explicit[1]
    assert norm == pytest.approx(204**0.5, rel=1e-15)
    assert flat == ["split"]
