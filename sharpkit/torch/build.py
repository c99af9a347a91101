"""From what users hold, a module, a loss and data, to a problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from sharpkit._inputs.checks import one_of
from sharpkit.torch.batches import Batches
from sharpkit.torch.evaluation import Evaluation
from sharpkit.torch.layout import Choice, Layout
from sharpkit.torch.losses import ModelLoss, OutputLoss
from sharpkit.torch.problems import Problem
from sharpkit.torch.state import Randomness

BATCH_NORMS = ("running", "batch", "frozen")


def problem(
    model: Any,
    loss: Callable[..., Any],
    data: Any,
    *,
    loss_takes: str = "output",
    batch_norm: str = "running",
    parameters: Choice = None,
    micro_batch: int | None = None,
    dtype: Any = None,
) -> Problem:
    r"""Make a PyTorch model with its loss and data a function of flat weights.

    :math:`f(w) = \sum_b m_b f_b(w) / \sum_b m_b` over the batches: :math:`f_b` is the
    mean loss of one, :math:`m_b` its number of samples, or what else the loss averages
    over, so that a short last batch counts as it should.

    Parameters
    ----------
    model : torch.nn.Module
        In any mode; all is evaluated without dropout. Left as found: weights, buffers,
        modes, gradients and random state, also after an exception. Parameters to
        measure and buffers are copied now; the others are shared unless converted.
    loss
        A mean over the batch: ``loss(output, targets)``, such as
        ``torch.nn.CrossEntropyLoss()``; or ``loss(model, batch)``.
    data
        ``(inputs, targets)``, tensors of as many rows, where inputs may also be a tuple
        or mapping of tensors; a ``DataLoader``, or what else gives batches each time it
        is passed over. A pair that ends in a tensor is data, any other sequence a
        sequence of batches; with ``loss_takes="model"`` a list is always that. Batches
        are moved to the model's device.
    loss_takes : {"output", "model"}
        Batches are pairs ``(inputs, targets)``, of which the model takes the inputs
        (several, if a tuple or mapping); or ``loss(model, batch)`` does as it likes
        with model and batch, and returns the mean, or ``(mean, weight)``.
    batch_norm : {"running", "batch", "frozen"}
        Running averages as found; the statistics of each batch as it is evaluated; or
        those of all the data at these weights, whatever the batches, constant from then
        on, which takes a partial pass for each batch norm.
    parameters
        Names or patterns such as ``"encoder.*"``, or a function of the name; the others
        are constants. None: all that require a gradient. Tied ones count once.
    micro_batch
        Rows at a time when data are tensors: memory grows with them and not with the
        data. None: all at once, where the graph of exact products is kept, too.
    dtype : {None, torch.float32, torch.float64}
        Of the weights, constants, buffers and floating data; None: the widest of the
        parameters, and float32 for half precision, which is said.

    Returns
    -------
    Problem

    Raises
    ------
    TypeError, ValueError
        If an argument cannot be used.

    Notes
    -----
    What is random starts from one random state, that of now, in every evaluation: a
    loader shuffles alike and a loss draws alike each time.

    Losses of torch's own weigh a batch as they average: cross-entropy by the class
    weights of the targets that are not ignored, squared errors and the like by
    elements. All others, functions of your own around them included, by samples.

    Examples
    --------
    >>> import torch, sharpkit
    >>> from sharpkit.torch import problem
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> data = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> p = problem(model, torch.nn.MSELoss(), data)
    >>> p.hvp(p.weights, torch.ones(2)).tolist()
    [1.0, 4.0]
    """
    one_of("loss_takes", loss_takes, ("output", "model"))
    one_of("batch_norm", batch_norm, BATCH_NORMS)
    model = _unwrapped(model)
    layout = Layout(model, parameters, dtype)
    pairs = loss_takes == "output"
    batches = Batches(data, micro_batch, layout.device, layout.dtype, pairs=pairs)
    objective: OutputLoss | ModelLoss
    if pairs:
        _require_pairs(data)
        objective = OutputLoss(loss, layout.cast)
    else:
        objective = ModelLoss(loss)
    evaluation = Evaluation(
        model,
        loss,
        objective=objective,
        batches=batches,
        layout=layout,
        randomness=Randomness(layout.device, data),
        values=layout.values(model),
        batch_norm=batch_norm,
    )
    return Problem(evaluation)


def _unwrapped(model: Any) -> Any:
    """Return the module itself, without what runs it in parallel or compiled."""
    parallel = nn.DataParallel, nn.parallel.DistributedDataParallel
    while isinstance(model, parallel) or hasattr(model, "_orig_mod"):
        model = model.module if isinstance(model, parallel) else model._orig_mod
    if not isinstance(model, nn.Module):
        msg = f"model is of type {type(model).__name__}; give a torch.nn.Module"
        raise TypeError(msg)
    if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
        msg = "model is a scripted module; give the torch.nn.Module it was made from"
        raise TypeError(msg)
    return model


def _require_pairs(data: Any) -> None:
    if isinstance(data, torch.Tensor) or isinstance(data, Mapping):
        msg = (
            f"data is of type {type(data).__name__} with loss_takes='output'; give "
            "(inputs, targets), or loss_takes='model'"
        )
        raise TypeError(msg)
