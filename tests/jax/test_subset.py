"""Some of the samples are the problem that they alone would make."""

import numpy as np
import pytest
from jax_cases import PARAMS, ROWS, Loader, V, X, Y, loss, model, pieces, squares
from numpy.testing import assert_allclose

import sharpkit

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")

CHOSEN = [7, 2, 11, 4, 5]


def made(data, micro_batch=None):
    return sharpkit.jax.problem(
        squares, PARAMS, data, model=model, micro_batch=micro_batch
    )


@pytest.mark.parametrize(
    ("data", "micro_batch"),
    [
        (lambda: (X, Y), None),
        (lambda: (X, Y), 2),
        (lambda: (jnp.asarray(X), jnp.asarray(Y)), 2),
        (lambda: pieces(5), None),
        (lambda: pieces(6), 4),
    ],
)
def test_it_is_the_problem_of_these_samples(x64, data, micro_batch):
    whole, alone = made(data(), micro_batch), made((X[CHOSEN], Y[CHOSEN]))
    part = whole.subset(CHOSEN)
    w = whole.weights
    (found, gradient), (true, slope) = part(w), alone(w)
    assert found == pytest.approx(true, rel=1e-14)
    for one, other in (
        (gradient, slope),
        (part.hvp(w, V), alone.hvp(w, V)),
        (part.gauss_newton(w, V), alone.gauss_newton(w, V)),
    ):
        assert_allclose(one, other, rtol=0, atol=1e-13)
    assert (part.samples, whole.samples, part.subset([1]).samples) == (5, ROWS, 1)
    moved = whole.at({"hidden": np.zeros((3, 2)), "out": np.ones(2)})
    assert_allclose(moved.subset([0]).weights, [0] * 6 + [1] * 2)


def test_parts_of_one_size_are_compiled_once(x64):
    traces = []

    def counted(params, batch):
        traces.append(1)
        return loss(params, batch)

    whole = sharpkit.jax.problem(counted, PARAMS, (X, Y))
    whole.subset([0, 1, 2])(whole.weights)
    before = len(traces)
    for start in range(3, 9):
        whole.subset(range(start, start + 3))(whole.weights)
    assert len(traces) == before


def test_what_one_batch_counts_does_not_matter(x64):
    # Of a loss that is no mean the weight in several batches is unknown.
    def odd(params, batch):
        return loss(params, batch) ** 0.5

    whole = sharpkit.jax.problem(odd, PARAMS, pieces(3))
    part = whole.subset([4])
    value = float(odd(PARAMS, (X[4:5], Y[4:5])))
    assert part(part.weights)[0] == pytest.approx(value)


def test_data_that_has_no_single_samples(x64):
    assert made(Loader(pieces(5))).subset is None
    assert sharpkit.jax.problem(lambda p: (p**2).sum(), jnp.ones(3)).subset is None
    with pytest.raises(ValueError, match="indices holds 12, and there are 12 samples"):
        made((X, Y)).subset([12])
