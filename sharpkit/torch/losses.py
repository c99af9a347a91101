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

from sharpkit._inputs.weighing import MAPPING
from sharpkit.torch.batches import is_pair, rows
from sharpkit.torch.logits import normalized, require_classes

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
Returned = tuple[Any, float | None]  # a mean, and its weight if it is known


class OutputLoss:
    """The loss ``loss(model(inputs), targets)`` of batches ``(inputs, targets)``.

    Parameters
    ----------
    loss
        The loss of the user, a module or a function that averages over the batch.
    cast
        A function that brings a tensor of the loss, such as its class weights, into the
        measured dtype.
    normalized
        Whether outputs are logits that are normalised before the loss sees them.

    Attributes
    ----------
    takes_output : bool
        Whether the loss is called with the output of the model.
    gauss_newton : None
        Products with the Gauss-Newton matrix need no help of the loss.
    note : str
        What a problem says of it.
    normalized : bool
        Whether it normalises logits.
    ignored : int or None
        The target that counts for nothing.
    known : bool
        Whether it is one of torch, of which the weight of a batch is known.
    """

    takes_output = True
    gauss_newton: Any = None
    note = ""

    def __init__(
        self, loss: Any, cast: Callable[[Any], Any], *, normalized: bool = False
    ) -> None:
        _require_mean(loss)
        self._loss, self.normalized = loss, normalized
        if isinstance(loss, partial):
            tensors = {
                key: cast(value) if isinstance(value, torch.Tensor) else value
                for key, value in loss.keywords.items()
            }
            self._loss = partial(loss.func, *loss.args, **tensors)
        self._by_class = _is_one_of(loss, CLASSES)
        self._by_element = _is_one_of(loss, ELEMENTS)
        self.known = self._by_class or self._by_element
        if normalized and self._by_element:
            msg = (
                "normalize_logits=True, and loss is a mean over elements, not over "
                "classes; give one of classes, such as torch.nn.CrossEntropyLoss(), or "
                "normalize_logits=False"
            )
            raise ValueError(msg)
        self.ignored = (
            _option(loss, "ignore_index", IGNORED) if self._by_class else None
        )

    def __call__(
        self, model: Any, batch: Any, seen: Callable[[Any], Any] | None = None
    ) -> Returned | None:
        """Return the mean loss and the weight of a batch; None if nothing counts.

        Where it is known that nothing does, the model is not called. ``seen`` is told
        of its output.
        """
        if self.counts_nothing(batch):
            return None
        output = self.run(model, batch)
        if seen is not None:
            seen(output)
        return self.of_output(output, batch)

    def run(self, model: Any, batch: Any) -> Any:
        """Return the output of the model."""
        output = _beside(self.parts(batch)[1], self._output(model, batch))
        return normalized(output) if self.normalized else output

    def _output(self, model: Any, batch: Any) -> Any:
        inputs, _ = self.parts(batch)
        if isinstance(inputs, Mapping):
            return model(**inputs)
        if isinstance(inputs, (tuple, list)) and not hasattr(inputs, "_fields"):
            return model(*inputs)
        return model(inputs)

    def of_output(self, output: Any, batch: Any) -> Returned | None:
        """Return the mean loss of an output, and the weight if it is known."""
        _, targets = self.parts(batch)
        if self.normalized:
            require_classes(output, targets)
        found = returned(self._loss(output, targets))
        if found is None or not self.known:
            return found
        return found[0], self.weight(batch)

    def counts_nothing(self, batch: Any) -> bool:
        """Return whether it is known that nothing in a batch counts."""
        return self.known and not self.weight(batch)

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

    def right(self, output: Any, batch: Any) -> tuple[int, int] | None:
        """Return how many targets are right, and of how many; None without classes."""
        _, targets = self.parts(batch)
        if not _are_classes(targets):
            return None
        if not isinstance(output, torch.Tensor) or output.dim() != targets.dim() + 1:
            return None
        found = output.argmax(1 if output.dim() > 1 else 0)
        if found.shape != targets.shape:
            return None
        counted = torch.ones_like(targets, dtype=torch.bool)
        if self.ignored is not None:
            counted = targets != self.ignored
        return int(((found == targets) & counted).sum()), int(counted.sum())

    def shares(self, batch: Any) -> Any:
        """Return what each row counts in the mean over a batch, (rows,).

        They are all alike unless the loss is one of torch that says otherwise.
        """
        _, targets = self.parts(batch)
        count = rows(batch)
        if not (self._by_class and _are_classes(targets)):
            return torch.full((count,), 1.0 / count, dtype=torch.float64)
        counted = (targets != self.ignored).double()
        weights = _option(self._loss, "weight", None)
        if weights is not None:
            known = torch.where(targets == self.ignored, 0, targets)
            counted = counted * weights.double()[known]
        each = counted.reshape(count, -1).sum(1)
        return each / each.sum()

    def weight(self, batch: Any) -> float:
        """Return the number that a known loss divides by."""
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
    gauss_newton : function or None
        What builds products with the Gauss-Newton matrix, if the loss brings it along.
    note : str
        What a problem says of it.
    """

    takes_output = False

    def __init__(self, loss: Any) -> None:
        _require_mean(loss)
        self._loss = loss
        self.gauss_newton, self.note = getattr(loss, "gauss_newton_of_batch", None), ""

    def __call__(
        self, model: Any, batch: Any, seen: Callable[[Any], Any] | None = None
    ) -> Returned | None:
        """Return the mean loss and the weight of a batch; None if nothing counts.

        Nobody is told of an output, which is the loss's own affair.
        """
        return returned(self._loss(model, batch))

    def run(self, model: Any, batch: Any) -> Any:
        """Evaluate for the sake of what happens on the way."""
        return self._loss(model, batch)


def returned(value: Any) -> Returned | None:
    """Return the mean and the weight that a loss returned; None if nothing counts.

    It returns a number, or a mapping with ``"loss"`` and perhaps ``"weight"``, as the
    output of a model of ``transformers`` is one.

    Raises
    ------
    TypeError
        If the loss is a tuple, or a mapping without a loss.
    ValueError
        If the weight is no number of at least 0.
    """
    if isinstance(value, tuple):
        msg = (
            f"loss returned a tuple of {len(value)}; return the mean alone or, to say "
            f"what a batch counts, {MAPPING}"
        )
        raise TypeError(msg)
    if not isinstance(value, Mapping):
        return real_scalar(value), None
    if value.get("loss") is None:
        msg = (
            f"loss returned a {type(value).__name__} without 'loss'; {MAPPING}, and "
            "give a model that computes its own loss its labels"
        )
        raise TypeError(msg)
    if value.get("weight") is None:
        return real_scalar(value["loss"]), None
    weight = _number(value["weight"])
    if not (0 <= weight < math.inf):
        msg = (
            f"loss returned {value['weight']!r} as the weight; return how much the "
            "batch counts, such as its number of samples"
        )
        raise ValueError(msg)
    return (real_scalar(value["loss"]), weight) if weight else None


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
    if torch.is_grad_enabled() and not loss.requires_grad:
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


def _beside(targets: Any, output: Any) -> Any:
    """Return an output on the device of the targets, from the last of several."""
    both = isinstance(output, torch.Tensor) and isinstance(targets, torch.Tensor)
    return output.to(targets.device) if both else output


def _are_classes(targets: Any) -> bool:
    return (
        isinstance(targets, torch.Tensor)
        and not targets.is_floating_point()
        and not targets.is_complex()
        and targets.dtype is not torch.bool
    )
