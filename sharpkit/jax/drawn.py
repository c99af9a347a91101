"""Products with a Fisher matrix of labels that are drawn from the model's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_leaves

from sharpkit._inputs.types import XpArray
from sharpkit.jax.layout import Layout

TOLERANCE = 1e-3  # of the largest slope, to tell cross-entropy from other losses


class DrawnFisher:
    """The product ``(w, v) -> F v`` of a Monte-Carlo Fisher matrix.

    Attributes
    ----------
    hessian : bool
        That it is no product with the Hessian, which is not to be held against one.
    """

    hessian = False

    def __init__(
        self,
        product: Callable[..., tuple[XpArray, XpArray]],
        batches: Callable[[], Iterator[tuple[Any, Any]]],
        layout: Layout,
        seed: int,
    ) -> None:
        self._product, self._batches = product, batches
        self._layout, self._seed = layout, seed

    def __call__(self, w: XpArray, v: XpArray) -> jax.Array:
        """Return the product at the weights w with a vector v."""
        w, v = self._layout.checked("w", w), self._layout.checked("v", v)
        generator = np.random.default_rng(self._seed)
        total, count = jnp.zeros_like(w), 0
        for constants, arguments in self._batches():
            labels = _labels(arguments[0][1])
            at = jnp.asarray(generator.random(labels.shape), w.dtype)
            part, off = self._product(constants, arguments, w, v, at)
            _require_cross_entropy(float(off))
            total, count = total + part, count + labels.size
        return total / count


def product(
    forward: Callable[[XpArray], Any],
    mean: Callable[[Any], XpArray],
    targets: Any,
    vectors: tuple[XpArray, XpArray],
    at: XpArray,
) -> tuple[XpArray, XpArray]:
    """Return the sum of ``g (g . v)`` over predictions, and how far the loss is off.

    Parameters
    ----------
    forward
        The logits, (..., classes), as a function of the weights.
    mean
        The mean loss as a function of the logits.
    targets
        The given labels, (...).
    vectors
        The weights and v.
    at
        Uniform random numbers, one for each prediction.
    """
    w, v = vectors
    out, pull = jax.vjp(forward, w)
    labels = _labels(targets)
    logits = _logits(out, labels)
    shares = jax.nn.softmax(logits, axis=-1)
    classes = shares.shape[-1]
    expected = (shares - jax.nn.one_hot(labels, classes)) / labels.size
    (given,) = tree_leaves(jax.grad(mean)(out))
    off = jnp.abs(given - expected).max() / jnp.abs(expected).max()
    below = (shares.cumsum(-1) < at[..., None]).sum(-1)
    slopes = shares - jax.nn.one_hot(jnp.minimum(below, classes - 1), classes)
    # J v is the derivative by u of J^T u, times v
    _, push = jax.vjp(lambda u: pull(u)[0], jnp.zeros_like(out))
    each = (slopes * push(v)[0]).sum(-1, keepdims=True)
    found: XpArray = pull((slopes * each).astype(out.dtype))[0]
    return found, off


def _labels(targets: Any) -> Any:
    """Return the labels of a batch.

    Raises
    ------
    ValueError
        If they are no classes.
    """
    leaves = tree_leaves(targets)
    if len(leaves) != 1 or not jnp.issubdtype(leaves[0].dtype, jnp.integer):
        msg = (
            "the targets are no classes; a Monte-Carlo Fisher matrix needs a "
            "classifier with integer classes: give gauss_newton in its place"
        )
        raise ValueError(msg)
    return leaves[0]


def _logits(out: Any, labels: Any) -> Any:
    """Return the outputs of a model, if they are logits of the labels.

    Raises
    ------
    ValueError
        If they are not.
    """
    shape = getattr(out, "shape", None)
    if shape is None or shape[:-1] != labels.shape:
        msg = (
            f"the outputs have shape {shape} and the targets {labels.shape}; a "
            "Monte-Carlo Fisher matrix needs one array (..., classes) of outputs: give "
            "gauss_newton in its place"
        )
        raise ValueError(msg)
    return out


def _require_cross_entropy(off: float) -> None:
    if not off <= TOLERANCE:
        msg = (
            "the loss is not the plain mean cross-entropy of the outputs, of whose "
            "answers labels can be drawn (masks, weights and smoothed labels make it "
            "another one); give gauss_newton in place of monte_carlo_fisher"
        )
        raise ValueError(msg)
