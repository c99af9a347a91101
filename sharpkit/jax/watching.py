"""The monitor of a training in JAX: it is told of parameters and optimiser states."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import tree_leaves

from sharpkit._inputs.names import Choice
from sharpkit._inputs.preconditioner import Preconditioner
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Path
from sharpkit.jax.build import problem as problem_of
from sharpkit.jax.optimizers import injected, preconditioner, rate_at
from sharpkit.jax.problems import Problem
from sharpkit.monitor.core import Measures, Monitor

METRICS = ("adam", "adamw", "rmsprop")  # others step in no metric, or are not known


@documented
def monitor(
    loss: Callable[..., Any],
    params: Any,
    probe: Any = None,
    *,
    model: Callable[..., Any] | None = None,
    parameters: Choice | None = None,
    optimizer: Callable[..., Any] | None = None,
    options: Mapping[str, Any] | None = None,
    measures: Measures | None = None,
    every: int = 1,
    budget: float | None = 0.05,
    path: Path | None = None,
    sinks: Iterable[Any] = (),
    batch_size: int | None = None,
    epsilon: float = 1e-3,
    first_step: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Monitor:
    r"""Watch the training of parameters: their loss and its curvature on fixed data.

    ``monitor.step(params, state)`` is called once for each step, before
    ``optax.apply_updates``, and ``monitor.close(params, state)`` after the last one.

    Parameters
    ----------
    loss, params, probe, model, parameters
        The loss, the parameters before the first step, and the data that everything is
        measured on, as `sharpkit.jax.problem` takes them.
    optimizer
        The function that made the optimiser: ``optax.adam``, ``optax.adamw``,
        ``optax.rmsprop`` or ``optax.sgd``. None leaves thresholds out.
    options
        The options that it was made with, such as ``{"learning_rate": 0.1}``.
    $recorded
    settings
        What else the head of the file shall hold.

    Returns
    -------
    Monitor
        The monitor.

    Raises
    ------
    TypeError
        If an argument is of another type, such as an optimiser that is made already.
    ValueError
        If an argument cannot be used, or the loss on the probe.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, optax, sharpkit
    >>> def loss(w, batch):
    ...     return jnp.mean((batch @ w) ** 2)
    >>> x, w = jnp.eye(2), jnp.ones(2)
    >>> optimizer = optax.sgd(0.1)
    >>> state = optimizer.init(w)
    >>> watching = {"optimizer": optax.sgd, "options": {"learning_rate": 0.1}}
    >>> monitor = sharpkit.jax.monitor(loss, w, x, **watching, budget=None)
    >>> for _ in range(3):
    ...     gradient = jax.grad(loss)(w, x)
    ...     rows = monitor.step(w, state)
    ...     updates, state = optimizer.update(gradient, state)
    ...     w = optax.apply_updates(w, updates)
    >>> [round(row.threshold) for row in rows if row.name == "lambda_max"]
    [20]
    """
    given: Any = optimizer
    if given is not None and not callable(given):
        msg = (
            f"optimizer is of type {type(optimizer).__name__}; give the function that "
            "made it, such as optimizer=optax.adam, options={'learning_rate': 0.01}"
        )
        raise TypeError(msg)
    problem = problem_of(loss, params, probe, model=model, parameters=parameters)
    name = getattr(optimizer, "__name__", None)
    known = {k: v for k, v in (options or {}).items() if isinstance(v, (int, float))}
    own = {} if name is None else {"optimizer": {"name": name, **known}}
    return Monitor(
        _Watched(problem, params, optimizer, options or {}),
        measures=measures,
        every=every,
        budget=budget,
        path=path,
        sinks=sinks,
        batch_size=batch_size,
        epsilon=epsilon,
        first_step=first_step,
        settings=own | dict(settings or {}),
        active=jax.process_index() == 0,
    )


class _Watched:
    """The parameters and the state that a loop tells of."""

    sees = False

    def __init__(
        self,
        problem: Problem,
        params: Any,
        optimizer: Callable[..., Any] | None,
        options: Mapping[str, Any],
    ) -> None:
        self._problem, self._params, self._state = problem, params, None
        self._optimizer, self._options = optimizer, dict(options)
        self._name = getattr(optimizer, "__name__", "")
        self.has_metric = self._name in METRICS

    def now(self, params: Any, state: Any = None) -> None:
        """Note the parameters and the state of the optimiser."""
        self._params, self._state = params, state

    def problem(self) -> Problem:
        """Return the problem at the parameters of now, copied: they may be donated."""
        found = copy.copy(self._problem)
        weights, constants = found._layout.flat(tree_leaves(self._params))
        found._weights = jnp.array(weights, copy=True)
        found._constants = [jnp.array(each, copy=True) for each in constants]
        return found

    def weights(self) -> Any:
        """Return the weights of now."""
        return self._problem._layout.flat(tree_leaves(self._params))[0]

    def rate(self) -> float | None:
        """Return the learning rate; of a schedule, at the count of the state."""
        own = self._options
        if self._optimizer is not None:
            own = own | injected(self._optimizer, self._state)
        rate = rate_at(own.get("learning_rate"), self._state)
        return None if rate is None else float(rate)

    def threshold(self, problem: Any) -> float | None:
        """Return the largest stable eigenvalue, for gradient descent."""
        if self._name != "sgd" or not self.rate():
            return None
        return self.metric(problem).threshold

    def metric(self, problem: Any) -> Preconditioner:
        """Return the metric of the optimiser."""
        assert self._optimizer is not None  # it has one
        return preconditioner(self._optimizer, self._state, problem, **self._options)

    def settle(self) -> None:
        """Wait for the parameters, which the training may still be computing."""
        jax.block_until_ready(self._params)
