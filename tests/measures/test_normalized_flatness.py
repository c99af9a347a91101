"""Normalised flatness against a general minimiser, on dense Hessians in float64."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize

import sharpkit
from sharpkit import SpectrumStatus, normalized_flatness

OUT, IN = 6, 9
N = OUT * IN + 6
MATRICES = {"a": (slice(0, 54), (OUT, IN))}


def judged(w, h):
    """The minimum of its definition, in the logarithms, by another algorithm."""

    def cost(z):
        scale = np.exp(z[: len(w), None] + z[len(w) :])
        a, b = h * scale, w**2 / 2 / scale
        slope = a - b
        return a.sum() + b.sum(), np.r_[slope.sum(1), slope.sum(0)]

    start = np.zeros(sum(w.shape))
    found = minimize(cost, start, jac=True, options={"gtol": 1e-9, "maxiter": 5000})
    return found.fun


def case(seed=0):
    """A Hessian of few large eigenvalues beside noise, as those of networks are."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((N, 20)) * 0.7 ** np.arange(20)
    A *= np.exp(rng.standard_normal((N, 1)))
    B = rng.standard_normal((N, N))
    return A @ A.T + 0.02 * (B + B.T), rng.standard_normal(N)


def truth(H, w):
    part = slice(0, 54)
    h = np.diag(H)[part].clip(0).reshape(OUT, IN)
    return judged(w[part].reshape(OUT, IN), h)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_minimum_where_the_diagonal_is_exact(seed):
    H, w = case(seed)
    found = normalized_flatness(
        w, hvp=lambda w, v: H @ v, matrices=MATRICES, max_products=N
    )
    assert found.status is SpectrumStatus.EXACT
    assert float(found) == pytest.approx(truth(H, w), rel=1e-7)
    assert found.error < 1e-9 * float(found)
    assert found.layers["a"][0] == float(found)


def test_a_single_row_has_the_minimum_in_closed_form():
    rng = np.random.default_rng(0)
    w, h = rng.standard_normal(8), rng.random(8)
    found = normalized_flatness(
        w, hvp=lambda w, v: h * v, matrices={"row": (slice(0, 8), (1, 8))}
    )
    wanted = np.sqrt(2) * (np.abs(w) * np.sqrt(h)).sum()
    assert float(found) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["xdiag", "hutchinson"])
def test_error_bars_hold_the_truth(method):
    """The correlations of sign probes are not known: they are within a fifth or so."""
    H, w = case()
    wanted, held, found = truth(H, w), 0, []
    for seed in range(500):
        one = normalized_flatness(
            w,
            hvp=lambda w, v: H @ v,
            matrices=MATRICES,
            max_products=24,
            method=method,
            seed=seed,
        )
        low, high = one.interval
        held += low <= wanted <= high
        found.append((one.value, one.stderr))
    values, errors = np.array(found).T
    miss = np.sqrt(((values - wanted) ** 2).mean())
    assert 0.92 <= held / 500 <= 0.99
    assert np.median(errors) / 1.3 < miss < np.median(errors) * 1.1
    assert abs(values.mean() - wanted) < 0.5 * errors.mean()


def test_scaling_rows_and_columns_of_a_network_changes_nothing():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    nn = torch.nn
    layers = nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)
    model = nn.Sequential(*layers).double()
    data = torch.randn(30, 4).double(), torch.randint(0, 3, (30,))
    problem = sharpkit.torch.problem(model, nn.CrossEntropyLoss(), data)
    before = normalized_flatness(problem, max_products=problem.weights.numel())
    factor = torch.rand(6).double() + 0.1
    with torch.no_grad():
        model[0].weight *= factor[:, None]
        model[0].bias *= factor
        model[2].weight /= factor
    problem = problem.refreshed()
    after = normalized_flatness(problem, max_products=problem.weights.numel())
    assert list(before.layers) == ["0.weight", "2.weight", "4.weight"]
    for name, (value, _) in before.layers.items():
        assert after.layers[name][0] == pytest.approx(value, rel=1e-8)
    assert float(after) == pytest.approx(float(before), rel=1e-8)


def test_rows_and_columns_without_weights_or_curvature_cost_nothing():
    h, w = np.ones((3, 4)), np.ones((3, 4))
    h[0], w[:, 1] = 0, 0
    h[2, 2] = -5  # clipped
    found = normalized_flatness(
        w.ravel(),
        hvp=lambda w, v: h.ravel() * v,
        matrices={"a": (slice(0, 12), (3, 4))},
        max_products=12,
    )
    rest = np.ix_([1, 2], [0, 2, 3])
    assert float(found) == pytest.approx(judged(w[rest], h[rest].clip(0)), rel=1e-6)
    flat = normalized_flatness(
        w.ravel(), hvp=lambda w, v: 0 * v, matrices={"a": (slice(0, 12), (3, 4))}
    )
    assert float(flat) == 0


def test_what_it_says_and_saves():
    H, w = case()
    found = normalized_flatness(w, hvp=lambda w, v: H @ v, matrices=MATRICES)
    record = json.loads(json.dumps(found.to_dict()))
    assert record["value"] == float(found)
    assert record["layers"]["a"] == list(found.layers["a"])
    assert str(found).startswith(f"normalised flatness {float(found):.6g} ± ")
    with pytest.raises(ValueError, match="does not know the shapes"):
        normalized_flatness(w, hvp=lambda w, v: H @ v)
