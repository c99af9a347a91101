"""A PyTorch module as a network of the lab, a function of its flat weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from sharpkit._inputs.types import XpArray
from sharpkit.lab.networks.base import Evaluation, Layer, Statistics
from sharpkit.lab.networks.convnets import IMAGE
from sharpkit.lab.networks.torch_structure import Norm, structure_of
from sharpkit.lab.steps import check_labels
from sharpkit.lab.steps.logits import SMALLEST
from sharpkit.torch.state import differentiating

Tensor = Any  # a torch.Tensor

CPU = torch.device("cpu")
# More rows gain convolutions nothing: their activations leave the caches.
BLOCK_ROWS = 128


class TorchNetwork:
    """A batch-normalised PyTorch classifier as a `Network` of one vector of weights.

    The vector holds the module's parameters in their order, as
    ``sharpkit.torch.problem(module, ...).weights`` does. All is computed on the CPU,
    with as many threads as torch is set to. Not safe for two threads at once.

    Parameters
    ----------
    module : torch.nn.Module
        The module: ``Conv2d`` and ``Linear`` layers with biases, each but the last, a
        ``Linear``, directly followed by its batch norm, and modules without parameters.
        Only its structure is used, neither its values nor itself later;
        it may be on the meta device.
    shape
        The shape of one sample as the module takes it, ``(channels, height, width)`` of
        images.

    Raises
    ------
    TypeError, ValueError
        If the module is not built so; the message names the part.
    """

    def __init__(self, module: Any, shape: tuple[int, ...] = IMAGE) -> None:
        self._plain = copy.deepcopy(module).to("meta")
        self._structure = structure_of(self._plain, tuple(shape))
        self.shape = tuple(shape)
        self.features, self.classes = math.prod(shape), self._structure.classes
        self.block_rows: int | None = BLOCK_ROWS
        parameters = dict(self._plain.named_parameters())
        self._shapes = {name: tuple(p.shape) for name, p in parameters.items()}
        self.n_weights = sum(p.numel() for p in parameters.values())

    def layers(self, vector: XpArray) -> list[Layer]:
        """Return the layers of a weight or gradient vector, as views.

        Weights are (outputs, inputs, height, width) or (outputs, inputs).
        """
        parts = list(self._parts(vector).values())
        hidden = [Layer(*parts[i : i + 4]) for i in range(0, len(parts) - 2, 4)]
        return [*hidden, Layer(parts[-2], parts[-1], None, None)]

    def initial_weights(self, seed: int, dtype: Any = np.float32) -> XpArray:
        """Draw a starting point: Glorot uniform weights, zero biases, unit gammas.

        ``w ~ U(-a, a)``, ``a = sqrt(6 / (area (inputs + outputs)))``, with the area of
        a filter, 1 for dense layers: the paper's uniform start (arXiv 1609.04836,
        section 2.2) in the default law of its framework.
        """
        generator = np.random.default_rng([seed, 0])
        vector = np.zeros(self.n_weights, dtype)
        for layer in self.layers(vector):
            outputs, inputs, *filters = layer.weight.shape
            bound = np.sqrt(6 / (np.prod(filters) * (inputs + outputs)))
            layer.weight[...] = generator.uniform(-bound, bound, layer.weight.shape)
            if layer.gamma is not None:
                layer.gamma[...] = 1
        return vector

    def initial_statistics(self, like: XpArray) -> Statistics:
        """Return zero means and unit variances, in the dtype of ``like``."""
        widths = self._structure.widths
        return Statistics(
            tuple(np.zeros(width, like.dtype) for width in widths),
            tuple(np.ones(width, like.dtype) for width in widths),
        )

    def counts(self, rows: int) -> tuple[int, ...]:
        """Return how many numbers each layer's statistics of so many rows are of.

        Rows, times the height and width of a convolution's output.
        """
        return tuple(rows * places for places in self._structure.places)

    def evaluate(
        self,
        weights: XpArray,
        x: XpArray,
        y: XpArray,
        *,
        statistics: Statistics | Literal["batch"],
        gradient: XpArray | None = None,
        scale: float = 1.0,
        input_gradient: XpArray | None = None,
        dropout: int | None = None,
        normalize_logits: bool = False,
    ) -> Evaluation:
        """Return summed loss, right answers and batch statistics over the rows of x.

        The parameters are those of `Network.evaluate`. The seed of the dropout masks
        counts whatever torch's own random state, which is left alone.

        Raises
        ------
        TypeError, ValueError
            If an array is not of NumPy, or of another dtype or shape.
        IndexError
            If a label is not that of an output.
        """
        self._require(weights, x, y)
        constants = None
        if not isinstance(statistics, str):
            constants = _tensors(statistics, weights.dtype)
        with (
            self._structure.prepared(constants, dropout) as norms,
            differentiating(CPU),
        ):
            leaves = self._leaves(weights, constants is None, gradient is not None)
            images = self._images(x, input_gradient is not None)
            logits = torch.func.functional_call(self._structure.steered, leaves, images)
            if normalize_logits:
                logits = _normalized(logits)
            labels = torch.from_numpy(np.array(y, np.int64))
            losses = nn.functional.cross_entropy(logits, labels, reduction="none")
            sources = [p for p in [*leaves.values(), images] if p.requires_grad]
            if sources:
                slopes = torch.autograd.grad(
                    losses, sources, torch.full_like(losses, scale)
                )
                if input_gradient is not None:
                    *slopes, slope = slopes
                    input_gradient[...] = slope.numpy().reshape(x.shape)
                if gradient is not None:
                    self._write(gradient, leaves, slopes)
            if isinstance(statistics, str):
                statistics = _statistics(norms)
        return Evaluation(
            float(losses.detach().double().sum()),
            int((logits.detach().argmax(1) == labels).sum()),
            statistics,
        )

    def module(self, weights: XpArray, statistics: Statistics) -> Any:
        """Return a new module with these weights and running statistics.

        Parameters
        ----------
        weights : (n,) float32 or float64
            The weights.
        statistics
            What the running averages of the batch norms become.

        Returns
        -------
        torch.nn.Module
            In evaluation mode and of the weights' dtype, such as
            ``sharpkit.torch.problem`` takes; it shares no memory with the arguments.
        """
        parts = self._parts(weights)
        dtype = torch.from_numpy(np.empty(0, weights.dtype)).dtype
        module = copy.deepcopy(self._plain).to(dtype).to_empty(device=CPU).eval()
        norms = [module.get_submodule(name) for name in self._structure.norms]
        averages = _tensors(statistics, weights.dtype)
        with torch.no_grad():
            for parameter, part in zip(
                module.parameters(), parts.values(), strict=True
            ):
                parameter.copy_(_tensor(part))
            for norm, (mean, var) in zip(norms, averages, strict=True):
                norm.running_mean.copy_(mean)
                norm.running_var.copy_(var)
                norm.num_batches_tracked.zero_()
        return module

    def _parts(self, vector: XpArray) -> dict[str, XpArray]:
        """Return each parameter's part of a vector, as views by name."""
        if vector.shape != (self.n_weights,):
            msg = f"vector has shape {vector.shape}, the network needs " + (
                f"({self.n_weights},)"
            )
            raise ValueError(msg)
        parts, start = {}, 0
        for name, shape in self._shapes.items():
            end = start + math.prod(shape)
            parts[name], start = vector[start:end].reshape(shape), end
        return parts

    def _leaves(self, weights: XpArray, batch: bool, wanted: bool) -> dict[str, Tensor]:
        """Return the parameters; a gradient is taken in those that it is not zero in.

        Batch statistics cancel a constant, of which rounding would leave a noise that
        Adam makes as large as any gradient.
        """
        free = self._structure.free_biases if batch else frozenset()
        return {
            name: _tensor(part).requires_grad_(wanted and name not in free)
            for name, part in self._parts(weights).items()
        }

    def _images(self, x: XpArray, wanted: bool) -> Tensor:
        images = _tensor(x).reshape(len(x), *self.shape)
        if len(self.shape) == 3:  # the faster layout of convolutions on CPUs
            images = images.contiguous(memory_format=torch.channels_last)
        return images.requires_grad_(wanted)

    def _write(
        self, gradient: XpArray, leaves: dict[str, Tensor], slopes: Iterable[Tensor]
    ) -> None:
        rest = iter(slopes)
        for name, part in self._parts(gradient).items():
            part[...] = next(rest).numpy() if leaves[name].requires_grad else 0

    def _require(self, weights: XpArray, x: XpArray, y: XpArray) -> None:
        for name, array in (("weights", weights), ("x", x), ("y", y)):
            if not isinstance(array, np.ndarray):
                msg = (
                    f"{name} is of type {type(array).__name__}; give a NumPy array: "
                    "this network is computed on the CPU"
                )
                raise TypeError(msg)
        if weights.dtype not in (np.float32, np.float64) or x.dtype != weights.dtype:
            msg = (
                f"weights are {weights.dtype} and x is {x.dtype}; give both as float32 "
                "or both as float64"
            )
            raise TypeError(msg)
        if x.shape != (len(x), self.features):
            msg = (
                f"x has shape {x.shape}; give (rows, {self.features}), a flattened "
                f"sample of {self.shape} per row"
            )
            raise ValueError(msg)
        check_labels(y, len(x), self.classes)


def _tensor(array: XpArray) -> Tensor:
    """Return a tensor on the same memory, or on a copy of what must not be written."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _tensors(statistics: Statistics, dtype: Any) -> list[tuple[Tensor, Tensor]]:
    return [
        (
            _tensor(mean.astype(dtype, copy=False)),
            _tensor(var.astype(dtype, copy=False)),
        )
        for mean, var in zip(statistics.means, statistics.variances, strict=True)
    ]


def _normalized(logits: Any) -> Any:
    centred = logits - logits.mean(1, keepdim=True)
    square = centred.square().sum(1, keepdim=True)
    return centred / square.clamp_min(SMALLEST**2).sqrt()


def _statistics(norms: list[Norm]) -> Statistics:
    found = [norm.found for norm in norms]
    means, variances = zip(*found, strict=True) if found else ((), ())
    return Statistics(
        tuple(mean.numpy() for mean in means), tuple(var.numpy() for var in variances)
    )
