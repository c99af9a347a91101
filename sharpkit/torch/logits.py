"""Logits of unit length, which the scale of the last layer does not change."""

from __future__ import annotations

from typing import Any

import torch

SMALLEST = 1e-10  # of a norm that is divided by (arXiv 2302.07011)


def normalized(output: Any) -> Any:
    """Return logits without their mean over the classes, divided by their norm.

    Parameters
    ----------
    output : (batch, classes, ...)
        The output of a classifier.

    Raises
    ------
    TypeError
        If it is no floating tensor.
    ValueError
        If its second dimension does not count classes.
    """
    if not isinstance(output, torch.Tensor) or not output.is_floating_point():
        msg = (
            f"normalize_logits=True, and the output of the model is of type "
            f"{type(output).__name__}; give a model that returns one tensor of logits, "
            "or normalize_logits=False"
        )
        raise TypeError(msg)
    if output.dim() < 2 or output.shape[1] < 2:
        msg = (
            f"normalize_logits=True, and the output has shape {tuple(output.shape)}; "
            "give a classifier whose output is (batch, classes) or (batch, classes, "
            "...), with two classes at least, or normalize_logits=False"
        )
        raise ValueError(msg)
    centred = output - output.mean(1, keepdim=True)
    # The root of what is bounded has derivatives even where all logits are equal.
    square = centred.square().sum(1, keepdim=True).clamp_min(SMALLEST**2)
    return centred / square.sqrt()


def require_classes(output: Any, targets: Any) -> None:
    """Raise unless targets are classes of an output, or their shares.

    Raises
    ------
    ValueError
        If they are not.
    """
    shape = tuple(getattr(targets, "shape", ()))
    whole = tuple(output.shape)
    if shape not in (whole, (*whole[:1], *whole[2:])):
        msg = (
            f"normalize_logits=True, and the output has shape {whole} and the targets "
            f"have {shape}; give classes (batch, ...) for an output (batch, classes, "
            "...), or normalize_logits=False"
        )
        raise ValueError(msg)
