"""The curvature as an operator of SciPy, and operators of others as products."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, aslinearoperator, cg, eigsh

import sharpkit

N = 40


def case(seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((N, N)) / np.sqrt(N)
    return A @ A.T + 0.1 * np.eye(N), rng.standard_normal(N)


def problem_of(H, w, **others):
    return sharpkit.Problem(w, lambda w: (float(w @ H @ w / 2), H @ w), **others)


@pytest.mark.parametrize("exact", [True, False])
def test_solvers_of_scipy_take_it(exact):
    H, w = case()
    problem = problem_of(H, w, hvp=(lambda w, v: H @ v) if exact else None)
    A = sharpkit.operator(problem)
    assert isinstance(A, LinearOperator)
    assert (A.shape, A.dtype) == ((N, N), np.float64)
    assert ("hvp" in A.source) == exact
    np.testing.assert_allclose(
        eigsh(A, k=3, which="LA", v0=w)[0], np.linalg.eigvalsh(H)[-3:], rtol=1e-7
    )
    assert A.products > 3
    solution, left = cg(A, w, rtol=1e-8)
    assert left == 0
    np.testing.assert_allclose(H @ solution, w, atol=1e-6)


def test_products_of_vectors_matrices_and_zero():
    H, w = case()
    A = sharpkit.operator(w, hvp=lambda w, v: H @ v)
    V = np.random.default_rng(1).standard_normal((N, 3))
    np.testing.assert_allclose(A @ V, H @ V)
    np.testing.assert_allclose(A.T @ V[:, 0], H @ V[:, 0])
    np.testing.assert_allclose(A.H @ V[:, :1], H @ V[:, :1])
    assert not (A @ np.zeros(N)).any()
    before = A.products
    assert (A @ V).shape == (N, 3)
    assert A.products == before + 3
    single = sharpkit.operator(w.astype("f"), hvp=lambda w, v: H.astype("f") @ v)
    assert (single @ V).dtype == single.dtype == np.float32


def test_gauss_newton_is_another_matrix():
    H, w = case()
    G = H @ H
    problem = problem_of(H, w, gauss_newton=lambda w, v: G @ v)
    A = sharpkit.operator(problem, kind="gauss_newton")
    np.testing.assert_allclose(A @ w, G @ w)
    with pytest.raises(ValueError, match="has no such product; give a problem with"):
        sharpkit.operator(problem_of(H, w), kind="gauss_newton")
    with pytest.raises(ValueError, match="and hvp is given; give a problem"):
        sharpkit.operator(problem, kind="gauss_newton", hvp=lambda w, v: v)
    with pytest.raises(ValueError, match="kind='fisher'"):
        sharpkit.operator(problem, kind="fisher")


def test_fisher_matrices_are_those_of_the_problem():
    class Classifier:
        weights = np.arange(3.0)
        empirical_fisher = staticmethod(lambda w, v: 2 * v)
        monte_carlo_fisher = staticmethod(lambda seed: lambda w, v: (3 + seed) * v)

        def __call__(self, w):
            return float(w @ w) / 2, w

    A = sharpkit.operator(Classifier(), kind="empirical_fisher")
    np.testing.assert_allclose(A @ np.ones(3), 2)
    A = sharpkit.operator(Classifier(), kind="monte_carlo_fisher", seed=2)
    np.testing.assert_allclose(A @ np.ones(3), 5)


@pytest.mark.parametrize("make", [aslinearoperator, np.asarray, csr_array])
def test_operators_are_products_at_their_own_weights_only(make):
    H, w = case()
    truth = np.linalg.eigvalsh(H)[-1]
    problem = problem_of(H, w, hvp=make(H))
    assert float(sharpkit.eigenvalues(problem, tol=1e-6)) == pytest.approx(truth)
    given = sharpkit.eigenvalues(w, hvp=make(H), tol=1e-6)
    assert float(given) == pytest.approx(truth)
    assert given.source == "hvp"
    taken = sharpkit.eigenvalues(problem_of(H, w), hvp=make(H), tol=1e-6)
    assert taken.source == "hvp"
    elsewhere = problem.at({"weights": w + 1})
    with pytest.raises(ValueError, match="known at the weights of the problem only"):
        sharpkit.eigenvalues(elsewhere)
    with pytest.raises(ValueError, match=r"shape \(39, 39\), and there are 40"):
        problem_of(H, w, hvp=make(H[1:, 1:]))


def test_a_wrong_operator_is_found_out():
    H, w = case()
    with pytest.warns(sharpkit.SharpkitWarning, match="not the derivative"):
        found = sharpkit.eigenvalues(problem_of(H, w, hvp=aslinearoperator(2 * H)))
    assert "differences" in found.source


def test_operators_of_numpy_in_problems_of_other_libraries():
    torch = pytest.importorskip("torch")
    H, w = case()
    T = torch.tensor(H)
    problem = sharpkit.Problem(
        torch.tensor(w), lambda w: (w @ T @ w / 2, T @ w), hvp=aslinearoperator(H)
    )
    truth = np.linalg.eigvalsh(H)[-1]
    assert float(sharpkit.eigenvalues(problem, tol=1e-6)) == pytest.approx(truth)
    assert eigsh(sharpkit.operator(problem), k=1)[0] == pytest.approx(truth)


@pytest.mark.parametrize("single", [True, False])
def test_operators_of_tensors_in_problems_of_every_library(single):
    """As curvlinops makes them: no operator of SciPy, with a dtype of torch."""
    torch = pytest.importorskip("torch")
    H, w = case()

    class Curvature:
        shape, dtype = (N, N), torch.float32 if single else torch.float64

        def __matmul__(self, v):
            assert v.dtype == self.dtype
            return torch.tensor(H, dtype=self.dtype) @ v

    truth = np.linalg.eigvalsh(H)[-1]
    for weights in (w, torch.tensor(w)):
        found = sharpkit.eigenvalues(weights, hvp=Curvature(), tol=1e-3)
        assert float(found) == pytest.approx(truth, rel=1e-4)


def test_a_matrix_that_is_no_hessian_is_measured_at_weights_alone():
    H, w = case()
    other = aslinearoperator(H @ H)
    with pytest.warns(sharpkit.SharpkitWarning, match="by weights, hvp=product alone"):
        sharpkit.eigenvalues(problem_of(H, w), hvp=other)
    found = sharpkit.eigenvalues(w, hvp=other, tol=1e-6)
    assert float(found) == pytest.approx(np.linalg.eigvalsh(H @ H)[-1])


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of its import
@pytest.mark.parametrize("name", ["HessianLinearOperator", "GGNLinearOperator"])
def test_operators_of_curvlinops(name):
    curvlinops = pytest.importorskip("curvlinops")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    data = torch.randn(20, 3).double(), torch.randint(0, 2, (20,))
    loss = nn.CrossEntropyLoss()
    problem = sharpkit.torch.problem(model, loss, data)
    theirs = getattr(curvlinops, name)(model, loss, list(model.parameters()), [data])
    is_hessian = name.startswith("Hessian")
    ours = problem.hvp if is_hessian else problem.gauss_newton
    wanted = sharpkit.eigenvalues(problem, hvp=ours, k=2, tol=1e-8)
    whole = problem if is_hessian else problem.weights
    for given in (theirs, theirs.to_scipy()):
        found = sharpkit.eigenvalues(whole, hvp=given, k=2, tol=1e-8)
        assert found.source == "hvp"
        assert found.values == pytest.approx(wanted.values, rel=1e-8)
    kind = "hessian" if is_hessian else "gauss_newton"
    v = np.random.default_rng(0).standard_normal(len(problem.weights))
    np.testing.assert_allclose(
        sharpkit.operator(problem, kind=kind) @ v, theirs.to_scipy() @ v, atol=1e-12
    )
