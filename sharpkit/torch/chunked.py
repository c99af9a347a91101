"""Cross-entropy over a large vocabulary, of some tokens at a time.

All logits at once are as many numbers as tokens times words, which may be more than all
weights. Here those of a chunk of tokens are formed, used and dropped, in the loss, in
its gradient, and in products with its second derivatives, which are written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from sharpkit._inputs.checks import at_least
from sharpkit.torch.losses import IGNORED

Slopes = tuple[Any, Any, Any]  # by the hidden states, the weight and the bias


class Tokens(NamedTuple):
    """The tokens of a batch, and how they are gone through.

    Attributes
    ----------
    labels : (tokens,)
        The word that is right for each token.
    chunk : int
        How many are taken at a time.
    ignored : int
        The label of a token that does not count.
    smoothing : float
        The share of a label that is spread over all words.
    """

    labels: Any
    chunk: int
    ignored: int = IGNORED
    smoothing: float = 0.0

    def parts(self) -> Iterator[tuple[slice, Any]]:
        """Yield where each chunk is, and its labels."""
        for start in range(0, len(self.labels), self.chunk):
            part = slice(start, start + self.chunk)
            yield part, self.labels[part]


def chunked_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    chunk: int = 256,
    ignore_index: int = IGNORED,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Return the mean cross-entropy of a linear output layer, by chunks of tokens.

    It equals ``cross_entropy(hidden @ weight.T + bias, labels)`` of torch up to
    rounding, and so do two derivatives of it. Its memory does not grow with the number
    of tokens times the number of words. No token is shifted.

    Parameters
    ----------
    hidden : (..., width)
        The hidden states.
    weight : (words, width)
        The weight of the output layer.
    labels : (...)
        The word that is right for each token, a whole number.
    bias : (words,) or None
        The bias of the output layer.
    chunk
        The number of tokens that are taken at a time.
    ignore_index
        The label of tokens that do not count.
    label_smoothing
        The share of each label that is spread over all words, from 0 to 1.

    Returns
    -------
    loss : tensor of no dimension
        The mean over the tokens that count; not a number if there are none.

    Raises
    ------
    ValueError
        If shapes do not fit, or an option cannot be used.

    Examples
    --------
    >>> import torch, sharpkit
    >>> hidden, weight = torch.zeros(2, 5, 8), torch.randn(1000, 8)
    >>> labels = torch.arange(10).reshape(2, 5)
    >>> sharpkit.torch.chunked_cross_entropy(hidden, weight, labels, chunk=4).item()
    6.90775...
    """
    if hidden.shape[:-1] != labels.shape or hidden.shape[-1:] != weight.shape[1:]:
        msg = (
            f"hidden has shape {tuple(hidden.shape)}, weight {tuple(weight.shape)} and "
            f"labels {tuple(labels.shape)}; give (..., width), (words, width) and (...)"
        )
        raise ValueError(msg)
    if not 0 <= label_smoothing <= 1:
        msg = f"label_smoothing={label_smoothing!r}; give a share from 0 to 1"
        raise ValueError(msg)
    chunk = at_least("chunk", chunk, 1)
    tokens = Tokens(labels.reshape(-1), chunk, ignore_index, float(label_smoothing))
    flat = hidden.reshape(-1, hidden.shape[-1])
    total: torch.Tensor = _Sum.apply(flat, weight, bias, tokens)
    return total / (tokens.labels != ignore_index).sum()


def curved(
    hidden: Any, weight: Any, bias: Any, tokens: Tokens, along: Slopes
) -> Slopes:
    """Return the product of the Gauss-Newton matrix of the summed loss with a vector.

    It is that of hidden states, weight and bias: their Jacobian transposed, the Hessian
    by the logits, their Jacobian.

    Parameters
    ----------
    hidden, weight, bias
        The hidden states, (tokens, width), and the output layer.
    tokens
        The tokens.
    along
        The vector, in the parts that belong to the three.
    """

    def bent(part: slice, labels: Any) -> Any:
        chances = _logits(hidden[part], weight, bias).softmax(1)
        moved = _moved(hidden[part], weight, _at(along, part))
        return _bent(chances, moved, labels != tokens.ignored)

    with torch.no_grad():
        return _pulled(bent, hidden, weight, bias, tokens)


class _Sum(torch.autograd.Function):  # type: ignore[misc]
    """The summed loss."""

    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any, bias: Any, tokens: Tokens) -> Any:
        ctx.save_for_backward(hidden, weight, bias)
        ctx.tokens = tokens
        parts = [
            functional.cross_entropy(
                _logits(hidden[part], weight, bias),
                labels,
                ignore_index=tokens.ignored,
                label_smoothing=tokens.smoothing,
                reduction="sum",
            )
            for part, labels in tokens.parts()
        ]
        return torch.stack(parts).sum() if parts else hidden.new_zeros(())

    @staticmethod
    def backward(ctx: Any, factor: Any) -> Any:
        return *_Slope.apply(factor, *ctx.saved_tensors, ctx.tokens), None


class _Slope(torch.autograd.Function):  # type: ignore[misc]
    """The gradient of the summed loss, times a factor."""

    @staticmethod
    def forward(
        ctx: Any, factor: Any, hidden: Any, weight: Any, bias: Any, tokens: Tokens
    ) -> Any:
        ctx.save_for_backward(factor, hidden, weight, bias)
        ctx.tokens = tokens
        ctx.set_materialize_grads(False)

        def residual(part: slice, labels: Any) -> Any:
            chances = _logits(hidden[part], weight, bias).softmax(1)
            return _residual(chances, labels, tokens).mul_(factor)

        return _pulled(residual, hidden, weight, bias, tokens)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *along: Any) -> Any:
        factor, hidden, weight, bias = ctx.saved_tensors
        tokens, inner = ctx.tokens, torch.zeros_like(factor)
        more_hidden = torch.zeros_like(hidden)
        more_weight = torch.zeros_like(weight) if weight.requires_grad else None

        def bent(part: slice, labels: Any) -> Any:
            own, own_along = hidden[part], _at(along, part)
            chances = _logits(own, weight, bias).softmax(1)
            moved = _moved(own, weight, own_along)
            residual = _residual(chances, labels, tokens)
            inner.add_(torch.einsum("tw,tw->", residual, moved))
            residual = residual.mul_(factor).to(own.dtype)
            if own_along[0] is not None and more_weight is not None:
                more_weight.addmm_(residual.T, own_along[0])
            if own_along[1] is not None:
                more_hidden[part] = residual @ own_along[1]
            return _bent(chances, moved, labels != tokens.ignored).mul_(factor)

        by_hidden, by_weight, by_bias = _pulled(bent, hidden, weight, bias, tokens)
        if more_weight is not None:
            by_weight += more_weight
        return inner, by_hidden + more_hidden, by_weight, by_bias, None


def _pulled(
    of: Callable[[slice, Any], Any], hidden: Any, weight: Any, bias: Any, tokens: Tokens
) -> Slopes:
    """Return the slopes by all three of logits with given slopes, chunk by chunk.

    That by a weight that needs no gradient is None.
    """
    by_hidden = torch.zeros_like(hidden)
    by_weight = torch.zeros_like(weight) if weight.requires_grad else None
    by_bias = None if bias is None else torch.zeros_like(bias)
    for part, labels in tokens.parts():
        slopes = of(part, labels).to(hidden.dtype)
        by_hidden[part] = slopes @ weight
        if by_weight is not None:
            by_weight.addmm_(slopes.T, hidden[part])
        if by_bias is not None:
            by_bias += slopes.sum(0)
    return by_hidden, by_weight, by_bias


def _logits(hidden: Any, weight: Any, bias: Any) -> Any:
    found = functional.linear(hidden, weight, bias)
    return found if found.dtype == torch.float64 else found.float()


def _moved(hidden: Any, weight: Any, along: Slopes) -> Any:
    """Return the derivative of logits along a vector."""
    by_hidden, by_weight, by_bias = along
    found = hidden.new_zeros(len(hidden), len(weight))
    if by_hidden is not None:
        found.addmm_(by_hidden, weight.T)
    if by_weight is not None:
        found.addmm_(hidden, by_weight.T)
    if by_bias is not None:
        found += by_bias
    return found if found.dtype == torch.float64 else found.float()


def _bent(chances: Any, moved: Any, counted: Any) -> Any:
    """Return the Hessian by the logits, times how they move, in place of the latter."""
    mean = torch.einsum("tw,tw->t", chances, moved)
    return moved.sub_(mean[:, None]).mul_(chances).mul_(counted[:, None])


def _residual(chances: Any, labels: Any, tokens: Tokens) -> Any:
    """Return the gradient by the logits."""
    counted = (labels != tokens.ignored)[:, None]
    right = torch.where(counted, labels[:, None], 0)
    found = chances - tokens.smoothing / chances.shape[1]
    found.scatter_add_(1, right, torch.full_like(found[:, :1], tokens.smoothing - 1))
    return found.mul_(counted)


def _at(along: Slopes, part: slice) -> Slopes:
    by_hidden, by_weight, by_bias = along
    return None if by_hidden is None else by_hidden[part], by_weight, by_bias
