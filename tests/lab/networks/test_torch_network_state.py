"""What the adapter keeps, leaves alone and refuses, and how its vector is laid out."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import kstest

from sharpkit.lab.networks.base import Statistics


def test_module_and_modes_of_torch_are_left_as_found(torch, convolutional):
    from sharpkit.lab.networks import convnets
    from sharpkit.lab.networks.torch_network import TorchNetwork

    module = convnets.C1(3, 0.01)
    before = copy.deepcopy(module.state_dict())
    network, (_, weights, x, y, _) = TorchNetwork(module), convolutional()
    with torch.inference_mode():
        network.evaluate(weights, x, y, statistics="batch", gradient=weights.copy())
    with torch.no_grad():
        network.evaluate(weights, x, y, statistics="batch", gradient=weights.copy())
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    assert module.training
    assert module.state_dict().keys() == before.keys()
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(not part._forward_hooks for part in module.modules())
    assert {p.device.type for p in network._structure.steered.parameters()} == {"meta"}


def test_nothing_is_kept_of_a_call(torch, convolutional):
    network, weights, x, y, _ = convolutional("C2")
    held = weights.copy()
    watched = weakref.ref(held)
    gradient = np.empty_like(weights)
    network.evaluate(held, x, y, statistics="batch", gradient=gradient, dropout=1)
    del held

    def tensors():
        gc.collect()
        return sum(issubclass(type(found), torch.Tensor) for found in gc.get_objects())

    count = tensors()
    assert watched() is None
    for _ in range(3):
        network.evaluate(
            weights, x, y, statistics="batch", gradient=gradient, dropout=1
        )
    assert tensors() == count
    with pytest.raises(IndexError, match="labels go from 9 to 9"):
        network.evaluate(weights, x, np.full(5, 9), statistics="batch")
    wide = (np.zeros(3), *convolutional("C2")[-1].means[1:])
    with pytest.raises(RuntimeError, match="running_mean"):
        network.evaluate(weights, x, y, statistics=Statistics(wide, wide), dropout=1)
    assert tensors() == count


def test_read_only_arrays_will_do(convolutional):
    network, weights, x, y, running = convolutional()
    known = network.evaluate(weights, x, y, statistics=running)
    for array in (weights, x, y, *running.means, *running.variances):
        array.flags.writeable = False
    found = network.evaluate(weights, x, y, statistics=running)
    assert found[:2] == known[:2]


def test_layers_are_views_that_cover_the_vector_once(convolutional):
    network = convolutional()[0]
    vector = np.zeros(network.n_weights)
    for layer in network.layers(vector):
        for part in layer:
            if part is not None:
                assert np.shares_memory(part, vector)
                part += 1
    assert_array_equal(vector, 1)
    first, *_, last = network.layers(vector)
    assert first.weight.shape == (4, 3, 5, 5)
    assert first.bias.shape == first.gamma.shape == first.beta.shape == (4,)
    assert last.weight.shape == (3, 4)
    assert last.gamma is None
    assert last.beta is None


def test_the_vector_is_the_modules_parameters(torch, convolutional):
    network, weights, _, _, running = convolutional()
    module = network.module(weights, running)
    flat = torch.nn.utils.parameters_to_vector(module.parameters())
    assert_array_equal(flat.detach().numpy(), weights)
    assert not module.training
    assert_array_equal(network.layers(weights)[0].gamma, module.norm1.weight.detach())
    assert_array_equal(running.variances[1], module.norm2.running_var)
    with torch.no_grad():
        module.conv1.weight += 1  # its own memory
    assert not np.shares_memory(module.conv1.weight.detach().numpy(), weights)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_initial_weights(torch, dtype):
    from sharpkit.lab.networks import convnets
    from sharpkit.lab.networks.torch_network import TorchNetwork

    network = TorchNetwork(convnets.C1(width=0.25))
    vector = network.initial_weights(3, dtype)
    assert vector.dtype == dtype
    fans = [(3 * 25, 16 * 25), (16 * 25, 16 * 25), (1024, 96), (96, 48), (48, 10)]
    for layer, (inputs, outputs) in zip(network.layers(vector), fans, strict=True):
        bound = np.sqrt(6 / (inputs + outputs))
        assert np.abs(layer.weight).max() <= bound * (1 + np.finfo(dtype).eps)
        assert kstest(layer.weight.ravel() / bound, "uniform", (-1, 2)).pvalue > 1e-3
        assert_array_equal(layer.bias, 0)
        if layer.gamma is not None:
            assert_array_equal(layer.gamma, 1)
            assert_array_equal(layer.beta, 0)
    assert_array_equal(vector, network.initial_weights(3, np.float64).astype(dtype))
    assert not np.array_equal(vector, network.initial_weights(4, dtype))


def test_initial_statistics(convolutional):
    network, weights, *_ = convolutional(dtype=np.float32)
    found = network.initial_statistics(weights)
    for layer, mean, var in zip(
        network.layers(weights), found.means, found.variances, strict=False
    ):
        assert mean.dtype == var.dtype == np.float32
        assert_array_equal(mean, np.zeros(layer.bias.shape))
        assert_array_equal(var, np.ones(layer.bias.shape))
    assert len(found.means) == len(network.layers(weights)) - 1


def test_a_network_can_be_sent_to_another_process(convolutional):
    network, weights, x, y, running = convolutional()
    network.evaluate(weights, x, y, statistics="batch", gradient=weights.copy())
    sent = pickle.loads(pickle.dumps(network))
    found = sent.evaluate(weights, x, y, statistics=running)
    assert (
        found.loss_sum == network.evaluate(weights, x, y, statistics=running).loss_sum
    )
    assert len(pickle.dumps(network)) < 100_000  # structure, no weights


@pytest.mark.parametrize("last_rows", [1, 3])
def test_input_that_does_not_fit(convolutional, last_rows):
    network, weights, x, y, running = convolutional()
    for bad, kind, match in (
        ({"weights": weights[:-1]}, ValueError, r"vector has shape \(\d+,\), the net"),
        (
            {"x": x.astype("f4")},
            TypeError,
            "weights are float64 and x is float32; give",
        ),
        ({"x": x[:, :-1]}, ValueError, r"x has shape \(5, 3071\); give \(rows, 3072\)"),
        ({"y": y[:last_rows]}, IndexError, r"labels have shape \(\d,\); give \(5,\)"),
        ({"y": y.tolist()}, TypeError, "y is of type list; give a NumPy array"),
        ({"gradient": weights[1:].copy()}, ValueError, "vector has shape"),
    ):
        case = {"weights": weights, "x": x, "y": y, "statistics": running, **bad}
        with pytest.raises(kind, match=match):
            network.evaluate(**case)
