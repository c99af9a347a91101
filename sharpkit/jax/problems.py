"""A pure JAX loss, its parameters and its data as one function of the flat weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import tree_leaves

from sharpkit._inputs.checks import checked_seed
from sharpkit._inputs.types import XpArray
from sharpkit._inputs.warn import warn
from sharpkit.jax.batches import Batches
from sharpkit.jax.drawn import DrawnFisher
from sharpkit.jax.layout import Layout
from sharpkit.jax.pieces import Pieces
from sharpkit.jax.products import Compiled, Summed
from sharpkit.jax.widening import SAMPLES, Widened


class Problem:
    """The mean loss over all data, its gradient and its exact products.

    It is made by `sharpkit.jax.problem`, and every measure takes it. It is itself a
    loss function: ``problem(w)`` returns the loss and the gradient. Its vectors are
    flat, of shape (n,), in the order of the pytree and in one dtype. Those given to it
    may be arrays of NumPy or JAX; those that it returns are arrays of JAX.

    Attributes
    ----------
    weights : (n,) float32 or float64
        The measured arrays of ``params`` as one flat vector.
    parameters : dict of str to slice
        Where each measured array lies in the weights, by its name.
    layers : dict of str to slice
        The same for layers, which are the parents of arrays: the weight and the bias of
        one layer lie together. An array of the root is a layer by itself.
    samples : int or None
        The number of rows of the data; None where there are none to count.
    entries : int
        The number of entries that a checkpoint of ``params`` holds at the most.
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
        self._weights, self._constants = flat
        self._layout, self._functions, self._split = layout, functions, split
        self._pieces, self._warned = Pieces(batches, split=split), False
        # the way to each product that JAX can go, or what it says if there is none
        self._known: dict[tuple[Summed, ...], tuple[Summed | None, str]] = {}
        # Only the first batch is looked at, and only its shapes and types: nothing is
        # computed.
        arguments, rows = next(iter(self._pieces), (None, None))
        if arguments is None:
            msg = "data yields no batches; give at least one"
            raise ValueError(msg)
        _, weight = jax.eval_shape(
            functions.loss, self._constants, arguments, self.weights
        )
        self._pieces.weighted = weight is not None
        self._first = jax.eval_shape(lambda *each: each, *arguments), rows
        self._pieces.require_weight(arguments, rows)

    def __repr__(self) -> str:
        n, arrays = self._layout.n, len(self.parameters)
        return f"Problem of n = {n:,} weights in {arrays} arrays, {self._layout.dtype}"

    @property
    def weights(self) -> jax.Array:
        """The measured arrays of ``params`` as one flat vector, (n,)."""
        return self._weights

    @property
    def parameters(self) -> dict[str, slice]:
        """Where each measured array lies in the weights, by its name."""
        return dict(self._layout.slices)

    @property
    def layers(self) -> dict[str, slice]:
        """Where the arrays of each layer lie in the weights, by its name."""
        return dict(self._layout.layers)

    @property
    def matrices(self) -> dict[str, tuple[slice, tuple[int, ...], int]]:
        """Where each matrix lies in the weights, its shape, the axis of its outputs.

        These are the measured arrays of two axes or more. Outputs are taken to be along
        the last axis, as in Flax and in ``x @ W``, unless the array is called
        ``weight``, as in Equinox.
        """
        return self._layout.matrices()

    @property
    def entries(self) -> int:
        """The number of entries that a checkpoint of ``params`` holds at the most."""
        return int(self._layout.entries)

    @property
    def samples(self) -> int | None:
        """The number of rows of the data, which a pass over them counts.

        It is None without data, and where the arrays of a batch have no common first
        dimension.
        """
        if self._pieces.batches is None:
            return None
        total = 0
        for _, rows in self._pieces.batches:
            if rows is None:
                return None
            total += rows
        return total

    @property
    def subset(self) -> Callable[[Any], Problem] | None:
        """The same problem over some samples, ``subset(indices)``, at its weights.

        Indices are whole numbers below `samples`, each once: rows of the arrays, or the
        order of the batches in a list. Batches are cut as those of the problem. It is
        None without data, and where data cannot be told apart into samples: another
        iterable of batches, or arrays without a common first dimension.
        """
        indexed = self._pieces.batches is not None and self._pieces.batches.indexed
        return self._subset if indexed else None

    def __call__(self, w: XpArray) -> tuple[float, jax.Array]:
        """Return the mean loss at ``w`` and its gradient.

        Parameters
        ----------
        w : (n,)
            A vector of the dtype of `weights`.

        Returns
        -------
        loss : float
            The mean loss over all data.
        gradient : (n,)
            Its gradient.
        """
        return self._mean(self._functions.gradient, self._layout.checked("w", w))

    def forward(self, w: XpArray) -> float:
        """Return the mean loss at ``w`` without its gradient.

        Parameters
        ----------
        w : (n,)
            A vector of the dtype of `weights`.
        """
        w, loss_sum, weight_sum = self._layout.checked("w", w), 0.0, 0.0
        for arguments, count in self._pieces:
            rows = self._pieces.counted(arguments, count, self._own_loss)
            if rows == 0:
                continue  # a mean over nothing is no number
            loss, weight = self._functions.value(self._constants, arguments, w)
            size = float(rows or 0) if weight is None else float(weight)
            loss_sum, weight_sum = loss_sum + size * float(loss), weight_sum + size
        self._pieces.require_same(weight_sum)
        return loss_sum / weight_sum

    @property
    def hvp(self) -> Callable[[XpArray, XpArray], jax.Array] | None:
        """The exact product ``hvp(w, v)`` of the Hessian at w with a vector v.

        It is found by forward over reverse differentiation, or by reverse over reverse
        where a part of the model has no forward derivatives, as a ``custom_vjp``. It is
        None where JAX can trace neither on the first batch, which is said in a warning,
        once.
        """
        function, reason = self._traced(self._functions.hessian)
        if function is None and not self._warned:
            self._warned = True
            warn(
                f"this loss has no exact products with its Hessian ({reason}); "
                "central differences of the gradient are used"
            )
        return None if function is None else self._hvp

    def gauss_newton(self, w: XpArray, v: XpArray) -> jax.Array:
        r"""Return the product of the Gauss-Newton matrix with a vector.

        The matrix is the mean of :math:`J^T H_L J` over the batches, with the Jacobian
        J of the outputs of the model and the Hessian H_L of the loss by those outputs.

        Parameters
        ----------
        w : (n,)
            The weights at which the matrix is taken.
        v : (n,)
            The vector that is multiplied.

        Returns
        -------
        product : (n,)
            The exact product, up to rounding.

        Raises
        ------
        ValueError
            If the problem was made without ``model``.
        NotImplementedError
            If JAX has no second derivative of a part of the loss.
        """
        self._require_split("the Gauss-Newton matrix")
        vectors = self._layout.checked("w", w), self._layout.checked("v", v)
        function, reason = self._traced(self._functions.gauss_newton)
        if function is None:
            msg = (
                f"this loss has no exact products ({reason}); measure its Hessian, by "
                "differences of the gradient"
            )
            raise NotImplementedError(msg)
        return self._mean(function, *vectors)[1]

    @property
    def directional(self) -> Callable[[XpArray, XpArray], jax.Array] | None:
        """The derivatives along v of the losses of single rows of the data.

        ``directional(w, v)`` returns one for each, (k,), as if each row were a batch,
        by a forward pass with a tangent. It is None where the data have no rows.
        """
        rows = self._first[1] if self._pieces.batches is not None else None
        return None if rows is None else self._directional

    @property
    def empirical_fisher(self) -> Callable[[XpArray, XpArray], jax.Array] | None:
        """The product ``empirical_fisher(w, v)`` of the empirical Fisher matrix.

        That is the mean over rows of ``g_i g_i^T``, with the gradients of single rows
        and the given labels. Give it as ``hvp=problem.empirical_fisher``. It is None
        where `directional` is.
        """
        return None if self.directional is None else self._fisher

    def monte_carlo_fisher(self, seed: int = 0) -> Callable[..., jax.Array]:
        """Return the product ``fisher(w, v)`` of a Monte-Carlo Fisher matrix.

        That is the mean over predictions of ``g g^T``, with the gradient g for one
        label drawn from the model's own answer. Over seeds its mean is the Gauss-Newton
        matrix. Give it as ``hvp=problem.monte_carlo_fisher(seed)``. Labels are drawn in
        the order of the data, and are the same at every product at the same weights.

        Parameters
        ----------
        seed
            The seed of the labels.

        Raises
        ------
        ValueError
            If the problem was made without ``model``, or, at the first product, if the
            loss is not the plain mean cross-entropy of its outputs.
        """
        self._require_split("a Monte-Carlo Fisher matrix")

        def batches() -> Iterator[tuple[Any, Any]]:
            return ((self._constants, arguments) for arguments, _ in self._pieces)

        seed = checked_seed(seed)
        return DrawnFisher(self._functions.drawn, batches, self._layout, seed)

    def accuracy(self, w: XpArray) -> float | None:
        """Return the share of samples whose largest output is their class, from 0 to 1.

        It is None without ``model``, and unless the targets are integer classes and the
        outputs have one entry for each class along their last dimension.

        Parameters
        ----------
        w : (n,)
            A vector of the dtype of `weights`.
        """
        return self.evaluate(w)[1] if self._split else None

    def evaluate(self, w: XpArray) -> tuple[float, float | None]:
        """Return the mean loss at ``w`` and the `accuracy` in one forward pass.

        Parameters
        ----------
        w : (n,)
            A vector of the dtype of `weights`.
        """
        if not self._split:
            return self.forward(w), None
        w, losses, weights, answers = self._layout.checked("w", w), [], [], []
        for arguments, count in self._pieces:
            rows = self._pieces.counted(arguments, count, self._own_loss)
            (loss, weight), found = self._functions.tally(self._constants, arguments, w)
            answers.append(found)
            if rows != 0:  # a mean over nothing is no number
                weights.append(float(rows or 0) if weight is None else float(weight))
                losses.append(weights[-1] * float(loss))
        total = math.fsum(weights)
        self._pieces.require_same(total)
        mean = math.fsum(losses) / total
        known = [found for found in answers if found is not None]
        if len(known) < len(answers):
            return mean, None
        right, asked = (sum(map(int, each)) for each in zip(*known, strict=True))
        return mean, right / asked

    def tree(self, w: XpArray) -> Any:
        """Return the pytree at flat weights; its measured arrays get their dtype.

        Parameters
        ----------
        w : (n,)
            A vector of the dtype of `weights`.
        """
        return self._layout.tree(self._layout.checked("w", w), self._constants)

    def at(self, named: Mapping[str, XpArray]) -> Problem:
        """Return the same problem at the weights and constants of a checkpoint.

        Nothing is compiled again. An array that is missing, unknown or of another shape
        is an error, which names it.

        Parameters
        ----------
        named
            The float arrays of ``params``, measured and constant, by their names;
            those that are measured may stand alone.
        """
        moved = copy.copy(self)
        moved._pieces = copy.copy(self._pieces)
        moved._weights, moved._constants = self._layout.at(named, self._constants)
        return moved

    def widened(self) -> Widened:
        """Return the problem of some rows of the first batch, in float64.

        There kinks and rounding hide nothing of a product that lacks a part.
        """

        def make() -> Problem:
            layout, batches = self._layout.widened(), self._pieces.batches
            return Problem(
                layout,
                layout.flat(tree_leaves(self.tree(self._weights))),
                None if batches is None else batches.few(SAMPLES),
                self._functions.again(layout),
                split=self._split,
            )

        return Widened(make)

    def on_line(self) -> Problem:
        """Return the problem that is evaluated on the line between two checkpoints.

        It is the problem itself: the loss decides which batch statistics are used.
        """
        return self

    def release(self) -> None:
        """Free what is kept for products, which is nothing here."""

    def _subset(self, indices: Any) -> Problem:
        other = copy.copy(self)
        other._pieces = self._pieces.subset(indices)
        return other

    def _require_split(self, what: str) -> None:
        if not self._split:
            msg = (
                f"model=None; {what} needs to know where the model ends and the loss "
                "begins: give sharpkit.jax.problem a model(params, inputs) and a "
                "loss(outputs, targets)"
            )
            raise ValueError(msg)

    def _directional(self, w: XpArray, v: XpArray) -> jax.Array:
        w, v = self._layout.checked("w", w), self._layout.checked("v", v)
        return jnp.concatenate([part for _, part in self._along(w, v)])

    def _fisher(self, w: XpArray, v: XpArray) -> jax.Array:
        w, v = self._layout.checked("w", w), self._layout.checked("v", v)
        total, count = jnp.zeros_like(w), 0
        for arguments, part in self._along(w, v):
            total += self._functions.pulled(self._constants, arguments, w, part)
            count += part.size
        return total / count

    def _along(self, w: XpArray, v: XpArray) -> Iterator[tuple[Any, jax.Array]]:
        """Yield the arguments of each batch and its rows' derivatives along v."""
        forward, reverse = self._functions.directional
        for arguments, _ in self._pieces:
            given = self._constants, arguments, w, v
            try:
                part = forward(*given)
            except (TypeError, NotImplementedError):  # as of a custom_vjp
                part = reverse(*given)
            yield arguments, part

    def _hvp(self, w: XpArray, v: XpArray) -> jax.Array:
        vectors = self._layout.checked("w", w), self._layout.checked("v", v)
        function, _ = self._traced(self._functions.hessian)
        assert function is not None  # hvp is None otherwise
        return self._mean(function, *vectors)[1]

    def _traced(self, ways: tuple[Summed, ...]) -> tuple[Summed | None, str]:
        """Return the first of the ways that JAX can go, and what it says if none."""
        if ways not in self._known:
            self._known[ways] = self._tried(ways)
        return self._known[ways]

    def _tried(self, ways: tuple[Summed, ...]) -> tuple[Summed | None, str]:
        w, reason = self._layout.checked("weights", self._weights), ""
        arguments, rows = self._first
        given = w, rows, self._constants, arguments, w
        for function in ways:
            try:
                # Some of what is missing shows no sooner than here.
                function.lower(*given, w)
            except (TypeError, ValueError, NotImplementedError) as error:
                reason = reason or str(error).strip().split("\n")[0]
            else:
                return function, ""
        jax.eval_shape(self._functions.gradient, *given)  # perhaps it is not even that
        return None, reason

    def _mean(self, function: Summed, *vectors: XpArray) -> tuple[float, XpArray]:
        total = jnp.zeros_like(vectors[0])
        loss_sum = weight_sum = 0.0
        for arguments, count in self._pieces:
            rows = self._pieces.counted(arguments, count, self._own_loss)
            if rows == 0:
                continue  # a mean over nothing is no number
            total, loss, weight = function(
                total, rows, self._constants, arguments, *vectors
            )
            # To read the numbers is to wait for the batch: no queue of batches builds
            # up, and the caller may overwrite w and v once this has returned.
            size = float(rows or 0) if weight is None else float(weight)
            loss_sum, weight_sum = loss_sum + size * float(loss), weight_sum + size
        self._pieces.require_same(weight_sum)
        return loss_sum / weight_sum, total / weight_sum

    def _own_loss(self, arguments: Any) -> Any:
        return self._functions.loss(self._constants, arguments, self._weights)[0]
