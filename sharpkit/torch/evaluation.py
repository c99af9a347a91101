"""A model with other weights in its place, for as long as one evaluation takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sharpkit.torch.batches import Batches
from sharpkit.torch.layout import Layout, Values
from sharpkit.torch.losses import ModelLoss, OutputLoss, real_scalar
from sharpkit.torch.state import Randomness, as_found, differentiating

Place = tuple[dict[str, Any], str]  # a module's table, and the key in it

# These are in training mode, without dropout: cuDNN has no gradient of them otherwise.
RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)


class Evaluation:
    """The mean loss of each batch as a function of the flat weights.

    Parameters
    ----------
    model
        The model of the user. Tensors are put into the tables of its modules only
        inside `running`, where they stay through the backward pass: checkpointed layers
        run again in it.
    loss
        The loss of the user, whose tensors are cast if it is a module.
    objective
        The mean loss of a batch, and its weight.
    batches, layout, randomness
        The data, the flat vector and the random generators of this model.
    values
        The weights, constants and buffers to evaluate with.
    batch_norm
        The statistics that batch norms use: "running", "batch" or "frozen".

    Attributes
    ----------
    norms : dict of str to module
        The batch norms of the model, by name.
    frozen : dict of str to (mean, variance)
        The constant statistics of batch norms, by name.
    """

    def __init__(
        self,
        model: Any,
        loss: Any,
        *,
        objective: OutputLoss | ModelLoss,
        batches: Batches,
        layout: Layout,
        randomness: Randomness,
        values: Values,
        batch_norm: str,
    ) -> None:
        self.model, self.objective, self.batches = model, objective, batches
        self.layout, self.values, self.batch_norm = layout, values, batch_norm
        self._loss, self._randomness = loss, randomness
        self.norms = batch_norms(model)
        self.frozen: dict[str, tuple[Any, Any]] = {}
        self._places = _places(model, layout)
        self._of_loss = _of_loss(loss, model, self._places, layout)
        if batch_norm == "running":
            _require_averages(self.norms)

    def at(self, values: Values, batch_norm: str) -> Evaluation:
        """Return the evaluation with other values or another batch norm."""
        return Evaluation(
            self.model,
            self._loss,
            objective=self.objective,
            batches=self.batches,
            layout=self.layout,
            randomness=self._randomness,
            values=values,
            batch_norm=batch_norm,
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Evaluate inside; model, loss and random generators are left as found."""
        modules = list(self.model.modules())
        if isinstance(self._loss, nn.Module):
            modules += self._loss.modules()
        with (
            as_found(modules),
            self._randomness.rewound(),
            differentiating(self.layout.device),
        ):
            for module in modules:
                module.training = False
                if _is_recurrent(module):
                    module.training, module.dropout = True, 0.0
            for norm in self.norms.values():
                norm.training = self.batch_norm == "batch"
            yield

    def put(self, flat: Any) -> None:
        """Put the parts of ``flat`` in the places of the chosen parameters."""
        values = self.values
        for name, tensor in (self.layout.views(flat) | values.constants).items():
            for table, key in self._places[name]:
                table[key] = tensor
        for name, buffer in values.buffers.items():
            thrown_away = buffer.clone()  # a forward pass may write to it
            for table, key in self._places[name]:
                table[key] = thrown_away
        for name, (mean, variance) in self.frozen.items():
            buffers = self.norms[name]._buffers
            buffers["running_mean"], buffers["running_var"] = mean, variance
        for (table, key), tensor in self._of_loss:
            table[key] = tensor.clone()

    def loss(self, leaf: Any, batch: Any) -> tuple[Any, float] | None:
        """Return the mean loss of a batch, a graph over ``leaf``, and its weight.

        It is None if nothing in the batch counts.
        """
        self.put(leaf)
        return self.objective(self.model, batch)

    def output_loss(self, leaf: Any, batch: Any) -> tuple[Any, Any, Any, float] | None:
        """Return the output, a leaf equal to it, the mean loss there, and the weight.

        It is None if nothing in the batch counts.

        Raises
        ------
        TypeError
            If the output is not one floating tensor.
        """
        objective = self.objective
        assert isinstance(objective, OutputLoss)  # checked by the caller
        self.put(leaf)
        weight = objective.weight(batch)
        if not weight:
            return None
        output = objective.run(self.model, batch)
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            what = output.dtype if isinstance(output, torch.Tensor) else type(output)
            msg = (
                f"the output of the model is of type {what}, and the Gauss-Newton "
                "matrix needs one floating tensor; give a model that returns one"
            )
            raise TypeError(msg)
        point = output.detach().requires_grad_()
        _, targets = objective.parts(batch)
        return output, point, real_scalar(objective.of_output(point, targets)), weight


def batch_norms(model: Any) -> dict[str, Any]:
    """Return the batch norms of a model by name."""
    kind = nn.modules.batchnorm._BatchNorm
    return {name: x for name, x in model.named_modules() if isinstance(x, kind)}


def _is_recurrent(module: Any) -> bool:
    # A subclass with a forward of its own may do more in training.
    return any(
        isinstance(module, kind) and type(module).forward is kind.forward
        for kind in RECURRENT
    )


def _places(model: Any, layout: Layout) -> dict[str, list[Place]]:
    """Return where each tensor stands, by its first name; tied ones in many places."""
    places: dict[str, list[Place]] = {}
    for name, tied in {**layout.parameter_names, **layout.buffer_names}.items():
        for alias in tied:
            prefix, _, key = alias.rpartition(".")
            module = model.get_submodule(prefix)
            tables = module._parameters, module._buffers
            places.setdefault(name, []).append((tables[key in tables[1]], key))
    return places


def _of_loss(
    loss: Any, model: Any, places: dict[str, list[Place]], layout: Layout
) -> list[tuple[Place, Any]]:
    """Return the places and the cast values of the tensors that only the loss has."""
    if not isinstance(loss, nn.Module):
        return []
    names = {id(table[key]): name for name, [(table, key), *_] in places.items()}
    theirs, own = set(model.modules()), []
    for module in loss.modules():
        for table in (module._parameters, module._buffers):
            for key, tensor in table.items():
                if module in theirs or tensor is None:
                    continue
                if id(tensor) in names:
                    places[names[id(tensor)]].append((table, key))
                else:
                    own.append(((table, key), layout.cast(tensor)))
    return own


def _require_averages(norms: dict[str, Any]) -> None:
    for name, norm in norms.items():
        if norm.running_mean is None:
            msg = (
                f"batch_norm='running', and batch norm {name or '(the model itself)'} "
                "keeps no running averages; give batch_norm='batch' or 'frozen'"
            )
            raise ValueError(msg)
