"""Causal language models of `transformers`: their mean loss per token as a problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sharpkit._inputs.checks import at_least
from sharpkit._inputs.names import Choice
from sharpkit.torch.build import problem
from sharpkit.torch.chunked import Tokens, chunked_cross_entropy, curved
from sharpkit.torch.evaluation import Evaluation
from sharpkit.torch.leaves import Leaves
from sharpkit.torch.losses import IGNORED
from sharpkit.torch.problems import Problem
from sharpkit.torch.products import jacobian
from sharpkit.torch.shards import is_sharded

PLAIN = "eager", "sdpa"  # these differentiate twice, the second one where it is told to
LOOKED_AT = 8  # tokens, whose logits are held against the model's own
SAME = 1e-3  # relative
PLAIN_PROBLEM = (
    "sharpkit.torch.problem(model, lambda model, batch: model(**batch), batches, "
    "loss_takes='model')"
)


def causal_lm(
    model: nn.Module,
    data: Any,
    *,
    chunk: int = 256,
    parameters: Choice | None = None,
    micro_batch: int | None = None,
    dtype: torch.dtype | None = None,
) -> Problem:
    """Make a problem of a causal language model of `transformers` and its tokens.

    The problem is the mean cross-entropy of the next token, over all tokens of all
    batches that count, as `sharpkit.torch.problem` makes one. Logits are formed for a
    chunk of tokens at a time, also in products with the Hessian and with the
    Gauss-Newton matrix, so that memory does not grow with tokens times words.

    Parameters
    ----------
    model
        The model, such as a ``GPT2LMHeadModel`` or a ``LlamaForCausalLM``, perhaps with
        adapters of `peft`. It is left as found. Fused attention, such as
        ``"flash_attention_2"``, has neither float32 nor second derivatives: evaluations
        use ``"sdpa"`` or ``"eager"`` in its place, and ``repr(problem)`` says so.
    data
        The tokens: batches such as a tokenizer makes them, mappings with
        ``"input_ids"`` and perhaps ``"attention_mask"`` and ``"labels"``, or tensors of
        token numbers, (sequences, length). They come as `sharpkit.torch.problem` takes
        batches with ``loss_takes="model"``; one mapping or tensor is cut by
        ``micro_batch``. Labels are the tokens themselves unless they are given, -100
        does not count, and the loss shifts them. Without labels, padding by the
        attention mask neither counts nor predicts.
    chunk
        The number of tokens whose logits are formed at a time.
    parameters, micro_batch
        As `sharpkit.torch.problem` takes them.
    dtype : torch.float32, torch.float64 or None
        The dtype of weights and evaluation. None is that of the model; where it is in
        half precision it is float32, so that a step of the weights is not rounded away:
        parameters are then float32 numbers that begin at those of the model.

    Returns
    -------
    problem : Problem
        The problem. If the model has no second derivative, ``problem.hvp`` is None, and
        measures use differences of the gradient and say so.

    Raises
    ------
    TypeError
        If the model is no causal language model, or a batch has no tokens.
    ValueError
        If its logits are not its output layer at its last hidden state, as where they
        are capped or scaled.
    NotImplementedError
        If the model is under ``fully_shard``.

    Examples
    --------
    >>> import torch, sharpkit
    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> config = GPT2Config(vocab_size=50, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    >>> tokens = torch.arange(24).reshape(3, 8)
    >>> problem = sharpkit.torch.causal_lm(GPT2LMHeadModel(config), tokens)
    >>> problem.samples
    3
    """
    loss, own = _CausalLoss(at_least("chunk", chunk, 1)), set[Any]()
    if isinstance(model, nn.Module):
        _require_whole(model)
        own = {x.dtype for x in model.parameters()}
    if dtype is None:
        dtype = torch.float64 if torch.float64 in own else torch.float32
    found = problem(
        model,
        loss,
        data,
        loss_takes="model",
        parameters=parameters,
        micro_batch=micro_batch,
        dtype=dtype,
    )
    evaluation = found._evaluation
    _require_causal(evaluation.model)
    evaluation.objective.note = _note(evaluation.model, own - {found._layout.dtype})
    _require_same_logits(evaluation)
    return found


def _note(model: Any, dtypes: set[Any]) -> str:
    """Return what is evaluated otherwise than by the model itself."""
    names = sorted(str(each).removeprefix("torch.") for each in dtypes)
    note = f", from parameters in {' and '.join(names)}" if names else ""
    each = {config._attn_implementation: plain for config, plain in _configs(model)}
    return note + "".join(
        f", attention {plain!r} in place of {fused!r}" for fused, plain in each.items()
    )


class _CausalLoss:
    """The mean loss per token of a batch, and the number of tokens."""

    def __init__(self, chunk: int) -> None:
        self._chunk = chunk

    def __call__(self, model: Any, batch: Any) -> dict[str, Any]:
        """Return the loss with its weight."""
        found = self._parts(model, batch)
        if found is None:
            return {"loss": torch.zeros(()), "weight": 0.0}
        hidden, weight, bias, labels = found
        loss = chunked_cross_entropy(
            hidden, weight, labels, bias=bias, chunk=self._chunk
        )
        return {"loss": loss, "weight": len(labels)}

    def gauss_newton_of_batch(
        self, evaluation: Evaluation, w: Any, batch: Any
    ) -> tuple[Callable[[Any, bool], Any], Leaves, float] | None:
        """Return the product with the Gauss-Newton matrix of a batch.

        The output is the hidden states together with the output layer.
        """
        leaves = evaluation.put(w)
        with evaluation.elsewhere.swapped(leaves):
            found = self._parts(evaluation.model, batch)
        if found is None:
            return None
        hidden, weight, bias, labels = found
        here = [x for x in (hidden, weight, bias) if x is not None]
        output = torch.cat([x.reshape(-1) for x in here])
        push, tokens = jacobian(leaves, output), Tokens(labels, self._chunk)

        def apply(v: Any, keep: bool) -> Any:
            pieces = push(v, keep).split([x.numel() for x in here])
            along = [x.view_as(y) for x, y in zip(pieces, here, strict=True)]
            if bias is None:
                along.append(None)
            slopes = curved(
                hidden, weight, bias, tokens, (along[0], along[1], along[2])
            )
            flat = [
                (torch.zeros_like(y) if x is None else x).reshape(-1)
                for x, y in zip(slopes, here, strict=False)
            ]
            return leaves.derivative(output, torch.cat(flat) / len(labels), keep=keep)

        return apply, leaves, float(len(labels))

    def _parts(self, model: Any, batch: Any) -> tuple[Any, ...] | None:
        """Return hidden states that predict, the output layer, and what is right.

        It is None if nothing counts.
        """
        inputs = _inputs(batch)
        labels = _shifted(inputs)
        counted = labels != IGNORED
        if not counted.any():
            return None
        head = model.get_output_embeddings()
        states, weight = _states(model, inputs)[:, :-1], head.weight
        states = states[counted.to(states.device)].to(weight.device)
        return states, weight, head.bias, labels[counted].to(weight.device)


def _states(model: Any, inputs: Mapping[str, Any]) -> Any:
    """Return the last hidden states."""
    own = {name: x for name, x in inputs.items() if name != "labels"}
    adapted = hasattr(model, "get_base_model")  # by peft, which wraps it
    inner = model.get_base_model() if adapted else model
    with _plain_attention(model):
        return inner.base_model(**own, use_cache=False).last_hidden_state


def _inputs(batch: Any) -> dict[str, Any]:
    """Return what the model is called with, and the labels.

    Raises
    ------
    TypeError
        If there are no tokens.
    """
    if isinstance(batch, (tuple, list)) and len(batch) == 1:  # of a TensorDataset
        batch = batch[0]
    if isinstance(batch, torch.Tensor):
        batch = {"input_ids": batch}
    tokens = batch.get("input_ids") if isinstance(batch, Mapping) else None
    if not isinstance(tokens, torch.Tensor) or tokens.dim() != 2:
        msg = (
            f"a batch is of type {type(batch).__name__} without 'input_ids' of shape "
            "(sequences, length); give a mapping as a tokenizer makes it, or a tensor "
            "of token numbers"
        )
        raise TypeError(msg)
    return dict(batch)


def _shifted(inputs: Mapping[str, Any]) -> Any:
    """Return what is right after each token but the last."""
    given = inputs.get("labels")
    if given is not None:
        return given[:, 1:]
    labels, mask = inputs["input_ids"], inputs.get("attention_mask")
    if mask is None or mask.dim() != 2:
        return labels[:, 1:]
    there = mask != 0
    return labels[:, 1:].masked_fill(~(there[:, 1:] & there[:, :-1]), IGNORED)


def _configs(model: Any) -> Iterator[tuple[Any, str]]:
    """Yield each configuration with fused attention, and the plain one to use."""
    seen = set()
    for module in model.modules():
        config = getattr(module, "config", None)
        own = getattr(config, "_attn_implementation", None)
        if own in (None, *PLAIN) or id(config) in seen:
            continue
        seen.add(id(config))
        yield config, "sdpa" if getattr(model, "_supports_sdpa", False) else "eager"


@contextmanager
def _plain_attention(model: Any) -> Iterator[None]:
    """Have attention be differentiable twice inside."""
    # Setting the public name would change the configurations below, too.
    name = "_attn_implementation_internal"
    changed = [
        (config, plain, getattr(config, name)) for config, plain in _configs(model)
    ]
    try:
        for config, plain, _ in changed:
            setattr(config, name, plain)
        yield
    finally:
        for config, _, before in changed:
            setattr(config, name, before)


def _require_whole(model: nn.Module) -> None:
    if is_sharded(model):
        msg = (
            "the model is under fully_shard, where its layers cannot be called one by "
            f"one; give {PLAIN_PROBLEM}"
        )
        raise NotImplementedError(msg)


def _require_causal(model: Any) -> None:
    head = getattr(model, "get_output_embeddings", lambda: None)()
    encoder = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    kind = getattr(model, "loss_type", None)
    if (
        not isinstance(head, nn.Linear)
        or encoder
        or model.base_model is model
        or kind not in (None, "ForCausalLM")
    ):
        msg = (
            f"model is of type {type(model).__name__}; give a causal language model of "
            f"transformers or peft with a linear output layer, or {PLAIN_PROBLEM}"
        )
        raise TypeError(msg)


def _require_same_logits(evaluation: Evaluation) -> None:
    """Hold logits of the first tokens against those that the model itself gives.

    Raises
    ------
    ValueError
        If they differ.
    """
    model = evaluation.model
    with evaluation.running(), torch.no_grad():
        evaluation.put(evaluation.values.weights)
        inputs = _inputs(next(iter(evaluation.batches.bare())))
        inputs.pop("labels", None)
        shape = inputs["input_ids"].shape
        alike = all(getattr(x, "shape", shape) == shape for x in inputs.values())
        few = {
            name: x[:1, :LOOKED_AT] if alike else x[:1]
            for name, x in inputs.items()
            if isinstance(x, torch.Tensor)
        }
        with _plain_attention(model):
            known = model(**few, use_cache=False).logits
        head = model.get_output_embeddings()
        own = head(_states(model, few).to(head.weight.device)).to(known.device)
    alike = own.shape == known.shape
    if not alike or (own - known).abs().max() > SAME * known.abs().max():
        msg = (
            f"the logits of {type(model).__name__} are not its output layer at its "
            "last hidden state; it may cap or scale them: give "
            f"{PLAIN_PROBLEM}, which forms them all at once"
        )
        raise ValueError(msg)
