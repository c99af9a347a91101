"""The mean loss over all batches, with its gradient and products, as a callback."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sharpkit._inputs.types import XpArray
from sharpkit.jax.batches import Batches
from sharpkit.jax.layout import ENABLE_X64, Layout
from sharpkit.jax.products import Compiled, Summed

SAME = 1e-9  # relative; the weights of all batches add up to the same at every pass


class Problem:
    """``problem(w) -> (mean loss, gradient)`` over the data, with exact products.

    Made by `problem`. Vectors are flat, (n,), in the order of the pytree and in one
    dtype; those given may be NumPy's, those returned are JAX's.

    weights : (n,)
        Those of the ``params`` given.
    parameters : dict of str to slice
        Name of each measured array -> where it lies.
    layers : dict of str to slice
        The same for their parents: weight and bias of one layer together. An array of
        the root is a layer by itself.
    """

    def __init__(
        self,
        layout: Layout,
        flat: tuple[XpArray, list[XpArray]],
        batches: Batches | None,
        functions: Compiled,
        *,
        split: bool,
    ) -> None:
        self.weights, self._constants = flat
        self.parameters, self.layers = dict(layout.slices), dict(layout.layers)
        self._layout, self._batches, self._functions = layout, batches, functions
        self._split, self._weighted = split, True
        self._weight_sum: float | None = None
        # The first batch only, and only shapes and types: nothing is computed.
        arguments, rows = next(self._pieces(), (None, None))
        if arguments is None:
            msg = "data yields no batches; give at least one"
            raise ValueError(msg)
        _, weight = jax.eval_shape(
            functions.loss, self._constants, arguments, self.weights
        )
        self._weighted = weight is not None
        self._require_weight(arguments, rows)

    def __repr__(self) -> str:
        n, arrays = self._layout.size, len(self.parameters)
        return f"Problem of n = {n:,} weights in {arrays} arrays, {self._layout.dtype}"

    def __call__(self, w: XpArray) -> tuple[float, XpArray]:
        """Return the mean loss and its gradient (n,)."""
        return self._mean(self._functions.gradient, self._vector("w", w))

    def hvp(self, w: XpArray, v: XpArray) -> XpArray:
        """Return the Hessian of the mean loss at ``w`` times ``v``, (n,)."""
        vectors = self._vector("w", w), self._vector("v", v)
        return self._mean(self._functions.hessian, *vectors)[1]

    def gauss_newton(self, w: XpArray, v: XpArray) -> XpArray:
        """Return ``J^T H_L J v`` of the mean loss, (n,): J of the model's outputs.

        Raises
        ------
        ValueError
            If the problem was made without ``model``.
        """
        if not self._split:
            msg = (
                "gauss_newton needs the loss split at the outputs: give model=, with "
                "loss(outputs, targets), to problem()"
            )
            raise ValueError(msg)
        vectors = self._vector("w", w), self._vector("v", v)
        return self._mean(self._functions.gauss_newton, *vectors)[1]

    def accuracy(self, w: XpArray) -> float | None:
        """Return the share of integer targets that are the outputs' largest entry.

        Every target counts as one. None where there is no ``model``, or where targets
        are not integers of the outputs' shape without its last axis.
        """
        if not self._split:
            return None
        w, right, asked = self._vector("w", w), 0, 0
        for arguments, _ in self._pieces():
            found = self._functions.answers(self._constants, arguments, w)
            if found is None:
                return None
            right, asked = right + int(found[0]), asked + int(found[1])
        return right / asked

    @property
    def samples(self) -> int | None:
        """Rows of the data, counted by a pass; None where there are none to count."""
        if self._batches is None:
            return None
        total = 0
        for _, rows in self._batches:
            if rows is None:
                return None
            total += rows
        return total

    def tree(self, w: XpArray) -> Any:
        """Return the pytree at flat weights, measured arrays in the weights' dtype."""
        return self._layout.tree(self._vector("w", w), self._constants)

    def at(self, named: Mapping[str, XpArray]) -> Problem:
        """Return the same problem at other weights and constants, compiled already.

        Parameters
        ----------
        named
            Name -> array, for all float arrays of ``params``, measured or constant.

        Raises
        ------
        TypeError, ValueError
            If an array is missing, unknown, or of another shape.
        """
        moved = copy.copy(self)
        moved.weights, moved._constants = self._layout.at(named, self._constants)
        return moved

    def on_line(self) -> Problem:
        """Return the problem itself: the loss has decided on the batch statistics."""
        return self

    def _mean(self, function: Summed, *vectors: XpArray) -> tuple[float, XpArray]:
        total = jnp.zeros_like(vectors[0])
        loss_sum = weight_sum = 0.0
        for arguments, rows in self._pieces():
            total, loss, weight = function(
                total, rows, self._constants, arguments, *vectors
            )
            # Reading the numbers waits for the batch: no queue of batches builds up,
            # and the caller may overwrite w and v once this has returned.
            size = float(rows or 0) if weight is None else float(weight)
            loss_sum, weight_sum = loss_sum + size * float(loss), weight_sum + size
        self._require_same(weight_sum)
        return loss_sum / weight_sum, total / weight_sum

    def _pieces(self) -> Iterator[tuple[tuple[Any, ...], int | None]]:
        """Yield the loss's arguments after params, and the number of rows."""
        if self._batches is None:
            yield (), 1
            return
        for batch, rows in self._batches:
            if self._split and not (
                isinstance(batch, tuple | list) and len(batch) == 2
            ):
                size = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
                msg = (
                    f"a batch of data is of type {type(batch).__name__}{size}; with "
                    "model= give pairs (inputs, targets)"
                )
                raise ValueError(msg)
            self._require_weight((batch,), rows)
            yield (batch,), rows

    def _require_weight(self, arguments: Any, rows: int | None) -> None:
        if rows is None and not self._weighted:
            shapes = [jnp.shape(leaf) for leaf in jax.tree_util.tree_leaves(arguments)]
            msg = (
                f"a batch of data has arrays of shapes {shapes}, of no common first "
                "dimension, so that its share of the mean is unknown; return (mean "
                "loss, weight) from loss"
            )
            raise ValueError(msg)

    def _require_same(self, weight_sum: float) -> None:
        if not (math.isfinite(weight_sum) and weight_sum > 0):
            msg = (
                f"the weights of all batches add up to {weight_sum}; they must be "
                "positive numbers, such as the number of samples of each batch"
            )
            raise ValueError(msg)
        before = self._weight_sum = self._weight_sum or weight_sum
        if abs(weight_sum - before) > SAME * before:
            msg = (
                f"the weights of all batches add up to {weight_sum:.9g}, in the pass "
                f"before to {before:.9g}; data must give the same samples at every "
                "pass, and the weight that loss returns must not depend on params"
            )
            raise ValueError(msg)

    def _vector(self, name: str, value: Any) -> XpArray:
        dtype, size = self._layout.dtype, self._layout.size
        if not isinstance(value, jax.Array | np.ndarray):
            msg = (
                f"{name} is of type {type(value).__name__}; give a JAX or NumPy vector "
                f"of {size} entries, such as problem.weights"
            )
            raise TypeError(msg)
        if value.shape != (size,):
            msg = f"{name} has shape {value.shape}; the problem has weights ({size},)"
            raise ValueError(msg)
        if value.dtype != dtype:
            msg = (
                f"{name} has dtype {value.dtype}, the problem {dtype}; give "
                f"{name}.astype({str(dtype)!r})"
            )
            raise TypeError(msg)
        if dtype == np.float64 and not jax.config.jax_enable_x64:
            msg = (
                "the problem was made in float64, which JAX has switched off since; "
                f"call {ENABLE_X64}"
            )
            raise RuntimeError(msg)
        return jnp.asarray(value)
