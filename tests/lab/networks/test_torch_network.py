"""The adapter's numbers against the plain module, in float64."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

modes = pytest.mark.parametrize("mode", ["batch", "running", "frozen"])
architectures = pytest.mark.parametrize("name", ["C1", "C2"])


def statistics_for(mode, network, weights, x, y, running):
    return {
        "batch": lambda: "batch",
        "running": lambda: running,
        "frozen": lambda: (
            network.evaluate(0.9 * weights, x, y, statistics="batch").statistics
        ),
    }[mode]()


def plain(torch, network, weights, x, y, statistics, scale=1.0):
    """Loss, gradients in weights and x, and the module, by torch's own means."""
    batch = isinstance(statistics, str)
    known = network.initial_statistics(weights) if batch else statistics
    module = network.module(weights, known)
    for part in module.modules():
        if isinstance(part, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            part.train(batch)
            part.momentum = 1.0  # keeps this batch's own statistics
    images = torch.tensor(x.reshape(-1, 3, 32, 32), requires_grad=True)
    logits = module(images)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(y), reduction="sum")
    (scale * loss).backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in module.parameters()]).numpy()
    return float(loss.detach()), gradient, images.grad.numpy().reshape(x.shape), module


def relative(found, known):
    """Largest difference as a share of the largest entry."""
    return np.max(np.abs(found - known)) / np.max(np.abs(known))


@modes
@architectures
def test_loss_and_gradients_are_those_of_the_module(torch, convolutional, name, mode):
    network, weights, x, y, running = convolutional(name)
    statistics = statistics_for(mode, network, weights, x, y, running)
    gradient, input_gradient = np.full_like(weights, np.nan), np.full_like(x, np.nan)
    found = network.evaluate(
        weights,
        x,
        y,
        statistics=statistics,
        gradient=gradient,
        scale=0.3,
        input_gradient=input_gradient,
    )
    loss, known, known_input, module = plain(
        torch, network, weights, x, y, statistics, 0.3
    )
    assert_allclose(found.loss_sum, loss, rtol=1e-12)
    assert relative(gradient, known) < 1e-12
    assert relative(input_gradient, known_input) < 1e-12
    logits = module(torch.tensor(x.reshape(-1, 3, 32, 32)))
    assert found.right == int((logits.argmax(1) == torch.tensor(y)).sum())
    if mode != "batch":
        assert found.statistics is statistics


@pytest.mark.slow
@architectures
def test_gradient_is_that_of_central_differences(convolutional, name):
    network, weights, x, y, running = convolutional(name, rows=3)
    gradient, direction = np.empty_like(weights), np.empty_like(weights)
    random = np.random.default_rng(2)
    for statistics in ("batch", running):
        network.evaluate(weights, x, y, statistics=statistics, gradient=gradient)
        # each layer's part apart, so that none hides another's
        for index in range(len(network.layers(weights))):
            direction[...] = 0
            for part in network.layers(direction)[index]:
                if part is not None:
                    part[...] = random.standard_normal(part.shape)
            ahead, behind = (
                network.evaluate(
                    weights + step * direction, x, y, statistics=statistics
                ).loss_sum
                for step in (1e-6, -1e-6)
            )
            assert_allclose(
                gradient @ direction, (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-7
            )


@architectures
def test_statistics_are_those_of_the_module(torch, convolutional, name):
    network, weights, x, y, _ = convolutional(name)
    found = network.evaluate(weights, x, y, statistics="batch").statistics
    *_, module = plain(torch, network, weights, x, y, "batch")
    norms = [m for m in module.modules() if hasattr(m, "running_mean")]
    counts = network.counts(len(x))
    assert len(norms) == len(counts) == len(found.means) == len(found.variances)
    for norm, count, mean, var in zip(
        norms, counts, found.means, found.variances, strict=True
    ):
        assert_allclose(mean, norm.running_mean.numpy(), rtol=1e-12, atol=1e-13)
        biased = norm.running_var.numpy() * (count - 1) / count
        assert_allclose(var, biased, rtol=1e-12)


def test_counts_are_of_rows_and_places(convolutional):
    assert convolutional("C1")[0].counts(3) == (3 * 32 * 32, 3 * 16 * 16, 3, 3)
    sides = [32] * 2 + [16] * 2 + [8] * 3 + [4] * 3 + [2] * 3
    assert convolutional("C2")[0].counts(2) == (*(2 * side**2 for side in sides), 2)


def test_biases_before_batch_statistics_have_no_gradient(convolutional):
    network, weights, x, y, running = convolutional()
    gradient = np.empty_like(weights)
    network.evaluate(weights, x, y, statistics="batch", gradient=gradient)
    *hidden, last = network.layers(gradient)
    for layer in hidden:
        assert_array_equal(layer.bias, 0)
        assert np.any(layer.gamma != 0)
    assert np.all(last.bias != 0)
    network.evaluate(weights, x, y, statistics=running, gradient=gradient)
    assert all(np.any(layer.bias != 0) for layer in network.layers(gradient))


def test_one_row_is_its_own_mean(convolutional):
    network, weights, x, y, _ = convolutional(rows=1)
    gradient = np.empty_like(weights)
    found = network.evaluate(weights, x, y, statistics="batch", gradient=gradient)
    dense = network.layers(weights)[-2]
    assert_array_equal(found.statistics.variances[-1], 0)
    logits = np.maximum(dense.beta, 0) @ network.layers(weights)[-1].weight.T
    logits += network.layers(weights)[-1].bias
    known = np.log(np.exp(logits).sum()) - logits[y[0]]
    assert_allclose(found.loss_sum, known, rtol=1e-12)
    assert np.all(np.isfinite(gradient))


@modes
def test_float32_agrees_with_float64(convolutional, mode):
    results = []
    for dtype in (np.float64, np.float32):
        network, weights, x, y, running = convolutional(rows=20, dtype=dtype)
        statistics = statistics_for(mode, network, weights, x, y, running)
        gradient = np.empty_like(weights)
        found = network.evaluate(
            weights, x, y, statistics=statistics, gradient=gradient
        )
        assert {a.dtype for a in found.statistics.variances} == {np.dtype(dtype)}
        results.append((found.loss_sum, gradient))
    eps = float(np.finfo(np.float32).eps)
    assert_allclose(results[1][0], results[0][0], rtol=100 * eps)
    assert relative(results[1][1], results[0][1]) < 5000 * eps


def test_only_the_gradient_in_x(convolutional):
    network, weights, x, y, running = convolutional()
    both, alone, gradient = np.empty_like(x), np.empty_like(x), np.empty_like(weights)
    network.evaluate(
        weights, x, y, statistics=running, gradient=gradient, input_gradient=both
    )
    network.evaluate(weights, x, y, statistics=running, input_gradient=alone)
    assert_allclose(alone, both, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dropout", [None, 5])
def test_the_same_call_gives_the_same_bits(convolutional, dtype, dropout):
    network, weights, x, y, _ = convolutional("C2", rows=7, dtype=dtype)
    before = weights.copy(), x.copy(), y.copy()
    results = []
    for _ in range(3):
        gradient = np.full_like(weights, np.nan)
        found = network.evaluate(
            weights, x, y, statistics="batch", gradient=gradient, dropout=dropout
        )
        results.append(np.append(gradient, found.loss_sum))
        network.evaluate(0.8 * weights, x[:2], y[:2], statistics="batch", dropout=9)
    assert_array_equal(results[0], results[1])
    assert_array_equal(results[0], results[2])
    for kept, now in zip(before, (weights, x, y), strict=True):
        assert_array_equal(kept, now)
    fresh = convolutional("C2", rows=7, dtype=dtype)[0]
    found = fresh.evaluate(weights, x, y, statistics="batch", dropout=dropout)
    assert found.loss_sum == results[0][-1]


def test_dropout_follows_its_seed_alone(torch, convolutional):
    network, weights, x, y, running = convolutional("C2")

    def loss(dropout):
        return network.evaluate(
            weights, x, y, statistics=running, dropout=dropout
        ).loss_sum

    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, none = loss(3), loss(None)
    assert_array_equal(torch.get_rng_state().numpy(), state.numpy())
    torch.manual_seed(2)
    assert loss(3) == first
    assert loss(0) != first
    assert loss(None) == none != first


def test_dropout_drops_at_its_rate_and_keeps_the_mean(torch):
    from sharpkit.lab.networks.torch_structure import Dropout

    dropout, h = Dropout(0.3), torch.ones(200, 500, dtype=torch.float64)
    assert dropout(h) is h
    dropout.generator = np.random.default_rng(0)
    found = dropout(h).numpy()
    kept = found != 0
    assert_allclose(found[kept], 1 / 0.7, rtol=2**-16)
    # five standard deviations of a share of 100,000
    assert_allclose(kept.mean(), 0.7, atol=5 * (0.3 * 0.7 / kept.size) ** 0.5)


def test_the_gradient_with_dropout_is_that_of_the_same_masks(convolutional):
    network, weights, x, y, _ = convolutional("C2", rows=3)
    gradient = np.empty_like(weights)
    options = {"statistics": "batch", "dropout": 4}
    network.evaluate(weights, x, y, gradient=gradient, **options)
    direction = np.random.default_rng(1).standard_normal(weights.shape)
    ahead, behind = (
        network.evaluate(weights + step * direction, x, y, **options).loss_sum
        for step in (1e-7, -1e-7)
    )
    assert_allclose(gradient @ direction, (ahead - behind) / 2e-7, rtol=1e-5)


def test_dropout_keeps_the_layout_of_images(torch):
    from sharpkit.lab.networks.torch_structure import Dropout

    dropout, kept = Dropout(0.5), []
    images = torch.ones(6, 4, 3, 5).contiguous(memory_format=torch.channels_last)
    for h in (images, images.permute(0, 2, 3, 1)):
        dropout.generator = np.random.default_rng(1)
        found = dropout(h)
        assert found.shape == h.shape
        assert found.stride() == h.stride()  # else all after it is slow
        kept.append(found)
    assert torch.equal(kept[0].permute(0, 2, 3, 1), kept[1])
    assert 0 < float((kept[0] == 0).float().mean()) < 1
