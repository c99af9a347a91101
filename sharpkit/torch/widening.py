"""A few samples in float64: what tells a product's missing part from kinks."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch

from sharpkit.torch.batches import Batches, rows
from sharpkit.torch.cuts import cut
from sharpkit.torch.elsewhere import Elsewhere
from sharpkit.torch.evaluation import Evaluation
from sharpkit.torch.layout import Layout, Values
from sharpkit.torch.losses import ModelLoss, OutputLoss
from sharpkit.torch.weighing import Weighing

SAMPLES = 16  # of the first batch


def widened(evaluation: Evaluation) -> Evaluation:
    """Return an evaluation of some samples of the first batch, in float64.

    Parameters
    ----------
    evaluation
        The evaluation of all data, in whatever dtype.
    """
    own, chosen = evaluation.values, set(evaluation.layout.names)
    layout = Layout(evaluation.model, lambda name: name in chosen, torch.float64)
    pairs = evaluation.objective.takes_output
    with evaluation.running():
        batch = next(iter(evaluation.batches))
    batches = Batches([_few(batch)], None, layout.device, layout.dtype, pairs=pairs)
    loss, objective = evaluation.own_loss, evaluation.objective
    return Evaluation(
        evaluation.model,
        loss,
        objective=OutputLoss(loss, layout.cast, normalized=objective.normalized)
        if isinstance(objective, OutputLoss)
        else ModelLoss(loss),
        batches=batches,
        layout=layout,
        randomness=evaluation.randomness,
        weighing=Weighing(batches),
        elsewhere=Elsewhere(evaluation.model, layout),
        values=Values(
            weights=layout.cast(own.weights),
            constants=_cast(layout, own.constants),
            buffers=_cast(layout, own.buffers),
        ),
        batch_norm=evaluation.batch_norm,
    )


def _cast(layout: Layout, tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: layout.cast(x, x.device) for name, x in tensors.items()}


def _few(batch: Any) -> Any:
    """Return some samples of a batch, or all where it cannot be cut."""
    with suppress(TypeError, ValueError):
        length = rows(batch)
        return cut(batch, length, list(range(min(length, SAMPLES))), lists=False)[0]
    return batch
