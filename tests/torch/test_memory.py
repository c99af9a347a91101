"""What is kept for products, when it is dropped, and that nothing else stays."""

import gc
import subprocess
import sys
import weakref

import pytest
from torch_cases import case, direction
from torch_required import torch

from sharpkit.torch import problem

nn = torch.nn


class Saved:
    """A tensor that a graph keeps."""

    def __init__(self, tensor):
        self.tensor = tensor


class Watched(nn.Module):
    """A layer that knows which of the graphs through it are alive."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.graphs, self.most = [], [0]

    def forward(self, x):
        graph = weakref.WeakSet()
        self.graphs.append(graph)

        def keep(tensor):
            kept = Saved(tensor)
            graph.add(kept)
            return kept

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept.tensor):
            out = self.inner(x)
        assert graph  # it has saved something
        self.most[0] = max(self.most[0], sum(self.alive()))
        return out

    def alive(self):
        return [len(graph) > 0 for graph in self.graphs]


@pytest.fixture
def no_collector():
    """What is freed is freed without it: there are no cycles."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_what_is_kept_and_when_it_is_dropped(watch):
    own = case("yes_or_no")
    graphs = Watched(own.model[:2])
    p = problem(watch(nn.Sequential(graphs, own.model[2])), own.loss, own.data)
    w, v = p.weights, direction(p.weights.numel())
    p(w)
    hvp = p.hvp
    assert graphs.alive() == [False, False]  # the evaluation, and the trial
    for _ in range(5):
        hvp(w, v)
    assert graphs.alive() == [False, False, True]  # one graph for all
    p(w)  # at the same weights it stays
    assert graphs.alive() == [False, False, True, False]
    p(w + 1)
    assert not any(graphs.alive())
    hvp(w, v)
    assert sum(graphs.alive()) == 1
    p.release()
    assert not any(graphs.alive())
    hvp(w, v)
    hvp(w + 1, v)  # takes the place of that before
    assert sum(graphs.alive()) == 1
    p.gauss_newton(w + 1, v)
    assert sum(graphs.alive()) == 1
    del p, hvp
    assert not any(graphs.alive())


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("count", [4, 64])
def test_one_batch_at_a_time(watch, count):
    """However many batches there are, no graph outlives its own."""
    graphs = Watched(nn.Sequential(nn.Linear(4, 8), nn.Tanh()))
    model = watch(nn.Sequential(graphs, nn.Linear(8, 2)))
    x = torch.randn(count * 3, 4, generator=torch.Generator().manual_seed(0))
    p = problem(model, nn.functional.mse_loss, (x, x[:, :2]), micro_batch=3)
    w = p.weights
    p(w)
    p.hvp(w, w)
    p.gauss_newton(w, w)
    assert len(graphs.graphs) == 1 + 3 * count
    assert graphs.most == [1]
    assert not any(graphs.alive())


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(("micro_batch", "products"), [(None, 1000), (5, 200)])
def test_products_leave_nothing_behind(watch, micro_batch, products):
    own = case("yes_or_no")
    p = problem(watch(own.model), own.loss, own.data, micro_batch=micro_batch)
    w, v = p.weights, direction(p.weights.numel())
    hvp = p.hvp

    def use(times):
        nonlocal v
        for _ in range(times):
            v = hvp(w, v)
            v /= v.norm()

    use(2)
    before = len(gc.get_objects())
    use(products)
    for _ in range(20):
        p(w)
        p.gauss_newton(w, v)
        hvp(w + 1, v)
    assert len(gc.get_objects()) <= before + 20


PEAK = """
import resource, torch
from sharpkit.torch import problem

def peak(count):
    x = torch.randn(1, 256).expand(count * 512, 256)
    p = problem(model, torch.nn.functional.mse_loss, (x, x), micro_batch=512)
    w = p.weights
    p(w)
    p.hvp(w, w)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

torch.set_num_threads(1)
layers = [(torch.nn.Linear(256, 256), torch.nn.Tanh()) for _ in range(8)]
model = torch.nn.Sequential(*sum(layers, ()))
print(peak(4), peak(32))
"""


@pytest.mark.slow
@pytest.mark.process
def test_peak_memory_does_not_grow_with_the_batches():
    """The graphs of the 28 further batches would take over 200 MiB, if they stayed."""
    command = [sys.executable, "-c", PEAK]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    few, many = map(float, done.stdout.split())
    assert many <= few + 16
