"""Products with a Fisher matrix of labels that are drawn from the model's answers."""

from __future__ import annotations

from typing import Any

import torch

from sharpkit.torch.evaluation import Evaluation
from sharpkit.torch.leaves import Leaves
from sharpkit.torch.products import Apply, Products, jacobian
from sharpkit.torch.state import ALONE

TOLERANCE = 1e-3  # of the largest slope, to tell cross-entropy from other losses


class DrawnFisher:
    """The product ``(w, v) -> F v`` of a Monte-Carlo Fisher matrix.

    Attributes
    ----------
    hessian : bool
        That it is no product with the Hessian, which is not to be held against one.
    """

    hessian = False

    def __init__(self, products: Products, layout: Any, seed: int) -> None:
        self._products, self._layout, self._seed = products, layout, seed
        self._generator = torch.Generator()
        self._build = self._built  # the same object at every product

    def __call__(self, w: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the product at the weights w with a vector v."""
        w, v = self._layout.checked("w", w), self._layout.checked("v", v)
        with ALONE:
            self._generator.manual_seed(self._seed)
            product: torch.Tensor = self._products.of(self._build, w, v)
        return product

    def _built(
        self, evaluation: Evaluation, w: Any, batch: Any
    ) -> tuple[Apply, Leaves, float] | None:
        found = evaluation.output_loss(w, batch)
        if found is None:
            return None
        leaves, output, point, loss, _ = found
        objective: Any = evaluation.objective
        _, targets = objective.parts(batch)
        (given,) = torch.autograd.grad(loss, point)
        shares = point.detach().double().softmax(1)
        counted = _counted(targets, shares, objective.ignored)
        count = int(counted.sum())
        labels = torch.where(counted, targets, 0).long()
        _require_cross_entropy(given, _slopes(shares, labels, counted) / count)
        slopes = _slopes(shares, self._drawn(shares), counted).to(output)
        along = jacobian(leaves, output)

        def apply(v: Any, keep: bool) -> Any:
            each = (slopes * along(v, keep)).sum(1, keepdim=True)
            return leaves.derivative(output, slopes * each / count, keep=keep)

        return apply, leaves, float(count)

    def _drawn(self, shares: Any) -> Any:
        """Return a label for each prediction, by the inverse of the sums of shares."""
        size = shares[:, :1].shape
        at = torch.rand(size, generator=self._generator, dtype=torch.float64)
        below = shares.cumsum(1) < at.to(shares.device)
        return below.sum(1).clamp(max=shares.shape[1] - 1)


def _slopes(shares: Any, labels: Any, counted: Any) -> Any:
    """Return the derivatives of ``-log(share of the label)`` by the logits."""
    one = torch.zeros_like(shares).scatter_(1, labels.unsqueeze(1), 1.0)
    return (shares - one) * counted.unsqueeze(1)


def _counted(targets: Any, shares: Any, ignored: int | None) -> Any:
    """Return which predictions count.

    Raises
    ------
    ValueError
        If the targets are no classes.
    """
    whole = isinstance(targets, torch.Tensor) and not targets.is_floating_point()
    if not whole or targets.shape != shares[:, 0].shape:
        msg = (
            f"the output has shape {tuple(shares.shape)} and the targets are no "
            "classes of it; a Monte-Carlo Fisher matrix needs a classifier with "
            "integer classes (batch, ...): give gauss_newton in its place"
        )
        raise ValueError(msg)
    return (
        torch.ones_like(targets, dtype=torch.bool)
        if ignored is None
        else (targets != ignored)
    )


def _require_cross_entropy(given: Any, expected: Any) -> None:
    off = (given.double() - expected).abs().max()
    if not off <= TOLERANCE * expected.abs().max():
        msg = (
            "the loss is not the plain mean cross-entropy of the output, of whose "
            "answers labels can be drawn (class weights and label smoothing make it "
            "another one); give torch.nn.CrossEntropyLoss(), or gauss_newton in place "
            "of monte_carlo_fisher"
        )
        raise ValueError(msg)
