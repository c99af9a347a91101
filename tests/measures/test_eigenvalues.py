"""Eigenvalues against dense ones, on matrices of every kind."""

import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from spectra import KINDS, matrix, product
from threadpoolctl import threadpool_limits

from sharpkit import SharpkitWarning, SpectrumStatus, eigenvalues

N = 160


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread():
    """Small matrices: a second thread costs more than it brings, on a busy machine."""
    with threadpool_limits(1):
        yield


def wanted(A, which, k):
    values = np.linalg.eigvalsh(A)
    key = {"LA": values, "SA": -values, "LM": np.abs(values)}[which]
    return values[np.argsort(-key, kind="stable")][:k]


def check(A, found, which, apart=1):
    """Every pair within its residual, none falsely converged, none passed over."""
    A = A.astype(np.float64)
    truth, size = np.linalg.eigvalsh(A), np.abs(np.linalg.eigvalsh(A)).max()
    y = found.vectors.astype(np.float64)
    rounding = 1e-14 * size  # of this very check
    true = np.linalg.norm(y @ A - found.values[:, None] * y, axis=1)
    assert (true <= found.residuals + rounding).all()
    near = np.abs(truth[None] - found.values[:, None]).min(axis=1)
    assert (near <= found.residuals + rounding).all()
    good = found.converged
    assert (true[good] <= found.tol * np.abs(found.values[good]) + rounding).all()
    if found.status is SpectrumStatus.CONVERGED:
        assert good.all()
        first, second = wanted(A, which, len(y)), found.values
        if which == "LM":
            first, second = np.abs(first), np.abs(second)
        allowed = apart * found.tol * np.abs(first) + rounding
        assert (np.abs(first - second) <= allowed).all()
    assert np.abs(y @ y.T - np.eye(len(y))).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("which", ["LA", "SA"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_truth(kind, which, dtype):
    """60 random matrices of every kind, for each precision and end."""
    for seed in range(60):
        A = matrix(kind, seed, N).astype(dtype)
        k = (1, 5)[seed % 2]
        found = eigenvalues(
            np.zeros(N, dtype),
            hvp=product(A),
            k=k,
            which=which,
            max_products=400,  # where values crowd at zero more would not do either
            seed=seed,
        )
        if np.abs(wanted(A, which, k)).min() > 5e-2 * found.size:
            assert found.status is SpectrumStatus.CONVERGED
            assert found.verified
        check(A, found, which)


@given(
    st.integers(1, 7).flatmap(
        lambda n: st.lists(st.integers(-2, 2), min_size=n * n, max_size=n * n)
    ),
    st.sampled_from(["LA", "SA", "LM"]),
    st.integers(0, 5),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_small_matrices_of_few_integers(entries, which, seed, single):
    """Full of zeros, multiple eigenvalues and invariant subspaces of coordinates."""
    n = round(len(entries) ** 0.5)
    A = np.array(entries, float).reshape(n, n)
    A = (A + A.T).astype(np.float32 if single else np.float64)
    k = 1 + seed % n
    found = eigenvalues(
        np.zeros(n, A.dtype), hvp=product(A), k=k, which=which, seed=seed, tol=1e-4
    )
    # Rounding leaves more than 1e-4 of what is much smaller than the largest.
    if np.abs(wanted(A, which, k)).min() > (0.2 if single else 1e-2) * found.size:
        assert found.status is SpectrumStatus.CONVERGED
    assert len(found.values) == k
    check(A, found, which)


@pytest.mark.parametrize("kind", KINDS)
def test_largest_in_magnitude(kind):
    for seed in range(3):
        A = matrix(kind, 100 + seed, N)
        found = eigenvalues(np.zeros(N), hvp=product(A), k=4, which="LM")
        assert found.status is SpectrumStatus.CONVERGED
        check(A, found, "LM")


@pytest.mark.parametrize("tol", [1e-2, 1e-6, 1e-11])
@pytest.mark.parametrize("basis", [8, 30, None])
def test_any_memory_and_tolerance(tol, basis):
    A = matrix("hessian", 3, N)
    found = eigenvalues(np.zeros(N), hvp=product(A), k=3, tol=tol, ncv=basis)
    assert found.status is SpectrumStatus.CONVERGED
    check(A, found, "LA")
    assert (found.residuals <= tol * found.size).all()


def test_all_eigenvalues():
    A = matrix("wishart", 0, 30)
    found = eigenvalues(np.zeros(30), hvp=product(A), k=30, tol=1e-10)
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(A)[::-1], atol=1e-10)
    assert found.products <= 30


@pytest.mark.parametrize("kind", ["wishart", "hessian", "graded"])
def test_an_early_end_is_marked(kind, dtype):
    A = matrix(kind, 1, N).astype(dtype)
    for budget in (1, 3, 8):
        found = eigenvalues(
            np.zeros(N, dtype), hvp=product(A), k=5, tol=1e-5, max_products=budget
        )
        assert found.products == budget
        assert found.status is SpectrumStatus.BUDGET
        assert not found.converged.all()
        assert len(found.values) == min(budget, 5)
        check(A, found, "LA")


def test_an_early_end_of_the_search_for_more():
    A = matrix("hessian", 1, N)
    whole = eigenvalues(np.zeros(N), hvp=product(A), k=3)
    quick = eigenvalues(np.zeros(N), hvp=product(A), k=3, verify=False)
    assert quick.products < whole.products
    assert (quick.status, quick.verified) == (SpectrumStatus.CONVERGED, False)
    cut = eigenvalues(np.zeros(N), hvp=product(A), k=3, max_products=quick.products + 1)
    assert (cut.status, cut.verified) == (SpectrumStatus.UNVERIFIED, False)
    assert cut.converged.all()
    for each in (quick, cut):
        np.testing.assert_array_equal(each.values, whole.values)


def test_copies_are_found():
    """Without the search beyond, a multiple eigenvalue would come once or twice."""
    A = matrix("multiple", 0, N)
    once = eigenvalues(np.zeros(N), hvp=product(A), k=5, verify=False, tol=1e-8)
    assert np.sum(np.abs(once.values - 10) < 1e-6) < 5
    found = eigenvalues(np.zeros(N), hvp=product(A), k=5, tol=1e-8)
    np.testing.assert_allclose(found.values, 10, atol=1e-6)


def test_same_seed_same_bits(threads):
    n = 100_000
    curvature = np.geomspace(1e-3, 10, n).astype(np.float32)
    results = []
    for count in (1, 2):
        threads(count)
        results.append(
            eigenvalues(
                np.zeros(n, np.float32), hvp=lambda w, v: curvature * v, k=2, tol=0.01
            )
        )
    np.testing.assert_array_equal(results[0].values, results[1].values)
    np.testing.assert_array_equal(results[0].vectors, results[1].vectors)
    np.testing.assert_array_equal(results[0].residuals, results[1].residuals)


def quartic(w):
    x = w.astype(np.float64)
    return 0.25 * float(np.sum(x**4)) + 0.5 * float(x @ x), (x**3 + x).astype(w.dtype)


def test_differences_of_the_gradient(dtype):
    w = np.linspace(-1, 1, 40).astype(dtype)
    found = eigenvalues(w, quartic, k=3)
    assert found.status is SpectrumStatus.CONVERGED
    truth = np.sort(3 * w.astype(np.float64) ** 2 + 1)[::-1][:3]
    near = np.abs((3 * w.astype(np.float64) ** 2 + 1)[None] - found.values[:, None])
    assert (near.min(axis=1) <= found.residuals).all()
    assert np.abs(found.values - truth).max() <= 1e-3 * found.size
    assert found.run.source.startswith("central differences of the gradient, step")
    assert 0 < found.run.product_error < 1e-2
    assert found.run.calls > 2 * found.products


def test_products_too_wrong_for_the_tolerance():
    rng = np.random.default_rng(0)
    noise = iter(rng.standard_normal((4000, 60)))
    curvature = np.linspace(1, 2, 60)

    def noisy(w):
        return 0.5 * float(curvature @ w**2), curvature * w + 1e-7 * next(noise)

    with pytest.warns(SharpkitWarning, match="another gradient at the same weights"):
        found = eigenvalues(np.ones(60), noisy, k=1, tol=1e-8)
    assert found.status is SpectrumStatus.PRODUCT_ERROR
    assert not found.converged.any()
    assert abs(found.values[0] - 2) <= found.residuals[0]


def test_a_loss_that_brings_its_own_product():
    class Problem:
        def __call__(self, w):
            return 1.5 * float(w @ w), 3 * w

        def hvp(self, w, v):
            return 3 * v

    found = eigenvalues(np.ones(5), Problem())
    assert float(found) == pytest.approx(3)
    assert found.run.source == "hvp"


def test_an_operator_that_is_not_symmetric():
    A = np.random.default_rng(0).standard_normal((50, 50))
    with pytest.warns(SharpkitWarning, match=r"not those of a symmetric.*check hvp"):
        found = eigenvalues(np.zeros(50), hvp=product(A), k=2)
    assert found.status is SpectrumStatus.ASYMMETRIC
    assert not found.converged.any()
    assert found.products < 20


def test_the_result_can_be_shown_and_saved():
    A = matrix("hessian", 0, N)
    found = eigenvalues(np.zeros(N), hvp=product(A), k=2)
    text = repr(found)
    assert text.startswith("2 eigenvalues, largest, n = 160\n  100 ± ")
    assert f"{found.products} products by hvp, seed 0, cpu float64" in text
    assert text.endswith(
        "converged: the sign and size of every value is within the tolerance"
    )
    saved = json.loads(json.dumps(found.to_dict()))
    assert saved["values"] == found.values.tolist()
    assert saved["products"] == found.products
    assert "vectors" not in saved
    assert len(found.to_dict(vectors=True)["vectors"][0]) == N
    assert float(found) == found.values[0]
