"""The loss without its gradient, and a measure that takes it."""

import pytest
from jax_cases import PARAMS, V, X, Y, loss, model, squares

import sharpkit

jax = pytest.importorskip("jax")


@pytest.mark.parametrize("rows", [len(X), 5])
def test_it_is_the_loss(x64, rows):
    data = [(X[i : i + rows], Y[i : i + rows]) for i in range(0, len(X), rows)]
    p = sharpkit.jax.problem(loss, PARAMS, data)
    w = p.weights + 0.1 * V
    assert p.forward(w) == pytest.approx(p(w)[0], rel=1e-14)
    whole = sharpkit.jax.problem(squares, PARAMS, (X, Y), model=model)
    assert whole.forward(w) == pytest.approx(whole(w)[0], rel=1e-14)


def test_no_gradient_is_taken_along_a_given_update(x64, monkeypatch):
    p = sharpkit.jax.problem(loss, PARAMS, (X, Y))
    d, expected = p(p.weights)[1], sharpkit.critical_sharpness(p)
    monkeypatch.setattr(type(p), "__call__", lambda self, w: pytest.fail("gradient"))
    found = sharpkit.critical_sharpness(p, direction=d)
    assert found.value == pytest.approx(expected.value, rel=1 / 16)
    assert found.gradients == 0
