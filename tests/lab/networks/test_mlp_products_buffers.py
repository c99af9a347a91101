"""What curvature products keep between calls changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sharpkit.lab import problem as problem_module, products
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.problem import Problem

names = pytest.mark.parametrize("name", ["hvp", "gauss_newton"])
fixed = pytest.mark.parametrize("mode", ["running", "frozen"])
modes = pytest.mark.parametrize("mode", ["batch", "running", "frozen"])


@modes
def test_what_is_kept_between_products_changes_nothing(make, mode):
    """Other weights, samples, statistics and products in between; bit for bit."""
    problem, weights, random = make(mode, rows=30)
    others = [make(mode, rows=rows)[0] for rows in (30, 20, 40)]
    for each in others:
        each._products = problem._products  # as if one network had many problems
    vectors = [random.standard_normal(weights.shape) for _ in range(3)]
    calls = [
        (owner, name, at, v)
        for at in (weights, 1.01 * weights)
        for v in vectors
        for name in ("hvp", "gauss_newton")
        for owner in (problem, problem, *others)
    ]
    for index in random.permutation(len(calls)):
        owner, name, at, v = calls[index]
        found = getattr(owner, name)(at, v)
        fresh = Problem(
            owner.network,
            owner.x,
            owner.y,
            batch_norm=owner.batch_norm,
            statistics=owner.statistics,
        )
        np.testing.assert_array_equal(found, getattr(fresh, name)(at, v))


def test_a_second_product_spares_the_forward_pass(make, monkeypatch):
    problem, weights, random = make("batch", rows=30)
    v, passes = random.standard_normal(weights.shape), []
    forward = problem.network.forward

    def counted(*arguments):
        passes.append(1)
        return forward(*arguments)

    monkeypatch.setattr(problem.network, "forward", counted)
    for name in ("hvp", "hvp", "gauss_newton"):
        getattr(problem, name)(weights, v)
    assert len(passes) == 1
    weights[0] += 1  # in place: the same array
    problem.hvp(weights, v)
    assert len(passes) == 2


@fixed
def test_memory_does_not_grow_with_the_rows(make, monkeypatch, mode):
    monkeypatch.setattr(problem_module, "BLOCK_ROWS", 8)
    problem, weights, _ = make(mode, rows=100)
    problem.hvp(weights, weights)
    assert {len(z) for z in problem._products._held.z} == {8}


@modes
def test_buffers_leave_no_trace(make, mode):
    problem, weights, random = make(mode, rows=40)
    held = products.Products(problem.network)
    v = random.standard_normal(weights.shape)
    statistics = problem.statistics or "batch"

    def both(held, rows):
        hessian, gauss_newton = np.full((2, weights.size), np.nan)
        x, y, options = problem.x[:rows], problem.y[:rows], {"statistics": statistics}
        held.hessian(weights, v, x, y, **options, out=hessian)
        held.gauss_newton(weights, v, x, **options, out=gauss_newton)
        return hessian, gauss_newton

    for rows in (7, 40, 7, 1):
        known = both(products.Products(MLP(problem.network.sizes)), rows)
        assert_array_equal(both(held, rows), known)


@names
def test_each_product_is_a_new_array_and_changes_nothing(make, name):
    problem, weights, random = make("running")
    v = random.standard_normal(weights.shape)
    given = weights.copy(), v.copy()
    gradient = problem(weights)[1]
    first = getattr(problem, name)(weights, v)
    kept = first.copy()
    getattr(problem, name)(0.9 * weights, v)
    assert_array_equal(first, kept)
    assert_array_equal((weights, v), given)
    assert_array_equal(problem(weights)[1], gradient)


def test_buffers_follow_the_dtype(make):
    problem, weights, _ = make("batch")
    problem.hvp(weights, weights)
    single, weights, _ = make("batch", dtype=np.float32)
    known = single.hvp(weights, weights)
    problem.x = single.x
    assert_array_equal(problem.hvp(weights, weights), known)
