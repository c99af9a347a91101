"""Data that are larger than memory: passed over anew at each evaluation, never kept."""

import subprocess
import sys

import pytest
from torch_required import torch

import sharpkit
from sharpkit import SharpkitWarning
from sharpkit.torch import problem

nn = torch.nn
Samples = torch.utils.data.TensorDataset


class Stream(torch.utils.data.IterableDataset):
    """Batches that are made as they are asked for."""

    def __init__(self, count, size=8):
        self.count, self.size, self.passes = count, size, 0

    def __iter__(self):
        self.passes += 1
        for seed in range(self.count):
            draw = torch.Generator().manual_seed(seed)
            x = torch.randn(self.size, 4, generator=draw, dtype=torch.float64)
            yield x, (3 * x[:, 0]).long() % 3


def network(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


def test_streams_of_all_kinds_are_one_large_batch(watch):
    model, stream = watch(network()), Stream(12)
    whole = tuple(map(torch.cat, zip(*stream, strict=True)))
    known = problem(model, nn.CrossEntropyLoss(), whole)
    w = known.weights
    v = torch.linspace(-1, 1, w.numel(), dtype=w.dtype)
    loader = torch.utils.data.DataLoader
    for data in (
        stream,
        loader(stream, batch_size=None),
        loader(Samples(*whole), 7),
        lambda: iter(stream),
        stream.__iter__,
    ):
        p = problem(model, nn.CrossEntropyLoss(), data)
        for _ in range(2):
            assert p(w)[0] == pytest.approx(known(w)[0], rel=1e-13)
            torch.testing.assert_close(p(w)[1], known(w)[1])
        torch.testing.assert_close(p.hvp(w, v), known.hvp(w, v))
        torch.testing.assert_close(p.gauss_newton(w, v), known.gauss_newton(w, v))
        assert p.samples == 96
        indexed = isinstance(getattr(data, "dataset", None), Samples)
        assert (p.subset is not None) == indexed


def test_each_evaluation_is_a_pass(watch):
    stream = Stream(3)
    p = problem(watch(network()), nn.CrossEntropyLoss(), stream)
    p(p.weights)
    first = stream.passes
    for _ in range(4):
        p(p.weights)
    assert stream.passes == first + 4


def test_sums_over_many_batches_do_not_lose_digits(watch):
    """In float32, the error of a long sum is that of one batch."""
    stream = [(torch.full((1, 1), 1 / 3), torch.zeros(1, 1))] * 1000
    model = watch(nn.Linear(1, 1, bias=False))
    p = problem(model, nn.MSELoss(), stream)
    w = p.weights
    one = problem(model, nn.MSELoss(), stream[0])
    assert float(p(w)[1]) == pytest.approx(float(one(w)[1]), rel=1e-7)
    v = torch.ones(1)
    assert float(p.hvp(w, v)) == pytest.approx(float(one.hvp(w, v)), rel=1e-7)
    assert p(w)[1].dtype == p.hvp(w, v).dtype == torch.float32


def test_fewer_samples_at_a_later_pass_are_told(watch):
    stream = Stream(6)
    p = problem(watch(network()), nn.CrossEntropyLoss(), stream)
    p(p.weights)
    stream.count = 5
    with pytest.warns(SharpkitWarning, match="40 samples at this pass and 48 at the"):
        p(p.weights)
    p(p.weights)  # it is said once


def test_other_samples_at_each_pass_are_noticed(watch):
    """As a stream shuffles that nobody rewinds, into batches of other ones."""
    stream = Stream(40, size=1)
    draw = torch.Generator().manual_seed(1)

    def start():
        batches = list(stream)
        return [batches[i] for i in torch.randperm(40, generator=draw)[:20]]

    p = problem(watch(network()), nn.CrossEntropyLoss(), start)
    assert not sharpkit.check(p).ok
    with pytest.warns(SharpkitWarning):
        sharpkit.sharpness(p, max_evaluations=5)


ONCE = (
    r"data is a generator, which is empty after one pass; give what can be passed over "
    r"again, such as list\(data\), or a function that returns a new one"
)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (iter(Stream(2)), ONCE),
        (Stream, "data is of type .*; .* another iterable of batches, or a function"),
        (nn.Linear(4, 3), "data is of type Linear; give"),
    ],
)
def test_what_cannot_be_passed_over(data, match):
    with pytest.raises(TypeError, match=match):
        problem(network(), nn.CrossEntropyLoss(), data)


def test_a_function_that_starts_no_pass(watch):
    p = problem(watch(network()), nn.CrossEntropyLoss(), lambda: 3)
    with pytest.raises(TypeError, match=r"data\(\) returned int; return an iterable"):
        p(p.weights)
    batches = iter(Stream(2))
    spent = problem(network(), nn.CrossEntropyLoss(), lambda: batches)
    spent(spent.weights)
    with pytest.raises(ValueError, match=r"data gave no batch; .* at every pass"):
        spent(spent.weights)


PEAK = """
import resource, sys, torch, sharpkit

ROWS, COUNT = 4096, int(sys.argv[1])

def start():
    for seed in range(COUNT):
        yield torch.full((ROWS, 64), seed / COUNT), torch.zeros(ROWS, 1)

model, loss = torch.nn.Linear(64, 1), torch.nn.MSELoss()
p = sharpkit.torch.problem(model, loss, start)
w = p.weights
p(w), p(w), p.forward(w), p.evaluate(w), p.hvp(w, w), p.gauss_newton(w, w)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_batches():
    """100 more batches are 100 MiB more data; what is kept of them is a few numbers."""

    def peak(count):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PEAK, str(count)],
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        return int(done.stdout) / 1024

    assert peak(120) - peak(20) < 20
