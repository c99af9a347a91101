from itertools import pairwise

import fake_cupy
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sharpkit._inputs.arrays import array_module, to_host
from sharpkit.lab import problem as problem_module
from sharpkit.lab.networks import mlp as network_module, mlp_products as products
from sharpkit.lab.networks.base import BATCH_NORM_EPS, Statistics
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.problem import Problem
from sharpkit.lab.steps import plain, plain_products

PRODUCTS = ["hvp", "gauss_newton"]
FIXED = ["running", "frozen"]
MODES = ["batch", *FIXED]
modes = pytest.mark.parametrize("mode", MODES)
fixed = pytest.mark.parametrize("mode", FIXED)
names = pytest.mark.parametrize("name", PRODUCTS)


@pytest.fixture
def judge(torch):
    """``judge(problem, weights)``, on one thread: many steps on small blocks."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield lambda problem, weights: Judge(torch, problem, weights)
    torch.set_num_threads(threads)


def relative(found, known):
    """Largest difference as a share of the largest entry."""
    return np.max(np.abs(found - known)) / np.max(np.abs(known))


def dense(product, weights):
    """The matrix whose products with the unit vectors are asked for."""
    return np.array([product(weights, unit) for unit in np.eye(len(weights))]).T


class Judge:
    """The same problem in PyTorch, written once more, on a flat vector."""

    def __init__(self, torch, problem, weights):
        self.torch, self.problem = torch, problem
        self.x, self.y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
        self.weights = torch.from_numpy(weights)

    def logits(self, vector):
        h, start = self.x, 0
        sizes, statistics = self.problem.network.sizes, self.problem.statistics

        def take(*shape):
            nonlocal start
            start += np.prod(shape)
            return vector[start - np.prod(shape) : start].reshape(shape)

        for index, (inputs, outputs) in enumerate(pairwise(sizes)):
            h = h @ take(inputs, outputs) + take(outputs)
            if index < len(sizes) - 2:
                mean = var = None
                if statistics is not None:
                    mean = self.torch.from_numpy(statistics.means[index])
                    var = self.torch.from_numpy(statistics.variances[index])
                gamma, beta = take(outputs), take(outputs)
                batch = statistics is None
                normal = self.torch.nn.functional.batch_norm
                h = normal(h, mean, var, gamma, beta, batch, eps=BATCH_NORM_EPS)
                h = h.relu()
        return h

    def loss(self, vector):
        return self.torch.nn.functional.cross_entropy(self.logits(vector), self.y)

    def hvp(self):
        return self.torch.autograd.functional.hessian(self.loss, self.weights).numpy()

    def gauss_newton(self):
        jacobian = self.torch.autograd.functional.jacobian(self.logits, self.weights)
        p = self.logits(self.weights).softmax(dim=1)
        outer = self.torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        found = self.torch.einsum("ria,rij,rjb->ab", jacobian, outer, jacobian)
        return (found / len(p)).numpy()


@names
@modes
@pytest.mark.parametrize("sizes", [(4, 3), (3, 8, 2), (5, 7, 6, 4), (4, 3, 5, 1, 6, 3)])
def test_every_column_is_pytorchs(make, judge, monkeypatch, name, mode, sizes):
    monkeypatch.setattr(problem_module, "BLOCK_ROWS", 9)  # 20 rows: two and a rest
    problem, weights, _ = make(mode, sizes, rows=20)
    found = dense(getattr(problem, name), weights)
    known = getattr(judge(problem, weights), name)()
    assert relative(found, known) < 1e-10


@names
def test_one_row(make, judge, name):
    problem, weights, _ = make("running", rows=1)
    known = getattr(judge(problem, weights), name)()
    assert relative(dense(getattr(problem, name), weights), known) < 1e-10


@modes
def test_hvp_is_the_derivative_of_the_gradient(make, mode):
    problem, weights, random = make(mode, rows=200)
    v = random.standard_normal(weights.shape)
    h = 1e-6
    ahead, behind = (problem(weights + sign * h * v)[1] for sign in (1, -1))
    # h^2 of truncation, eps / h of rounding
    assert relative(problem.hvp(weights, v), (ahead - behind) / (2 * h)) < 1e-8


@modes
def test_both_follow_from_differences_of_the_logits(make, mode):
    """``v H v = v G v`` plus the loss's slope times the bend of the logits."""
    problem, weights, random = make(mode)
    v = random.standard_normal(weights.shape)
    network, y, rows = problem.network, problem.y, len(problem.x)

    def logits(at):
        statistics = problem.statistics or "batch"
        network.evaluate(at, problem.x, y, statistics=statistics)
        return network._buffers.z[-1][:rows].copy()

    h = 1e-4
    before, here, after = (logits(weights + step * h * v) for step in (-1, 0, 1))
    slope = (after - before) / (2 * h)
    p = np.exp(here - here.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    moment = (p * slope).sum(axis=1)
    known = ((p * slope**2).sum() - (moment**2).sum()) / rows
    assert_allclose(v @ problem.gauss_newton(weights, v), known, rtol=1e-6)
    bend = (after - 2 * here + before) / h**2
    bend_loss = ((p - np.eye(p.shape[1])[y]) * bend).sum() / rows
    assert_allclose(v @ problem.hvp(weights, v), known + bend_loss, rtol=1e-5)


@names
@modes
def test_symmetric_and_linear(make, name, mode):
    problem, weights, random = make(mode, (20, 30, 30, 10), rows=150)
    product = getattr(problem, name)
    u, v = random.standard_normal((2, weights.size))
    au, av = product(weights, u), product(weights, v)
    assert abs(u @ av - v @ au) < 1e-13 * np.linalg.norm(u) * np.linalg.norm(av)
    assert relative(product(weights, 3 * u - 0.5 * v), 3 * au - 0.5 * av) < 1e-13
    assert_array_equal(product(weights, 0 * u), 0)


@modes
def test_gauss_newton_has_no_negative_eigenvalue(make, mode):
    problem, weights, _ = make(mode)
    values = np.linalg.eigvalsh(dense(problem.gauss_newton, weights))
    assert values[0] > -1e-14 * values[-1]
    # the Hessian has: a network is not convex
    values = np.linalg.eigvalsh(dense(problem.hvp, weights))
    assert values[0] < -1e-3 * values[-1]


@modes
def test_without_hidden_layers_both_are_one(make, mode):
    problem, weights, random = make(mode, (6, 4))
    v = random.standard_normal(weights.shape)
    assert_array_equal(problem.hvp(weights, v), problem.gauss_newton(weights, v))


@names
@fixed
@pytest.mark.parametrize("rows", [7, 10, 29])
def test_blocks_of_rows_change_nothing(make, monkeypatch, name, mode, rows):
    problem, weights, random = make(mode)
    v = random.standard_normal(weights.shape)
    known = getattr(problem, name)(weights, v)
    monkeypatch.setattr(problem_module, "BLOCK_ROWS", rows)
    assert relative(getattr(problem, name)(weights, v), known) < 1e-14


@names
@modes
def test_float32_agrees_with_float64(make, name, mode):
    found = []
    for dtype in (np.float64, np.float32):
        problem, weights, random = make(mode, (20, 30, 30, 10), 200, dtype)
        v = random.standard_normal(weights.shape).astype(dtype)
        found.append(getattr(problem, name)(weights, v))
        assert found[-1].dtype == dtype
    assert relative(found[1], found[0]) < 500 * np.finfo(np.float32).eps


@names
def test_nan_is_not_hidden(make, name):
    problem, weights, _ = make("running")
    spoiled = weights.copy()
    spoiled[3] = np.nan
    for case in ((spoiled, weights), (weights, spoiled)):
        assert np.isnan(getattr(problem, name)(*case)).any()


@names
@modes
def test_plain_steps_give_the_same(make, monkeypatch, name, mode):
    problem, weights, random = make(mode)
    v = random.standard_normal(weights.shape)
    known = getattr(problem, name)(weights, v)
    for module in (network_module, products):
        monkeypatch.setattr(module, "steps_for", lambda array: plain)
    monkeypatch.setattr(products, "product_steps_for", lambda array: plain_products)
    assert relative(getattr(problem, name)(weights, v), known) < 1e-13


@names
@modes
def test_on_a_device(make, monkeypatch, name, mode):
    problem, weights, random = make(mode)
    v = random.standard_normal(weights.shape)
    known = getattr(problem, name)(weights, v)
    monkeypatch.setattr(problem_module, "DEVICE_BLOCK_ROWS", 12)
    with fake_cupy.installed() as cupy:
        statistics = problem.statistics
        if statistics is not None:
            statistics = Statistics(
                tuple(map(cupy.asarray, statistics.means)),
                tuple(map(cupy.asarray, statistics.variances)),
            )
        samples = map(cupy.asarray, (problem.x, problem.y))
        there = Problem(
            problem.network, *samples, batch_norm=mode, statistics=statistics
        )
        place = cupy.asarray(weights), cupy.asarray(v)
        found = getattr(there, name)(*place)
        assert array_module(found) is cupy
        assert relative(to_host(found), known) < 1e-13
        fake_cupy.copies.clear()
        getattr(there, name)(*place)
        # Waited for is only whether the weights are those of the last product.
        assert sum(fake_cupy.copies.values()) <= 1
        with pytest.raises(TypeError, match="weights: cupy, v: numpy, x: cupy"):
            getattr(there, name)(place[0], v)


@names
def test_errors(make, name):
    problem, weights, _ = make("running")
    product = getattr(problem, name)
    n = len(weights)
    for wrong in (weights[1:], weights[:, None]):
        with pytest.raises(ValueError, match=rf"v has shape .*; give \({n},\), that"):
            product(weights, wrong)
    with pytest.raises(ValueError, match=rf"has shape .*network needs \({n},\)"):
        product(weights[1:], weights[1:])
    with pytest.raises(TypeError, match=r"v has dtype float32; give v.astype\('float6"):
        product(weights, weights.astype(np.float32))
    with pytest.raises(TypeError, match="got 'list'; give a NumPy or a CuPy array"):
        product(weights, [1.0])


# What products keep between calls changes nothing.


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
