"""From what users hold, a model, a loss and data, to a problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import torch
import torch.distributed as dist
from torch import nn

from sharpkit._inputs.checks import one_of, true_or_false
from sharpkit._inputs.names import Choice
from sharpkit._inputs.process_groups import started
from sharpkit.torch.batches import Batches
from sharpkit.torch.elsewhere import Elsewhere
from sharpkit.torch.evaluation import Evaluation
from sharpkit.torch.layout import Layout
from sharpkit.torch.losses import ModelLoss, OutputLoss
from sharpkit.torch.problems import Problem
from sharpkit.torch.sharded import Replicated, Sharded
from sharpkit.torch.shards import Shards, is_sharded
from sharpkit.torch.state import Randomness
from sharpkit.torch.weighing import Weighing


def problem(
    model: nn.Module | Callable[..., Any],
    loss: Callable[..., Any],
    data: Any,
    *,
    loss_takes: Literal["output", "model"] = "output",
    batch_norm: Literal["running", "batch", "frozen"] = "running",
    normalize_logits: bool = False,
    parameters: Choice | None = None,
    micro_batch: int | None = None,
    dtype: torch.dtype | None = None,
    process_group: Any = None,
) -> Problem:
    r"""Make a problem of a PyTorch model, its loss and its data.

    The problem is the mean loss over all data as a function of one flat vector of
    weights, with its gradient and its exact products with the Hessian. Every measure of
    sharpkit takes it.

    Parameters
    ----------
    model
        The model, a ``torch.nn.Module`` in any mode. It is evaluated without dropout,
        and left as found: its weights, buffers, modes and gradients, and the random
        state of the program, also after an exception. It may lie on several devices, as
        ``device_map="auto"`` leaves it: the flat vectors are on that of the first
        measured parameter. Measured parameters and buffers
        are copied now; the other parameters are shared, unless their dtype changes.
        Threads may use problems of one model, one after the other.
    loss
        The loss, a mean over the batch: ``loss(output, targets)``, such as
        ``torch.nn.CrossEntropyLoss()``, or ``loss(model, batch)`` with
        ``loss_takes="model"``.
    data
        The data, either as tensors or as batches. Tensors are a pair ``(inputs,
        targets)`` with one row for each sample, where the inputs may also be a tuple or
        a mapping of tensors. Batches are a ``DataLoader``, any other iterable that
        starts anew at every pass, or a function that returns one; they are never kept,
        so that data may be larger than memory. A pair that ends in a tensor is taken
        for tensors, and any other sequence for batches; with ``loss_takes="model"`` a
        list is always taken for batches. Batches are moved to the device of the model,
        or of its first measured parameter.
    loss_takes : {"output", "model"}
        What the loss is called with. With ``"output"`` a batch is a pair ``(inputs,
        targets)``; the model is called with the inputs, several of them if they are a
        tuple or a mapping, and the loss with its output and the targets. With
        ``"model"`` the loss is called with the model and the batch. Either returns the
        mean, or a mapping: ``{"loss": mean, "weight": weight}`` also says what the
        batch counts, and without a weight it may be the output of a model of
        ``transformers`` that is given labels.
    batch_norm : {"running", "batch", "frozen"}
        The statistics that batch norms use. ``"running"`` takes the averages that the
        model has; ``"batch"`` those of each batch as it is evaluated; ``"frozen"``
        those of all the data at the weights of the model, which are constant from then
        on and do not depend on the batches, but take a partial pass over the data for
        each batch norm.
    normalize_logits
        Whether the output of a classifier, (batch, classes) or (batch, classes, ...),
        is normalised before the loss: of each prediction its mean over the classes is
        taken away, and it is divided by its norm (arXiv 2302.07011). A measure then
        does not change with the scale of the last layer, and the loss is another one.
    parameters
        The names of the parameters to measure, or patterns such as ``"encoder.*"``, or
        a function that is given a name and returns whether to measure it. The others
        stay constant. None measures all that require a gradient. A tied parameter
        counts once.
    micro_batch
        The number of rows that are evaluated at once if the data are tensors; the
        memory grows with it and not with the data. None evaluates all at once, which is
        the fastest way to many exact products: the graph is then kept for them.
    dtype : torch.float32, torch.float64 or None
        The dtype of the weights, to which constants, buffers and floating data are
        converted. None is the widest dtype of the measured parameters; for half
        precision it is float32, with a warning.
    process_group
        The processes that each hold data of their own, a ``ProcessGroup`` of
        torch.distributed, or True for the default one: the loss is the mean over all of
        it, and a measure is called on all ranks. A model in DistributedDataParallel is
        measured over its ranks with this only. One under ``fully_shard`` (FSDP2) always
        is: each rank holds its shards of the weights and of all vectors, products are
        differences of the gradient, and only numbers travel beside what FSDP sends;
        each rank must have as many batches, and all parameters are measured that
        require a gradient. None is the data of this process.

    Returns
    -------
    problem : Problem
        The problem. ``problem.weights`` are the flat weights, ``problem(w)`` returns
        the loss and the gradient, ``problem.hvp(w, v)`` the exact product with the
        Hessian, and ``problem.at(state_dict)`` the problem at another checkpoint.

    Warns
    -----
    SharpkitWarning
        If the weights are in half precision: a float32 copy is measured. At the first
        evaluation, if the data are several batches and the loss of a batch is no mean
        of the losses of its samples, or if what a batch counts cannot be told.

    Notes
    -----
    The mean over all data is :math:`f(w) = \sum_b m_b f_b(w) / \sum_b m_b` over the
    batches b, where :math:`f_b` is the mean loss of one batch and :math:`m_b` the
    number that this loss divides by. A short last batch therefore counts as it should.
    The losses of torch weigh a batch as they average: cross-entropy by the class
    weights of the targets that are not ignored, squared errors and the like by
    elements. What another loss divides by is read from its graph, as for padded tokens
    inside a model, and held against the losses of a few samples of the first batch and
    of their halves, once. So are numbers of the batch, such as its rows, its labels
    that are not -100, or the sum of a mask, where nothing can be read.

    What may go wrong:

    - An argument that cannot be used raises a TypeError or a ValueError that names the
      argument and its value, and says what to do.
    - The default ``batch_norm="running"`` measures the model as it predicts, which is
      not the loss that training lowered; ``"batch"`` is that loss, if the batches are
      those of training.
    - Every evaluation starts from the random state of now, so that a loader shuffles
      alike, and a loss draws alike, each time; ``problem.redrawn()`` starts from
      another one. `sharpkit.check` notices a loss that differs between two calls
      nevertheless.
    - The problem keeps the weights of now. A measure warns if the model has moved on,
      and ``problem.refreshed()`` is the problem at its present weights.
    - A model that writes other values to its own weights in ``forward``, as
      ``max_norm`` does, has the loss of the weights as written, and a gradient that
      leaves the writing out, which is said in a warning.
    - Some operators of torch have no second derivative. ``problem.hvp`` is then None,
      which is said in a warning, and differences of the gradient are used.
    - A loss that adds up over samples is refused, because the mean over all data is
      formed from the means of the batches.
    - Parameters that the loss holds itself, as a penalty does that was made of
      ``model.parameters()``, count as those of the given model. What was computed from
      them before is refused. Held parameters that need no gradient, and copies, are
      constants, which nothing shows.
    - Data that the model or the loss write to are lent as copies.

    Examples
    --------
    A linear regression, whose Hessian is diagonal:

    >>> import torch, sharpkit
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> data = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> problem = sharpkit.torch.problem(model, torch.nn.MSELoss(), data)
    >>> problem.hvp(problem.weights, torch.ones(2)).tolist()
    [1.0, 4.0]

    A classifier, its data in batches, of which only the last layer is measured:

    >>> layers = torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)
    >>> model = torch.nn.Sequential(*layers)
    >>> samples = torch.utils.data.TensorDataset(torch.randn(6, 4), torch.arange(6) % 3)
    >>> problem = sharpkit.torch.problem(
    ...     model,
    ...     torch.nn.CrossEntropyLoss(),
    ...     torch.utils.data.DataLoader(samples, batch_size=4),
    ...     parameters="2.*",
    ... )
    >>> problem.layers, problem.samples
    ({'2': slice(0, 27, None)}, 6)

    A loss of your own, which is called with the model and a batch, as a model of
    ``transformers`` needs it (``lambda model, batch: model(**batch).loss``):

    >>> def loss(model, batch):
    ...     return (model(batch["x"]) - batch["y"]).abs().mean()
    >>> batches = [{"x": torch.ones(5, 4), "y": torch.zeros(5, 3)}]
    >>> problem = sharpkit.torch.problem(model, loss, batches, loss_takes="model")
    >>> value, gradient = problem(problem.weights)
    >>> gradient.shape
    torch.Size([67])
    """
    one_of("loss_takes", loss_takes, ("output", "model"))
    one_of("batch_norm", batch_norm, ("running", "batch", "frozen"))
    normalized = true_or_false("normalize_logits", normalize_logits)
    model = _unwrapped(model)
    if is_sharded(model):
        over_ranks: Any = _sharded(
            model,
            loss,
            data,
            loss_takes=loss_takes,
            batch_norm=batch_norm,
            normalized=normalized,
            micro_batch=micro_batch,
            unused={"parameters": parameters, "dtype": dtype},
            process_group=process_group,
        )
        return cast("Problem", over_ranks)  # to measures it is one
    require_whole(model)
    layout = Layout(model, parameters, dtype)
    pairs = loss_takes == "output"
    batches = Batches(data, micro_batch, layout.device, layout.dtype, pairs=pairs)
    objective: OutputLoss | ModelLoss
    if pairs:
        _require_pairs(data)
        objective = OutputLoss(loss, layout.cast, normalized=normalized)
    else:
        _require_plain(normalized)
        objective = ModelLoss(loss)
    evaluation = Evaluation(
        model,
        loss,
        objective=objective,
        batches=batches,
        layout=layout,
        randomness=Randomness(layout.device, data, *layout.devices),
        weighing=Weighing(batches),
        elsewhere=Elsewhere(model, layout),
        values=layout.values(model),
        batch_norm=batch_norm,
    )
    whole = Problem(evaluation)
    if process_group is None:
        return whole
    replicated: Any = Replicated(whole, started(process_group))
    return cast("Problem", replicated)


def _sharded(
    model: nn.Module,
    loss: Callable[..., Any],
    data: Any,
    *,
    loss_takes: str,
    batch_norm: str,
    normalized: bool,
    micro_batch: int | None,
    unused: Mapping[str, Any],
    process_group: Any,
) -> Sharded:
    """Return the problem of a model under ``fully_shard``.

    Raises
    ------
    NotImplementedError
        If it is asked for what cannot be done with shards.
    ValueError
        If the model is sharded over other processes than those given.
    """
    for name, value in {**unused, "normalize_logits": normalized or None}.items():
        if value is not None:
            msg = f"{name}={value!r}, which is not there for a model under fully_shard"
            raise NotImplementedError(msg)
    if batch_norm == "frozen":
        msg = (
            "batch_norm='frozen', which is not there for a model under fully_shard; "
            "give 'running' or 'batch'"
        )
        raise NotImplementedError(msg)
    shards, pairs = Shards(model), loss_takes == "output"
    if process_group is not None:
        given = dist.get_process_group_ranks(started(process_group))
        if given != dist.get_process_group_ranks(shards.group):
            msg = "process_group holds other ranks than the model is sharded over"
            raise ValueError(msg)
    if pairs:
        _require_pairs(data)
    batches = Batches(data, micro_batch, shards.device, shards.held, pairs=pairs)
    objective = OutputLoss(loss, lambda x: x) if pairs else ModelLoss(loss)
    return Sharded(model, loss, data, objective, shards, batches, batch_norm)


def _unwrapped(model: Any) -> Any:
    """Return the module itself, without what runs it in parallel or compiled.

    Raises
    ------
    TypeError
        If it is no module, or a scripted one.
    """
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


def require_whole(model: nn.Module) -> None:
    """Raise for a model of which each process holds a part.

    Raises
    ------
    TypeError
        If it is one.
    """
    # Of fully_shard and of tensor parallelism, of DeepSpeed; of the older FSDP.
    marks = "full_tensor", "ds_shape", "_fsdp_wrapped_module"
    parts = [*model.named_parameters(), *model.named_modules()]
    found = [name for name, x in parts if any(hasattr(x, mark) for mark in marks)]
    if found:
        msg = (
            f"{found[0] or 'the model'} is sharded: each process holds a part, and one "
            "alone cannot evaluate the model; load its whole state, "
            "torch.distributed.checkpoint.state_dict.get_model_state_dict(model, "
            "options=StateDictOptions(full_state_dict=True)), into a model that is "
            "not sharded, and give that, or train in DistributedDataParallel"
        )
        raise TypeError(msg)


def _require_plain(normalized: bool) -> None:
    if normalized:
        msg = (
            "normalize_logits=True with loss_takes='model', whose logits are unknown; "
            "give loss_takes='output' and a loss(output, targets)"
        )
        raise ValueError(msg)


def _require_pairs(data: Any) -> None:
    if isinstance(data, torch.Tensor) or isinstance(data, Mapping):
        msg = (
            f"data is of type {type(data).__name__} with loss_takes='output'; give "
            "(inputs, targets), or loss_takes='model' and a loss(model, batch)"
        )
        raise TypeError(msg)
