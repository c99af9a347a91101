import numpy as np
import pytest

torch = pytest.importorskip("torch")

SIZES = (784, 12, 12, 10)
K = 3


@pytest.fixture(autouse=True)
def one_thread(load):
    """Several threads wait for each other longer than such small work takes."""
    with load("bench.torch_network").one_thread():
        yield


@pytest.fixture
def peers(load):
    return load("bench.peers")


@pytest.fixture
def trained(load):
    """Weights, problem and PyTorch's network, after a few steps."""
    return load("bench.spectra").trained(2, 256, SIZES)


@pytest.fixture
def truth(load, trained):
    return load("bench.spectra").true_eigenvalues(trained[2], K)


def need(peers, name):
    if peers.version(name) is None:
        pytest.skip(f"{peers.PACKAGES[name]} is not installed")


def test_torch_has_the_same_loss_and_gradient(load, trained):
    module = load("bench.torch_network")
    weights, problem, network = trained
    off = module.check_network(problem, weights, network)
    assert off.keys() == {"loss", "gradient"}
    assert max(off.values()) < 1e-5
    order = module.in_torch_order(problem.network, weights)
    np.testing.assert_array_equal(order, network.weights)
    vector = torch.nn.utils.parameters_to_vector(network.parameters)
    np.testing.assert_array_equal(order, vector.detach().numpy())


def test_another_network_is_noticed(load, trained):
    module = load("bench.torch_network")
    weights, problem, network = trained
    with pytest.raises(module.CaseError, match="the losses differ"):
        module.check_network(problem, weights * np.float32(1.01), network)
    with torch.no_grad():
        network.model[1].bias += 1e-2
    with pytest.raises(module.CaseError, match=r"differ|of its length off"):
        module.check_network(problem, weights, network)


def test_the_retained_graph_multiplies_by_the_hessian(load, trained):
    """Two products against central differences of the gradient in float64."""
    network = trained[2]
    w, random = network.weights, np.random.default_rng(1)
    u = random.standard_normal(w.size).astype(np.float32)
    v = random.standard_normal(w.size).astype(np.float32)
    forth, back = network.hvp(w, v), network.hvp(w, u)
    assert forth.dtype == np.float32
    assert forth.shape == w.shape
    assert u.astype("f8") @ forth == pytest.approx(v.astype("f8") @ back, rel=1e-4)
    double = network.model.double()
    parameters = list(double.parameters())
    inputs = network.inputs.double()

    def gradient(step):
        point = w.astype("f8") + step * v.astype("f8")
        torch.nn.utils.vector_to_parameters(torch.from_numpy(point), parameters)
        loss = network.criterion(double(inputs), network.labels)
        return network.joined(torch.autograd.grad(loss, parameters)).numpy()

    step = 1e-7
    slope = (gradient(step) - gradient(-step)) / (2 * step)
    np.testing.assert_allclose(forth, slope, atol=1e-3 * np.abs(slope).max())


def test_a_graph_knows_its_own_weights_only(trained):
    network = trained[2]
    with pytest.raises(ValueError, match="its own weights only"):
        network.hvp(network.weights + 1, network.weights)


def test_threads_are_put_back(load):
    before = torch.get_num_threads()
    module = load("bench.torch_network")
    torch.set_num_threads(2)
    try:
        with module.one_thread():
            assert torch.get_num_threads() == module.sharpkit.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("name", "products", "rtol"),
    [
        ("PyHessian", None, 0.1),  # stops when two values in a row lie within 1e-3
        ("hessian-eigenthings", 40, 1e-3),
        ("curvlinops + eigsh", None, 1e-3),
        ("eigsh", None, 1e-3),
    ],
)
def test_the_largest_eigenvalues(peers, trained, truth, name, products, rtol):
    need(peers, name)
    network = trained[2]
    found = peers.EIGENVALUES[name](network, K)
    assert found.method == name
    assert found.how
    assert found.values == pytest.approx(truth, rel=rtol)
    assert found.vectors.shape == (K, network.weights.size)
    for value, vector in zip(found.values, found.vectors, strict=True):
        product = network.hvp(network.weights, np.ascontiguousarray(vector))
        off = np.linalg.norm(product - value * vector)
        assert off < rtol * truth[0] * np.linalg.norm(vector)
    assert found.products == (products or found.products) > K
    assert 0 < found.cpu_inside < found.cpu
    assert 0 < found.outside < 1
    again = peers.EIGENVALUES[name](network, K)
    assert again.products == found.products
    assert again.values == pytest.approx(found.values, rel=1e-5)


def test_pyhessians_density_runs_patched(peers, trained, truth):
    need(peers, peers.PYHESSIAN)
    before = getattr(torch, "eig", None)
    found = peers.pyhessian_density(trained[2], 30)
    assert getattr(torch, "eig", None) is before
    assert "patched: torch.eig" in found.how
    assert found.products == 30
    assert found.values.shape == found.weights.shape == (30,)
    assert found.weights.sum() == pytest.approx(1, abs=1e-3)
    assert found.values.max() == pytest.approx(truth[0], rel=0.01)


def test_pyhessians_trace_stops_by_itself(peers, trained):
    need(peers, peers.PYHESSIAN)
    found = peers.pyhessian_trace(trained[2], seed=3)
    assert found.values.shape == (1,)
    assert found.stderr is None
    assert 2 <= found.products <= 100


def test_a_peer_that_is_not_there(peers, load, monkeypatch):
    monkeypatch.setitem(peers.PACKAGES, peers.EIGENTHINGS, "no-such-package-at-all")
    assert peers.version(peers.EIGENTHINGS) is None
    assert peers.version(peers.SCIPY)
    record = load("bench.spectra").missing(peers.EIGENTHINGS)
    assert record["missing"] == "not installed"
    assert record["package"] == "no-such-package-at-all"


def test_peak_memory_sees_what_is_there_for_a_while(load):
    module = load("bench.peak_memory")
    if not module.measurable():
        pytest.skip("this system does not tell the peak")
    with module.PeakMemory() as memory:
        held = np.ones(4 << 20)  # 32 MiB
        del held
    assert 31 << 20 < memory.bytes < 40 << 20
