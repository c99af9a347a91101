"""Several threads measure one model: it stays as found, and every number is right."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch_cases import case, direction, truth
from torch_required import torch

from sharpkit.torch import problem

nn = torch.nn


class Slow(nn.Module):
    """Others have their turn in the middle of its forward pass."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        time.sleep(0.002)
        out = self.inner(x)
        time.sleep(0.002)
        return out


def together(*functions):
    """Call all at once, each in a thread of its own, and return what they return."""
    barrier = threading.Barrier(len(functions))

    def run(function):
        barrier.wait()
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(run, functions))


def slow(own):
    first, *rest = own.model
    return nn.Sequential(Slow(first), *map(Slow, rest))


@pytest.mark.parametrize("wrapped", [False, True])
def test_two_problems_of_one_model(watch, wrapped):
    """Also if each is of another module round the same one."""
    own, known = case("yes_or_no"), truth("yes_or_no")
    inner = slow(own)
    models = [inner, nn.Sequential(inner) if wrapped else inner]
    for model in models:
        watch(model)
    problems = [problem(model, own.loss, own.data) for model in models]
    points = [problems[0].weights + k for k in (0.0, 0.5)]
    expected = [known.at(w) for w in points]

    def use(p, w):
        return lambda: [p(w) for _ in range(6)]

    found = together(*map(use, problems, points))
    for calls, (loss, gradient) in zip(found, expected, strict=True):
        for each in calls:
            assert each[0] == pytest.approx(loss, rel=1e-12)
            assert torch.allclose(each[1], gradient)


def test_two_threads_on_one_problem(watch):
    """The graph that is kept for products is that of one of them at a time."""
    own, known = case("yes_or_no"), truth("yes_or_no")
    p = problem(watch(slow(own)), own.loss, own.data)
    w, v = p.weights, direction(p.weights.numel())
    expected = known.hessian @ v

    def products():
        return [p.hvp(w, v) for _ in range(10)]

    def elsewhere():
        found = []
        for k in range(10):
            p(w + k)
            p.hvp(w + k, v)
            p.release()
            found.append(p.hvp(w, v))
        return found

    for found in together(products, products, elsewhere):
        for each in found:
            assert torch.allclose(each, expected)


def test_a_problem_made_meanwhile(watch):
    own = case("yes_or_no")
    model = watch(slow(own))
    p = problem(model, own.loss, own.data)
    w, done = p.weights, threading.Event()

    def evaluate():
        for _ in range(6):
            p(w + 1)
        done.set()

    def make():
        found = []
        while not done.is_set():
            found.append(problem(model, own.loss, own.data).weights)
        return found

    _, made = together(evaluate, make)
    assert made
    assert all(torch.equal(each, w) for each in made)


def test_a_problem_inside_a_loss(watch):
    """A thread that evaluates may evaluate another problem, or the same."""
    own = case("regression")
    model = watch(own.model)
    outer = problem(model, own.loss, own.data)
    w = outer.weights

    def loss(model, batch):
        penalty = outer(w)[0]
        return own.loss(model(batch[0]), batch[1]) + penalty

    p = problem(model, loss, own.data, loss_takes="model")
    assert p(w)[0] == pytest.approx(2 * outer(w)[0], rel=1e-12)
    assert torch.allclose(p(w)[1], outer(w)[1])


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX's, if it is loaded
def test_a_loader_with_workers(watch):
    own = case("layer_norm_mlp")
    dataset = torch.utils.data.TensorDataset(own.inputs, own.targets)
    loader = torch.utils.data.DataLoader(dataset, 3, num_workers=1)
    p = problem(watch(own.model), own.loss, loader)
    expected = truth("layer_norm_mlp").at(p.weights)[0]
    for loss, _ in together(lambda: p(p.weights), lambda: p(p.weights)):
        assert loss == pytest.approx(expected, rel=1e-12)
