"""Data, losses and arguments that are refused, and what is said of them."""

import numpy as np
import pytest
from jax_cases import PARAMS, Loader, V, X, Y, loss, model, pieces, squares

import sharpkit

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")

BAD_DATA = [
    (
        iter(pieces(4)),
        TypeError,
        "data is an iterator .list_iterator., which is exhausted",
    ),
    (zip(X, Y, strict=True), TypeError, "data is an iterator .zip.*give a list"),
    (3, TypeError, "data is of type int; give arrays"),
    ([], ValueError, "data is an empty list; give at least one batch"),
    (Loader([]), ValueError, "data yields no batches"),
    (
        (X, Y[:-1]),
        ValueError,
        r"data\[1\] has 11 rows, and the array before it has 12; give",
    ),
    ((X[:0], Y[:0]), ValueError, "data has no rows; give at least one sample"),
    ((X, np.float64(1)), ValueError, r"data\[1\] is a single number"),
    ({"x": X, "y": "label"}, TypeError, r"data\['y'\] is of type str; give an array"),
    ((X, Y.astype(str)), TypeError, r"data\[1\] is of dtype <U\d+; give an arr"),
    ([X, Y], ValueError, r"list of bare arrays of shapes \(12, 3\), \(12,\)"),
    ([(X, None, "a")], TypeError, r"batch 0 of data\[2\] is of type str"),
]


@pytest.mark.parametrize(
    ("data", "kind", "message"), BAD_DATA, ids=[message for *_, message in BAD_DATA]
)
def test_data_that_cannot_be_used(x64, data, kind, message):
    with pytest.raises(kind, match=message):
        sharpkit.jax.problem(loss, PARAMS, data)


def named(mean, weight):
    return {"loss": mean, "weight": weight}


def test_batches_without_rows_cannot_be_cut(x64):
    data = [(X, Y[:-1])]
    with pytest.raises(ValueError, match=r"micro_batch=4, but .* batch 0 of data have"):
        sharpkit.jax.problem(
            lambda p, b: named(p["out"].sum(), 1), PARAMS, data, micro_batch=4
        )


def test_a_batch_must_be_a_pair_where_the_loss_is_split(x64):
    for data, kind in (((X, Y, Y), "tuple of 3"), ({"x": X}, "dict"), (X, "ArrayImpl")):
        with pytest.raises(ValueError, match=f"type {kind}; with model= give pairs"):
            sharpkit.jax.problem(squares, PARAMS, data, model=model)


def test_data_that_changes_between_passes(x64):
    batches = pieces(4)
    problem = sharpkit.jax.problem(loss, PARAMS, Loader(batches))
    problem(problem.weights)
    batches.pop()
    message = "add up to 8, in the pass before to 12; data must give the same samples"
    with pytest.raises(ValueError, match=message):
        problem(problem.weights)


def test_a_weight_that_depends_on_params_or_is_not_positive(x64):
    def wrong(params, batch):
        return named(loss(params, batch), jnp.abs(params["out"]).sum())

    problem = sharpkit.jax.problem(wrong, PARAMS, (X, Y))
    problem(problem.weights)
    with pytest.raises(ValueError, match="must not depend on params"):
        problem(1.01 * problem.weights)
    problem = sharpkit.jax.problem(lambda p, b: named(loss(p, b), 0), PARAMS, (X, Y))
    with pytest.raises(ValueError, match=r"add up to 0\.0; they must be positive"):
        problem(problem.weights)


BAD_LOSSES = [
    (lambda p, b: b[1] * p["out"].sum(), ValueError, r"array of shape \(12,\) and "
     "dtype float64 as the loss; return one real number"),
    (lambda p, b: p["out"].sum() * 1j, TypeError, "dtype complex128 as the loss"),
    (lambda p, b: jnp.argmax(p["out"]), TypeError, "dtype int64 as the loss"),
    (lambda p, b: None, TypeError, "loss returned NoneType as the loss"),
    (lambda p, b: named(p["out"].sum(), {}), TypeError, "loss returned dict as the "
     "weight"),
    (lambda p, b: named(p["out"].sum(), b[1]), ValueError, "as the weight; return one"),
    (lambda p, b: (p["out"].sum(), 1), TypeError, "returned a tuple of 2; return the "
     'mean alone or, to say what a batch counts, return {"loss": mean, "weight"'),
    (lambda p, b: {"nll": p["out"].sum()}, TypeError, "a dict without 'loss'; return"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "kind", "message"), BAD_LOSSES, ids=[message for *_, message in BAD_LOSSES]
)
def test_a_loss_that_is_no_real_number(x64, bad, kind, message):
    with pytest.raises(kind, match=message):
        sharpkit.jax.problem(bad, PARAMS, (X, Y))


def test_the_users_own_exceptions_come_through(x64):
    def broken(params, batch):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        sharpkit.jax.problem(broken, PARAMS, (X, Y))


def test_arguments_that_do_not_fit(x64):
    problem = sharpkit.jax.problem
    with pytest.raises(
        TypeError, match="loss=3 of type int is not callable; give a pu"
    ):
        problem(3, PARAMS, (X, Y))
    with pytest.raises(TypeError, match="model=3 of type int is not callable"):
        problem(loss, PARAMS, (X, Y), model=3)
    with pytest.raises(ValueError, match="micro_batch=4 with data=None; give the data"):
        problem(loss, PARAMS, micro_batch=4)
    with pytest.raises(
        ValueError, match=r"model=.* with data=None; give the data, or leave out model"
    ):
        problem(loss, PARAMS, model=model)
    with pytest.raises(
        ValueError, match="micro_batch=0; give a whole number of at least"
    ):
        problem(loss, PARAMS, (X, Y), micro_batch=0)
    made = problem(loss, PARAMS, (X, Y))
    with pytest.raises(
        ValueError,
        match=r"model=None; .* give sharpkit\.jax\.problem a model\(params, in",
    ):
        made.gauss_newton(made.weights, V)
    with pytest.raises(
        TypeError, match="w is of type list; give a JAX or NumPy vector of"
    ):
        made([1.0] * 8)
    with pytest.raises(
        ValueError, match=r"v has shape \(7,\); give a vector of shape \(8,\)"
    ):
        made.hvp(made.weights, V[:-1])
    with pytest.raises(
        TypeError, match="w has dtype float32, and the problem float64; give "
    ):
        made(V.astype(np.float32))
