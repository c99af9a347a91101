"""The loss of a network over a whole data set, as a callback for the measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.samples import checked_indices
from sharpkit._inputs.types import XpArray
from sharpkit.lab.networks.base import Network, Statistics
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.networks.mlp_products import Products
from sharpkit.lab.steps import check_labels

BatchNorm = Literal["batch", "running", "frozen"]

# Rows evaluated at once where rows do not depend on each other: few enough for the
# activations of a wide layer to stay in cache, many enough for the BLAS.
BLOCK_ROWS = 1024
# A device wants work by the million, as far as its memory goes: the activations of so
# many rows of the paper's network F1 take 180 MB.
DEVICE_BLOCK_ROWS = 8192


class Measured(NamedTuple):
    """What a network makes of a set of samples.

    Attributes
    ----------
    loss : float
        The mean loss.
    accuracy : float
        The share of right answers, in [0, 1].
    """

    loss: float
    accuracy: float


class Problem:
    """``problem(weights) -> (mean loss, gradient)`` over all samples of ``x, y``.

    Parameters
    ----------
    network
        The network whose weights vary.
    x, y : (M, inputs), (M,)
        The samples and integer labels, on the device of the weights that will come.
    batch_norm
        Which statistics normalise: ``"batch"``, those of all M samples at the weights
        in hand (they move with the weights, and the gradient flows through them);
        ``"running"``, the averages gathered in training; ``"frozen"``, those of all M
        samples at one fixed point. The latter two are constants and need
        ``statistics``. The sharpness depends strongly on this choice.
    statistics
        The constants for ``"running"`` and ``"frozen"``; None for ``"batch"``.
    normalize_logits
        Whether the loss is that of logits without their mean, divided by their norm,
        sample by sample: the scale of the last layer does not count then.

    Raises
    ------
    ValueError
        If ``batch_norm`` and ``statistics`` do not fit together.
    IndexError
        If there are not M labels, or one is not that of an output.
    """

    def __init__(
        self,
        network: Network,
        x: XpArray,
        y: XpArray,
        *,
        batch_norm: BatchNorm,
        statistics: Statistics | None = None,
        normalize_logits: bool = False,
    ) -> None:
        if batch_norm not in get_args(BatchNorm):
            msg = f"batch_norm={batch_norm!r} is none of 'batch', 'running', 'frozen'"
            raise ValueError(msg)
        if (batch_norm == "batch") != (statistics is None):
            msg = (
                f"batch_norm={batch_norm!r} with statistics={statistics!r}: give "
                "statistics for 'running' and 'frozen', and none for 'batch'"
            )
            raise ValueError(msg)
        check_labels(y, len(x), network.classes)
        self.network, self.x, self.y = network, x, y
        self.batch_norm: BatchNorm = batch_norm
        self.statistics, self.normalize_logits = statistics, normalize_logits
        self._products = Products(network) if isinstance(network, MLP) else None

    @property
    def matrices(self) -> dict[str, tuple[slice, tuple[int, ...], int]]:
        """Where each layer's matrix lies, its shape, and the axis of its outputs."""
        index = np.arange(self.network.n_weights, dtype=np.float64)
        found = {}
        for i, layer in enumerate(self.network.layers(index)):
            shape = tuple(layer.weight.shape)
            begin = int(layer.weight.ravel()[0])
            place = slice(begin, begin + layer.weight.size)
            found[f"layer {i + 1}"] = (place, shape, int(isinstance(self.network, MLP)))
        return found

    def __call__(self, weights: XpArray) -> tuple[float, XpArray]:
        """Return the mean loss and its gradient, a new (n,) array."""
        gradient = array_module(weights).empty_like(weights)
        return self._sum(weights, gradient)[0] / len(self.x), gradient

    @property
    def samples(self) -> int:
        """The number of samples."""
        return len(self.x)

    def subset(self, indices: XpArray) -> Problem:
        """Return the same problem over some samples; constant statistics stay.

        Parameters
        ----------
        indices : (k,)
            The samples: whole numbers below `samples`, each once.
        """
        chosen = checked_indices(indices, self.samples)
        return Problem(
            self.network,
            self.x[chosen],
            self.y[chosen],
            batch_norm=self.batch_norm,
            statistics=self.statistics,
            normalize_logits=self.normalize_logits,
        )

    def evaluate(self, weights: XpArray) -> Measured:
        """Return the mean loss and the accuracy at ``weights``."""
        loss_sum, right = self._sum(weights, None)
        return Measured(loss_sum / len(self.x), right / len(self.x))

    def hvp(self, weights: XpArray, v: XpArray) -> XpArray:
        """Return the exact Hessian of the mean loss times ``v``, a new (n,) array.

        See `Products.hessian`, also for what is raised where ``v`` is not of the
        weights' shape, dtype and place.
        """
        products = self._exact()
        return self._product(products.hessian, weights, v, self.x, self.y)

    def gauss_newton(self, weights: XpArray, v: XpArray) -> XpArray:
        """Return the exact Gauss-Newton matrix times ``v``, a new (n,) array.

        ``J^T H_L J v`` of the mean loss: the Hessian without the curvature of the
        network itself. See `Products.gauss_newton`, and `hvp` for what is raised.
        """
        return self._product(self._exact().gauss_newton, weights, v, self.x)

    def _exact(self) -> Products:
        if self._products is None:
            msg = (
                f"exact products of a {type(self.network).__name__} are not written; "
                "make its module a problem with sharpkit.torch.problem"
            )
            raise NotImplementedError(msg)
        return self._products

    def _product(
        self,
        write: Callable[..., None],
        weights: XpArray,
        v: XpArray,
        *samples: XpArray,
    ) -> XpArray:
        result, scale = None, 1 / len(self.x)
        for block in self._blocks(weights):
            part = array_module(weights).empty_like(weights)
            write(
                weights,
                v,
                *(_rows(each, block) for each in samples),
                statistics=self.statistics or "batch",
                out=part,
                scale=scale,
                normalize_logits=self.normalize_logits,
            )
            if result is None:
                result = part
            else:
                result += part
        return result

    def _sum(self, weights: XpArray, gradient: XpArray | None) -> tuple[float, int]:
        total, right, part = 0.0, 0, gradient
        for block in self._blocks(weights):
            if block.start and gradient is not None:
                part = array_module(weights).empty_like(weights)
            found = self.network.evaluate(
                weights,
                self.x[block],
                self.y[block],
                statistics=self.statistics or "batch",
                gradient=part,
                scale=1 / len(self.x),
                normalize_logits=self.normalize_logits,
            )
            if block.start and gradient is not None:
                gradient += part
            total, right = total + found.loss_sum, right + found.right
        return float(total), int(right)

    def _blocks(self, weights: XpArray) -> Iterator[slice]:
        """Yield the rows to take at once: all for their own statistics."""
        rows = size = len(self.x)
        if self.statistics is not None:
            size = BLOCK_ROWS if array_module(weights) is np else DEVICE_BLOCK_ROWS
            size = self.network.block_rows or size
        return (slice(start, start + size) for start in range(0, rows, size))


def _rows(samples: XpArray, block: slice) -> XpArray:
    """Return a block of rows; all of them as the array itself, to be known again."""
    return samples if block.stop >= len(samples) > block.start == 0 else samples[block]


def frozen_statistics(
    network: Network, weights: XpArray, x: XpArray, y: XpArray
) -> Statistics:
    """Return the batch-norm statistics of all samples at ``weights``, to be frozen."""
    return network.evaluate(weights, x, y, statistics="batch").statistics
