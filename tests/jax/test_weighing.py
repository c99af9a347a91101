"""What a batch counts, where the loss does not say so."""

import numpy as np
import pytest
from jax_cases import jnp
from numpy.testing import assert_allclose

import sharpkit

RNG = np.random.default_rng(3)
ROWS, SIZE = 22, 6
X, W = RNG.normal(size=(ROWS, 4)), RNG.normal(size=(4, 3))
LABELS = RNG.integers(0, 3, ROWS)
IGNORED = LABELS.copy()
IGNORED[::3], IGNORED[10:] = -100, -100
IGNORED[14], IGNORED[20] = 2, 1
LATER = LABELS.copy()
LATER[[8, 9, 11, 15, 16, 21]] = -100
NONE_LAST = IGNORED.copy()
NONE_LAST[18:] = -100
MASK = (IGNORED != -100).astype(float)


def each(params, x, labels):
    scores = x @ params
    top = jnp.log(jnp.exp(scores).sum(1))
    return top - jnp.take_along_axis(scores, labels.clip(0)[:, None], 1)[:, 0]


def plain(params, batch):
    return each(params, *batch[:2]).mean()


def ignoring(params, batch):
    counts = batch[1] != -100
    return (each(params, *batch) * counts).sum() / counts.sum()


def masked(params, batch):
    return (each(params, *batch[:2]) * batch[2]).sum() / batch[2].sum()


def decayed(params, batch):
    return 3 * ignoring(params, batch) / 7 + 0.1 * (params**2).sum()


def tokens(params, batch):
    x, y = batch
    return ((x @ params - y) ** 2).mean()


def logged(params, batch):
    return {"loss": plain(params, batch), "accuracy": jnp.ones(3)}


MEANS = {
    "plain": (plain, (X, LABELS)),
    "metrics beside it": (logged, (X, LABELS)),
    "ignored": (ignoring, (X, IGNORED)),
    "ignored later": (ignoring, (X, LATER)),
    "nothing counts at last": (ignoring, (X, NONE_LAST)),
    "masked": (masked, (X, LABELS, MASK)),
    "factors and decay": (decayed, (X, IGNORED)),
}


@pytest.mark.parametrize("name", MEANS)
def test_a_mean_over_what_counts(x64, name):
    loss, data = MEANS[name]
    whole = sharpkit.jax.problem(loss, W, data)
    cut = sharpkit.jax.problem(loss, W, data, micro_batch=SIZE)
    w = whole.weights
    (value, slope), (expected, right) = cut(w), whole(w)
    returned = loss(jnp.asarray(W), data)
    plainly = returned["loss"] if isinstance(returned, dict) else returned
    assert_allclose(expected, plainly, rtol=1e-13)
    assert_allclose(value, expected, rtol=1e-12)
    assert_allclose(slope, right, rtol=0, atol=1e-13)
    assert_allclose(cut.hvp(w, w), whole.hvp(w, w), rtol=0, atol=1e-13)


def test_sequences_of_several_lengths(x64):
    batches = [(RNG.normal(size=(4, k, 4)), RNG.normal(size=(4, k, 3))) for k in (5, 2)]
    problem = sharpkit.jax.problem(tokens, W, batches)
    squares = sum(((x @ W - y) ** 2).sum() for x, y in batches)
    assert_allclose(problem(problem.weights)[0], squares / (28 * 3), rtol=1e-13)


@pytest.mark.parametrize("micro_batch", [None, SIZE])
@pytest.mark.parametrize(
    "loss",
    [
        lambda p, b: each(p, *b).sum(),
        lambda p, b: each(p, *b).sum() / 2 + (p**2).sum(),
        lambda p, b: each(p, *b).sum() / 64,
    ],
)
def test_a_sum_is_refused(x64, loss, micro_batch):
    problem = sharpkit.jax.problem(loss, W, (X, LABELS), micro_batch=micro_batch)
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"loss adds up over the samples.*the mean"
        ):
            problem(problem.weights)


def test_what_is_no_mean_is_said(x64):
    def dice(params, batch):
        p, y = jnp.tanh(batch[0] @ params) + 1, batch[1][:, None] == jnp.arange(3)
        return 1 - (p * y).sum() / (p.sum() + y.sum())

    whole = sharpkit.jax.problem(dice, W, (X, LABELS))
    whole(whole.weights)
    cut = sharpkit.jax.problem(dice, W, (X, LABELS), micro_batch=SIZE)
    with pytest.warns(
        sharpkit.SharpkitWarning, match="no mean of the losses of its sa"
    ):
        cut(cut.weights)
    cut(cut.weights)  # said once


def test_what_cannot_be_told_is_said(x64):
    problem = sharpkit.jax.problem(ignoring, W, (X, LABELS), micro_batch=1)
    with pytest.warns(
        sharpkit.SharpkitWarning, match=r"counts .* cannot be told.*weight"
    ):
        problem(problem.weights)


def test_half_precision_inside_is_not_misjudged(x64):
    def loss(params, batch):
        x, half = batch[0].astype(jnp.bfloat16), params.astype(jnp.bfloat16)
        return ignoring(half, (x, batch[1])).astype(float)

    problem = sharpkit.jax.problem(loss, W, (X, IGNORED), micro_batch=SIZE)
    right = ignoring(jnp.asarray(W), (X, IGNORED))
    assert_allclose(problem(problem.weights)[0], right, rtol=0.02)
