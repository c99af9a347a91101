"""The metric of a stock optimiser of optax, read from its state."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.tree_util import tree_flatten

from sharpkit._inputs.preconditioner import (
    Preconditioner,
    checked_rate,
    stable_up_to,
)
from sharpkit.jax.problems import Problem

Options = dict[str, Any]

# Options of optax that change neither the metric nor the threshold.
HARMLESS = (
    *("learning_rate", "b1", "b2", "eps", "eps_root", "weight_decay", "decay"),
    *("momentum", "nesterov", "mu_dtype", "accumulator_dtype", "initial_scale"),
    *("eps_in_sqrt", "centered"),
)
NO_STEP = "state has taken no step yet; call this after an update"


def preconditioner(
    optimizer: Callable[..., Any], state: Any, problem: Any, **options: Any
) -> Preconditioner:
    r"""Return the diagonal metric in which an optimiser of optax steps.

    Parameters
    ----------
    optimizer
        The function that made the optimiser: ``optax.adam``, ``optax.adamw``,
        ``optax.rmsprop`` or ``optax.sgd``.
    state
        The state of the optimiser, ``opt_state``, after at least one step. It may be
        inside that of a chain, ``inject_hyperparams``, ``MultiSteps`` and the like; of
        ``multi_transform`` give the one that trains the problem's parameters,
        ``state.inner_states[label]``.
    problem
        The problem of the same parameters, as `sharpkit.jax.problem` makes it.
    options
        The options that the optimiser was made with, which its state does not hold:
        ``learning_rate`` and others, by the names and with the defaults of optax. A
        schedule is taken at the count of the state, where it has one. What the state
        of ``inject_hyperparams`` holds is taken from there.

    Returns
    -------
    Preconditioner
        The metric, in the order of the problem's weights, with the threshold of
        stability: see `sharpkit.torch.preconditioner`, which has the formulas.

    Raises
    ------
    TypeError
        If the optimiser or the problem is another, or optax has no such option.
    ValueError
        If the state is not one of the optimiser and of the parameters, or an option
        changes the metric in another way than is known here.
    """
    if not isinstance(problem, Problem):
        msg = (
            f"problem is of type {type(problem).__name__}; give the problem that "
            "sharpkit.jax.problem makes of the parameters"
        )
        raise TypeError(msg)
    name = getattr(optimizer, "__name__", "")
    is_optax = getattr(optimizer, "__module__", "").split(".")[0] == "optax"
    if not is_optax or name not in _METRICS:
        msg = (
            f"optimizer={optimizer!r} is not known; give optax.adam, optax.adamw, "
            "optax.rmsprop or optax.sgd, the function itself, or the diagonal itself, "
            "preconditioner=values of eigenvalues"
        )
        raise TypeError(msg)
    own = _options(optimizer, options | injected(optimizer, state))
    rate = rate_at(own["learning_rate"], state)
    if rate is None:
        msg = (
            "learning_rate is a schedule, and the state has no count of steps; give "
            "its present value"
        )
        raise ValueError(msg)
    rate = checked_rate("learning_rate", rate)
    values, momentum = _METRICS[name](own, state, problem)
    threshold = stable_up_to(
        rate,
        momentum=momentum,
        share=1 - momentum if "b1" in own else 1.0,
        nesterov=own["nesterov"],
    )
    decay = float(own.get("weight_decay", 0.0)) * (1 + momentum) / (1 - momentum)
    values = jnp.asarray(values, problem._layout.dtype)
    if decay >= threshold:  # which makes the weights grow without any loss
        shift = jnp.full_like(values, decay)
        return Preconditioner(values, threshold, shift, name=name)
    return Preconditioner(values, threshold - decay, name=name)


def injected(optimizer: Callable[..., Any], state: Any) -> Options:
    """Return the options that a state of ``optax.inject_hyperparams`` holds."""
    known = inspect.signature(optimizer).parameters
    return {
        name: value.item()
        for part in _parts(state)
        for name, value in getattr(part, "hyperparams", {}).items()
        if name in known
    }


def rate_at(rate: Any, state: Any) -> Any:
    """Return a learning rate; of a schedule, that at the count of the state.

    It is None if the state has no count.
    """
    if not callable(rate):
        return rate
    # Every tuple has a method of that name.
    counts = [part.count for part in _parts(state) if "count" in part._fields]
    return rate(counts[-1]) if counts else None


def _options(optimizer: Callable[..., Any], options: Options) -> Options:
    """Return all options of an optimiser, the defaults of optax included.

    Raises
    ------
    TypeError
        If it has no such option, or one is missing.
    ValueError
        If one that is not known here differs from its default.
    """
    try:
        bound = inspect.signature(optimizer).bind(**options)
    except TypeError as error:
        msg = f"{error}; give the options that optax.{optimizer.__name__} was given"
        raise TypeError(msg) from None
    bound.apply_defaults()
    strange = [
        name
        for name, value in bound.arguments.items()
        if (name not in HARMLESS and value is not None and value is not False)
        or (name != "learning_rate" and callable(value) and "dtype" not in name)
    ]
    if bound.arguments.get("nesterov") and "b1" in bound.arguments:
        strange.append("nesterov")
    if strange:
        msg = (
            f"{strange[0]}={bound.arguments[strange[0]]!r} changes the metric in a way "
            "that is not known here; give eigenvalues the diagonal itself, "
            "preconditioner=values"
        )
        raise ValueError(msg)
    return dict(bound.arguments)


def _parts(state: Any) -> list[Any]:
    """Return the states of the parts, in order, and of those inside them."""
    if hasattr(state, "_fields"):
        inside = [name for name in state._fields if name.startswith("inner_")]
        return [state, *_parts(tuple(getattr(state, name) for name in inside))]
    if isinstance(state, dict):
        state = tuple(state.values())
    if isinstance(state, tuple):
        return [part for each in state for part in _parts(each)]
    return []


def _part(state: Any, *fields: str) -> Any:
    """Return the one part of a state that has these fields and no others.

    Raises
    ------
    ValueError
        If there is not exactly one.
    """
    found = [part for part in _parts(state) if set(fields) == set(part._fields)]
    if len(found) != 1:
        msg = (
            f"state has {len(found)} parts with {' and '.join(fields)}; give the state "
            "that the optimizer itself returned: of a chain, or of masked optimisers, "
            "the part that is one"
        )
        raise ValueError(msg)
    return found[0]


def _flat(tree: Any, problem: Problem) -> Any:
    """Return the measured arrays of a tree like the parameters as one vector.

    Raises
    ------
    ValueError
        If it has another structure or other shapes, or lacks a parameter.
    """
    layout = problem._layout
    leaves, structure = tree_flatten(tree, is_leaf=_is_masked)
    if structure == layout._treedef:
        for i in layout._chosen:
            if _is_masked(leaves[i]):
                msg = (
                    f"state has nothing of parameter {layout._names[i]}, which another "
                    "optimizer trains, or none; give a problem without it, with "
                    "parameters="
                )
                raise ValueError(msg)
    shapes = [tuple(leaves[i].shape) for i in layout._chosen if i < len(leaves)]
    if structure != layout._treedef or shapes != layout._shapes:
        msg = (
            "state is of other parameters than those of the problem; give the state of "
            "the optimizer of problem's own params"
        )
        raise ValueError(msg)
    return jnp.concatenate([jnp.asarray(leaves[i]).ravel() for i in layout._chosen])


def _is_masked(leaf: Any) -> bool:
    return type(leaf).__name__ == "MaskedNode"


def _require_alike(own: Options, state: Any, scaled: bool) -> None:
    """Raise an error if the state is plainly that of other options.

    Raises
    ------
    ValueError
        If it has a momentum, or second moments, and the options none, or the reverse.
    """
    kept = {name for part in _parts(state) for name in part._fields}
    for name, wanted, what in (
        ("trace", own["momentum"] is not None, "a momentum"),
        ("nu", scaled, "second moments"),
    ):
        if (name in kept) != wanted:
            told = "has none" if wanted else f"has {what}"
            other = what if wanted else "none"
            msg = (
                f"state {told}, and the optimizer given {other}; give the very options "
                "and state of one optimizer"
            )
            raise ValueError(msg)


def _of_sgd(own: Options, state: Any, problem: Problem) -> tuple[Any, float]:
    _require_alike(own, state, scaled=False)
    return jnp.ones(problem._layout.n), float(own["momentum"] or 0.0)


def _of_rmsprop(own: Options, state: Any, problem: Problem) -> tuple[Any, float]:
    _require_alike(own, state, scaled=True)
    if own["centered"]:
        part = _part(state, "mu", "nu")
        square = _flat(part.nu, problem) - _flat(part.mu, problem) ** 2
    else:
        square = _flat(_part(state, "nu").nu, problem)
    if not bool(square.any()):
        raise ValueError(NO_STEP)
    eps = own["eps"]
    root = jnp.sqrt(square + eps) if own["eps_in_sqrt"] else jnp.sqrt(square) + eps
    return root, float(own["momentum"] or 0.0)


def _of_adam(own: Options, state: Any, problem: Problem) -> tuple[Any, float]:
    part = _part(state, "count", "mu", "nu")
    count, b1 = int(part.count), float(own["b1"])
    if count == 0:
        raise ValueError(NO_STEP)
    square = _flat(part.nu, problem) / (1 - float(own["b2"]) ** count)
    root = jnp.sqrt(square + own["eps_root"]) + own["eps"]
    return (1 - b1**count) * root, b1


_METRICS = {
    "adam": _of_adam,
    "adamw": _of_adam,
    "rmsprop": _of_rmsprop,
    "sgd": _of_sgd,
}
