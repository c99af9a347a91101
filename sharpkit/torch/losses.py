"""The mean loss of a batch, and the weight of this batch in the mean over all data."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sharpkit.torch.batches import is_pair, rows

# The means of these are over the class weights of the targets that are not ignored,
CLASSES = (
    (nn.CrossEntropyLoss, functional.cross_entropy),
    (nn.NLLLoss, functional.nll_loss),
)
# and the means of these are over all elements.
ELEMENTS = (
    (nn.MSELoss, functional.mse_loss),
    (nn.L1Loss, functional.l1_loss),
    (nn.SmoothL1Loss, functional.smooth_l1_loss),
    (nn.HuberLoss, functional.huber_loss),
    (nn.BCELoss, functional.binary_cross_entropy),
    (nn.BCEWithLogitsLoss, functional.binary_cross_entropy_with_logits),
    (nn.PoissonNLLLoss, functional.poisson_nll_loss),
    (nn.SoftMarginLoss, functional.soft_margin_loss),
)
IGNORED = -100  # as in torch


class OutputLoss:
    """The loss ``loss(model(inputs), targets)`` of batches ``(inputs, targets)``.

    Parameters
    ----------
    loss
        The loss of the user, a module or a function that averages over the batch.
    cast
        A function that brings a tensor of the loss, such as its class weights, into the
        measured dtype.

    Attributes
    ----------
    takes_output : bool
        Whether the loss is called with the output of the model.
    ignored : int or None
        The target that counts for nothing.
    """

    takes_output = True

    def __init__(self, loss: Any, cast: Callable[[Any], Any]) -> None:
        _require_mean(loss)
        self._loss = loss
        if isinstance(loss, partial):
            tensors = {
                key: cast(value) if isinstance(value, torch.Tensor) else value
                for key, value in loss.keywords.items()
            }
            self._loss = partial(loss.func, *loss.args, **tensors)
        self._by_class = _is_one_of(loss, CLASSES)
        self._by_element = _is_one_of(loss, ELEMENTS)
        self.ignored = (
            _option(loss, "ignore_index", IGNORED) if self._by_class else None
        )

    def __call__(self, model: Any, batch: Any) -> tuple[Any, float] | None:
        """Return the mean loss and the weight of a batch; None if nothing counts."""
        weight = self.weight(batch)
        if not weight:
            return None
        _, targets = self.parts(batch)
        return real_scalar(self.of_output(self.run(model, batch), targets)), weight

    def run(self, model: Any, batch: Any) -> Any:
        """Return the output of the model."""
        inputs, _ = self.parts(batch)
        if isinstance(inputs, Mapping):
            return model(**inputs)
        if isinstance(inputs, (tuple, list)) and not hasattr(inputs, "_fields"):
            return model(*inputs)
        return model(inputs)

    def of_output(self, output: Any, targets: Any) -> Any:
        """Return the mean loss of an output."""
        return self._loss(output, targets)

    def parts(self, batch: Any) -> tuple[Any, Any]:
        """Return the inputs and the targets of a batch.

        Raises
        ------
        TypeError
            If the batch is no such pair.
        """
        if not is_pair(batch):
            size = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
            msg = (
                f"a batch is a {type(batch).__name__}{size}; give pairs (inputs, "
                "targets), or loss_takes='model' and a function loss(model, batch)"
            )
            raise TypeError(msg)
        return batch[0], batch[1]

    def right(self, model: Any, batch: Any) -> tuple[int, int] | None:
        """Return how many targets are right, and of how many; None without classes."""
        _, targets = self.parts(batch)
        if not _are_classes(targets):
            return None
        output = self.run(model, batch)
        if not isinstance(output, torch.Tensor) or output.dim() != targets.dim() + 1:
            return None
        found = output.argmax(1 if output.dim() > 1 else 0)
        if found.shape != targets.shape:
            return None
        counted = torch.ones_like(targets, dtype=torch.bool)
        if self.ignored is not None:
            counted = targets != self.ignored
        return int(((found == targets) & counted).sum()), int(counted.sum())

    def weight(self, batch: Any) -> float:
        """Return the number that the loss divides by, or else that of the samples."""
        _, targets = self.parts(batch)
        if self._by_class and isinstance(targets, torch.Tensor):
            if not _are_classes(targets):  # shares of classes
                classes = targets.shape[1 if targets.dim() > 1 else 0]
                return float(targets.numel() // classes)
            counted = targets[targets != self.ignored]
            # They are asked of the loss now: those of a module are cast meanwhile.
            weights = _option(self._loss, "weight", None)
            if weights is None:
                return float(counted.numel())
            return float(weights.double()[counted].sum())
        if self._by_element and isinstance(targets, torch.Tensor):
            return float(targets.numel())
        return float(rows(batch))


class ModelLoss:
    """The loss ``loss(model, batch)``, which returns a mean, perhaps with its weight.

    Parameters
    ----------
    loss
        The function of the user.

    Attributes
    ----------
    takes_output : bool
        Whether the loss is called with the output of the model.
    """

    takes_output = False

    def __init__(self, loss: Any) -> None:
        _require_mean(loss)
        self._loss = loss

    def __call__(self, model: Any, batch: Any) -> tuple[Any, float] | None:
        """Return the mean loss and the weight of a batch; None if nothing counts.

        Raises
        ------
        TypeError
            If the loss returns a tuple of another length.
        ValueError
            If the weight is no number of at least 0.
        """
        returned = self._loss(model, batch)
        if not isinstance(returned, tuple):
            return real_scalar(returned), float(rows(batch))
        if len(returned) != 2:
            msg = (
                f"loss returned a tuple of {len(returned)}; return the mean loss, or "
                "(mean loss, weight)"
            )
            raise TypeError(msg)
        weight = _number(returned[1])
        if not (0 <= weight < math.inf):
            msg = (
                f"loss returned {returned[1]!r} as the weight; return how much the "
                "batch counts, such as its number of samples"
            )
            raise ValueError(msg)
        return (real_scalar(returned[0]), weight) if weight else None

    def run(self, model: Any, batch: Any) -> Any:
        """Evaluate for the sake of what happens on the way."""
        return self._loss(model, batch)


def real_scalar(loss: Any) -> Any:
    """Return a loss as a tensor of no dimension that depends on the weights.

    Raises
    ------
    TypeError
        If it is no real tensor.
    ValueError
        If it has several entries, or does not depend on the weights.
    """
    if not isinstance(loss, torch.Tensor) or not loss.is_floating_point():
        what = loss.dtype if isinstance(loss, torch.Tensor) else type(loss).__name__
        msg = f"loss returned a value of type {what}; return one real torch number"
        raise TypeError(msg)
    if loss.numel() != 1:
        msg = (
            f"loss returned a tensor of shape {tuple(loss.shape)}; return one number, "
            "averaged over the samples of the batch"
        )
        raise ValueError(msg)
    if not loss.requires_grad:
        msg = (
            "loss returned a number that does not depend on the chosen parameters; "
            "compute it from the given model, with gradients and without .detach(), "
            ".item() or torch.no_grad()"
        )
        raise ValueError(msg)
    return loss.reshape(())


def _number(value: Any) -> float:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return float(value.detach())
    return float(value) if isinstance(value, numbers.Real) else math.nan


def _require_mean(loss: Any) -> None:
    if not callable(loss):
        msg = (
            f"loss is of type {type(loss).__name__}; give a function or module such as "
            "torch.nn.CrossEntropyLoss()"
        )
        raise TypeError(msg)
    reduction = _option(loss, "reduction", "mean")
    if reduction in ("sum", "none"):
        msg = (
            f"loss has reduction={reduction!r}; give one with reduction='mean': the "
            "mean over all data is formed from the means of the batches"
        )
        raise ValueError(msg)


def _option(loss: Any, name: str, default: Any) -> Any:
    if isinstance(loss, partial):
        return loss.keywords.get(name, default)
    return getattr(loss, name, default)


def _is_one_of(loss: Any, known: tuple[tuple[Any, Any], ...]) -> bool:
    function = loss.func if isinstance(loss, partial) else loss
    # A subclass with a forward of its own may average in its own way.
    forward = getattr(type(loss), "forward", None)
    return any(function is own or forward is module.forward for module, own in known)


def _are_classes(targets: Any) -> bool:
    return (
        isinstance(targets, torch.Tensor)
        and not targets.is_floating_point()
        and not targets.is_complex()
        and targets.dtype is not torch.bool
    )
