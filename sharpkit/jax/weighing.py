"""What a batch counts where the loss does not say so: tried on a few samples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal
from jax.tree_util import tree_leaves, tree_map

from sharpkit._inputs.warn import warn
from sharpkit._inputs.weighing import (
    ADDS_UP,
    NO_MEAN,
    UNKNOWN,
    Split,
    Verdict,
    few,
    halves,
    judged,
)

Loss = Callable[[Any], Any]  # the arguments after params -> the mean loss
ROWS = "the rows"
SAME = 1e-9  # relative; two numbers are in step with each other
IGNORED = -100  # as in torch and in transformers
ACCELERATED = 2.0**-14  # about the rounding of products of float32 matrices there
# Operations through which a mean stays one, up to factors and constants.
LINEAR = set(
    "add sub mul neg convert_element_type reshape squeeze broadcast_in_dim copy "
    "stop_gradient add_any".split()
)


class Weighing:
    """The weights of batches, in rows of the first batch.

    What a plain mean divides by is read from the traced loss. Otherwise the first batch
    is held against its halves, once, and again at the first batch at which the numbers
    that explained the first differ.

    Parameters
    ----------
    several
        Whether there is more than one batch.
    """

    def __init__(self, *, several: bool) -> None:
        self._several = several
        self._read: dict[Any, float | None] = {}  # by the shapes of a batch
        self._unit = 0.0  # what is read from the first batch, for each row
        self._name: str | None = None
        self._rivals: dict[str, float] = {}  # what fits, for each row of the first

    def over(self, *, several: bool) -> Weighing:
        """Return the weights of other batches of the same data, as far as known."""
        if several == self._several:
            return self
        other = copy.copy(self)
        other._several = several
        return other

    def weight(self, loss: Loss, arguments: Any, rows: int) -> float:
        """Return the weight of a batch.

        Parameters
        ----------
        loss
            A function that returns the loss of other batches.
        arguments
            What the loss takes after the parameters.
        rows
            The number of its rows.
        """
        shapes = tuple(np.shape(leaf) for leaf in tree_leaves(arguments))
        if shapes not in self._read:
            self._read[shapes] = _divisor(loss, arguments, rows)
        number = self._read[shapes]
        if number is not None:
            self._unit = self._unit or number / rows
            return number / self._unit
        if self._name is None or self._differ(arguments, rows):
            self._settle(loss, arguments, rows)
        if self._name in (None, ROWS):
            return float(rows)
        assert self._name is not None
        return counts(arguments, rows)[self._name] / self._rivals[self._name]

    def _settle(self, loss: Loss, arguments: Any, rows: int) -> None:
        again, before = self._name is not None, self._rivals
        self._name, self._rivals = self._name or ROWS, {}
        if rows < 2:
            if self._several:
                warn(UNKNOWN)
            return
        verdict, numbers = _tried(loss, arguments, rows)
        fits = [name for name in verdict.fits if name in (before or numbers)]
        if not fits and verdict.clear and verdict.adds_up:
            self._name = None
            raise ValueError(ADDS_UP)
        if not self._several:
            return
        if not fits:
            if verdict.clear:
                warn(NO_MEAN)
            self._name = ROWS
            return
        rates = {name: numbers[name] / numbers[ROWS] for name in fits}
        self._rivals = {name: before.get(name, rates[name]) for name in fits}
        if self._name not in fits:
            self._name = fits[0]
        if again and self._differ(arguments, rows):
            warn(UNKNOWN)
            self._rivals = {self._name: self._rivals[self._name]}

    def _differ(self, arguments: Any, rows: int) -> bool:
        if len(self._rivals) < 2:
            return False
        own = counts(arguments, rows)
        shares = [own[name] / rate for name, rate in self._rivals.items()]
        return max(shares) - min(shares) > SAME * max(shares)


def counts(arguments: Any, rows: int) -> dict[str, float]:
    """Return what in a batch may be counted, by its name."""
    found = {ROWS: float(rows)}
    for index, leaf in enumerate(tree_leaves(arguments)):
        array = np.asarray(leaf)
        found[f"the elements of array {index}"] = float(array.size)
        later = array[..., 1:] if array.ndim else array  # as of a next token
        for name, part in ((f"array {index}", array), (f"shifted {index}", later)):
            if np.issubdtype(array.dtype, np.integer):
                found[f"the entries of {name} that count"] = float(
                    (part != IGNORED).sum()
                )
            if part.size and bool(((part == 0) | (part == 1)).all()):
                found[f"the sum of {name}"] = float(part.sum(dtype=np.float64))
    return found


def _tried(loss: Loss, arguments: Any, rows: int) -> tuple[Verdict, dict[str, float]]:
    some = few(rows)
    some = some[: len(some) // 2 * 2]  # of two shapes alone, as each is compiled
    called = jax.jit(loss)

    def of(places: list[int]) -> tuple[float, dict[str, float]]:
        chosen = np.array([some[place] for place in places])
        part = tree_map(lambda x: x[chosen] if np.ndim(x) else x, arguments)
        return float(called(part)), counts(part, len(places))

    whole = list(range(len(some)))
    (value, numbers), turned = of(whole), of(whole[::-1])[0]
    splits = []
    for one, other in halves(len(some)):
        if len(one) != len(other):
            continue
        (f, m), (g, n) = of(one), of(other)
        shares = {k: (x, m.get(k, 0.0), n.get(k, 0.0)) for k, x in numbers.items()}
        splits.append(Split(value, f, g, shares))
    rounding = _rounding(loss, arguments)
    return judged(splits, rounding, abs(value - turned)), numbers


def _rounding(loss: Loss, arguments: Any) -> float:
    # The coarsest dtype on the way: models often compute in bfloat16.
    jaxpr = jax.make_jaxpr(loss)(arguments)
    text = str(jaxpr)
    for mark, name in (("bf16[", "bfloat16"), ("f16[", "float16")):
        if mark in text:
            return float(jax.numpy.finfo(name).eps)
    (out,) = jaxpr.out_avals
    single = jax.default_backend() != "cpu" and out.dtype == np.float32
    return ACCELERATED if single else float(jax.numpy.finfo(out.dtype).eps)


def _divisor(loss: Loss, arguments: Any, rows: int) -> float | None:
    """Return the number of elements that the loss is surely a mean over, or None.

    Reading it compiles and computes nothing.
    """
    closed = jax.make_jaxpr(loss)(arguments)
    found = set(_divisors(closed.jaxpr, closed.jaxpr.outvars[0]))
    number = found.pop() if len(found) == 1 else None
    return None if number is None or number % rows else number


def _divisors(jaxpr: Any, out: Any) -> Iterator[float | None]:
    """Yield what the terms of a number divide by; None for what is not known."""
    made = next((eqn for eqn in jaxpr.eqns if out in eqn.outvars), None)
    if isinstance(out, Literal):
        return
    if made is None:
        yield None
        return
    inner = made.params.get("jaxpr") or made.params.get("call_jaxpr")
    if inner is not None and hasattr(inner, "jaxpr"):
        place = made.outvars.index(out)
        yield from _divisors(inner.jaxpr, inner.jaxpr.outvars[place])
    elif made.primitive.name == "div" and isinstance(made.invars[1], Literal):
        summed = [e for e in jaxpr.eqns if made.invars[0] in e.outvars]
        sums = bool(summed) and summed[0].primitive.name == "reduce_sum"
        yield float(made.invars[1].val) if sums else None
    elif made.primitive.name in LINEAR:
        for each in made.invars:
            if isinstance(each, Literal) or each.aval.shape == ():
                yield from _divisors(jaxpr, each)
    else:
        yield None
