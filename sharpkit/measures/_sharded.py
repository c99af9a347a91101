"""Measures over several ranks: one boundary for faults, and one loss for all."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
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

MEASURES = (
    "sharpness, ball_sharpness, average_sharpness, flatness_radius, eigenvalues, "
    "trace, diagonal, spectral_density, critical_sharpness, directional_sharpness, "
    "batch_sharpness, gradient_noise, fisher_rao, gradient_norm, distance and plan"
)
LOSSES = "loss_fn returned losses", "loss"


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


def unsharded(function: F) -> F:
    """Have a function refuse ranks, and problems that know theirs, before any work.

    Without them it is called as it is.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        name = function.__name__
        for each in ("process_group", "comm"):
            if each in kwargs and kwargs.pop(each) is not None:
                raise NotImplementedError(not_sharded(name))
        for each in _single([*args, *kwargs.values()]):
            require_one_rank(each, name)
        return function(*args, **kwargs)

    return cast("F", call)


def agreed(loss_fn: LossFn, comm: Comm, words: tuple[str, str] = LOSSES) -> LossFn:
    """Return a loss whose value is the same number on every rank.

    Parameters
    ----------
    loss_fn
        The loss, ``w -> loss`` or ``w -> (loss, local piece of the gradient)``.
    comm
        The ranks.
    words
        How a message begins where the ranks differ, and what they are to return.
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
                f"{words[0]} from {-low:.6g} to {high:.6g} on the ranks (here "
                f"{loss:.6g}); return the {words[1]} over the data of all ranks: "
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


def alike_over(found: Array, comm: Comm) -> Array:
    """Return numbers that are to be the same on every rank, with the same bits.

    Parameters
    ----------
    found : (k,)
        The derivatives along a vector, as this rank has them.
    comm
        The ranks.

    Raises
    ------
    ValueError
        If the ranks do not have the same.
    """
    require_equal(comm, "the number of entries that directional returns", found.size)
    flat = np.asarray(found, np.float64).ravel()
    both = comm.max(np.concatenate([flat, -flat]))
    high, low = both[: flat.size], -both[flat.size :]
    kind = np.result_type(found, np.float32)  # of whole numbers, too
    rounding = ROUNDINGS * float(np.finfo(kind).eps)
    if (high - low > rounding * (1 + abs(high))).any():
        msg = (
            "directional returned other derivatives on some ranks; return those along "
            "the whole vector, of which each rank has a piece: add the ranks' up"
        )
        raise ValueError(msg)
    return high.reshape(found.shape)


def native_loss_over(
    loss_fn: LossFn,
    kind: Kind | None,
    comm: Comm | None,
    words: tuple[str, str] = LOSSES,
) -> LossFn:
    """Return a loss of NumPy or CuPy, which has one value on all ranks.

    Parameters
    ----------
    loss_fn
        The loss as it was given.
    kind
        The library of its arrays.
    comm
        The ranks; None says that there is one.
    words
        As in `agreed`.
    """
    native_one = native_loss(loss_fn, kind)
    return native_one if comm is None else agreed(native_one, comm, words)


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


def require_equal(comm: Comm, name: str, value: float | None) -> None:
    """Raise unless a number that is not below 0, or None, is the same on all ranks.

    Parameters
    ----------
    comm
        The ranks.
    name
        What it is.
    value
        The number, as this rank has it.

    Raises
    ------
    ValueError
        If it is not.
    """
    number = -1.0 if value is None else float(value)
    high, low = comm.max(np.array([number, -number]))
    if high != -low:
        msg = (
            f"{name} is not the same on all ranks, here it is {value}; give that of "
            "all data on every rank"
        )
        raise ValueError(msg)


def knows_ranks(problem: Any) -> bool:
    """Return whether something is a problem whose weights, or data, are over ranks."""
    return is_problem(problem) and getattr(problem, "process_group", None) is not None


def require_samples_over(problem: Any, why: str) -> None:
    """Raise for the problem of a model over ranks that cannot choose samples.

    Parameters
    ----------
    problem
        What was handed in.
    why
        What needs single samples, such as ``"subset=128"``.

    Raises
    ------
    NotImplementedError
        If it is one.
    """
    if knows_ranks(problem) and getattr(problem, "subset", None) is None:
        whole = "a problem of the whole model and all data in one process"
        if not getattr(problem, "copies", False):
            whole += " (get_model_state_dict with full_state_dict=True gathers it)"
        msg = (
            f"{why} needs single samples, and a model over ranks runs on the batches "
            f"of all of them at once; give {whole}, or each rank's piece of flat "
            "weights with process_group= and a loss_fn that has samples and subset"
        )
        raise NotImplementedError(msg)


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
    if knows_ranks(problem):
        raise NotImplementedError(not_sharded(what))


def not_sharded(what: str) -> str:
    """Return the message that something cannot be done over ranks."""
    return (
        f"{what} cannot be done where the weights are spread over ranks; these can: "
        f"{MEASURES}"
    )


def _single(value: Any) -> Iterator[Any]:
    """Yield a value, or each that mappings of data sets and lists of them hold.

    Yields
    ------
    each
        What holds no others.
    """
    if isinstance(value, (Mapping, list, tuple)):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _single(each)
    else:
        yield value
