"""Logits of unit length: what they are, and what they do not depend on."""

import numpy as np
import pytest
from jax_cases import normal
from numpy.testing import assert_allclose

import sharpkit

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")

X, LABELS = normal(12, 3, dtype=np.float64), np.arange(12) % 4
PARAMS = {
    "hidden": normal(3, 5, dtype=np.float64),
    "out": normal(5, 4, dtype=np.float64),
}


def model(params, x):
    return jnp.tanh(x @ params["hidden"]) @ params["out"]


def by_hand(params, x):
    logits = model(params, x)
    centred = logits - logits.mean(1, keepdims=True)
    return centred / jnp.linalg.norm(centred, axis=1, keepdims=True)


def entropy(logits, labels):
    chosen = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.take_along_axis(chosen, labels[:, None], 1))


def made(function=model, params=PARAMS, **options):
    return sharpkit.jax.problem(entropy, params, (X, LABELS), model=function, **options)


def test_it_is_a_last_layer_that_normalizes(x64):
    found, known = made(normalize_logits=True), made(by_hand)
    w, v = found.weights, normal(35, dtype=np.float64)
    (loss, gradient), (true, slope) = found(w), known(w)
    assert loss == pytest.approx(true, rel=1e-13)
    for one, other in (
        (gradient, slope),
        (found.hvp(w, v), known.hvp(w, v)),
        (found.gauss_newton(w, v), known.gauss_newton(w, v)),
    ):
        assert_allclose(one, other, rtol=0, atol=1e-12)
    assert found.accuracy(w) == made().accuracy(w)


def test_the_scale_of_the_last_layer_changes_nothing(x64):
    def top(factor, normalize):
        params = PARAMS | {"out": factor * PARAMS["out"]}
        own = made(params=params, parameters="hidden", normalize_logits=normalize)
        return own(own.weights)[0], float(sharpkit.eigenvalues(own))

    for normalize in (True, False):
        same = top(1, normalize) == pytest.approx(top(7.5, normalize), rel=1e-6)
        assert same == normalize


def test_equal_logits_have_finite_products(x64):
    params = PARAMS | {"out": np.zeros((5, 4))}
    own = made(params=params, normalize_logits=True)
    w = own.weights
    assert own(w)[0] == pytest.approx(np.log(4))
    assert np.isfinite(own(w)[1]).all()
    assert np.isfinite(own.hvp(w, w)).all()


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda p, x: x @ p["hidden"][:, :1], r"shapes \[\(12, 1\)\]; give a model"),
        (lambda p, x: x @ p["hidden"][:, 0], r"shapes \[\(12,\)\]"),
        (lambda p, x: (model(p, x), x), r"shapes \[\(12, 4\), \(12, 3\)\]"),
        (
            lambda p, x: model(p, x)[:, None],
            r"shape \(12, 1, 4\) and the targets have \[\(12,\)\]; give classes",
        ),
    ],
)
def test_what_is_no_classifier_is_refused(x64, function, match):
    with pytest.raises(ValueError, match=match):
        made(function, normalize_logits=True)


def test_without_a_model_the_logits_are_unknown():
    with pytest.raises(ValueError, match="with model=None, and the logits are unknown"):
        sharpkit.jax.problem(
            lambda p, b: 0.0, PARAMS, (X, LABELS), normalize_logits=True
        )
    with pytest.raises(TypeError, match="normalize_logits=1 is of type int"):
        made(normalize_logits=1)
