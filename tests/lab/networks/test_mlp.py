import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest

from sharpkit.lab.networks.mlp import MLP

MODES = ["batch", "running", "frozen"]
modes = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def statistics_for(draw_statistics):
    def make(mode, network, weights, x, y):
        if mode == "batch":
            return "batch"
        if mode == "running":
            return draw_statistics(network, weights.dtype)
        return network.evaluate(weights, x, y, statistics="batch").statistics

    return make


def relative(found, known):
    """Largest difference as a share of the largest entry."""
    return np.max(np.abs(found - known)) / np.max(np.abs(known))


@modes
def test_gradient_is_that_of_central_differences(draw, statistics_for, mode):
    network, weights, x, y = draw()
    statistics = statistics_for(mode, network, weights, x, y)
    gradient, known = np.empty_like(weights), np.empty_like(weights)
    network.evaluate(
        weights, x, y, statistics=statistics, gradient=gradient, scale=0.25
    )
    h = 1e-6
    for i in range(weights.size):
        sides = []
        for sign in (1, -1):
            moved = weights.copy()
            moved[i] += sign * h
            found = network.evaluate(moved, x, y, statistics=statistics)
            sides.append(found.loss_sum)
        known[i] = 0.25 * (sides[0] - sides[1]) / (2 * h)
    # h^2 of truncation, eps / h of rounding
    assert relative(gradient, known) < 1e-8


@modes
@pytest.mark.parametrize("sizes", [(5, 7, 6, 4), (3, 70, 2), (4, 3)])
def test_loss_and_gradient_are_pytorchs(draw, statistics_for, twin, mode, sizes):
    network, weights, x, y = draw(sizes, rows=130)
    statistics = statistics_for(mode, network, weights, x, y)
    model = twin(network, weights)
    if mode != "batch":
        model.set_statistics(statistics)
    known = model.loss(x, y, train=mode == "batch")
    gradient = np.empty_like(weights)
    found = network.evaluate(
        weights, x, y, statistics=statistics, gradient=gradient, scale=1 / len(x)
    )
    assert_allclose(found.loss_sum / len(x), known, rtol=1e-12)
    assert relative(gradient, model.gradient()) < 1e-12


def test_statistics_are_pytorchs(draw, twin):
    network, weights, x, y = draw(rows=130)
    model = twin(network, weights)
    for norm in model.norms():
        norm.momentum = 1.0  # then PyTorch keeps the last batch's own statistics
    model.loss(x, y, train=True)
    found = network.evaluate(weights, x, y, statistics="batch").statistics
    known = model.statistics()
    for mean, expected in zip(found.means, known.means, strict=True):
        assert_allclose(mean, expected, rtol=1e-12, atol=1e-13)
    for var, expected in zip(found.variances, known.variances, strict=True):
        assert_allclose(var, expected * (len(x) - 1) / len(x), rtol=1e-12)


@modes
def test_float32_agrees_with_float64(draw, statistics_for, mode):
    results = []
    for dtype in (np.float64, np.float32):
        network, weights, x, y = draw((20, 30, 30, 10), 200, dtype)
        gradient = np.empty_like(weights)
        statistics = statistics_for(mode, network, weights, x, y)
        found = network.evaluate(
            weights, x, y, statistics=statistics, gradient=gradient
        )
        assert gradient.dtype == dtype
        assert {array.dtype for array in found.statistics.means} == {np.dtype(dtype)}
        results.append((found, gradient))
    (known, gradient_known), (found, gradient) = results
    eps = float(np.finfo(np.float32).eps)
    assert_allclose(found.loss_sum, known.loss_sum, rtol=50 * eps)
    assert relative(gradient, gradient_known) < 500 * eps


@modes
def test_buffers_leave_no_trace(draw, statistics_for, mode):
    network, weights, x, y = draw(rows=40)
    statistics = statistics_for(mode, network, weights, x, y)

    def evaluate(network, rows):
        gradient = np.full_like(weights, np.nan)
        found = network.evaluate(
            weights, x[:rows], y[:rows], statistics=statistics, gradient=gradient
        )
        return found.loss_sum, found.right, gradient

    for rows in (7, 40, 7, 1):
        found, known = evaluate(network, rows), evaluate(MLP(network.sizes), rows)
        assert found[:2] == known[:2]
        assert_array_equal(found[2], known[2])


def test_buffers_follow_the_dtype(draw):
    network, *case = draw(rows=40)
    network.evaluate(*case, statistics="batch")
    _, *case = draw(rows=40, dtype=np.float32)
    found = network.evaluate(*case, statistics="batch")
    known = MLP(network.sizes).evaluate(*case, statistics="batch")
    assert found.loss_sum == known.loss_sum
    assert found.statistics.means[0].dtype == np.float32


def test_right_rows_are_counted(draw, draw_statistics):
    network, weights, x, _ = draw(rows=50)
    statistics = draw_statistics(network)
    right = [
        network.evaluate(weights, x, np.full(50, label), statistics=statistics).right
        for label in range(4)
    ]
    assert sum(right) == 50  # each row has one answer
    assert max(right) < 50


def test_layers_are_views_that_cover_the_vector_once():
    network = MLP((4, 3, 5, 2))
    vector = np.zeros(network.n_weights)
    for layer in network.layers(vector):
        for part in layer:
            if part is not None:
                assert np.shares_memory(part, vector)
                part += 1
    assert_array_equal(vector, 1)
    first, _, last = network.layers(vector)
    assert first.weight.shape == (4, 3)
    assert first.bias.shape == first.gamma.shape == first.beta.shape == (3,)
    assert last.weight.shape == (5, 2)
    assert last.gamma is None
    assert last.beta is None


@pytest.mark.parametrize(
    ("sizes", "weights"),
    [
        ((784, *[512] * 5, 10), 1_462_794),
        ((360, *[512] * 7, 1973), 2_780_085),
        ((4, 3), 15),
    ],
    ids=["F1", "F2", "linear"],
)
def test_number_of_weights(sizes, weights):
    assert MLP(sizes).n_weights == weights


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_initial_weights(dtype):
    network = MLP((100, 80, 50))
    vector = network.initial_weights(3, dtype)
    assert vector.dtype == dtype
    for layer in network.layers(vector):
        bound = np.sqrt(6 / sum(layer.weight.shape))
        assert np.abs(layer.weight).max() <= bound * (1 + np.finfo(dtype).eps)
        assert kstest(layer.weight.ravel() / bound, "uniform", (-1, 2)).pvalue > 1e-3
        assert_array_equal(layer.bias, 0)
        if layer.gamma is not None:
            assert_array_equal(layer.gamma, 1)
            assert_array_equal(layer.beta, 0)


def test_initial_weights_follow_the_seed():
    network = MLP((6, 5, 4))
    known = network.initial_weights(3)
    assert_array_equal(known, MLP((6, 5, 4)).initial_weights(3))
    assert not np.array_equal(known, network.initial_weights(4))
    assert_array_equal(known, network.initial_weights(3, np.float64).astype(np.float32))


@pytest.mark.parametrize("sizes", [(), (5,), (5, 0, 3), (5, -1)])
def test_bad_sizes(sizes):
    with pytest.raises(ValueError, match=r"sizes=\(.*\): give at least two positive"):
        MLP(sizes)


def test_bad_vector_shape():
    network = MLP((4, 3))
    for shape in ((14,), (15, 1)):
        with pytest.raises(ValueError, match=r"has shape .*network needs \(15,\)"):
            network.layers(np.zeros(shape))
