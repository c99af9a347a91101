"""What is compiled: the gradient of one batch's loss, and products with a vector."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import tree_leaves, tree_map

from sharpkit._inputs.types import XpArray
from sharpkit.jax.layout import Layout, widened

# A vector, (n,), the mean loss, and its weight, or None for the number of rows.
Share = tuple[XpArray, XpArray, XpArray | None]
Summed = Callable[..., Share]


class Compiled(NamedTuple):
    """The functions of one batch, each compiled once for every shape of a batch.

    Attributes
    ----------
    gradient, hessian, gauss_newton
        The vectors: ``(total, rows, constants, arguments, w[, v]) -> (total + weight x
        vector, mean loss, weight or None)``. The sum takes the memory of ``total``.
    answers
        The count of right answers: ``(constants, arguments, w) -> (right, asked)``, or
        None where nothing is counted.
    loss
        The mean loss: ``(constants, arguments, w) -> (mean loss, weight or None)``. It
        is not compiled.
    """

    gradient: Summed
    hessian: Summed
    gauss_newton: Summed
    answers: Callable[..., tuple[XpArray, int] | None]
    loss: Callable[..., tuple[XpArray, XpArray | None]]


def compiled(
    layout: Layout, loss: Callable[..., Any], model: Callable[..., Any] | None
) -> Compiled:
    """Return the functions of a batch; arrays are given to them, they keep none."""
    batch = _Batch(layout, loss, model)
    return Compiled(
        _summed(batch.gradient),
        _summed(batch.hessian),
        _summed(batch.gauss_newton),
        jax.jit(batch.answers),
        batch.mean,
    )


class _Batch:
    """The functions of one batch, as JAX traces them."""

    def __init__(
        self,
        layout: Layout,
        loss: Callable[..., Any],
        model: Callable[..., Any] | None,
    ) -> None:
        self._layout, self._loss, self._model = layout, loss, model

    def mean(
        self, constants: Any, arguments: Any, w: XpArray
    ) -> tuple[XpArray, XpArray | None]:
        arguments = self._prepared(arguments)
        if self._model is None:
            return checked(self._loss(self._layout.tree(w, constants), *arguments))
        inputs, targets = arguments[0]
        return checked(self._loss(self._outputs(constants, inputs, w), targets))

    def gradient(self, constants: Any, arguments: Any, w: XpArray) -> Share:
        mean = functools.partial(self.mean, constants, arguments)
        (found, weight), slope = jax.value_and_grad(mean, has_aux=True)(w)
        return slope, found, weight

    def hessian(self, constants: Any, arguments: Any, w: XpArray, v: XpArray) -> Share:
        def slope(w: XpArray) -> tuple[XpArray, Any]:
            vector, *rest = self.gradient(constants, arguments, w)
            return vector, rest

        _, product, (found, weight) = jax.jvp(slope, (w,), (v,), has_aux=True)
        return product, found, weight

    def gauss_newton(
        self, constants: Any, arguments: Any, w: XpArray, v: XpArray
    ) -> Share:
        inputs, targets = self._prepared(arguments)[0]
        forward = functools.partial(self._outputs, constants, inputs)

        def mean(out: Any) -> tuple[XpArray, XpArray | None]:
            return checked(self._loss(out, targets))

        def slope(out: Any) -> tuple[Any, Any]:
            found, vector = jax.value_and_grad(mean, has_aux=True)(out)
            return vector, found

        out, pull = jax.vjp(forward, w)
        _, moved = jax.jvp(forward, (w,), (v,))
        _, curved, (found, weight) = jax.jvp(slope, (out,), (moved,), has_aux=True)
        return pull(curved)[0], found, weight

    def answers(self, constants: Any, arguments: Any, w: XpArray) -> Any:
        inputs, targets = self._prepared(arguments)[0]
        return _answers(self._outputs(constants, inputs, w), targets)

    def _outputs(self, constants: Any, inputs: Any, w: XpArray) -> Any:
        assert self._model is not None  # checked with the arguments
        return self._model(self._layout.tree(w, constants), inputs)

    def _prepared(self, arguments: Any) -> Any:
        return tree_map(lambda each: widened(each, self._layout.dtype), arguments)


def checked(returned: Any) -> tuple[XpArray, XpArray | None]:
    """Return what a loss returned, as a number and its weight, or None.

    Raises
    ------
    TypeError
        If it is a tuple of another length.
    """
    if not isinstance(returned, tuple):
        return _number("loss", returned), None
    if len(returned) != 2:
        msg = (
            f"loss returned a tuple of {len(returned)}; return the mean loss, or (mean "
            "loss, weight)"
        )
        raise TypeError(msg)
    return _number("loss", returned[0]), _number("weight", returned[1])


def _number(name: str, value: Any) -> XpArray:
    advice = (
        "return one real number, the mean over the batch"
        if name == "loss"
        else "return one real number, such as the number of samples that were averaged"
    )
    if isinstance(value, str | bytes) or len(tree_leaves(value)) != 1:
        msg = f"loss returned {type(value).__name__} as the {name}; {advice}"
        raise TypeError(msg)
    array = jnp.asarray(value)
    real = jnp.floating if name == "loss" else jnp.number
    complex_ = jnp.issubdtype(array.dtype, jnp.complexfloating)
    if complex_ or not jnp.issubdtype(array.dtype, real) or array.size != 1:
        msg = (
            f"loss returned an array of shape {array.shape} and dtype {array.dtype} as "
            f"the {name}; {advice}"
        )
        raise (ValueError if array.size != 1 else TypeError)(msg)
    return array.reshape(())


def _summed(share: Callable[..., Share]) -> Summed:
    @functools.partial(jax.jit, donate_argnums=0)
    def summed(total: XpArray, rows: Any, *arguments: Any) -> Share:
        vector, loss, weight = share(*arguments)
        factor = jnp.asarray(rows if weight is None else weight, total.dtype)
        return total + factor * vector, loss, weight

    function: Summed = summed
    return function


def _answers(outputs: Any, targets: Any) -> tuple[XpArray, int] | None:
    """Compare the largest of the last axis with the labels, if these are classes."""
    if len(tree_leaves(outputs)) != 1 or len(tree_leaves(targets)) != 1:
        return None
    (scores,), (labels,) = tree_leaves(outputs), tree_leaves(targets)
    labelled = jnp.issubdtype(labels.dtype, jnp.integer) and labels.ndim > 0
    if not labelled or scores.shape[:-1] != labels.shape or scores.shape[-1] < 2:
        return None
    return (scores.argmax(-1) == labels).sum(), labels.size
