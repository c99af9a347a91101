"""The data: its forms, its weighting, and what a pass over it costs."""

import functools
import gc

import numpy as np
import pytest
from jax_cases import (
    INPUTS,
    PARAMS,
    ROWS,
    Loader,
    V,
    X,
    Y,
    loss,
    model,
    pieces,
    squares,
)
from numpy.testing import assert_allclose, assert_array_equal

import sharpkit

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")


def torch_loader():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    return torch.utils.data.DataLoader(data, batch_size=5)


@functools.cache
def of_all_rows():
    """Loss, gradient and product of all rows at once, with nothing of ours."""
    tree = pytest.importorskip("jax.flatten_util")
    flat, unravel = tree.ravel_pytree(PARAMS)
    mean = jax.jit(lambda w: loss(unravel(w), (X, Y)))
    product = jax.vjp(jax.grad(mean), flat)[1](V)[0]
    return float(mean(flat)), np.asarray(jax.grad(mean)(flat)), np.asarray(product)


@pytest.fixture
def whole(x64):
    return of_all_rows()


@pytest.mark.parametrize(
    ("data", "micro_batch"),
    [
        (lambda: (X, Y), None),
        (lambda: (X, Y), 1),
        (lambda: (X, Y), 5),
        (lambda: (jnp.asarray(X), jnp.asarray(Y)), 5),
        (lambda: pieces(5), None),
        (lambda: pieces(6), 4),
        (lambda: Loader(pieces(5)), None),
        (torch_loader, None),
    ],
)
def test_all_forms_of_data_give_the_mean_over_the_rows(whole, data, micro_batch):
    known, slope, product = whole
    problem = sharpkit.jax.problem(loss, PARAMS, data(), micro_batch=micro_batch)
    found, gradient = problem(problem.weights)
    assert isinstance(found, float)
    assert_allclose(found, known, rtol=1e-14)
    assert_allclose(gradient, slope, rtol=0, atol=1e-14)
    assert_allclose(problem.hvp(problem.weights, V), product, rtol=0, atol=1e-14)
    assert problem.samples == ROWS


def test_a_dict_and_a_single_array_are_data(whole):
    def of_dict(params, batch):
        return squares(model(params, batch["x"]), batch["y"])

    def of_array(params, batch):
        return squares(model(params, batch[:, :-1]), batch[:, -1])

    for function, data in (
        (of_dict, {"x": X, "y": Y}),
        (of_array, np.column_stack([X, Y])),
    ):
        problem = sharpkit.jax.problem(function, PARAMS, data, micro_batch=4)
        assert_allclose(problem(problem.weights)[0], whole[0], rtol=1e-14)


def test_without_data_the_loss_takes_params_alone(whole):
    problem = sharpkit.jax.problem(lambda params: loss(params, (X, Y)), PARAMS)
    assert_allclose(problem(problem.weights)[0], whole[0], rtol=1e-14)
    assert_allclose(problem.hvp(problem.weights, V), whole[2], rtol=0, atol=1e-14)
    assert problem.samples is None
    assert problem.accuracy(problem.weights) is None


@pytest.mark.parametrize("split", [True, False])
def test_a_weight_beside_the_loss_counts_in_place_of_the_rows(x64, split):
    mask = np.array([1, 0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0])  # 3, 1, 2 of the pieces

    def masked(outputs, targets):
        y, kept = targets
        mean = ((outputs - y) ** 2 * kept).sum() / kept.sum()
        return {"loss": mean, "weight": kept.sum()}

    def unsplit(params, batch):
        return masked(model(params, batch[0]), batch[1])

    problem = sharpkit.jax.problem(
        masked if split else unsplit,
        PARAMS,
        (X, (Y, mask)),
        model=model if split else None,
        micro_batch=4,
    )
    rows = mask == 1
    known = sharpkit.jax.problem(squares, PARAMS, (X[rows], Y[rows]), model=model)
    w = known.weights
    assert_allclose(problem(w)[0], known(w)[0], rtol=1e-14)
    assert_allclose(problem(w)[1], known(w)[1], rtol=0, atol=1e-14)
    assert_allclose(problem.hvp(w, V), known.hvp(w, V), rtol=0, atol=1e-14)
    if split:
        product, expected = (each.gauss_newton(w, V) for each in (problem, known))
        assert_allclose(product, expected, rtol=0, atol=1e-14)
    # the rows would have given another mean
    assert abs(problem(w)[0] - np.mean(np.square(model(PARAMS, X) - Y)[rows])) < 1e-14
    by_rows = [masked(model(PARAMS, x), (y, m))["loss"] for x, (y, m) in cut(mask)]
    assert abs(problem(w)[0] - np.average(by_rows, weights=[4, 4, 4])) > 1e-3


def cut(mask):
    return [(X[i : i + 4], (Y[i : i + 4], mask[i : i + 4])) for i in (0, 4, 8)]


def test_a_weight_may_stand_in_for_missing_rows(x64):
    def weighted(params, batch):
        x, y, _ = batch
        return {"loss": squares(model(params, x), y), "weight": len(x)}

    extra = np.zeros(5)
    batches = [(x, y, extra) for x, y in pieces(4)]
    problem = sharpkit.jax.problem(weighted, PARAMS, batches)
    known = sharpkit.jax.problem(loss, PARAMS, (X, Y))
    w = known.weights
    assert_allclose(problem(w)[0], known(w)[0], rtol=1e-14)
    assert problem.samples is None
    message = (
        r"shapes \[\(4, 3\), \(4,\), \(5,\)\], of no common first dimension.*return"
    )
    with pytest.raises(ValueError, match=message):
        sharpkit.jax.problem(lambda p, b: loss(p, b[:2]), PARAMS, batches)


def test_the_pieces_change_float32_by_its_rounding_only():
    params = {name: array.astype(np.float32) for name, array in PARAMS.items()}
    data = (X.astype(np.float32), Y.astype(np.float32))
    found = [
        sharpkit.jax.problem(loss, params, data, micro_batch=size)
        for size in (None, 1, 5)
    ]
    w, v = found[0].weights, V.astype(np.float32)
    assert w.dtype == np.float32
    roundings = ROWS * np.finfo(np.float32).eps  # of a sum over all rows
    losses = [problem(w)[0] for problem in found]
    assert_allclose(losses, losses[0], rtol=roundings)
    for vectors in (
        [problem(w)[1] for problem in found],
        [problem.hvp(w, v) for problem in found],
    ):
        assert {each.dtype for each in vectors} == {np.dtype(np.float32)}
        size = np.abs(vectors[0]).max()
        for each in vectors[1:]:
            assert_allclose(each, vectors[0], rtol=0, atol=roundings * size)


def test_the_same_call_gives_the_same_bits(x64):
    problem = sharpkit.jax.problem(loss, PARAMS, (X, Y), micro_batch=4)
    w = problem.weights
    assert problem(w)[0] == problem(w)[0]
    assert_array_equal(problem(w)[1], problem(w)[1])
    assert_array_equal(problem.hvp(w, V), problem.hvp(w, V))


def test_compiled_once_for_every_shape(x64):
    traced = []

    def counted(outputs, targets):
        traced.append(outputs.shape)
        return squares(outputs, targets)

    problem = sharpkit.jax.problem(counted, PARAMS, (X, Y), model=model, micro_batch=5)
    w = problem.weights
    assert traced == [(5,)]  # the check of the first batch
    problem(w)
    # Each shape is traced once to read what the mean divides by.
    assert traced == [(5,), (5,), (5,), (2,), (2,)]
    problem.hvp(w, V)
    problem.gauss_newton(w, V)
    first = len(traced)
    moved = problem.at(PARAMS)
    for scale in (1.0, 0.5):
        for each in (problem, moved):
            each(scale * w)
            each(np.asarray(scale * w))
            each.hvp(scale * w, V)
            each.gauss_newton(w, scale * V)
    assert len(traced) == first


def live_bytes():
    return sum(array.nbytes for array in jax.live_arrays())


def test_memory_does_not_grow_with_products(x64):
    problem = sharpkit.jax.problem(squares, PARAMS, (X, Y), model=model, micro_batch=6)
    w = problem.weights

    def use():
        problem(w), problem.hvp(w, V), problem.gauss_newton(w, V)

    use()
    gc.collect()
    before = len(jax.live_arrays()), live_bytes()
    for _ in range(350):
        use()
    assert (len(jax.live_arrays()), live_bytes()) == before


def test_memory_does_not_grow_with_the_data(x64):
    batch, seen = (np.zeros((1000, INPUTS)), np.zeros(1000)), []

    class Many:
        def __iter__(self):
            for _ in range(200):
                seen.append(live_bytes())
                yield batch

    problem = sharpkit.jax.problem(loss, PARAMS, Many())
    gc.collect()
    for use in (
        lambda: problem(problem.weights),
        lambda: problem.hvp(problem.weights, V),
    ):
        seen.clear()
        use()
        assert len(seen) == 200
        assert max(seen) <= min(seen) + 4 * problem.weights.nbytes

    large = np.zeros((100_000, INPUTS)), np.zeros(100_000)
    before = live_bytes()
    problem = sharpkit.jax.problem(loss, PARAMS, large, micro_batch=1000)
    problem(problem.weights)
    assert live_bytes() - before < 1000 * INPUTS * 8


def test_what_is_given_may_be_overwritten_once_a_call_is_over(x64):
    problem = sharpkit.jax.problem(loss, PARAMS, (X, Y), micro_batch=4)
    w, v = np.array(problem.weights), V.copy()
    known = np.array(problem.hvp(w, v)), np.array(problem(w)[1])
    for _ in range(20):
        w[:], v[:] = problem.weights, V
        found = problem.hvp(w, v), problem(w)[1]
        w[:], v[:] = np.nan, np.nan
        assert_array_equal(found[0], known[0])
        assert_array_equal(found[1], known[1])


def test_accuracy():
    random = np.random.default_rng(3)
    x, y = random.standard_normal((50, 3)), random.integers(0, 4, 50)
    params = {"w": random.standard_normal((3, 4)).astype(np.float32)}

    def linear(params, x):
        return x @ params["w"]

    def nll(logits, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

    problem = sharpkit.jax.problem(nll, params, (x, y), model=linear, micro_batch=16)
    w = problem.weights
    known = np.mean((x.astype(np.float32) @ params["w"]).argmax(1) == y)
    assert problem.accuracy(w) == known
    assert 0 < known < 1
    moved = problem.accuracy(-w)
    assert moved == np.mean((x.astype(np.float32) @ params["w"]).argmin(1) == y)
    assert problem.on_line() is problem
    floats = sharpkit.jax.problem(
        lambda o, t: jnp.mean((o.sum(1) - t) ** 2),
        params,
        (x, y.astype(np.float32)),
        model=linear,
    )
    assert floats.accuracy(w) is None
    unsplit = sharpkit.jax.problem(
        lambda p, b: nll(linear(p, b[0]), b[1]), params, (x, y)
    )
    assert unsplit.accuracy(w) is None


def test_measures_take_it_as_it_is(x64):
    problem = sharpkit.jax.problem(loss, PARAMS, (X, Y), micro_batch=4)

    def by_hand(w):
        found, gradient = problem(w)
        return found, np.asarray(gradient)

    w = np.asarray(problem.weights)
    result = sharpkit.sharpness(problem)
    assert result.value == sharpkit.sharpness(w, by_hand).value > 0
    dense = np.stack([problem.hvp(w, row) for row in np.eye(8)])
    top = sharpkit.eigenvalues(problem, tol=1e-9)
    assert top.run.source == "hvp"
    assert_allclose(top.values[0], np.linalg.eigvalsh(dense)[-1], rtol=1e-12)
    groups = sharpkit.by_group(sharpkit.sharpness, problem)
    assert set(groups) == set(problem.layers) == {"hidden", "out"}
