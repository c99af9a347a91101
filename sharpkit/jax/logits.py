"""Logits of unit length, which the scale of the last layer does not change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.tree_util import tree_leaves

SMALLEST = 1e-10  # of a norm that is divided by (arXiv 2302.07011)

Function = Callable[..., Any]


def with_normalized_logits(
    loss: Function, model: Function
) -> tuple[Function, Function]:
    """Return a loss and a model whose outputs are logits without mean, of norm 1.

    Both are over the classes, the last axis of the outputs.

    Parameters
    ----------
    loss, model
        ``loss(outputs, targets)`` and ``model(params, inputs)``.
    """

    def normalized(params: Any, inputs: Any) -> Any:
        return _normalized(model(params, inputs))

    def checked(outputs: Any, targets: Any) -> Any:
        _require_classes(outputs, targets)
        return loss(outputs, targets)

    return checked, normalized


def _normalized(outputs: Any) -> Any:
    shapes = [jnp.shape(leaf) for leaf in tree_leaves(outputs)]
    if len(shapes) != 1 or len(shapes[0]) < 2 or shapes[0][-1] < 2:
        msg = (
            f"normalize_logits=True, and the outputs have shapes {shapes}; give a "
            "model that returns one array of logits, (batch, classes) or (batch, ..., "
            "classes), with two classes at least, or normalize_logits=False"
        )
        raise ValueError(msg)
    (logits,) = tree_leaves(outputs)
    centred = logits - logits.mean(-1, keepdims=True)
    square = jnp.sum(centred**2, -1, keepdims=True)
    # The root of what is bounded has derivatives even where all logits are equal.
    return centred / jnp.sqrt(jnp.maximum(square, SMALLEST**2))


def _require_classes(outputs: Any, targets: Any) -> None:
    shapes = [jnp.shape(leaf) for leaf in tree_leaves(targets)]
    whole = jnp.shape(outputs)
    if shapes not in ([whole], [whole[:-1]]):
        msg = (
            f"normalize_logits=True, and the outputs have shape {whole} and the "
            f"targets have {shapes}; give classes (batch, ...) for outputs (batch, "
            "..., classes), or normalize_logits=False"
        )
        raise ValueError(msg)
