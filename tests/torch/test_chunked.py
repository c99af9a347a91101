"""Cross-entropy by chunks of tokens, against that of torch over all logits."""

import pytest
from torch_peak import Peak
from torch_required import torch

from sharpkit.torch import chunked_cross_entropy

functional = torch.nn.functional


def drawn(tokens=23, words=11, width=5, dtype=torch.float64):
    torch.manual_seed(0)
    hidden = torch.randn(tokens, width, dtype=dtype, requires_grad=True)
    weight = torch.randn(words, width, dtype=dtype, requires_grad=True)
    bias = torch.randn(words, dtype=dtype, requires_grad=True)
    labels = torch.randint(words, (tokens,))
    return hidden, weight, bias, labels


def derivatives(loss, parts):
    """Return the loss, its gradient, and the Hessian times vectors that are fixed."""
    torch.manual_seed(1)
    along = [torch.randn_like(x) for x in parts]
    first = torch.autograd.grad(loss, parts, create_graph=True)
    second = torch.autograd.grad(first, parts, along, materialize_grads=True)
    return [loss, *first, *second]


@pytest.mark.parametrize("chunk", [1, 4, 23, 1024])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("ignored", [None, -100, 3])
@pytest.mark.parametrize("with_bias", [True, False])
def test_loss_and_two_derivatives_are_those_of_torch(
    chunk, smoothing, ignored, with_bias
):
    hidden, weight, bias, labels = drawn()
    options = {"label_smoothing": smoothing}
    if ignored is not None:
        labels[4:9] = ignored
        options["ignore_index"] = ignored
    bias = bias if with_bias else None
    parts = [x for x in (hidden, weight, bias) if x is not None]
    logits = functional.linear(hidden, weight, bias)
    known = derivatives(functional.cross_entropy(logits, labels, **options), parts)
    loss = chunked_cross_entropy(
        hidden, weight, labels, bias=bias, chunk=chunk, **options
    )
    for one, other in zip(derivatives(loss, parts), known, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


def test_parts_of_a_larger_graph_and_frozen_ones():
    """The weight is a constant, or the hidden states are, or depend on the weight."""
    hidden, weight, _, labels = drawn()
    for made in (
        lambda h, w: (h.sin(), w.detach()),
        lambda h, w: (h.detach(), w.exp()),
        lambda h, w: (h @ w[:5].tanh(), w),
    ):
        found = []
        for chunked in (True, False):
            h, w = made(hidden, weight)
            loss = (
                chunked_cross_entropy(h, w, labels, chunk=4)
                if chunked
                else functional.cross_entropy(h @ w.T, labels)
            )
            parts = [x for x in (hidden, weight) if (x is hidden) == h.requires_grad]
            parts = [hidden, weight] if h.requires_grad and w.requires_grad else parts
            found.append(derivatives(loss.square(), parts))
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


def test_leading_dimensions_and_gradcheck():
    hidden, weight, bias, labels = drawn(tokens=6, words=4, width=3)
    shaped = hidden.reshape(2, 3, 3), labels.reshape(2, 3)
    whole = chunked_cross_entropy(hidden, weight, labels, bias=bias)
    found = chunked_cross_entropy(shaped[0], weight, shaped[1], bias=bias, chunk=2)
    torch.testing.assert_close(found, whole, rtol=1e-14, atol=0)

    def loss(h, w, b):
        return chunked_cross_entropy(h, w, labels, bias=b, chunk=4)

    assert torch.autograd.gradcheck(loss, (hidden, weight, bias))
    assert torch.autograd.gradgradcheck(loss, (hidden, weight, bias))


def test_half_precision_forms_its_sums_in_float32():
    hidden, weight, _, labels = drawn(tokens=400, dtype=torch.bfloat16)
    found = chunked_cross_entropy(hidden, weight, labels, chunk=64)
    known = functional.cross_entropy((hidden @ weight.T).float(), labels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, known, rtol=1e-6, atol=0)
    (slope,) = torch.autograd.grad(found, weight)
    (expected,) = torch.autograd.grad(known, weight)
    torch.testing.assert_close(slope, expected, rtol=0.05, atol=1e-3)


def test_nothing_counts():
    hidden, weight, _, labels = drawn()
    assert chunked_cross_entropy(hidden, weight, labels * 0 - 100).isnan()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {"labels": torch.zeros(3, dtype=int)},
            r"labels \(3,\); give \(",
        ),
        ({"weight": torch.zeros(11, 4)}, r"weight \(11, 4\) and labels \(23,\); give"),
        ({"chunk": 0}, "chunk=0"),
        ({"label_smoothing": 2}, "label_smoothing=2; give a share from 0 to 1"),
    ],
)
def test_what_cannot_be_used(change, match):
    hidden, weight, _, labels = drawn()
    given = {"hidden": hidden, "weight": weight, "labels": labels} | change
    with pytest.raises(ValueError, match=match):
        chunked_cross_entropy(**given)


def peak(tokens, words, chunk):
    """Return the peak of the loss, its gradient and a product, at a width of 4."""
    hidden, weight, _, labels = drawn(tokens, words, 4)
    with Peak() as found:
        loss = chunked_cross_entropy(hidden, weight, labels, chunk=chunk)
        derivatives(loss, [hidden, weight])
    return found.most


def test_memory_does_not_grow_with_tokens_times_words():
    logits = 4096 * 2000
    assert peak(4096, 2000, 4096) > 3 * logits  # in one chunk
    assert peak(4096, 2000, 32) < logits / 10
