"""The lab's network in PyTorch, and Hessian products from one retained graph."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import sharpkit
from bench.table import CaseError
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.problem import Problem

Array = NDArray[Any]

# The loss is a mean of small differences of scores, and the gradient a sum of larger
# terms that cancel: float32 rounding, as a share of the loss and of its length.
ROUNDED_LOSS, ROUNDED = 1e-5, 1e-4
# Of a product, as a share of its length: ReLUs that stand at zero to rounding may open
# in one library and close in the other.
ROUNDED_PRODUCT = 1e-3


def load_torch() -> ModuleType:
    """Return PyTorch, or raise a `CaseError` that says how to get it."""
    try:
        import torch
    except ImportError as error:
        msg = "PyTorch is not installed: pip install torch"
        raise CaseError(msg) from error
    return torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Give sharpkit, PyTorch and the BLAS one thread each; put theirs back after."""
    torch = load_torch()
    before = sharpkit.get_num_threads(), torch.get_num_threads()
    sharpkit.set_num_threads(1)
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        sharpkit.set_num_threads(before[0])
        torch.set_num_threads(before[1])


class Counted:
    """A function that counts its calls and their seconds, of the CPUs and the wall."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.calls, self.cpu, self.wall = 0, 0.0, 0.0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the function; the clocks run meanwhile."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return self._function(*arguments, **named)
        finally:
            self.wall += time.perf_counter() - wall
            self.cpu += time.process_time() - cpu
            self.calls += 1


class TorchNetwork:
    """A `Problem` at fixed weights as a ``torch.nn.Module``.

    Flat vectors lie in PyTorch's order, in which a layer's weight is (outputs, inputs):
    `in_torch_order` brings those of the lab into it.

    Attributes
    ----------
    model, criterion
        The module, its batch norms as the problem has them, and the mean cross-entropy.
    inputs, labels
        All samples, as tensors.
    parameters
        The module's parameters, in its own order.
    sizes
        The network's widths from input to output.
    weights : (n,)
        All parameters, flat, float32.
    """

    def __init__(self, problem: Problem, weights: Array) -> None:
        self._torch = torch = load_torch()
        # copied: those of a data set may not be written to, which PyTorch warns of
        self.inputs = torch.from_numpy(problem.x.copy())
        self.labels = torch.from_numpy(problem.y.astype(np.int64))
        self.criterion = torch.nn.CrossEntropyLoss()
        self.model = _module(torch, problem, weights)
        self.parameters = list(self.model.parameters())
        self.sizes = list(problem.network.sizes)
        self.weights = in_torch_order(problem.network, weights)
        self._gradients: tuple[Any, ...] | None = None

    def loss_and_gradient(self) -> tuple[float, Array]:
        """Return the mean loss and its gradient, flat."""
        loss = self.criterion(self.model(self.inputs), self.labels)
        parts = self._torch.autograd.grad(loss, self.parameters)
        return float(loss.detach()), self.joined(parts).numpy()

    def retain(self) -> None:
        """Build the graph of loss and gradient that all later products share."""
        loss = self.criterion(self.model(self.inputs), self.labels)
        self._gradients = self._torch.autograd.grad(
            loss, self.parameters, create_graph=True
        )

    def hvp(self, weights: Array, vector: Array) -> Array:
        """Return the Hessian times a flat vector; ``weights`` must be the graph's.

        Raises
        ------
        ValueError
            If they are others.
        """
        if not np.array_equal(weights, self.weights):
            msg = "the retained graph knows the Hessian at its own weights only"
            raise ValueError(msg)
        return self.matvec(self._torch.from_numpy(vector)).numpy()

    def matvec(self, vector: Any) -> Any:
        """Return the Hessian times a flat tensor."""
        if self._gradients is None:
            self.retain()
        parts = self._torch.autograd.grad(
            self._gradients, self.parameters, self.split(vector), retain_graph=True
        )
        return self.joined(parts)

    def gauss_newton(self, vector: Array) -> Array:
        """Return the Gauss-Newton matrix, ``J' H_loss J``, times a flat vector.

        ``J v`` is the derivative of ``J' u`` times v by u: no forward mode is needed.
        """
        torch, grad = self._torch, self._torch.autograd.grad
        logits = self.model(self.inputs)
        dual = torch.zeros_like(logits, requires_grad=True)
        back = grad(logits, self.parameters, dual, create_graph=True)
        (moved,) = grad(back, dual, self.split(torch.from_numpy(vector)))
        point = logits.detach().requires_grad_()
        (slope,) = grad(self.criterion(point, self.labels), point, create_graph=True)
        (bent,) = grad(slope, point, moved)
        return self.joined(grad(logits, self.parameters, bent)).numpy()

    def split(self, vector: Any) -> list[Any]:
        """Return views of a flat tensor, shaped like the parameters."""
        pieces = vector.split([p.numel() for p in self.parameters])
        return [a.view_as(p) for a, p in zip(pieces, self.parameters, strict=True)]

    def joined(self, parts: Any) -> Any:
        """Return tensors shaped like the parameters as one flat tensor."""
        return self._torch.cat([part.detach().reshape(-1) for part in parts])


def in_torch_order(network: MLP, vector: Array) -> Array:
    """Return a flat vector of the lab's in the order of PyTorch's parameters."""
    parts = []
    for layer in network.layers(vector):
        rows = (layer.bias, layer.gamma, layer.beta)
        parts += [layer.weight.T, *(row for row in rows if row is not None)]
    return np.concatenate([part.ravel() for part in parts])


def _module(torch: ModuleType, problem: Problem, weights: Array) -> Any:
    def values(array: Array) -> Any:
        return torch.nn.Parameter(torch.from_numpy(array.copy()))

    fixed = problem.statistics
    parts: list[Any] = []
    for index, layer in enumerate(problem.network.layers(weights)):
        inputs, outputs = layer.weight.shape
        parts.append(torch.nn.Linear(inputs, outputs))
        parts[-1].weight, parts[-1].bias = values(layer.weight.T), values(layer.bias)
        if layer.gamma is None or layer.beta is None:
            continue
        norm = torch.nn.BatchNorm1d(outputs, track_running_stats=fixed is not None)
        norm.weight, norm.bias = values(layer.gamma), values(layer.beta)
        if fixed is not None:
            norm.running_mean = torch.from_numpy(fixed.means[index].copy())
            norm.running_var = torch.from_numpy(fixed.variances[index].copy())
        parts += [norm, torch.nn.ReLU()]
    # Batch norms without running averages take the batch's in evaluation, too.
    return torch.nn.Sequential(*parts).eval()


def check_network(
    problem: Problem, weights: Array, network: TorchNetwork
) -> dict[str, float]:
    """Return how far loss and gradient lie from the lab's, as shares.

    Raises
    ------
    CaseError
        If by more than float32 rounding.
    """
    loss, gradient = problem(weights)
    theirs, slope = network.loss_and_gradient()
    off = abs(loss / theirs - 1)
    if not off <= ROUNDED_LOSS:
        msg = f"the losses differ: {loss}, PyTorch {theirs}"
        raise CaseError(msg)
    turned = in_torch_order(problem.network, gradient)
    return {"loss": off, "gradient": same("the gradient", turned, slope, ROUNDED)}


def same(what: str, ours: Array, theirs: Array, rounded: float) -> float:
    """Return how far two vectors lie apart, as a share; raise a `CaseError` if far."""
    off = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    if not off <= rounded:
        msg = f"{what}: {off:.2g} of its length off, at most {rounded:.0e} is rounding"
        raise CaseError(msg)
    return off
