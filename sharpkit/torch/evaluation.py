"""A model with other weights in its place, for as long as one evaluation takes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from sharpkit._inputs.names import listed
from sharpkit._inputs.warn import warn
from sharpkit.torch.batches import Batches
from sharpkit.torch.elsewhere import Elsewhere
from sharpkit.torch.layout import Layout, Values, carrying
from sharpkit.torch.leaves import BackwardOnlyError, Leaves
from sharpkit.torch.losses import ModelLoss, OutputLoss, Returned
from sharpkit.torch.state import ALONE, Randomness, as_found, differentiating
from sharpkit.torch.weighing import Weighing

Place = tuple[dict[str, Any], str]  # a module's table, and the key in it

# These are in training mode, without dropout: cuDNN has no gradient of them otherwise.
RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)
# The gradients of these have a dense layout on request, with all derivatives.
TABLES = (nn.Embedding, nn.EmbeddingBag)


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
    weighing
        What batches count where the loss does not say it.
    elsewhere
        The parameters that the loss may hold itself.
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
    graphs : bool
        Whether the model is known to differentiate itself in a forward pass.
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
        weighing: Weighing,
        elsewhere: Elsewhere,
        values: Values,
        batch_norm: str,
    ) -> None:
        self.model, self.objective, self.batches = model, objective, batches
        self.layout, self.values, self.batch_norm = layout, values, batch_norm
        self.own_loss, self.randomness = loss, randomness
        self.weighing, self.elsewhere = weighing, elsewhere
        self.norms = batch_norms(model)
        self.frozen: dict[str, tuple[Any, Any]] = {}
        with ALONE:
            self._places = _places(model, layout)
            self._of_loss = _of_loss(loss, model, self._places, layout)
            self._attributes = {
                name: vars(model.get_parameter(name)) for name in layout.names
            }
            self._written = _renormed(model, self._places) & values.constants.keys()
        self._versions: dict[str, int] = {}
        self.graphs = self._accumulates = self._seen = self._warned = False
        if batch_norm == "running":
            _require_averages(self.norms)

    def at(self, values: Values, batch_norm: str) -> Evaluation:
        """Return the evaluation with other values or another batch norm."""
        return Evaluation(
            self.model,
            self.own_loss,
            objective=self.objective,
            batches=self.batches,
            layout=self.layout,
            randomness=self.randomness,
            weighing=self.weighing,
            elsewhere=self.elsewhere,
            values=values,
            batch_norm=batch_norm,
        )

    def redrawn(self) -> Evaluation:
        """Return the same evaluation, starting from another random state."""
        other = copy.copy(self)
        other.randomness = self.randomness.redrawn()
        return other

    def over(self, batches: Batches) -> Evaluation:
        """Return the same evaluation over other data; frozen statistics stay."""
        other = copy.copy(self)
        other.batches, other.weighing = batches, self.weighing.over(batches)
        return other

    @contextmanager
    def running(self) -> Iterator[None]:
        """Evaluate inside; model, loss and random generators are left as found.

        One thread is inside at a time.
        """
        with ALONE, self._prepared():
            yield

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        modules = list(self.model.modules())
        if isinstance(self.own_loss, nn.Module):
            modules += self.own_loss.modules()
        with (
            as_found(modules),
            self.randomness.rewound(),
            differentiating(*self.layout.devices),
        ):
            set_to_evaluate(modules, self.norms, self.batch_norm)
            yield

    def put(self, flat: Any) -> Leaves:
        """Put leaves that equal ``flat`` in the places of the chosen parameters."""
        leaves = Leaves(self.layout, flat)
        self.put_leaves(leaves)
        return leaves

    def put_leaves(self, leaves: Leaves) -> None:
        """Put leaves in the places of the chosen parameters, and the rest in theirs."""
        values = self.values
        chosen = {
            name: carrying(tensor, self._attributes[name])
            for name, tensor in leaves.named.items()
        }
        constants = {
            name: tensor.clone() if name in self._written else tensor
            for name, tensor in values.constants.items()
        }
        for name, tensor in (chosen | constants).items():
            for table, key in self._places[name]:
                table[key] = tensor
        self._versions = {name: x._version for name, x in values.constants.items()}
        for name, buffer in values.buffers.items():
            thrown_away = buffer.clone()  # a forward pass may write to it
            for table, key in self._places[name]:
                table[key] = thrown_away
        for name, (mean, variance) in self.frozen.items():
            buffers = self.norms[name]._buffers
            buffers["running_mean"], buffers["running_var"] = mean, variance
        for (table, key), tensor in self._of_loss:
            table[key] = tensor.clone()

    def loss(
        self, flat: Any, batch: Any, seen: Callable[[Any], Any] | None = None
    ) -> tuple[Leaves, Any, float] | None:
        """Return leaves that equal ``flat``, a batch's mean loss there, and its weight.

        It is None if nothing in the batch counts. ``seen`` is told of the model's
        output.

        Warns
        -----
        SharpkitWarning
            Once, if the forward pass writes other values into the leaves.
        """
        leaves = self.put(flat)
        found = self._found(leaves, batch, seen)
        if found is not None and self.elsewhere.found_in(found[0]):
            leaves = self.put(flat)
            found = self._found(leaves, batch, seen)
            assert found is not None
            self.elsewhere.found_in(found[0])
        weighed = None if found is None else self._weighed(leaves, batch, found)
        return None if weighed is None else (leaves, *weighed)

    def zeros(self, flat: Any) -> Any:
        """Return a vector to add up in, in float64 where several batches are added."""
        wide = self.batches.adds_up and flat.device.type != "mps"  # which has none
        return torch.zeros_like(flat, dtype=torch.float64 if wide else None)

    def add(self, flat: Any, batch: Any, gradient: Any) -> tuple[float, float]:
        """Add weight times gradient; return weight times loss, and the weight."""
        found = self.loss(flat, batch)
        if found is None:
            return 0.0, 0.0
        leaves, loss, weight = found
        try:
            leaves.add_gradient(loss, weight, gradient, backward=self._accumulates)
        except BackwardOnlyError:
            self._accumulates = True
            return self.add(flat, batch, gradient)
        return float(loss.detach()) * weight, weight

    def _notice_writing(self, leaves: Leaves) -> None:
        written = leaves.written(unseen=not self._seen)
        self._seen = True
        shared = [
            name
            for name, tensor in self.values.constants.items()
            if tensor._version != self._versions[name]
        ]
        if shared:
            self._written |= set(shared)  # from now on it is copies that are written to
            warn(
                f"the model writes to its own weights in forward ({listed(shared)}), "
                "and did so now, for those that are not measured are shared with it; "
                "from now on copies are evaluated"
            )
        if written and not self._warned:
            self._warned = True
            warn(
                f"the model writes to its own weights in forward ({listed(written)}): "
                "the loss is that of the weights as written, and its gradient leaves "
                "the writing out, so that it belongs to another function; call the "
                "model once, take out what writes, such as max_norm, and measure that"
            )

    def output_loss(
        self, flat: Any, batch: Any
    ) -> tuple[Leaves, Any, Any, Any, float] | None:
        """Return leaves, the output, a leaf equal to that, the loss, and the weight.

        It is None if nothing in the batch counts.

        Raises
        ------
        TypeError
            If the output is not one floating tensor.
        """
        objective = self.objective
        assert isinstance(objective, OutputLoss)  # checked by the caller
        leaves = self.put(flat)
        if objective.counts_nothing(batch):
            return None
        with self.elsewhere.swapped(leaves):
            output = objective.run(self.model, batch)
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            what = output.dtype if isinstance(output, torch.Tensor) else type(output)
            msg = (
                f"the output of the model is of type {what}, and the Gauss-Newton "
                "matrix needs one floating tensor; give a model that returns one"
            )
            raise TypeError(msg)
        point = output.detach().requires_grad_()
        with self.elsewhere.swapped(leaves):
            found = objective.of_output(point, batch)
        weighed = None if found is None else self._weighed(leaves, batch, found)
        return None if weighed is None else (leaves, output, point, *weighed)

    def _found(
        self, leaves: Leaves, batch: Any, seen: Callable[[Any], Any] | None = None
    ) -> Returned | None:
        with self.elsewhere.swapped(leaves):
            found = self.objective(self.model, batch, seen)
        self._notice_writing(leaves)
        return found

    def _weighed(
        self, leaves: Leaves, batch: Any, found: Returned
    ) -> tuple[Any, float] | None:
        loss, weight = found
        if weight is not None:
            return loss, weight
        if not self.weighing.settled(batch):
            with self._apart() as possible:
                # Nothing of this reaches the graph of the loss.
                trial = partial(self._trial_loss, leaves.flat) if possible else None
                counts = self.weighing.settle(loss, batch, trial)
            self.put_leaves(leaves)  # for layers that run again in a backward pass
            if not counts:
                return None
        weight = self.weighing.weight(loss, batch)
        return (loss, weight) if weight else None

    def _trial_loss(self, flat: Any, batch: Any) -> Any:
        found = self._found(self.put(flat), batch)
        if found is None:
            msg = "nothing counts in a part of the batch"
            raise ValueError(msg)
        return found[0]

    @contextmanager
    def _apart(self) -> Iterator[bool]:
        """Evaluate parts of a batch inside; return whether they tell of the whole."""
        norms = self.norms.values()
        modes = [norm.training for norm in norms]
        with self.randomness.rewound():
            for norm in norms:
                norm.training = False
            yield all(norm.running_mean is not None for norm in norms)
        for norm, mode in zip(norms, modes, strict=True):
            norm.training = mode


def set_to_evaluate(
    modules: Iterable[Any], norms: dict[str, Any], batch_norm: str
) -> None:
    """Set modules to their evaluation modes, with dense gradients."""
    for module in modules:
        module.training = False
        if _is_recurrent(module):
            module.training, module.dropout = True, 0.0
        if isinstance(module, TABLES):
            module.sparse = False
    for norm in norms.values():
        norm.training = batch_norm == "batch"


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


def _renormed(model: Any, places: dict[str, list[Place]]) -> set[str]:
    """Return the first names of the tables that a forward pass divides by norms."""
    tables = {
        id(module._parameters)
        for module in model.modules()
        if isinstance(module, TABLES) and module.max_norm is not None
    }
    return {
        name
        for name, where in places.items()
        if any(id(table) in tables for table, _ in where)
    }


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
