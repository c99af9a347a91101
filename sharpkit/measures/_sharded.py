"""Measures over several ranks: one boundary for faults, and one loss for all."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from sharpkit._inputs.foreign import Kind, native_hvp, native_loss
from sharpkit._inputs.objective import ROUNDINGS, as_loss
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit._vectors.comm import Comm
from sharpkit._vectors.groups import ranks_of
from sharpkit._vectors.ranks import Copies, Ranks
from sharpkit.problem import is_problem

F = TypeVar("F", bound=Callable[..., Any])


def sharded(measure: F) -> F:
    """Have a measure with `process_group` and `comm` work over the ranks they mean.

    It is called with `Ranks` as `comm`; without ranks it is called as it is. An error
    on one rank ends it on all.
    """
    shows = "progress" in inspect.signature(measure).parameters

    @functools.wraps(measure)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name, None) for name in ("process_group", "comm")}
        problem = args[0] if args else kwargs.get("problem")
        ranks = _ranks(problem, **given)
        if ranks is None:
            return measure(*args, **kwargs)
        if ranks.rank and shows and kwargs.get("progress") is None:
            kwargs["progress"] = False  # one line is enough
        with ranks.together(measure, args, kwargs):
            return measure(*args, **kwargs, comm=ranks)

    return cast("F", call)


def _ranks(problem: Any, process_group: Any, comm: Any) -> Ranks | None:
    """Return the ranks that are given, or those that a problem knows."""
    own = getattr(problem, "process_group", None) if is_problem(problem) else None
    if process_group is None and comm is None:
        process_group = own
    ranks = ranks_of(process_group, comm)
    copies = own is not None and getattr(problem, "copies", False)
    return Copies(ranks) if ranks is not None and copies else ranks


def agreed(loss_fn: LossFn, comm: Comm) -> LossFn:
    """Return a loss whose value is the same number on every rank.

    Parameters
    ----------
    loss_fn
        The loss, ``w -> loss`` or ``w -> (loss, local piece of the gradient)``.
    comm
        The ranks.
    """

    def call(w: Array) -> Any:
        comm.max(np.zeros(1))  # a rank that has failed by now never calls
        returned = loss_fn(w)
        pair = isinstance(returned, tuple)
        if pair and len(returned) != 2:
            return returned  # which is refused
        loss = as_loss(returned[0] if pair else returned)
        high, low, most, least = comm.max(np.array([loss, -loss, pair, not pair]))
        rounding = ROUNDINGS * float(np.finfo(w.dtype).eps)
        if high + low > rounding * (1 + abs(high)):
            msg = (
                f"loss_fn returned losses from {-low:.6g} to {high:.6g} on the ranks "
                f"(here {loss:.6g}); return the loss over the data of all ranks: "
                "reduce it over them"
            )
            raise ValueError(msg)
        if most and least:
            msg = (
                "loss_fn returned (loss, gradient) on some ranks, and a loss alone on "
                "others; return the same kind on every rank"
            )
            raise TypeError(msg)
        return (float(high), returned[1]) if pair else float(high)

    return call


def fenced(hvp: Hvp, comm: Comm) -> Hvp:
    """Return a product that is called when no rank has failed.

    Parameters
    ----------
    hvp
        The product, ``(w, v) -> local piece of H v``.
    comm
        The ranks.
    """

    def product(w: Array, v: Array) -> Any:
        comm.max(np.zeros(1))
        return hvp(w, v)

    return product


def native_loss_over(loss_fn: LossFn, kind: Kind | None, comm: Comm | None) -> LossFn:
    """Return a loss of NumPy or CuPy, which has one value on all ranks.

    Parameters
    ----------
    loss_fn
        The loss as it was given.
    kind
        The library of its arrays.
    comm
        The ranks; None says that there is one.
    """
    native_one = native_loss(loss_fn, kind)
    return native_one if comm is None else agreed(native_one, comm)


def native_product_over(
    loss_fn: LossFn | None, hvp: Hvp | None, kind: Kind | None, comm: Comm | None
) -> Hvp | None:
    """Return the given product, or that of the loss, of NumPy or CuPy; or None.

    Parameters
    ----------
    loss_fn, hvp
        Both as they were given.
    kind
        The library of their arrays.
    comm
        The ranks; None says that there is one.
    """
    own = getattr(loss_fn, "hvp", None) if hvp is None else hvp
    if own is None:
        return None
    native_one = native_hvp(own, kind)
    return native_one if comm is None else fenced(native_one, comm)


def require_alike(comm: Comm, weights: Array, *missing: bool) -> None:
    """Raise unless all ranks have the same kind of input.

    Parameters
    ----------
    comm
        The ranks.
    weights
        The weights of this one.
    *missing
        Whether the loss, and the product, are not given here.

    Raises
    ------
    ValueError
        If they have not, or there is no weight.
    """
    here = np.array([not weights.size, weights.dtype.itemsize, *missing], np.float64)
    both = comm.max(np.concatenate([here, -here]))
    high, low = both[: here.size], -both[here.size :]
    if low[0]:
        msg = "weights is empty on every rank; give at least one weight"
        raise ValueError(msg)
    names = "weights", "loss_fn", "hvp"
    for name, differ in zip(names, (high != low)[1:], strict=True):
        if differ:
            msg = (
                f"{name} is of another kind on some ranks, or missing there; give "
                "weights of one dtype, and the same arguments, on every rank"
            )
            raise ValueError(msg)


def require_one_rank(problem: Any, what: str) -> None:
    """Raise for a problem whose weights are spread over ranks.

    Parameters
    ----------
    problem
        What was handed in.
    what
        What cannot be done over ranks.

    Raises
    ------
    NotImplementedError
        If they are.
    """
    if is_problem(problem) and getattr(problem, "process_group", None) is not None:
        raise NotImplementedError(not_sharded(what))


def not_sharded(what: str) -> str:
    """Return the message that something cannot be done over ranks."""
    return (
        f"{what} cannot be done where the weights are spread over ranks; these can: "
        "sharpness, ball_sharpness, average_sharpness, eigenvalues, trace, diagonal, "
        "spectral_density, critical_sharpness, directional_sharpness, gradient_norm "
        "and distance"
    )
