"""Loss, gradient and products of every architecture, against dense float64 ones."""

import numpy as np
import pytest
from torch_cases import MAKERS, case, direction, truth
from torch_required import torch

from sharpkit.torch import problem

names = pytest.mark.parametrize("name", MAKERS)
seeds = pytest.mark.parametrize("seed", [0, 1])

# One batch, and several of which the last is short.
CUTS = {"whole": None, "ragged": 4}
cuts = pytest.mark.parametrize("cut", CUTS)


def close(found, known, rounding=1e-11):
    scale = float(known.abs().max())
    assert scale > 0
    assert float((found - known).abs().max()) <= rounding * scale


@names
@seeds
@cuts
def test_loss_and_gradient(watch, name, seed, cut):
    known, own = truth(name, seed), case(name, seed)
    p = problem(watch(own.model), own.loss, own.data, micro_batch=CUTS[cut])
    assert torch.equal(p.weights, known.weights)
    for w in (known.weights, known.weights + 0.1 * direction(len(known.weights))):
        loss, gradient = p(w)
        expected, slope = known.at(w)
        assert isinstance(loss, float)
        assert loss == pytest.approx(expected, rel=1e-12)
        close(gradient, slope)
    assert p.samples == 9


@names
@seeds
@cuts
def test_products(watch, name, seed, cut):
    known, own = truth(name, seed), case(name, seed)
    p = problem(watch(own.model), own.loss, own.data, micro_batch=CUTS[cut])
    w = p.weights
    for number in range(3):  # the first may build what the others use
        v = direction(w.numel(), number)
        close(p.hvp(w, v), known.hessian @ v, 1e-10)
        close(p.gauss_newton(w, v), known.gauss_newton @ v, 1e-10)


@names
def test_products_move_with_the_weights(watch, name):
    known, own = truth(name), case(name)
    p = problem(watch(own.model), own.loss, own.data)
    v, w = direction(known.weights.numel()), known.weights.clone()
    there = w + 0.3 * direction(w.numel(), 3)
    elsewhere = p.hvp(there, v)
    h = 1e-6
    difference = (p(there + h * v)[1] - p(there - h * v)[1]) / (2 * h)
    if name != "conv_batch_norm":  # which has kinks
        close(elsewhere, difference, 1e-6)
    close(p.hvp(w, v), known.hessian @ v, 1e-10)
    buffer = w.clone()  # what a measure gives may be overwritten by its next call
    p.release()
    p.hvp(buffer, v)
    buffer.copy_(there)
    close(p.hvp(buffer, v), elsewhere, 1e-12)


@names
def test_single_precision(watch, name):
    known, own = truth(name), case(name, dtype=torch.float32)
    p = problem(watch(own.model), own.loss, own.data, micro_batch=4)
    w, v = p.weights, direction(known.weights.numel(), dtype=torch.float32)
    assert w.dtype == torch.float32
    loss, gradient = p(w)
    expected, slope = known.at(w.double())
    assert loss == pytest.approx(expected, rel=1e-5)
    assert gradient.dtype == torch.float32
    close(gradient.double(), slope, 1e-4)
    close(p.hvp(w, v).double(), known.hessian @ v.double(), 1e-3)
    close(p.gauss_newton(w, v).double(), known.gauss_newton @ v.double(), 1e-3)


@names
def test_a_single_precision_model_in_double(watch, name):
    """Loss modules' own tensors are cast with the model's."""
    known, own = truth(name), case(name, dtype=torch.float32)
    p = problem(watch(own.model), own.loss, own.data, dtype=torch.float64)
    w = p.weights
    assert w.dtype == torch.float64
    assert p(w)[0] == pytest.approx(known.at(w)[0], rel=1e-6)
    assert p(w)[1].dtype == torch.float64


CLASSIFIERS = {name for name in MAKERS} - {"gru", "regression", "yes_or_no"}


@names
@cuts
def test_accuracy(watch, name, cut):
    known, own = truth(name), case(name)
    p = problem(watch(own.model), own.loss, own.data, micro_batch=CUTS[cut])
    found = p.accuracy(p.weights)
    if name not in CLASSIFIERS:
        assert found is None
        return
    with torch.no_grad():
        scores = known.model(own.inputs).numpy()
    targets = own.targets.numpy()
    ignored = {"tied_language": -100, "class_weighted": 1}.get(name)
    right = np.argmax(scores, 1)[targets != ignored] == targets[targets != ignored]
    assert found == right.mean()
    assert 0 <= found <= 1
