"""The spectrum of operators beyond 1e±160, whose squares float64 does not have."""

import numpy as np
import pytest
from spectra import matrix, product

from sharpkit import diagonal, eigenvalues, spectral_density, trace

N = 60
A = matrix("hessian", 0, N)
SCALES = [2.0**-1000, 2.0**-560, 2.0**-101, 2.0**101, 2.0**560, 2.0**1000]


def at(scale):
    return {"hvp": product(scale * A)}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("method", ["xtrace", "hutch++", "hutchinson"])
def test_traces(method, scale):
    usual = trace(np.zeros(N), **at(1.0), method=method, max_products=30)
    found = trace(np.zeros(N), **at(scale), method=method, max_products=30)
    assert found.value == pytest.approx(scale * usual.value, rel=1e-12)
    assert found.stderr == pytest.approx(scale * usual.stderr, rel=1e-9)
    assert found.status is usual.status
    last = found.history[-1]
    assert last == (found.products, found.value, found.stderr)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("method", ["xdiag", "hutchinson"])
def test_diagonals(method, scale):
    usual = diagonal(np.zeros(N), **at(1.0), method=method, max_products=30)
    found = diagonal(np.zeros(N), **at(scale), method=method, max_products=30)
    np.testing.assert_allclose(found.values / scale, usual.values, rtol=1e-9)
    np.testing.assert_allclose(found.stderr / scale, usual.stderr, rtol=1e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_eigenvalues(scale):
    found = eigenvalues(np.zeros(N), **at(scale), k=3, tol=1e-9)
    truth = np.linalg.eigvalsh(A)[:-4:-1]
    np.testing.assert_allclose(found.values / scale, truth, rtol=1e-9)
    assert found.converged.all()
    assert (found.residuals / scale < 1e-6).all()


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("scale", SCALES)
def test_densities(scale, kept):
    options = {"max_products": 60, "probes": 3, "reorthogonalize": kept}
    usual = spectral_density(np.zeros(N), **at(1.0), **options)
    found = spectral_density(np.zeros(N), **at(scale), **options)
    np.testing.assert_allclose(found.nodes / scale, usual.nodes, rtol=1e-9, atol=1e-10)
    one, other = found.moment(1), usual.moment(1)
    assert one.value / scale == pytest.approx(other.value)
    assert one.stderr / scale == pytest.approx(other.stderr)
    assert found.effective_dimension(scale) == pytest.approx(
        usual.effective_dimension(1.0)
    )
    assert found.negative_share() == pytest.approx(usual.negative_share())
    below, same = found.cdf(scale * np.arange(4.0)), usual.cdf(np.arange(4.0))
    np.testing.assert_allclose(below, same, atol=1e-9)
    assert "mean square" in repr(found)


@pytest.mark.parametrize("scale", [1e-170, 1e170])
def test_differences_of_gradients(scale):
    """Their step is chosen by norms, which tell a rough gradient from a smooth one."""

    def loss(w):
        return scale * float(np.sin(w).sum()), scale * np.cos(w)

    w = np.linspace(0.1, 1, N)
    found = diagonal(w, loss, max_products=2 * N)
    np.testing.assert_allclose(found.values / scale, -np.sin(w), atol=1e-7)
    assert 1e-12 < found.run.product_error / scale < 1e-6


def test_what_is_beyond_the_range_is_refused():
    with pytest.raises(ValueError, match="beyond the range of float64; divide the los"):
        trace(np.zeros(N), hvp=lambda w, v: 1e307 * v)


def test_usual_scales_keep_their_bits():
    values = np.linspace(-1, 5, N) * 1e20
    found = trace(np.zeros(N), hvp=lambda w, v: values * v, max_products=20)
    power = 2.0**60
    same = trace(np.zeros(N), hvp=lambda w, v: values / power * v, max_products=20)
    assert found.value == power * same.value
