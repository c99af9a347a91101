"""Loss and accuracy over all batches, from forward passes alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from sharpkit.torch.evaluation import Evaluation
from sharpkit.torch.losses import OutputLoss


class Tally(NamedTuple):
    """What a batch adds: loss times weight, weight, answers right and asked."""

    loss: float
    weight: float
    answers: tuple[int, int] | None


class Sums(NamedTuple):
    """Loss times weight and weight of all batches, and the share of right answers.

    The share is None where a batch has no classes to be right in, or nothing was asked.
    """

    loss: float
    weight: float
    share: float | None


def sums(evaluation: Evaluation, w: Any) -> Sums:
    """Return what all batches add up to at some weights.

    Parameters
    ----------
    evaluation
        The model with its data.
    w : (n,)
        The weights.
    """
    with evaluation.running():
        found = list(_tallies(evaluation, w))
    if not found:  # of a loader that has run dry
        return Sums(0.0, 0.0, None)
    losses, weights, answers = zip(*found, strict=True)
    known = [each for each in answers if each is not None]
    right, asked = (sum(each) for each in zip((0, 0), *known, strict=True))
    share = right / asked if asked and len(known) == len(found) else None
    return Sums(math.fsum(losses), math.fsum(weights), share)


def _tallies(evaluation: Evaluation, w: Any) -> Iterator[Tally]:
    """Yield what each batch adds, without a graph where nobody needs it.

    Losses whose weight torch does not tell are read off their graph.

    Raises
    ------
    RuntimeError
        If the model fails with a graph, too.
    """
    told = getattr(evaluation.objective, "known", False)
    for batch in evaluation.batches:
        graphs = evaluation.graphs or not (told and evaluation.elsewhere.known)
        with torch.set_grad_enabled(graphs):
            try:
                tally = _tally(evaluation, w, batch)
            except RuntimeError:
                if torch.is_grad_enabled():
                    raise
                tally = None
        if tally is None:  # the model may differentiate on its own, as some do
            tally = _tally(evaluation, w, batch)
            evaluation.graphs = True
        yield tally


def _tally(evaluation: Evaluation, w: Any, batch: Any) -> Tally:
    outputs: list[Any] = []
    found = evaluation.loss(w, batch, outputs.append)
    loss = weight = 0.0
    if found is not None:
        loss, weight = float(found[1].detach()), found[2]
    objective = evaluation.objective
    if not isinstance(objective, OutputLoss):
        return Tally(loss * weight, weight, None)
    if not outputs:  # nothing counts in the loss, and yet it may be right
        evaluation.put(w)
        outputs.append(objective.run(evaluation.model, batch))
    return Tally(loss * weight, weight, objective.right(outputs[-1], batch))
