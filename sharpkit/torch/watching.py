"""The monitor of a training in PyTorch: it reads the model and the optimiser."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from torch import nn, optim

from sharpkit._inputs.names import Choice
from sharpkit._inputs.preconditioner import Preconditioner
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Path
from sharpkit._inputs.warn import warn
from sharpkit.monitor.core import Measures, Monitor
from sharpkit.torch.build import problem as problem_of, require_whole
from sharpkit.torch.evaluation import Evaluation
from sharpkit.torch.optimizers import preconditioner
from sharpkit.torch.problems import Problem
from sharpkit.torch.statistics import freeze


@documented
def monitor(
    model: nn.Module,
    loss: Callable[..., Any],
    probe: Any,
    *,
    optimizer: optim.Optimizer | None = None,
    loss_takes: Literal["output", "model"] = "output",
    batch_norm: Literal["running", "batch", "frozen"] = "running",
    parameters: Choice | None = None,
    dtype: torch.dtype | None = None,
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
    r"""Watch the training of a model: its loss and its curvature on fixed data.

    ``monitor.step()`` is called once for each step of the optimiser, between
    ``backward()`` and ``optimizer.step()``, and ``monitor.close()`` at the end. The
    training is the same to the bit with it and without: weights, buffers, modes,
    gradients, random states and the optimiser are read, and never written to.

    Parameters
    ----------
    model
        The model that is trained, bare, compiled or in DistributedDataParallel, of
        whose processes the first one records.
    loss
        The loss, as `sharpkit.torch.problem` takes it.
    probe
        The data that everything is measured on, as `sharpkit.torch.problem` takes them:
        the same at every record. Some hundred samples say much, and cost little.
    optimizer
        The optimiser of the training, of which learning rate, threshold and metric are
        read. None leaves thresholds out.
    loss_takes, batch_norm, parameters, dtype
        As `sharpkit.torch.problem` takes them. ``batch_norm="running"`` measures the
        model as it predicts, ``"batch"`` as it trains.
    $recorded
    settings
        What else the head of the file shall hold, such as the learning rate.

    Returns
    -------
    Monitor
        The monitor.

    Raises
    ------
    TypeError, ValueError
        If an argument cannot be used, or the loss on the probe.

    Notes
    -----
    Before the first step the probe is tried, by some ten evaluations; that is no part
    of the budget, and stands in the head of the file. While training, what fails is
    recorded with its reason, warned of once, and never ends the training.

    With a ``GradScaler`` it is called before ``scaler.step(optimizer)``. It reads no
    gradients of the training, so that neither their scale nor their accumulation
    matters. Memory beside the evaluation's own: some five vectors of the weights.

    Examples
    --------
    >>> import torch, sharpkit
    >>> model, loss = torch.nn.Linear(4, 1), torch.nn.MSELoss()
    >>> x, y = torch.randn(32, 4), torch.randn(32, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> monitor = sharpkit.torch.monitor(
    ...     model, loss, (x, y), optimizer=optimizer, budget=None, every=5
    ... )
    >>> for _ in range(11):
    ...     optimizer.zero_grad()
    ...     loss(model(x), y).backward()
    ...     rows = monitor.step()
    ...     optimizer.step()
    >>> [row.step for row in rows if row.name == "lambda_max"]
    [10]
    """
    if isinstance(model, nn.Module):
        require_whole(model)
    problem = problem_of(
        model,
        loss,
        probe,
        loss_takes=loss_takes,
        batch_norm=batch_norm,
        parameters=parameters,
        dtype=dtype,
    )
    _require_alone(problem)
    own = {"batch_norm": batch_norm, **_described(optimizer)}
    return Monitor(
        _Watched(problem, optimizer),
        active=_is_first(),
        measures=measures,
        every=every,
        budget=budget,
        path=path,
        sinks=sinks,
        batch_size=batch_size,
        epsilon=epsilon,
        first_step=first_step,
        settings=own | dict(settings or {}),
    )


class _Watched:
    """A model and its optimiser, which are only read."""

    sees = True

    def __init__(self, problem: Problem, optimizer: optim.Optimizer | None) -> None:
        self._problem, self._optimizer = problem, optimizer
        self._evaluation: Evaluation = problem._evaluation
        self._layout = problem._layout
        self._measured = set(self._layout.names)
        # Whoever has chosen fewer knows that others are trained.
        self._is_whole = self._measured >= _trained(self._evaluation.model)

    @property
    def has_metric(self) -> bool:
        """Whether it is an optimiser whose metric is known, and not the identity."""
        kinds = optim.Adam, optim.AdamW, optim.RMSprop
        return type(self._optimizer) in kinds or self._is_uneven

    @property
    def _is_uneven(self) -> bool:
        return type(self._optimizer) is optim.SGD and len(self._rates) > 1

    @property
    def _rates(self) -> set[float]:
        groups = () if self._optimizer is None else self._optimizer.param_groups
        return {float(group["lr"]) for group in groups if "lr" in group}

    def now(self) -> None:
        """Note nothing: all is read when it is needed."""

    def problem(self) -> Problem:
        """Return the problem at the weights and buffers of now."""
        self._notice_unmeasured()
        found, old = copy.copy(self._problem), self._evaluation
        values = self._layout.values(old.model)
        found._evaluation = old.at(values, self._problem.batch_norm)
        found._products = self._problem._products.over(found._evaluation)
        found._expected = None  # the model will move on, and is known to
        if found.batch_norm == "frozen":
            freeze(found._evaluation)
        return found

    def _notice_unmeasured(self) -> None:
        """Warn once of parameters that are trained since the monitor was made."""
        if not self._is_whole:
            return
        late = sorted(_trained(self._evaluation.model) - self._measured)
        if late:
            self._is_whole = False
            warn(
                f"monitor: parameter {late[0]} requires a gradient since a step after "
                "the monitor was made, and is no part of what is measured; close this "
                "monitor where layers are unfrozen, and make another one with "
                "first_step="
            )

    def weights(self) -> torch.Tensor:
        """Return the weights of now."""
        held: torch.Tensor = self._layout.held(self._evaluation.model)
        return held

    def rate(self) -> float | None:
        """Return the largest learning rate."""
        return max(self._rates, default=None)

    def threshold(self, problem: Any) -> float | None:
        """Return the largest stable eigenvalue, for gradient descent of one rate."""
        plain = type(self._optimizer) is optim.SGD and len(self._rates) == 1
        if not plain or not self.rate():
            return None
        return preconditioner(self._optimizer, problem).threshold

    def metric(self, problem: Any) -> Preconditioner | None:
        """Return the metric of the optimiser."""
        assert self._optimizer is not None  # it has one
        return preconditioner(self._optimizer, problem)

    def settle(self) -> None:
        """Wait for what the training has begun on a device."""
        for device in self._layout.devices:
            if device.type in ("cuda", "xpu"):
                torch.get_device_module(device).synchronize(device)


def _trained(model: nn.Module) -> set[str]:
    return {name for name, x in model.named_parameters() if x.requires_grad}


def _is_first() -> bool:
    """Return whether this is the only process of a training, or the first one."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return True
    return bool(distributed.get_rank() == 0)


def _require_alone(problem: Problem) -> None:
    """Raise for batch norms that would wait for other processes.

    Raises
    ------
    ValueError
        If there are any.
    """
    norms = problem._evaluation.norms.values()
    together = any(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    if together and problem.batch_norm != "running":
        msg = (
            f"batch_norm={problem.batch_norm!r} with SyncBatchNorm, which waits for "
            "all processes, and only the first one records; give batch_norm='running'"
        )
        raise ValueError(msg)


def _described(optimizer: optim.Optimizer | None) -> dict[str, Any]:
    if optimizer is None:
        return {}
    plain = (bool, int, float, str)
    group = optimizer.param_groups[0]
    options = {k: v for k, v in group.items() if isinstance(v, plain)}
    return {"optimizer": {"name": type(optimizer).__name__, **options}}
