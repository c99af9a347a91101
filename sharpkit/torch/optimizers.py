"""The metric of a stock optimiser of torch, read from its state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import optim

from sharpkit._inputs.preconditioner import (
    Preconditioner,
    checked_rate,
    stable_up_to,
)
from sharpkit.torch.problems import Problem

# Options that a group of an optimiser has if the optimiser has them.
OWN = ("lr", "weight_decay", "momentum", "betas", "alpha", "eps")

Group = dict[str, Any]
State = dict[str, Any]


def preconditioner(optimizer: optim.Optimizer, problem: Any) -> Preconditioner:
    r"""Return the diagonal metric in which an optimiser of torch steps.

    Parameters
    ----------
    optimizer
        The optimiser that trains the model of the problem, after at least one step:
        ``torch.optim.Adam``, ``AdamW``, ``RMSprop`` or ``SGD``, momentum and Nesterov's
        included. It is only read.
    problem
        The problem of the model, as `sharpkit.torch.problem` makes it.

    Returns
    -------
    Preconditioner
        The metric, in the order of the problem's weights, with the threshold of
        stability.

    Raises
    ------
    TypeError
        If the optimiser or the problem is another.
    ValueError
        If the optimiser has no state yet, lacks a measured parameter, or has groups
        that differ in more than learning rate, weight decay and what P itself holds.

    Notes
    -----
    P is 1 for SGD, :math:`\sqrt{v} + \epsilon` for RMSprop and
    :math:`(1 - \beta_1^t)(\sqrt{\hat v} + \epsilon)` for Adam; where groups have
    learning rates of their own, it is that times the largest rate over the weight's.
    The thresholds of a rate :math:`\eta`: :math:`2 / \eta` for SGD and RMSprop,
    :math:`(2 + 2 b) / \eta` with momentum b, :math:`(2 + 2 b) / (\eta (1 + 2 b))` with
    Nesterov's, and :math:`(2 + 2 \beta_1) / ((1 - \beta_1) \eta)` for Adam.

    Weight decay :math:`\gamma` is curvature of the penalty: it adds :math:`\gamma / P`
    to the diagonal of :math:`P^{-1/2} H P^{-1/2}`, or :math:`\gamma (1 + \beta_1) / (1
    - \beta_1)` if it is decoupled, as in AdamW. Where that is the same for all weights
    the threshold is lower by it; otherwise it is `Preconditioner.shift`, which
    eigenvalues then contain.

    Examples
    --------
    >>> import torch, sharpkit
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> data = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> problem = sharpkit.torch.problem(model, torch.nn.MSELoss(), data)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.5)
    >>> metric = sharpkit.torch.preconditioner(optimizer, problem)
    >>> found = sharpkit.eigenvalues(problem, preconditioner=metric)
    >>> round(float(found), 3), found.threshold, round(found.ratio, 3)
    (4.0, 6.0, 0.667)
    """
    if not isinstance(problem, Problem):
        msg = (
            f"problem is of type {type(problem).__name__}; give the problem that "
            "sharpkit.torch.problem makes of the model"
        )
        raise TypeError(msg)
    metric = _METRICS.get(type(optimizer))
    if metric is None:
        msg = (
            f"optimizer is of type {type(optimizer).__name__}, whose metric is not "
            "known; give a torch.optim.Adam, AdamW, RMSprop or SGD, or the diagonal "
            "itself, preconditioner=values of eigenvalues"
        )
        raise TypeError(msg)
    groups = _groups(optimizer, problem)
    first = _alike(optimizer, list(groups.values()))
    rates = {name: checked_rate("lr", group["lr"]) for name, group in groups.items()}
    rate, (momentum, share, nesterov) = max(rates.values()), _momentum(first)
    decoupled = _is_decoupled(first)
    values, shift = {}, {}
    model = problem._evaluation.model
    for name, group in groups.items():
        parameter = model.get_parameter(name)
        state = optimizer.state.get(parameter, {})
        own = metric(name, _real(parameter), group, state)
        values[name] = own * (rate / rates[name])
        decay = float(group["weight_decay"])
        if decoupled:
            faster = (1 + momentum) / share * rates[name] / rate
            shift[name] = torch.full_like(own, decay * faster)
        else:
            shift[name] = decay / values[name]
    layout = problem._layout
    whole = _joined(shift, layout.device)
    threshold = stable_up_to(rate, momentum=momentum, share=share, nesterov=nesterov)
    # A decay above the threshold makes the weights grow without any loss.
    same = bool((whole == whole[0]).all()) and float(whole[0]) < threshold
    flat = _joined(values, layout.device)
    return Preconditioner(
        values=layout.cast(flat),
        threshold=threshold - float(whole[0]) if same else threshold,
        shift=None if same else layout.cast(whole),
        name=type(optimizer).__name__,
    )


def _joined(tensors: dict[str, Any], device: Any) -> Any:
    return torch.cat([each.reshape(-1).to(device) for each in tensors.values()])


def _groups(optimizer: optim.Optimizer, problem: Problem) -> dict[str, Group]:
    """Return the group of each measured parameter, by name.

    Raises
    ------
    ValueError
        If the optimiser does not train one.
    """
    owner = {
        id(parameter): group
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    model, names = problem._evaluation.model, problem._layout.names
    found = {name: owner.get(id(model.get_parameter(name))) for name in names}
    missing = [name for name, group in found.items() if group is None]
    if missing:
        msg = (
            f"optimizer does not train parameter {missing[0]} of the problem; give the "
            "optimizer of this very model, or leave the parameter out with parameters="
        )
        raise ValueError(msg)
    return {name: group for name, group in found.items() if group is not None}


def _alike(optimizer: optim.Optimizer, groups: list[Group]) -> Group:
    """Return the first group, of which the others have momentum and rules.

    Raises
    ------
    ValueError
        If one differs, maximises, or is that of another optimiser.
    """
    first = groups[0]
    for group in groups:
        lacking = [key for key in OWN if key in optimizer.defaults.keys() - group]
        if lacking:
            kind = type(optimizer).__name__
            msg = (
                f"the groups of optimizer have no {lacking[0]}, which {kind} needs: a "
                f"state_dict of another one was loaded; give {kind} a state of its own"
            )
            raise ValueError(msg)
        if group.get("maximize"):
            msg = (
                "optimizer maximises, maximize=True, and a maximum has no threshold of "
                "this kind; give an optimizer that minimises the loss"
            )
            raise ValueError(msg)
        if (_momentum(group), _is_decoupled(group)) != (
            _momentum(first),
            _is_decoupled(first),
        ):
            msg = (
                f"the groups of optimizer, a {type(optimizer).__name__}, differ in "
                "momentum, and no one threshold holds for all; give a problem of the "
                "parameters of one group, with parameters="
            )
            raise ValueError(msg)
    return first


def _momentum(group: Group) -> tuple[float, float, bool]:
    """Return the momentum, the share of the gradient in it, and whether Nesterov's."""
    if "betas" in group:
        b = float(group["betas"][0])
        return b, 1 - b, False
    b = float(group["momentum"])
    share = 1 - float(group.get("dampening", 0.0)) if b else 1.0
    return b, share, bool(group.get("nesterov", False))


def _is_decoupled(group: Group) -> bool:
    return bool(group.get("decoupled_weight_decay", False))


def _real(tensor: Any) -> Any:
    tensor = tensor.detach()
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _kept(name: str, state: State, key: str) -> Any:
    """Return a moment that the optimiser keeps of a parameter, in float64.

    Raises
    ------
    ValueError
        If there is none yet.
    """
    if key not in state:
        msg = (
            f"optimizer has no state of parameter {name} yet; call this after "
            "optimizer.step(), or load its state_dict; if this parameter never gets a "
            "gradient, leave it out with parameters="
        )
        raise ValueError(msg)
    return _real(state[key]).double()


def _of_sgd(name: str, parameter: Any, group: Group, state: State) -> Any:
    return torch.ones_like(parameter, dtype=torch.float64)


def _of_rmsprop(name: str, parameter: Any, group: Group, state: State) -> Any:
    square = _kept(name, state, "square_avg")
    if group["centered"]:
        square = square - _kept(name, state, "grad_avg") ** 2
    return square.sqrt() + group["eps"]


def _of_adam(name: str, parameter: Any, group: Group, state: State) -> Any:
    key = "max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"
    square, step = _kept(name, state, key), float(state["step"])
    one, two = (1 - float(beta) ** step for beta in group["betas"])
    return one * ((square / two).sqrt() + group["eps"])


_METRICS: dict[type, Callable[[str, Any, Group, State], Any]] = {
    optim.SGD: _of_sgd,
    optim.RMSprop: _of_rmsprop,
    optim.Adam: _of_adam,
    optim.AdamW: _of_adam,
}
