"""What is compiled: the gradient of one batch's loss, and products with a vector."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.tree_util import tree_flatten, tree_leaves, tree_map, tree_unflatten

from sharpkit._inputs.types import XpArray
from sharpkit._inputs.weighing import MAPPING
from sharpkit.jax import drawn
from sharpkit.jax.layout import Layout, widened

# A vector, (n,), the mean loss, and its weight, or None for the number of rows.
Share = tuple[XpArray, XpArray, XpArray | None]


class Summed(Protocol):
    """A compiled sum, which knows whether it can be compiled."""

    def __call__(self, total: XpArray, rows: Any, *arguments: Any) -> Share:
        """Return total + weight x vector, the mean loss, and the weight."""
        ...

    def lower(self, total: Any, rows: Any, *arguments: Any) -> Any:
        """Do all but compile, for arrays or for what has their shapes."""
        ...


class Compiled(NamedTuple):
    """The functions of one batch, each compiled once for every shape of a batch.

    Attributes
    ----------
    gradient
        The gradient: ``(total, rows, constants, arguments, w) -> (total + weight x
        gradient, mean loss, weight or None)``. The sum takes the memory of ``total``.
    hessian, gauss_newton
        The products, which are also given ``v``: two functions for each, by forward
        over reverse differentiation, and by reverse over reverse, which takes more
        memory and does without forward derivatives.
    tally
        The mean loss as by ``value``, and the count of right answers, from one forward
        pass: ``(constants, arguments, w) -> ((mean loss, weight or None), (right,
        asked))``, with None for the count where nothing is counted.
    loss, value
        The mean loss: ``(constants, arguments, w) -> (mean loss, weight or None)``. The
        first is not compiled.
    directional
        The derivatives along v of the losses of single rows: ``(constants, arguments,
        w, v) -> (rows,)``, by forward and by reverse differentiation.
    pulled
        The gradient of the losses of single rows, weighed: ``(constants, arguments, w,
        weights) -> (n,)``.
    drawn
        The product with the Fisher matrix of drawn labels: see `sharpkit.jax.drawn`.
    again
        The function that returns the same for another layout.
    """

    gradient: Summed
    hessian: tuple[Summed, Summed]
    gauss_newton: tuple[Summed, Summed]
    tally: Callable[..., tuple[Any, tuple[XpArray, int] | None]]
    loss: Callable[..., tuple[XpArray, XpArray | None]]
    value: Callable[..., tuple[XpArray, XpArray | None]]
    directional: tuple[Callable[..., XpArray], Callable[..., XpArray]]
    pulled: Callable[..., XpArray]
    drawn: Callable[..., tuple[XpArray, XpArray]]
    again: Callable[[Layout], Compiled]


def compiled(
    layout: Layout, loss: Callable[..., Any], model: Callable[..., Any] | None
) -> Compiled:
    """Return the functions of a batch; arrays are given to them, they keep none."""
    batch = _Batch(layout, loss, model)
    return Compiled(
        _summed(batch.gradient),
        (_summed(batch.hessian), _summed(batch.hessian_by_reverse)),
        (_summed(batch.gauss_newton), _summed(batch.gauss_newton_by_reverse)),
        jax.jit(batch.tally),
        batch.mean,
        jax.jit(batch.mean),
        (jax.jit(batch.directional), jax.jit(batch.directional_by_reverse)),
        jax.jit(batch.pulled),
        jax.jit(batch.drawn),
        lambda other: compiled(other, loss, model),
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
        slope = self._slope(constants, arguments)
        _, product, (found, weight) = jax.jvp(slope, (w,), (v,), has_aux=True)
        return product, found, weight

    def hessian_by_reverse(
        self, constants: Any, arguments: Any, w: XpArray, v: XpArray
    ) -> Share:
        slope = self._slope(constants, arguments)
        _, pull, (found, weight) = jax.vjp(slope, w, has_aux=True)
        return pull(v)[0], found, weight

    def gauss_newton(
        self, constants: Any, arguments: Any, w: XpArray, v: XpArray
    ) -> Share:
        forward, bend = self._parts(constants, arguments)
        out, pull = jax.vjp(forward, w)
        _, moved = jax.jvp(forward, (w,), (v,))
        _, curved, (found, weight) = jax.jvp(bend, (out,), (moved,), has_aux=True)
        return pull(curved)[0], found, weight

    def gauss_newton_by_reverse(
        self, constants: Any, arguments: Any, w: XpArray, v: XpArray
    ) -> Share:
        forward, bend = self._parts(constants, arguments)
        out, pull = jax.vjp(forward, w)
        # J v is the derivative by u of J^T u, times v
        _, push = jax.vjp(lambda u: pull(u)[0], tree_map(jnp.zeros_like, out))
        (moved,) = push(v)
        _, pull_bend, (found, weight) = jax.vjp(bend, out, has_aux=True)
        return pull(pull_bend(moved)[0])[0], found, weight

    def directional(
        self, constants: Any, arguments: Any, w: XpArray, v: XpArray
    ) -> XpArray:
        losses = functools.partial(self._losses, constants, arguments)
        return jax.jvp(losses, (w,), (v,))[1]

    def directional_by_reverse(
        self, constants: Any, arguments: Any, w: XpArray, v: XpArray
    ) -> XpArray:
        losses = functools.partial(self._losses, constants, arguments)
        out, pull = jax.vjp(losses, w)
        # as in `gauss_newton_by_reverse`
        _, push = jax.vjp(lambda u: pull(u)[0], jnp.zeros_like(out))
        return push(v)[0]

    def pulled(
        self, constants: Any, arguments: Any, w: XpArray, weights: XpArray
    ) -> XpArray:
        losses = functools.partial(self._losses, constants, arguments)
        product: XpArray = jax.vjp(losses, w)[1](weights)[0]
        return product

    def drawn(
        self, constants: Any, arguments: Any, w: XpArray, v: XpArray, at: XpArray
    ) -> tuple[XpArray, XpArray]:
        inputs, targets = self._prepared(arguments)[0]
        forward = functools.partial(self._outputs, constants, inputs)
        return drawn.product(
            forward,
            lambda out: checked(self._loss(out, targets))[0],
            targets,
            (w, v),
            at,
        )

    def _losses(self, constants: Any, arguments: Any, w: XpArray) -> XpArray:
        """Return the loss of each row of a batch, as if it were a batch alone."""
        leaves, kind = tree_flatten(arguments)
        many = [bool(jnp.ndim(leaf)) for leaf in leaves]

        def one(*row: Any) -> XpArray:
            own = [leaf[None] if m else leaf for leaf, m in zip(row, many, strict=True)]
            return self.mean(constants, tree_unflatten(kind, own), w)[0]

        return jax.vmap(one, [0 if m else None for m in many])(*leaves)

    def _slope(self, constants: Any, arguments: Any) -> Callable[[XpArray], Any]:
        def slope(w: XpArray) -> tuple[XpArray, Any]:
            vector, *rest = self.gradient(constants, arguments, w)
            return vector, rest

        return slope

    def _parts(
        self, constants: Any, arguments: Any
    ) -> tuple[Callable[[XpArray], Any], Callable[[Any], Any]]:
        """Return the outputs as a function of w, and the slope as one of outputs."""
        inputs, targets = self._prepared(arguments)[0]

        def mean(out: Any) -> tuple[XpArray, XpArray | None]:
            return checked(self._loss(out, targets))

        def bend(out: Any) -> tuple[Any, Any]:
            found, vector = jax.value_and_grad(mean, has_aux=True)(out)
            return vector, found

        return functools.partial(self._outputs, constants, inputs), bend

    def tally(self, constants: Any, arguments: Any, w: XpArray) -> Any:
        inputs, targets = self._prepared(arguments)[0]
        outputs = self._outputs(constants, inputs, w)
        return checked(self._loss(outputs, targets)), _answers(outputs, targets)

    def _outputs(self, constants: Any, inputs: Any, w: XpArray) -> Any:
        assert self._model is not None  # checked with the arguments
        return self._model(self._layout.tree(w, constants), inputs)

    def _prepared(self, arguments: Any) -> Any:
        return tree_map(lambda each: widened(each, self._layout.dtype), arguments)


def checked(returned: Any) -> tuple[XpArray, XpArray | None]:
    """Return what a loss returned, as a number and its weight, or None.

    It is a number, or a mapping with ``"loss"`` and perhaps ``"weight"``.

    Raises
    ------
    TypeError
        If it is a tuple, or a mapping without a loss.
    """
    if isinstance(returned, tuple):
        msg = (
            f"loss returned a tuple of {len(returned)}; return the mean alone or, to "
            f"say what a batch counts, {MAPPING}"
        )
        raise TypeError(msg)
    if not isinstance(returned, Mapping):
        return _number("loss", returned), None
    if "loss" not in returned:
        msg = f"loss returned a {type(returned).__name__} without 'loss'; {MAPPING}"
        raise TypeError(msg)
    weight = returned.get("weight")
    loss = _number("loss", returned["loss"])
    return loss, None if weight is None else _number("weight", weight)


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
