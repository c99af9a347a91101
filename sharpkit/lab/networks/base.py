"""What training and measuring ask of a network: one flat vector of weights.

The multilayer perceptrons of the paper are sharpkit's own, its convolutional networks
PyTorch's; the training loop, the loss over a data set and the controls are written
once, against this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from sharpkit._inputs.types import XpArray

BATCH_NORM_EPS = 1e-5  # PyTorch's default


class Layer(NamedTuple):
    """Views into one weight (or gradient) vector.

    Attributes
    ----------
    weight : (inputs, outputs), or (outputs, inputs, height, width) of a convolution
        The matrix or the filters.
    bias : (outputs,)
        What is added.
    gamma, beta : (outputs,) or None
        The scale and the shift of the batch norm; None in the last layer.
    """

    weight: XpArray
    bias: XpArray
    gamma: XpArray | None
    beta: XpArray | None


@dataclass(frozen=True)
class Statistics:
    """What batch norms normalise by.

    Attributes
    ----------
    means, variances : tuple of (outputs,)
        The mean and the biased variance of each hidden layer's ``h W + b``.
    """

    means: tuple[XpArray, ...]
    variances: tuple[XpArray, ...]


class Evaluation(NamedTuple):
    """What one pass over some rows gives: sums, so that blocks of rows can be added.

    Attributes
    ----------
    loss_sum, right : float and int
        The summed loss and the number of right answers. On a device both are arrays of
        one number: whoever reads them waits, and training needs not to.
    statistics : Statistics
        The batch-norm statistics of the rows.
    """

    loss_sum: Any
    right: Any
    statistics: Statistics


class Network(Protocol):
    """A batch-normalised classifier whose weights are one contiguous vector.

    Attributes
    ----------
    n_weights, features, classes : int
        The numbers of weights, inputs and outputs.
    block_rows : int or None
        The rows to evaluate at once where rows are independent; None leaves it to the
        caller.
    """

    n_weights: int
    features: int
    classes: int
    block_rows: int | None

    def layers(self, vector: XpArray) -> list[Layer]:
        """Return the layers of a weight or gradient vector, as views."""
        ...

    def initial_weights(self, seed: int, dtype: Any = ...) -> XpArray:
        """Draw a starting point from the uniform law, on the host."""
        ...

    def initial_statistics(self, like: XpArray) -> Statistics:
        """Return zero means and unit variances, where ``like`` lives, in its dtype."""
        ...

    def counts(self, rows: int) -> tuple[int, ...]:
        """Return how many numbers each layer's statistics of so many rows are of."""
        ...

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

        Parameters
        ----------
        weights : (n,) float32 or float64
            The weights.
        x : (rows, features), of the weights' dtype
            The samples, one per row, flattened.
        y : (rows,) integers
            The labels.
        statistics
            What normalises: ``"batch"`` stands for the statistics of these very rows
            (and lets the gradient flow through them); a `Statistics` is used as
            constants.
        gradient : (n,)
            Where the gradient of ``scale`` times the summed loss is written, if given.
        scale
            The factor of the loss in the gradients.
        input_gradient : (rows, features)
            Where the gradient of the same in x is written, if given; it needs
            ``gradient``.
        dropout
            The seed of the dropout masks of a network that has such; None drops
            nothing.
        normalize_logits
            Whether the loss is that of logits without their mean, divided by their
            norm, row by row.
        """
        ...
