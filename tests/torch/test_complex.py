"""Complex parameters: each entry is two weights, its real and its imaginary part."""

import pytest
from torch_cases import direction
from torch_required import torch

import sharpkit
from sharpkit.torch import problem

nn = torch.nn
functional = nn.functional


class Spectral(nn.Module):
    """A layer that multiplies the low frequencies of a signal by complex weights."""

    def __init__(self, modes=3):
        super().__init__()
        weight = torch.randn(2, 2, modes, dtype=torch.cdouble)
        self.modes, self.weight = modes, nn.Parameter(weight / 2)
        self.register_buffer("phase", torch.ones(modes, dtype=torch.cdouble) * 1j)

    def forward(self, x):
        low = torch.fft.rfft(x)[..., : self.modes] * self.phase
        return torch.fft.irfft(torch.einsum("bim,iom->bom", low, self.weight), n=8)


def operator(dtype=torch.float64):
    """Return a small Fourier neural operator and its data."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        lift = nn.Conv1d(1, 2, 1).double()
        drop = nn.Conv1d(2, 1, 1).double()
        model = nn.Sequential(lift, Spectral(), nn.GELU(), Spectral(), drop)
        data = torch.randn(7, 1, 8, dtype=dtype), torch.randn(7, 1, 8, dtype=dtype)
    return model, data


def taken(model, flat):
    """Return the parameters of a flat vector, by the plainest means."""
    found, start = {}, 0
    for name, parameter in model.named_parameters():
        count = parameter.numel()
        if parameter.is_complex():
            pairs = flat[start : start + 2 * count].view(count, 2)
            found[name] = torch.complex(pairs[:, 0], pairs[:, 1]).view_as(parameter)
            start += 2 * count
        else:
            found[name] = flat[start : start + count].view_as(parameter)
            start += count
    assert start == len(flat)
    return found


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_derivatives(watch, micro_batch):
    model, data = operator()
    p = problem(watch(model), nn.MSELoss(), data, micro_batch=micro_batch)
    w, v = p.weights + 0.1, direction(p.weights.numel())

    def loss(flat):
        out = torch.func.functional_call(model, taken(model, flat), data[0])
        return functional.mse_loss(out, data[1])

    value, gradient = p(w)
    assert value == pytest.approx(float(loss(w)), rel=1e-12)
    slope = torch.autograd.functional.jacobian(loss, w)
    assert torch.allclose(gradient, slope, rtol=1e-10, atol=1e-13)
    hessian = torch.autograd.functional.hessian(loss, w)
    assert torch.allclose(p.hvp(w, v), hessian @ v, rtol=1e-9, atol=1e-12)
    curvature = p.gauss_newton(w, v)
    assert float(curvature @ v) >= 0
    largest = sharpkit.eigenvalues(p, tol=1e-9).values[0]
    top = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, p.weights))[-1]
    assert largest == pytest.approx(float(top), rel=1e-7)


def test_layers_and_checkpoints(watch):
    model, data = operator()
    p = problem(watch(model), nn.MSELoss(), data)
    assert {name: s.stop - s.start for name, s in p.layers.items()} == {
        "0": 4,
        "1": 24,
        "3": 24,
        "4": 3,
    }
    own = torch.view_as_real(model[1].weight.detach()).reshape(-1)
    assert torch.equal(p.weights[p.layers["1"]], own)
    state = {k: x + 1 for k, x in model.state_dict().items() if "weight" in k}
    moved = p.at({**model.state_dict(), **state})
    expected = torch.view_as_real(model[1].weight.detach() + 1).reshape(-1)
    assert torch.equal(moved.weights[p.layers["1"]], expected)
    wrong = {**model.state_dict(), "1.weight": model[1].weight.detach().real}
    with pytest.raises(ValueError, match=r"1\.weight torch\.float64 for torch\.compl"):
        p.at(wrong)


def test_conjugates(watch):
    model, data = operator()
    model[1].weight = nn.Parameter(model[1].weight.detach().conj())
    p = problem(watch(model), nn.MSELoss(), data)
    own = torch.view_as_real(model[1].weight.detach().resolve_conj()).reshape(-1)
    assert torch.equal(p.weights[p.layers["1"]], own)
    expected = functional.mse_loss(model(data[0]), data[1])
    assert p(p.weights)[0] == pytest.approx(float(expected.detach()), rel=1e-12)


def test_load():
    model, data = operator()
    p = problem(model, nn.MSELoss(), data)
    p.load(p.weights + 1)
    assert torch.equal(problem(model, nn.MSELoss(), data).weights, p.weights + 1)


@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_single_precision(watch, dtype):
    model, data = operator()
    for part in model:
        part.float()
        if isinstance(part, Spectral):
            part.weight = nn.Parameter(part.weight.detach().to(torch.cfloat))
            part.phase = part.phase.to(torch.cfloat)
    data = tuple(part.float() for part in data)
    p = problem(watch(model), nn.MSELoss(), data, dtype=dtype)
    assert p.weights.dtype == (dtype or torch.float32)
    double, exact = operator()
    q = problem(double, nn.MSELoss(), exact)
    assert p(p.weights)[0] == pytest.approx(q(q.weights)[0], rel=1e-5)
