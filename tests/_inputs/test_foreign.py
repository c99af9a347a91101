"""Weights and callbacks of PyTorch and JAX, through every measure."""

import sys
from types import SimpleNamespace

import fake_cupy
import numpy as np
import pytest

import sharpkit
from sharpkit._inputs.foreign import native, native_loss

N = 40
CURVATURE = np.linspace(0.1, 4, N)
DENSE = {
    "spectral_density": {"max_products": 16, "probes": 2},
    "diagonal": {"max_products": 8},
}
SPECTRUM = ["eigenvalues", "trace", "diagonal", "spectral_density"]


def quadratic(w):
    """1 + 0.5 sum(h w^2) and its gradient, in the kind and dtype of w."""
    h = CURVATURE.astype(w.dtype)
    return 1 + 0.5 * float((h * w * w).sum(dtype=np.float64)), h * w


class Torch:
    def __init__(self):
        self.torch = pytest.importorskip("torch")

    def array(self, values):
        return self.torch.from_numpy(values.copy())

    def values(self, array):
        return array.numpy()

    def holds(self, value):
        return isinstance(value, self.torch.Tensor) and not value.requires_grad


class Jax:
    def __init__(self):
        self.jax = pytest.importorskip("jax")

    def array(self, values):
        return self.jax.device_put(values.copy())

    def values(self, array):
        return np.asarray(array)

    def holds(self, value):
        return isinstance(value, self.jax.Array)


@pytest.fixture(params=[Torch, Jax])
def kind(request):
    return request.param()


def callbacks(kind):
    """Return loss_fn and hvp that take and return arrays of a kind, and assert so."""

    def loss_fn(w):
        assert kind.holds(w)
        loss, gradient = quadratic(kind.values(w))
        return kind.array(np.array(loss, gradient.dtype)), kind.array(gradient)

    def hvp(w, v):
        assert kind.holds(w)
        assert kind.holds(v)
        v = kind.values(v)
        return kind.array(CURVATURE.astype(v.dtype) * v)

    return loss_fn, hvp


def weights():
    return np.random.default_rng(0).standard_normal(N).astype(np.float32)


def test_the_sharpness_is_that_of_numpy(kind):
    w, (loss_fn, _) = weights(), callbacks(kind)

    def rounded(x):  # the loss of the others is rounded to float32
        loss, gradient = quadratic(x)
        return np.float32(loss), gradient

    found = sharpkit.sharpness(kind.array(w), loss_fn)
    wanted = sharpkit.sharpness(w, rounded)
    assert found.value == wanted.value > 0
    np.testing.assert_array_equal(found.displacement, wanted.displacement)
    assert (found.backend, found.dtype) == ("cpu", "float32")


@pytest.mark.parametrize("measure", SPECTRUM)
@pytest.mark.parametrize("exact", [True, False])
def test_the_spectrum_is_that_of_numpy(kind, measure, exact):
    w, (loss_fn, hvp) = weights(), callbacks(kind)
    measured, options = getattr(sharpkit, measure), dict(DENSE.get(measure, {}))
    of_numpy = lambda w, v: CURVATURE.astype(v.dtype) * v  # noqa: E731
    given = {"hvp": hvp} if exact else {}
    found = measured(kind.array(w), loss_fn, **given, **options).to_dict()
    given = {"hvp": of_numpy} if exact else {}
    wanted = measured(w, quadratic, **given, **options).to_dict()
    for record in (found, wanted):
        for name in ("seconds", "callback_seconds"):
            record.pop(name)
    assert found == wanted


def test_a_method_hvp_is_used(kind):
    loss_fn, hvp = callbacks(kind)

    class Problem:
        def __call__(self, w):
            return loss_fn(w)

        def hvp(self, w, v):
            return hvp(w, v)

    found = sharpkit.eigenvalues(kind.array(weights()), Problem())
    assert found.run.source == "hvp"
    assert float(found) == pytest.approx(4, rel=1e-3)


def test_a_product_of_none_means_differences(kind):
    loss_fn, _ = callbacks(kind)

    class Problem:
        hvp = None

        def __call__(self, w):
            return loss_fn(w)

    found = sharpkit.eigenvalues(kind.array(weights()), Problem(), tol=1e-2)
    assert found.run.source.startswith("central differences")


def test_a_loss_alone(kind):
    loss_fn, _ = callbacks(kind)

    def rounded(w):
        return np.float32(quadratic(w)[0])

    found = sharpkit.sharpness(kind.array(weights()), lambda w: loss_fn(w)[0])
    assert found.value == sharpkit.sharpness(weights(), rounded).value > 0


def test_the_callback_may_not_return_another_kind(kind):
    loss_fn, _ = callbacks(kind)

    def mixed(w):
        return 1.0, kind.values(loss_fn(w)[1])

    name = {Torch: "torch tensor", Jax: "JAX array"}[type(kind)]
    with pytest.raises(TypeError, match=rf"the weights are a {name}: return one too"):
        sharpkit.sharpness(kind.array(weights()), mixed)


def test_its_weights_are_not_changed(kind):
    w = kind.array(weights())
    sharpkit.sharpness(w, callbacks(kind)[0])
    np.testing.assert_array_equal(kind.values(w), weights())


def test_tensors_share_memory_with_the_buffer():
    torch = pytest.importorskip("torch")
    w, kind = native(torch.ones(4))
    seen = []
    call = native_loss(lambda x: seen.append(x.data_ptr()) or 0.0, kind)
    call(w)
    assert seen == [w.ctypes.data]


def test_jax_arrays_do_not_share_memory_with_the_buffer():
    """JAX takes its arrays for immutable, and the buffer is not."""
    jax = pytest.importorskip("jax")
    w, kind = native(jax.numpy.ones(4096))
    w, seen = w.copy(), []
    call = native_loss(lambda x: seen.append(x) or 0.0, kind)
    call(w)
    w[:] = 2
    np.testing.assert_array_equal(np.asarray(seen[0]), 1)


def test_parameters_and_gradients_with_history():
    torch = pytest.importorskip("torch")
    h = torch.from_numpy(CURVATURE)

    def loss_fn(w):
        w.requires_grad_()
        loss = 1 + 0.5 * (h * w * w).sum()
        (gradient,) = torch.autograd.grad(loss, w, create_graph=True)
        return loss, gradient

    w = torch.nn.Parameter(torch.ones(N, dtype=torch.float64))
    found = sharpkit.sharpness(w, loss_fn)
    assert found.value == sharpkit.sharpness(np.ones(N), quadratic).value


def test_bfloat16_is_measured_in_float32(kind):
    if isinstance(kind, Torch):
        w = kind.array(weights()).bfloat16()
    else:
        w = kind.array(weights()).astype("bfloat16")
    with pytest.warns(sharpkit.SharpkitWarning, match="bfloat16, in which a step"):
        found = sharpkit.sharpness(w, callbacks(kind)[0])
    assert found.dtype == "float32"


def test_a_device_without_kernels():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"device meta; move it: weights\.cpu\(\)"):
        sharpkit.sharpness(torch.ones(3, device="meta"), lambda w: 0.0)


class OnDevice:
    """A stand-in for a tensor on CUDA: it lends its memory and can do nothing else."""

    device = SimpleNamespace(type="cuda")

    def __init__(self, array):
        self.array, self.dtype = array, array.dtype

    def detach(self):
        return self


def test_tensors_on_cuda_run_on_its_kernels_without_a_copy(monkeypatch):
    with fake_cupy.installed() as cupy:
        lend = SimpleNamespace(Tensor=OnDevice, from_dlpack=OnDevice)
        monkeypatch.setitem(sys.modules, "torch", lend)
        monkeypatch.setattr(cupy, "from_dlpack", lambda t: t.array, raising=False)
        h, w = cupy.asarray(CURVATURE), cupy.ones(N)

        def of_cupy(w):
            return 1 + 0.5 * (h * w * w).sum(), h * w

        def of_tensors(w):
            assert isinstance(w, OnDevice)
            loss, gradient = of_cupy(w.array)
            return OnDevice(loss), OnDevice(gradient)

        copies = []
        for weights, loss_fn in ((w, of_cupy), (OnDevice(w), of_tensors)):
            fake_cupy.copies.clear()
            found = sharpkit.sharpness(weights, loss_fn)
            copies.append(dict(fake_cupy.copies))
        top = sharpkit.eigenvalues(OnDevice(w), hvp=lambda w, v: OnDevice(h * v.array))
    assert copies[0] == copies[1]
    assert (found.backend, top.run.backend) == ("cuda", "cuda")
    known = sharpkit.sharpness(np.ones(N), quadratic)
    assert found.value == pytest.approx(known.value, rel=1e-12)
    assert float(top) == pytest.approx(4, rel=1e-3)


def test_cuda_without_cupy_says_what_to_install(monkeypatch):
    lend = SimpleNamespace(Tensor=OnDevice, from_dlpack=OnDevice)
    monkeypatch.setitem(sys.modules, "torch", lend)
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match=r"needs CuPy: pip install"):
        sharpkit.sharpness(OnDevice(np.ones(3)), lambda w: 0.0)
