"""Frozen batch norms: mean and variance over all data, constant from then on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from sharpkit.torch.evaluation import Evaluation


class _ReachedError(BaseException):
    """A forward pass has come to the next batch norm.

    No ``except Exception`` of the model catches it.
    """


class _Moments:
    """Mean and sum of squared deviations per channel, pooled over batches."""

    def __init__(self) -> None:
        self.count, self.batches = 0, 0
        self.mean: Any = 0.0
        self.squares: Any = 0.0

    def add(self, x: Any) -> None:
        x = x.detach().double()
        others = [axis for axis in range(x.dim()) if axis != 1]
        count = x.numel() // x.shape[1]
        mean = x.mean(others, keepdim=True)
        squares = (x - mean).square().sum(others)
        gap = mean.flatten() - self.mean
        total = self.count + count
        self.mean = self.mean + gap * (count / total)
        self.squares = self.squares + squares + gap**2 * (self.count * count / total)
        self.count, self.batches = total, self.batches + 1

    def result(self, dtype: Any) -> tuple[Any, Any]:
        return self.mean.to(dtype), (self.squares / self.count).to(dtype)


def freeze(evaluation: Evaluation) -> None:
    """Give each batch norm the statistics of all data at the weights.

    The inputs of a layer depend on the statistics of the layers before it. There is
    therefore a pass for each batch norm, in the order of execution, which goes as far
    as that layer. The result does not depend on how the data are cut into batches,
    except for rounding.

    Parameters
    ----------
    evaluation
        The model whose batch norms get constant statistics.

    Raises
    ------
    ValueError
        If a batch norm is passed more than once in a forward pass, or if the order
        depends on the batch.
    """
    batches: dict[str, int] = {}
    while True:
        reached, calls = _pass(evaluation)
        if not reached:
            break
        for name, moments in reached.items():
            batches[name] = moments.batches
            with torch.inference_mode(False):  # autograd keeps none made in that mode
                evaluation.frozen[name] = moments.result(evaluation.layout.dtype)
    for name, count in batches.items():
        if calls[name] != count:
            msg = (
                f"batch_norm='frozen', and batch norm {name or '(the model itself)'} "
                "is passed several times in a forward pass, or in another order for "
                "other batches, so that it has no one mean; give batch_norm='running' "
                "or 'batch'"
            )
            raise ValueError(msg)


def _pass(evaluation: Evaluation) -> tuple[dict[str, _Moments], Counter[str]]:
    """Go over the data up to the first batch norm that is not frozen yet."""
    reached: dict[str, _Moments] = {}
    calls: Counter[str] = Counter()

    def watch(name: str) -> Any:
        def before(module: Any, args: Any, named: Any) -> None:
            if name in evaluation.frozen:
                calls[name] += 1
                return
            x = args[0] if args else named["input"]
            reached.setdefault(name, _Moments()).add(x)
            raise _ReachedError

        return before

    with evaluation.running():
        hooks = [
            norm.register_forward_pre_hook(watch(name), with_kwargs=True)
            for name, norm in evaluation.norms.items()
        ]
        try:
            for batch in evaluation.batches:
                evaluation.put(evaluation.values.weights)
                try:
                    evaluation.objective.run(evaluation.model, batch)
                except _ReachedError:
                    continue
        finally:
            for hook in hooks:
                hook.remove()
    return reached, calls
